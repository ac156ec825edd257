"""What computes: phiz's device, and the versions of all that are compared."""

from __future__ import annotations

from ...runtime.errors import PhizError
from ...runtime.opencl.device.device import DeviceInfo
from ..cases.problem import Unsupported
from ..peers.registry import PHIZ
from .worker_process import WorkerError, WorkerProcess


def device_of(threads: int, device: str | None) -> DeviceInfo:
    """Asks a separate process for phiz's device; PhizError if there is none.

    So OpenCL runs nothing and sets nothing in this process.
    """
    with WorkerProcess(PHIZ, threads, device) as asked:
        try:
            found: DeviceInfo = asked.ask("device")
        except WorkerError as error:
            raise PhizError(str(error).removeprefix(f"{PHIZ.title}: ")) from None
    return found


def versions_of(workers: dict[str, WorkerProcess], missing: list[str]) -> dict[str, str]:
    """By peer, what runs.

    Those that cannot are taken out of ``workers``, and ``missing`` says why; PhizError where phiz cannot.
    """
    versions = {}
    for name, worker in list(workers.items()):
        try:
            versions[name] = worker.ask("versions")
        except Unsupported as reason:  # there is no GPU for it
            missing.append(f"{worker.peer.title}: {reason}")
            del workers[name]
        except WorkerError as error:  # it is installed, but its import fails
            missing.append(str(error))
            if name == "phiz":
                raise PhizError(str(error)) from None
            del workers[name]
    return versions

"""Candidates that may take their process along, tried in another one first.

The child is a process that serves one kernel's candidates until it dies; what it had in hand then is refused
as crashed.  Jobs and configurations go to it pickled on its stdin, verdicts come back on its stdout; what the
compiler prints goes to a file.
"""

from __future__ import annotations

import io
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ...manifest.folder import Folder
from ...opencl.plan.config import KernelConfig
from ...opencl.tuned.record import Trialled
from .jobs import Job

if TYPE_CHECKING:
    from ...opencl.backend import OpenCLBackend

#: Seconds that a child may take for one candidate.
PATIENCE = 120.0


class _Pickler(pickle.Pickler):
    """Generated folders go by their path and digests: what they have imported stays here."""

    def persistent_id(self, obj: Any) -> Any:
        return (str(obj.path), obj.digests) if isinstance(obj, Folder) else None


class _Unpickler(pickle.Unpickler):
    def persistent_load(self, pid: Any) -> Any:
        path, digests = pid
        return Folder(Path(path), digests)


def _dumped(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


class Child:
    """Tries candidates of one job at a time.

    ``device``: the selector that names the device in the other process.

    ``fuse``, ``lanes``: as in ``OpenCLBackend``.
    """

    def __init__(
        self, device: str, patience: float = PATIENCE, fuse: bool = True, lanes: int | None = None
    ) -> None:
        self.device, self.patience, self.fuse, self.lanes = device, patience, fuse, lanes
        self._process: subprocess.Popen[bytes] | None = None
        self._job: Job | None = None
        self._errors: IO[bytes] | None = None

    def check(self, job: Job, config: KernelConfig) -> Trialled:
        """Refused where the child refuses the configuration or does not survive it; else with neither
        time nor reason.
        """
        if self._process is None or self._job is not job:
            self.close()
            self._start(job)
        process = self._process
        assert process is not None and process.stdin is not None and process.stdout is not None
        watch = threading.Timer(self.patience, process.kill)
        watch.start()
        try:
            _send(process.stdin, config)
            return _receive(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError):
            return self._crashed(config, process)
        finally:
            watch.cancel()

    def _start(self, job: Job) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the child
        form, lanes = "fused" if self.fuse else "launched", "" if self.lanes is None else str(self.lanes)
        command = [sys.executable, "-m", "phiz.runtime.tuner.trials.child", self.device, form, lanes]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for us, and no verdict on the candidate
        )
        self._job = job
        assert self._process.stdin is not None
        try:
            _send(self._process.stdin, job)
        except OSError:  # it died before it read: the first candidate is told so
            return

    def _crashed(self, config: KernelConfig, process: subprocess.Popen[bytes]) -> Trialled:
        status = process.wait()
        said = self._last_words()
        self.close()
        how = f"{signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        if status == -signal.SIGKILL:
            how += f", killed after {self.patience:g} s or by the system"
        return Trialled(config, refused="crashed", reason=f"its process ended with {how}{said}")

    def _last_words(self) -> str:
        """The last line that the child printed."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        lines = [
            line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()
        ]
        return f": {lines[-1][:200]}" if lines else ""

    def close(self) -> None:
        """End the child."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout, self._errors):
                if stream is not None:
                    stream.close()
        self._process = self._job = self._errors = None


def _send(stream: IO[bytes], value: Any) -> None:
    data = _dumped(value)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def _receive(stream: IO[bytes]) -> Any:
    header = stream.read(8)
    size = int.from_bytes(header, "little")
    data = stream.read(size)
    if len(header) < 8 or len(data) < size:
        raise EOFError
    return _Unpickler(io.BytesIO(data)).load()


def serve(device: str, fuse: bool, lanes: int | None, stdin: IO[bytes], stdout: IO[bytes]) -> None:
    """The child: one job, then configurations until the other side closes."""
    from ...opencl.backend import OpenCLBackend
    from .candidate import RefusedError
    from .trial import Trials

    backend: OpenCLBackend = OpenCLBackend(device or None, fuse=fuse, lanes=lanes)
    trials = Trials(_receive(stdin), backend)
    while True:
        try:
            config = _receive(stdin)
        except EOFError:
            return
        try:
            trials.check(config)
            _send(stdout, Trialled(config))
        except RefusedError as error:
            _send(stdout, Trialled(config, refused=error.kind, reason=error.reason))


def main() -> None:
    """Keep stdout to ourselves: compilers print on it."""
    own = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    device, form, lanes = sys.argv[1:]
    serve(device, form == "fused", int(lanes) if lanes else None, sys.stdin.buffer, own)


if __name__ == "__main__":
    main()

"""The process of one peer: it builds cases and times blocks of calls when it is asked to.

Requests come as pickles on stdin, replies go out on what was stdout; libraries that print do so on stderr.

| request | reply |
|---|---|
| ("versions",) | a line |
| ("device",) | phiz alone: what ``runtime.opencl.device.device.describe`` tells about its OpenCL device |
| ("prepare", case, folders, threads) | {form: (seconds of a call, results)}; a first call and some more have run |
| ("prepare", case, folders, threads, forms) | the same for some forms alone, where the peer has them |
| ("in double", case, folders, threads) | the results in float64; Unsupported where the peer has none |
| ("measure", form, calls) | median seconds of as many calls, after one that only warms up |
| ("fastest", form, calls) | seconds of the fastest of them |
| ("drop",) | None; the case is forgotten |
| ("kernels", case, folders, repeats) , ("peaks", dtypes) | phiz alone: see ``roofline`` |
| ("first call", case, folders, further) | phiz alone: see ``first_call`` |
| ("steps", case, folders, cycle, seconds), ("clockwork",) | phiz alone: see ``step_times`` |
"""  # noqa: E501

from __future__ import annotations

import gc
import os
import pickle
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from ...runtime.errors import PhizError
from ..cases.problem import PeerForm, Unsupported

#: Calls and seconds of the first look at a form, which decides how many calls make a block.
FIRST_CALLS, FIRST_SECONDS = 5, 0.5


def read(stream: BinaryIO) -> Any:
    """The next message; EOFError at the end."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    return pickle.loads(stream.read(int.from_bytes(head, "little")))


def write(stream: BinaryIO, message: object) -> None:
    """Send a message."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(data).to_bytes(8, "little") + data)
    stream.flush()


def block(
    call: Callable[[], object], count: int, of_all: Callable[[list[float]], float] = statistics.median
) -> float:
    """Seconds of ``count`` calls after one that only warms up: their median, or what ``of_all`` makes."""
    call()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return of_all(times)


def first_look(form: PeerForm) -> tuple[float, Any]:
    """Seconds of a call, and the results; compiles what is to be compiled (tinygrad captures at the
    second call).
    """
    form.call()
    form.call()
    results = form.results()
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < FIRST_CALLS and (not times or time.perf_counter() - started < FIRST_SECONDS):
        before = time.perf_counter()
        form.call()
        times.append(time.perf_counter() - before)
    return statistics.median(times), results


class Worker:
    """Answers requests with the code of one peer.

    ``device``: as the peer names it; None for its own choice.
    """

    def __init__(self, peer: Any, device: str | None) -> None:
        self.peer = peer
        self.forms: Mapping[str, PeerForm] = {}
        self.options = {"device": device} if device else {}

    def answer(self, request: tuple[Any, ...]) -> Any:
        """The reply to a request."""
        match request:
            case ("versions",):
                return self.peer.versions(**self.options)
            case ("prepare", case, folders, threads, *only):
                forms = self.peer.prepare(case, folders, threads, **self.options)
                wanted = only[0] if only and set(only[0]) & set(forms) else forms
                self.forms = {name: form for name, form in forms.items() if name in wanted}
                return {name: first_look(form) for name, form in self.forms.items()}
            case ("measure", form, calls):
                return block(self.forms[form].call, calls)
            case ("fastest", form, calls):
                return block(self.forms[form].call, calls, min)
            case ("drop",):
                self.forms = {}
                gc.collect()
                return None
            case ("in double", case, folders, threads):
                if not hasattr(self.peer, "in_double"):
                    raise Unsupported("computes nothing in float64")
                return self.peer.in_double(case, folders, threads)
            case _:
                return self._of_phiz(request)

    def _of_phiz(self, request: tuple[Any, ...]) -> Any:
        """The reply to a request about phiz alone."""
        match request:
            case ("device",):
                from ...runtime.opencl.device import device as devices

                return devices.describe(devices.choose(self.options.get("device")))
            case ("first call", case, folders, further):
                from .first_call import first_call, record

                return record(first_call(case, folders, further, **self.options))
            case ("steps", case, folders, cycle, seconds):
                from ..kernels.step_times import profile_steps

                return profile_steps(case, folders, cycle, seconds, **self.options).record()
            case ("clockwork",):
                from ..kernels.step_times import clockwork

                return clockwork(**self.options)
            case ("kernels", case, folders, repeats):
                from ..kernels.roofline import profile_case

                return profile_case(case, folders, repeats, **self.options)
            case ("peaks", dtypes):
                from ..kernels.device_peaks import measure

                return measure(dtypes, **self.options)
        raise ValueError(request[0])


def serve(worker: Worker, source: BinaryIO, sink: BinaryIO) -> None:
    """Until the other end closes: ("ok", reply), ("unsupported", reason) or ("error", reason)."""
    while True:
        try:
            request = read(source)
        except EOFError:
            return
        try:
            reply: tuple[str, Any] = ("ok", worker.answer(request))
        except Unsupported as reason:
            reply = ("unsupported", str(reason))
        except Exception as error:  # the others go on; the parent says what happened
            lines = str(error).strip().splitlines() or [""]
            named = "" if isinstance(error, PhizError) else f"{type(error).__name__}: "
            reply = ("error", f"{named}{lines[0][:200]}")
        write(sink, reply)


def main(module: str, attribute: str, device: str) -> None:
    """Runs the peer ``module`` (with ``attribute``) until stdin ends."""
    from ..peers.registry import Peer

    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(Worker(Peer("", "", module, attribute).load(), device or None), sys.stdin.buffer, sink)


if __name__ == "__main__":
    main(*sys.argv[1:4])

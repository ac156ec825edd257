"""``phiz bench``: phiz beside its peers, memory, waiting times and the roofline, as one record that reports are made from.

Where phiz's device is a GPU, the peers compute on the GPU as well (those that can), and no side's threads are limited.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..runtime.errors import PhizError
from ..runtime.opencl.device.device import DeviceInfo
from .cases import works
from .cases.subject import Unsupported
from .comparison import contest, memory, startup
from .comparison.other_work import Clock, by_others
from .comparison.side_process import SideError, SideProcess
from .gradient.gradient import warn_when_busy
from .kernels import roofline
from .kernels.device_peaks import processor
from .peers import registry as peers

#: Times that every kernel runs for the roofline.
KERNEL_REPEATS = 30
#: Parts of the budget after which the roofline, and memory and waits, are not begun any more.
ROOFLINE, MEMORY = 1.05, 1.1
Record = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What to measure.  ``block``: seconds per side and round.  ``budget``: seconds after which no further work is begun.

    ``threads``: of every side where the device is no GPU.  ``device``: phiz's (see ``runtime.opencl.device.device.choose``).
    """

    cases: Sequence[str] = ()
    batches: Sequence[int] | None = None
    rounds: int = 9
    threads: int = 2
    peers: Sequence[str] = tuple(peers.PEERS)
    kernels: bool = False
    memory: bool = True
    startup: bool = True
    block: float = 0.12
    budget: float = 420.0
    device: str | None = None


@dataclass
class Run:
    """A run under way: phiz's device, the sides, the generated folders, and what could not be measured."""

    options: Options
    say: Callable[[str], None]
    device: DeviceInfo
    sides: dict[str, SideProcess]
    folders: list[str]
    missing: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def gpu(self) -> bool:
        """Whether all sides compute on a GPU."""
        return self.device.kind == "gpu"

    def late(self, what: str, part: float = 1.0) -> bool:
        """Whether ``part`` of the budget is spent; then ``what`` is noted as missing."""
        late = time.monotonic() - self.started > part * self.options.budget
        if late:
            self.missing.append(f"{what}: not measured, {part * self.options.budget:.0f} s were over (--budget)")
        return late


def bench(options: Options, say: Callable[[str], None]) -> Record:
    """Measure; ``say`` receives a line of progress.  PhizError for an unknown case, peer or device."""
    if options.rounds < 1 or options.threads < 1 or options.block <= 0:
        raise PhizError("expected --rounds, --threads and --block above 0")
    chosen, sides = works.choose(options.cases, options.batches), peers.choose(options.peers)
    warn_when_busy(options.threads)
    before = Clock.now()
    with contextlib.ExitStack() as stack:
        run = Run(options, say, _device(options), {}, [])
        chosen = list(_defined(run, chosen, stack))
        for peer in (peers.PHIZ, *sides):
            reason = peer.missing(run.gpu)
            if reason is not None:
                run.missing.append(reason)
                continue
            device = options.device if peer is peers.PHIZ else peer.gpu if run.gpu else None
            run.sides[peer.name] = stack.enter_context(SideProcess(peer, options.threads, device, run.gpu))
        record: Record = {"machine": _machine(run), "options": _plain(options)}
        record["works"] = [found.record() for found in _contests(run, chosen)]
        if options.kernels and not run.late("roofline", ROOFLINE):
            record |= _roofline(run, chosen)
    # The sides have ended: their time counts as ours.
    record["machine"]["others"] = by_others(before, Clock.now(), os.cpu_count() or 1)
    record["memory"] = [peak.record() for peak in _memory(run, chosen)] if options.memory else []
    record["waits"] = [wait.record() for wait in _waits(run)] if options.startup else []
    record["missing"] = run.missing
    record["machine"]["seconds"] = time.monotonic() - run.started
    return record


def _plain(options: Options) -> Record:
    return {"rounds": options.rounds, "threads": options.threads, "peers": list(options.peers), "block": options.block}


def _device(options: Options) -> DeviceInfo:
    """phiz's device as a process of its own sees it, so that OpenCL neither runs nor sets anything here; PhizError without one."""
    with SideProcess(peers.PHIZ, options.threads, options.device) as asked:
        try:
            found: DeviceInfo = asked.ask("device")
        except SideError as error:
            raise PhizError(str(error).removeprefix(f"{peers.PHIZ.title}: ")) from None
    return found


def _machine(run: Run) -> Record:
    versions = {}
    for name, side in list(run.sides.items()):
        try:
            versions[name] = side.ask("versions")
        except Unsupported as reason:  # there is no GPU for it
            run.missing.append(f"{side.peer.title}: {reason}")
            del run.sides[name]
        except SideError as error:  # installed, and still not to be imported
            run.missing.append(str(error))
            if name == "phiz":
                raise PhizError(str(error)) from None
            del run.sides[name]
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    device = {"device": run.device.name, "driver": run.device.driver, "gpu": run.gpu}
    return {"processor": processor(), **device, "python": sys.version.split()[0], "versions": versions, "load": load}


def _defined(run: Run, chosen: Sequence[works.Work], stack: contextlib.ExitStack) -> Iterator[works.Work]:
    """The works whose layers are known; kernels of the tests' definitions are generated into a temporary folder."""
    needed = dict.fromkeys(work.case.definition for work in chosen if work.case.definition)
    files = {name: works.DEFINITIONS / f"{name}.py" for name in needed}
    for name, file in files.items():
        if not file.is_file():
            run.missing.append(f"{name} is not measured: {file} comes with the source, not with the package")
    there = [file for file in files.values() if file.is_file()]
    if there:
        from ..codegen.folder import write
        from ..codegen.generate import generate
        from ..codegen.user_file import combined, load_definitions

        run.say(f"generating {', '.join(file.stem for file in there)}")
        definitions = combined(load_definitions(there))[0]
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="phiz_bench_"))
        write(Path(folder), generate(definitions.families, definitions.activations, definitions.losses).files)
        run.folders.append(folder)
    yield from (work for work in chosen if not work.case.definition or files[work.case.definition].is_file())


def _contests(run: Run, chosen: Sequence[works.Work]) -> Iterator[contest.Contest]:
    for work in chosen:
        if run.late(work.name):
            continue
        before = time.monotonic()
        found = contest.run(work, run.sides, run.folders, run.options.rounds, run.options.block, run.say)
        run.say(f"{work.name}: {time.monotonic() - before:.0f} s")
        yield found


def _roofline(run: Run, chosen: Sequence[works.Work]) -> Record:
    phiz = run.sides["phiz"]
    run.say("multiply-add peak and bandwidth")
    points = []
    try:
        found = phiz.ask("peaks", ["float32", "float64"])
    except SideError as error:
        run.missing.append(f"roofline: {error}")
        return {}
    for work in roofline.profiled(chosen):
        run.say(f"{work.name}: kernels")
        try:
            points += roofline.points(work.name, phiz.ask("kernels", work, run.folders, KERNEL_REPEATS), found[0])
        except SideError as error:
            run.missing.append(f"roofline of {work.name}: {error}")
    return {"peaks": [peaks.record() for peaks in found], "kernels": [roofline.record(point) for point in points]}


def _memory(run: Run, chosen: Sequence[works.Work]) -> Iterator[memory.Peak]:
    if run.gpu:
        run.missing.append("memory of gradients: not measured, it is the host's and phiz computes on a GPU")
        return
    for work in memory.measured(chosen):
        if not work.case.definition and not run.late(f"memory of {work.case.name} at batch {work.batch}", MEMORY):
            run.say(f"{work.case.name}, batch {work.batch}: memory")
            try:
                yield memory.peak(work, run.options.threads, ())
            except RuntimeError as error:
                run.missing.append(str(error))


def _waits(run: Run) -> list[startup.Wait]:
    if run.late("waits", MEMORY):
        return []
    run.say("waits of new processes")
    try:
        return startup.waits(run.options.threads, device=run.options.device, gpu=run.gpu)
    except RuntimeError as error:
        run.missing.append(f"waits: {error}")
        return []


def failures(record: Record) -> list[str]:
    """Works whose results no peer shares although some should have: what makes the command fail."""
    found = []
    for work in record["works"]:
        agreeing = {side["peer"] for side in work["sides"]} - {"phiz"}
        if not work["sides"]:
            found.append(f"{work['work']}: {'; '.join(work['notes']) or 'phiz gave no time'}")
        elif work["wrong"] and not agreeing:
            found += work["wrong"]
    return found

"""Measures everything for ``phiz bench`` and returns one record, from which reports are made.

The record holds the comparison of phiz with its peers, memory, waiting times and the roofline.

If phiz's device is a GPU, the peers that can use a GPU do so too, and no worker's threads are limited.
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
from .cases import cases
from .comparison import comparison, memory, startup
from .comparison.definitions import generate_into
from .comparison.other_work import Clock, by_others, load, warn_when_busy
from .comparison.who_computes import device_of, versions_of
from .comparison.worker_process import WorkerError, WorkerProcess
from .kernels import roofline
from .kernels.device_peaks import processor
from .peers import registry as peers

#: How often every kernel runs for the roofline.
KERNEL_REPEATS = 30
#: Multiples of the budget.  After the first no roofline is begun, after the second no memory and no waits.
ROOFLINE, MEMORY = 1.05, 1.1
Record = dict[str, Any]


@dataclass(frozen=True)
class Options:
    """What to measure.

    cases: names of models; an empty list stands for all of them.
    batches: batch sizes that replace those of the cases.
    rounds: how often every peer takes its turn.
    threads: the most threads of every peer, unless the device is a GPU.
    peers: names of libraries to compare with.
    kernels: whether the roofline is measured.
    memory: whether the memory of gradients is measured.
    startup: whether the waits of new processes are measured.
    block: for how many seconds each peer is called in each round.
    budget: seconds after which no further case is begun.
    device: phiz's OpenCL device (see ``runtime.opencl.device.device.choose``).
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
class BenchRun:
    """A run of the benchmark that is under way.

    device: the device that phiz computes on.
    workers: the worker process of each peer, by the peer's name.
    folders: generated folders with layers that phiz does not come with.
    missing: what could not be measured, and why.
    """

    options: Options
    say: Callable[[str], None]
    device: DeviceInfo
    workers: dict[str, WorkerProcess]
    folders: list[str]
    missing: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @property
    def gpu(self) -> bool:
        """Whether all workers compute on a GPU."""
        return self.device.kind == "gpu"

    def late(self, what: str, part: float = 1.0) -> bool:
        """Whether more than ``part`` times the budget is spent; if so, ``what`` is noted as missing."""
        late = time.monotonic() - self.started > part * self.options.budget
        if late:
            self.missing.append(
                f"{what}: not measured, {part * self.options.budget:.0f} s were over (--budget)"
            )
        return late


def bench(options: Options, say: Callable[[str], None]) -> Record:
    """Measures everything that ``options`` asks for; ``say`` receives lines of progress.

    PhizError for an unknown case, peer or device.
    """
    if options.rounds < 1 or options.threads < 1 or options.block <= 0:
        raise PhizError("expected --rounds, --threads and --block above 0")
    chosen, known = cases.choose(options.cases, options.batches), peers.choose(options.peers)
    warn_when_busy(options.threads)
    before = Clock.now()
    with contextlib.ExitStack() as stack:
        run = BenchRun(options, say, _device(options), {}, [])
        chosen = list(_defined(run, chosen, stack))
        _start(run, known, stack)
        record: Record = {"machine": _machine(run), "options": _plain(options)}
        record["cases"] = [found.record() for found in _comparisons(run, chosen)]
        if options.kernels and not run.late("roofline", ROOFLINE):
            record |= _roofline(run, chosen)
    # The workers have ended, so their processor time counts as ours.
    record["machine"]["others"] = by_others(before, Clock.now(), os.cpu_count() or 1)
    record["memory"] = [peak.record() for peak in _memory(run, chosen)] if options.memory else []
    record["waits"] = [wait.record() for wait in _waits(run)] if options.startup else []
    record["missing"] = run.missing
    record["machine"]["seconds"] = time.monotonic() - run.started
    return record


def _start(run: BenchRun, known: Sequence[peers.Peer], stack: contextlib.ExitStack) -> None:
    """Starts a worker for phiz and for each peer that can be measured here; notes the others as missing."""
    for peer in (peers.PHIZ, *known):
        reason = peer.missing(run.gpu)
        if reason is not None:
            run.missing.append(reason)
            continue
        device = run.options.device if peer is peers.PHIZ else peer.gpu if run.gpu else None
        worker = WorkerProcess(peer, run.options.threads, device, run.gpu)
        run.workers[peer.name] = stack.enter_context(worker)


def _plain(options: Options) -> Record:
    return {
        "rounds": options.rounds,
        "threads": options.threads,
        "peers": list(options.peers),
        "block": options.block,
    }


def _device(options: Options) -> DeviceInfo:
    """Asks a separate process for phiz's device; PhizError if there is none.

    So OpenCL runs nothing and sets nothing in this process.
    """
    return device_of(options.threads, options.device)


def _machine(run: BenchRun) -> Record:
    versions = versions_of(run.workers, run.missing)
    device = {"device": run.device.name, "driver": run.device.driver, "gpu": run.gpu}
    return {
        "processor": processor(),
        **device,
        "python": sys.version.split()[0],
        "versions": versions,
        "load": load(),
    }


def _defined(
    run: BenchRun, chosen: Sequence[cases.Case], stack: contextlib.ExitStack
) -> Iterator[cases.Case]:
    """Yields the cases whose layers are known.

    Kernels for the tests' definitions are generated into a temporary folder.
    """
    needed = dict.fromkeys(case.model.definition for case in chosen if case.model.definition)
    files = {name: cases.DEFINITIONS / f"{name}.py" for name in needed}
    for name, file in files.items():
        if not file.is_file():
            run.missing.append(f"{name} is not measured: {file} comes with the source, not with the package")
    there = [file for file in files.values() if file.is_file()]
    if there:
        run.say(f"generating {', '.join(file.stem for file in there)}")
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="phiz_bench_"))
        generate_into(Path(folder), there)
        run.folders.append(folder)
    yield from (
        case for case in chosen if not case.model.definition or files[case.model.definition].is_file()
    )


def _comparisons(run: BenchRun, chosen: Sequence[cases.Case]) -> Iterator[comparison.PeerComparison]:
    for case in chosen:
        if run.late(case.name):
            continue
        before = time.monotonic()
        found = comparison.run(case, run.workers, run.folders, run.options.rounds, run.options.block, run.say)
        run.say(f"{case.name}: {time.monotonic() - before:.0f} s")
        yield found


def _roofline(run: BenchRun, chosen: Sequence[cases.Case]) -> Record:
    phiz = run.workers["phiz"]
    run.say("multiply-add peak and bandwidth")
    points = []
    try:
        found = phiz.ask("peaks", ["float32", "float64"])
    except WorkerError as error:
        run.missing.append(f"roofline: {error}")
        return {}
    for case in roofline.profiled(chosen):
        run.say(f"{case.name}: kernels")
        try:
            points += roofline.points(
                case.name, phiz.ask("kernels", case, run.folders, KERNEL_REPEATS), found[0]
            )
        except WorkerError as error:
            run.missing.append(f"roofline of {case.name}: {error}")
    return {
        "peaks": [peaks.record() for peaks in found],
        "kernels": [roofline.record(point) for point in points],
    }


def _memory(run: BenchRun, chosen: Sequence[cases.Case]) -> Iterator[memory.Peak]:
    if run.gpu:
        run.missing.append("memory of gradients: not measured, it is the host's and phiz computes on a GPU")
        return
    for case in memory.measured(chosen):
        if not case.model.definition and not run.late(
            f"memory of {case.model.name} at batch {case.batch}", MEMORY
        ):
            run.say(f"{case.model.name}, batch {case.batch}: memory")
            try:
                yield memory.peak(case, run.options.threads, ())
            except RuntimeError as error:
                run.missing.append(str(error))


def _waits(run: BenchRun) -> list[startup.Wait]:
    if run.late("waits", MEMORY):
        return []
    run.say("waits of new processes")
    try:
        return startup.waits(run.options.threads, device=run.options.device, gpu=run.gpu)
    except RuntimeError as error:
        run.missing.append(f"waits: {error}")
        return []


def failures(record: Record) -> list[str]:
    """Lists what makes the command fail.

    It fails for a case without times, and for one where some peer differs from phiz and no peer agrees.
    """
    found = []
    for case in record["cases"]:
        agreeing = {entrant["peer"] for entrant in case["entrants"]} - {"phiz"}
        if not case["entrants"]:
            found.append(f"{case['case']}: {'; '.join(case['notes']) or 'phiz gave no time'}")
        elif case["wrong"] and not agreeing:
            found += case["wrong"]
    return found

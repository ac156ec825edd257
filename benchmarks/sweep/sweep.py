"""``phiz bench --sweep``: draws networks, measures each, keeps every record, and goes on after a kill."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...runtime.errors import PhizError
from ...runtime.files import write_atomically
from ...runtime.manifest.loading import load_manifest
from ..cases.cases import DEFINITIONS
from ..comparison.definitions import generate_into
from ..comparison.other_work import Clock, by_others, warn_when_busy
from ..comparison.who_computes import device_of, versions_of
from ..comparison.worker_process import WorkerError, WorkerProcess
from ..kernels.device_peaks import processor
from ..kernels.step_times import Clockwork
from ..peers import registry
from ..report.files import save_whole
from .draw import draw, kind
from .measure import SweepRig, measure
from .networks import USERS
from .picture import save_picture
from .records import SweepRecords
from .report import markdown
from .summary import MODES

Record = dict[str, Any]
LINES, PICTURE = "sweep.jsonl", "sweep.png"


@dataclass(frozen=True)
class SweepOptions:
    """What a sweep draws and how it measures.

    draws, seed: draws 0 to ``draws`` - 1 of ``seed``.
    only: draws of this list alone, where it is not empty.
    peers: names of libraries to compare with; the first one counts.
    rounds, block: turns of every peer in a draw, and its seconds in each.
    startup: whether first calls are measured.
    out: the folder whose records are added to, and go on where they stopped.
    """

    draws: int = 200
    seed: int = 0
    only: Sequence[int] = ()
    peers: Sequence[str] = ("torch",)
    threads: int = 2
    rounds: int = 7
    block: float = 0.04
    device: str | None = None
    startup: bool = True
    out: Path | None = None

    def check(self) -> None:
        """PhizError for numbers that say nothing."""
        if self.draws < 1 or self.rounds < 1 or self.threads < 1 or self.block <= 0:
            raise PhizError("expected --draws, --rounds, --threads and --block above 0")
        if self.seed < 0 or any(number < 0 for number in self.only):
            raise PhizError("expected --seed and --only of at least 0")

    @property
    def numbers(self) -> list[int]:
        """The draws that are asked for."""
        return list(dict.fromkeys(self.only)) or list(range(self.draws))


def sweep(options: SweepOptions, say: Callable[[str], None]) -> Record:
    """Measures the draws that are not recorded yet; ``say`` receives a line about each.

    PhizError for bad options, an unknown peer or device, and records of another sweep.
    """
    options.check()
    known = registry.choose(options.peers)
    warn_when_busy(options.threads)
    started, before = time.monotonic(), Clock.now()
    with contextlib.ExitStack() as stack:
        rig, head = _rig(options, known, stack, say)
        records = SweepRecords(options.out / LINES if options.out is not None else None, head)
        missing = [number for number in options.numbers if number not in records.draws]
        for found in _measured(options, missing, rig, stack) if missing else ():
            records.add(found)
            say(_said(found))
    others = by_others(before, Clock.now(), os.cpu_count() or 1)
    if missing:
        records.end({"seconds": time.monotonic() - started, "draws": len(missing), "others": others})
    return records.record


def write(record: Record, folder: Path) -> None:
    """``sweep.md`` and ``sweep.png`` beside the records."""
    write_atomically(folder / "sweep.md", markdown(record, PICTURE).encode())
    save_whole(folder / PICTURE, lambda path: save_picture(record, path))


def failures(record: Record) -> list[str]:
    """What makes the command fail: numbers that are wrong, and draws that phiz has no time for."""
    draws = record["draws"]
    found = [f"draw {one['number']}: {line}" for one in draws for line in one["wrong"]]
    for one in draws:
        silent = " and ".join(mode for mode in MODES if not one[mode]["phiz"])
        if silent:
            found.append(f"draw {one['number']}: no time of {silent}: {'; '.join(one['notes'])}")
    return found


def _rig(
    options: SweepOptions,
    known: Sequence[registry.Peer],
    stack: contextlib.ExitStack,
    say: Callable[[str], None],
) -> tuple[SweepRig, Record]:
    """The workers, and what a report says about the machine."""
    info = device_of(options.threads, options.device)
    gpu = info.kind == "gpu"
    missing: list[str] = []
    workers: dict[str, WorkerProcess] = {}
    with WorkerProcess(registry.PHIZ, options.threads, options.device, gpu) as phiz:
        versions = versions_of({"phiz": phiz}, missing)
        try:
            clock: Clockwork = phiz.ask("clockwork")
        except WorkerError as error:
            raise PhizError(str(error)) from None
    for peer in known:
        reason = peer.missing(gpu)
        if reason is not None:
            missing.append(reason)
            continue
        worker = WorkerProcess(peer, options.threads, peer.gpu if gpu else None, gpu)
        workers[peer.name] = stack.enter_context(worker)
    versions |= versions_of(workers, missing)
    rig = SweepRig(
        workers, [], options.threads, options.device, gpu, options.rounds, options.block, clock.cycle,
        options.startup,
    )  # fmt: skip
    for line in missing:
        say(line)
    return rig, {
        "seed": options.seed,
        "processor": processor(),
        "device": info.name,
        "driver": info.driver,
        "gpu": gpu,
        "lanes": clock.lanes,
        "ghz": 1e-9 / clock.cycle if clock.cycle else None,
        "threads": options.threads,
        "peers": list(workers),
        "versions": versions,
        "missing": missing,
    }


def _measured(
    options: SweepOptions, numbers: Sequence[int], rig: SweepRig, stack: contextlib.ExitStack
) -> Iterator[Record]:
    """Each draw's record; the users' layers are generated when they are first needed."""
    if any(kind(options.seed, number) == "user" for number in numbers):
        rig.folders.append(str(stack.enter_context(_users())))
    manifest = load_manifest(rig.folders)
    for number in numbers:
        yield measure(draw(options.seed, number, manifest), rig)


@contextlib.contextmanager
def _users() -> Iterator[Path]:
    """A temporary folder with the kernels of the users' layers; PhizError where they have no source."""
    files = sorted({DEFINITIONS / f"{file}.py" for file in USERS.values()})
    for file in files:
        if not file.is_file():
            raise PhizError(f"{file} comes with the source, not with the package; expected a clone of phiz")
    with tempfile.TemporaryDirectory(prefix="phiz_sweep_") as folder:
        generate_into(Path(folder), files)
        yield Path(folder)


def _said(found: Record) -> str:
    """One line about a draw."""
    words = [f"draw {found['number']}: {found['title'][:70]}, batch {found['batch']}"]
    for name in ("forward", "gradient"):
        times = found.get(name) or {}
        ratios = [f"{one['ratio']:.2f}" for one in times.get("peers", {}).values() if one["ratio"]]
        ours = f"{1e3 * times['phiz']:.3g} ms" if times.get("phiz") else "no time"
        words.append(f"{name} {ours} ({', '.join(ratios) or 'no peer'})")
    words += [f"WRONG: {line}" for line in found["wrong"]] + found["notes"]
    return "; ".join([*words, f"{found['seconds']:.0f} s"])

"""Measures one draw: the first call cold and warm, both modes beside the peers, and every step.

phiz has two processes of its own for every draw, so that nothing of the draws before is left: one with empty
caches, and one that finds in them what the first one compiled.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..cases.cases import Mode
from ..comparison import comparison
from ..comparison.agreement import TOLERANCE
from ..comparison.other_work import load
from ..comparison.startup import empty_caches
from ..comparison.worker_process import WorkerError, WorkerProcess
from ..peers.registry import PHIZ
from .draw import Draw
from .judge import judge

Record = dict[str, Any]
MODES: tuple[tuple[str, Mode], ...] = (("forward", "predict"), ("gradient", "gradient"))
#: Seconds of a draw after which no further round is begun, each mode having its half; and of every request,
#: as of a first call with cold caches: what takes longer is given up and named.
ROUNDS, PATIENCE = 20.0, 20.0
#: Seconds in which steps are timed again.
STEPS = 2.0
FORMS = {"phiz": ("placed",)}


@dataclass(frozen=True)
class SweepRig:
    """What every draw is measured with.

    peers: the worker of each peer; they live as long as the sweep.
    folders: generated folders with the users' layers.
    rounds, block: turns of every peer, and its seconds in each.
    cycle: seconds of a cycle of a core; 0 where steps are not predicted.
    startup: whether first calls are measured.
    """

    peers: dict[str, WorkerProcess]
    folders: list[str]
    threads: int
    device: str | None
    gpu: bool
    rounds: int
    block: float
    cycle: float
    startup: bool = True
    say: Callable[[str], None] = field(default=lambda line: None)

    def phiz(self, caches: Path) -> WorkerProcess:
        """A new process of phiz, whose caches lie in a folder."""
        return WorkerProcess(PHIZ, self.threads, self.device, self.gpu, empty_caches({}, caches))


def measure(draw: Draw, rig: SweepRig) -> Record:
    """The record of a draw; what fails in it is named in "notes", and numbers that are wrong in "wrong"."""
    started = time.monotonic()
    found: Record = {**draw.record(), "load": load(), "notes": [], "wrong": [], "first": {}, "steps": {}}
    with tempfile.TemporaryDirectory(prefix="phiz_sweep_") as folder:
        if rig.startup:
            with rig.phiz(Path(folder)) as cold:
                _first(draw, rig, cold, "cold", found)
        with rig.phiz(Path(folder)) as warm:
            if rig.startup:
                _first(draw, rig, warm, "warm", found)
            _compare(draw, rig, warm, found)
            _steps(draw, rig, warm, found)
    return found | {"seconds": time.monotonic() - started}


def _first(draw: Draw, rig: SweepRig, worker: WorkerProcess, which: str, found: Record) -> None:
    """The first call of a new process; one that takes too long is given up with the process."""
    case, cold = draw.case("gradient"), which == "cold"
    try:
        worker.ask("versions")  # what is imported is not waited for below
        found["first"][which] = worker.ask("first call", case, rig.folders, cold, patience=PATIENCE)
    except WorkerError as error:
        found["notes"].append(f"first call, {which} caches: {error}")


def _compare(draw: Draw, rig: SweepRig, phiz: WorkerProcess, found: Record) -> None:
    """Both modes, each beside the peers."""
    workers = {"phiz": phiz, **rig.peers}
    for worker in workers.values():
        worker.patience = PATIENCE
    for name, mode in MODES:
        limits = comparison.Limits(TOLERANCE, time.monotonic() + ROUNDS / len(MODES), FORMS, True)
        case = draw.case(mode)
        took = comparison.run(case, workers, rig.folders, rig.rounds, rig.block, rig.say, limits)
        if took.refused:
            verdicts = [judge(case, rig.folders, phiz, rig.peers[name], name) for name in took.refused]
            found["notes"] += [verdict.said for verdict in verdicts if verdict.peer_counts is not None]
            found["wrong"] += [verdict.said for verdict in verdicts if verdict.peer_counts is None]
            if all(verdict.peer_counts for verdict in verdicts):
                later = time.monotonic() + ROUNDS / len(MODES)
                limits = comparison.Limits(float("inf"), later, FORMS, True)
                took = comparison.run(case, workers, rig.folders, rig.rounds, rig.block, rig.say, limits)
        found["notes"] += [f"{name}: {note}" for note in took.notes]
        found[name] = _times(took)


def _times(took: comparison.PeerComparison) -> Record:
    """Seconds of the fastest call of phiz and of every peer, and the ratios of these.

    A call that other processes disturbed is never the fastest.
    """
    best = {entrant.name: min(entrant.seconds) for entrant in took.entrants if entrant.seconds}
    ours = min(took.ours.seconds) if took.ours is not None else None
    peers: Record = {}
    for entrant in took.entrants:
        if entrant.peer == "phiz" or not entrant.seconds:
            continue
        seconds = best[entrant.name]
        if entrant.peer not in peers or seconds < peers[entrant.peer]["seconds"]:
            peers[entrant.peer] = {
                "form": entrant.form,
                "seconds": seconds,
                "difference": entrant.difference,
                "ratio": seconds / ours if ours else None,
            }
    return {"phiz": ours, "peers": peers}


def _steps(draw: Draw, rig: SweepRig, phiz: WorkerProcess, found: Record) -> None:
    """The steps of both modes, where there is a model that predicts them."""
    if not rig.cycle:
        return
    for name, mode in MODES:
        try:
            found["steps"][name] = phiz.ask(
                "steps", draw.case(mode), rig.folders, rig.cycle, STEPS, patience=PATIENCE
            )
        except WorkerError as error:
            found["notes"].append(f"steps of {name}: {error}")

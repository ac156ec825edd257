"""One work on all workers, in turn.

Every worker is a process of its own, so that nothing else runs during a block.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..cases.problem import Problem, Unsupported
from ..cases.works import Goal, Work, fits
from ..peers.registry import PYTORCH
from .agreement import TOLERANCE, difference
from .worker_process import WorkerError, WorkerProcess

#: A worker whose call takes longer than this many blocks takes part in the first rounds only.
SLOW, SLOW_ROUNDS = 4.0, 3
OURS = ("phiz", "placed")


@dataclass
class Lane:
    """One form of one worker: seconds of a call, a median per round."""

    peer: str
    form: str
    difference: float | None
    calls: int
    slow: bool
    seconds: list[float] = field(default_factory=list)

    @property
    def name(self) -> str:
        """``torch`` or ``torch (cdist)``."""
        return f"{self.peer} ({self.form})" if self.form else self.peer


@dataclass(frozen=True)
class TimeRatio:
    """A peer's time over phiz's: the median over the rounds, and the quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, theirs: Sequence[float], ours: Sequence[float]) -> TimeRatio:
        """Round by round, as far as both took part."""
        found = [a / b for a, b in zip(theirs, ours, strict=False)]
        low, _, high = statistics.quantiles(found, n=4) if len(found) > 1 else found * 3
        return cls(statistics.median(found), low, high)


@dataclass(frozen=True)
class GoalVerdict:
    """A goal, what was reached, and against whom."""

    goal: Goal
    reached: float
    against: str

    @property
    def met(self) -> bool:
        """To two digits, as it is printed."""
        return round(self.reached, 2) >= round(self.goal.factor, 2)


@dataclass
class Comparison:
    """What was found for one work."""

    work: Work
    lanes: list[Lane]
    wrong: list[str]
    notes: list[str]

    @property
    def ours(self) -> Lane | None:
        """phiz with its data placed; None where phiz could not run it."""
        return next((lane for lane in self.lanes if (lane.peer, lane.form) == OURS and lane.seconds), None)

    def ratio(self, lane: Lane) -> TimeRatio:
        """How many times as long as phiz ``lane`` takes."""
        assert self.ours is not None
        return TimeRatio.of(lane.seconds, self.ours.seconds)

    def fastest(self, peers: Sequence[str], form: str = "") -> Lane | None:
        """The lane of ``peers`` with the smallest ratio, of the form ``form`` where it is given."""
        fitting = [lane for lane in self.lanes if lane.peer in peers and lane.seconds and fits(lane.form, form)]
        return min(fitting, key=lambda lane: self.ratio(lane).median, default=None) if self.ours else None

    def verdicts(self) -> list[GoalVerdict]:
        """One per goal that could be measured."""
        found = []
        everyone = tuple({lane.peer for lane in self.lanes} - {"phiz"})
        for goal in self.work.goals:
            peers = {"pytorch": PYTORCH, "best": everyone}.get(goal.peer, (goal.peer,))
            lane = self.fastest(peers, self.work.variant)
            if lane is not None:
                found.append(GoalVerdict(goal, self.ratio(lane).median, lane.name))
        return found

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        ours = self.ours
        return {
            "work": self.work.name, "title": self.work.title, "batch": self.work.batch, "mode": self.work.mode,
            "variant": self.work.variant,
            "sides": [
                asdict(lane) | {"ms": 1e3 * statistics.median(lane.seconds), "ratio": asdict(self.ratio(lane)) if ours else None}
                for lane in self.lanes if lane.seconds
            ],
            "goals": [
                {"peer": v.goal.peer, "factor": v.goal.factor, "reached": v.reached, "against": v.against, "met": v.met}
                for v in self.verdicts()
            ],
            "wrong": self.wrong, "notes": self.notes,
        }  # fmt: skip


def run(
    work: Work, workers: Mapping[str, WorkerProcess], folders: Sequence[str], rounds: int, seconds: float,
    say: Callable[[str], None],
) -> Comparison:  # fmt: skip
    """Prepare, compare, then time ``rounds`` rounds with about ``seconds`` per worker and round.

    The order turns round from one round to the next.  A worker that fails, or that does not agree with phiz, is left out.
    """
    comparison = Comparison(work, [], [], [])
    try:
        reference = workers["phiz"].ask("prepare", work, folders, workers["phiz"].threads)
    except WorkerError as error:
        comparison.notes.append(str(error))
        return comparison
    pieces = [slice(s.offset, s.stop) for s in Problem.of(work, folders).network.slices]
    expected = reference[OURS[1]][1]
    _enter(comparison, "phiz", reference, expected, pieces, seconds, keep_all=True)
    for name, worker in workers.items():
        if name == "phiz":
            continue
        say(f"{work.name}: preparing {worker.peer.title}")
        try:
            _enter(comparison, name, worker.ask("prepare", work, folders, worker.threads), expected, pieces, seconds)
        except Unsupported as reason:
            comparison.notes.append(f"{worker.peer.title}: {reason}")
        except WorkerError as error:
            comparison.notes.append(str(error))
    for number in range(rounds):
        for lane in comparison.lanes[:: 1 if number % 2 else -1]:
            if not (lane.slow and number >= SLOW_ROUNDS):
                _block(comparison, lane, workers[lane.peer])
    _drop(workers)
    return comparison


def _enter(
    comparison: Comparison, name: str, forms: Mapping[str, Any], expected: Mapping[str, Any], pieces: Sequence[slice],
    seconds: float, keep_all: bool = False,
) -> None:  # fmt: skip
    """Take part with the fastest form that agrees, and with the one that the goal is about."""
    found = {}
    for form, (once, results) in forms.items():
        gap, where = difference(expected, results, pieces)
        if gap > TOLERANCE:
            said = f"{comparison.work.name}: {name} {form} differs from phiz by {gap:.1e} ({where})"
            comparison.wrong.append(said.replace("  ", " "))
        else:
            calls = max(1, min(300, int(seconds / max(1e-6, once))))
            found[form] = once, Lane(name, form, gap if name != "phiz" else None, calls, once > SLOW * seconds)
    if not found:
        return
    fitting = [form for form in found if fits(form, comparison.work.variant)]
    kept = {min(forms, key=lambda form: found[form][0]) for forms in (list(found), fitting) if forms}
    comparison.lanes += [lane for form, (_, lane) in found.items() if keep_all or form in kept]


def _block(comparison: Comparison, lane: Lane, worker: WorkerProcess) -> None:
    try:
        lane.seconds.append(worker.ask("measure", lane.form, lane.calls))
    except WorkerError as error:
        comparison.notes.append(str(error))
        lane.slow, lane.seconds = True, []
        comparison.lanes.remove(lane)


def _drop(workers: Mapping[str, WorkerProcess]) -> None:
    for worker in workers.values():
        try:
            worker.ask("drop")
        except WorkerError:
            worker.stop()  # the next work starts it afresh

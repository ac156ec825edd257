"""One case on all peers, in turn.

Each peer computes in a process of its own, so that nothing else runs while one is timed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ..cases.cases import Case, Goal, fits
from ..cases.problem import Problem, Unsupported
from ..peers.registry import PYTORCH
from .agreement import TOLERANCE, Agreement
from .worker_process import WorkerError, WorkerProcess

#: An entrant whose call takes longer than this many blocks takes part in the first rounds only.
SLOW, SLOW_ROUNDS = 4.0, 3
OURS = ("phiz", "placed")


@dataclass(frozen=True)
class Limits:
    """What a comparison keeps to.

    tolerance: the relative difference above which a peer is left out.
    until: the moment (``time.monotonic``) after which no further round is begun.
    forms: by peer, the forms that take part; of other peers all.
    fastest: whether the fastest call of a round counts, in place of the median.
    """

    tolerance: float = TOLERANCE
    until: float = math.inf
    forms: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    fastest: bool = False


NO_LIMITS = Limits()


@dataclass
class Entrant:
    """One form of one peer, with the seconds of a call: a median for each round.

    once: the first look at it.
    """

    peer: str
    form: str
    difference: float | None
    calls: int
    slow: bool
    seconds: list[float] = field(default_factory=list)
    once: float = 0.0

    @property
    def name(self) -> str:
        """How it is called: ``torch`` or ``torch (cdist)``."""
        return f"{self.peer} ({self.form})" if self.form else self.peer


@dataclass(frozen=True)
class PeerRatio:
    """A peer's time over phiz's: the median over the rounds, and the quartiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, theirs: Sequence[float], ours: Sequence[float]) -> PeerRatio:
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
class PeerComparison:
    """What was found for one case.

    refused: the peers of which no form agrees.
    """

    case: Case
    entrants: list[Entrant]
    wrong: list[str]
    notes: list[str]
    refused: list[str] = field(default_factory=list)

    @property
    def ours(self) -> Entrant | None:
        """phiz with its data placed; None where phiz could not run it."""
        return next(
            (
                entrant
                for entrant in self.entrants
                if (entrant.peer, entrant.form) == OURS and entrant.seconds
            ),
            None,
        )

    def ratio(self, entrant: Entrant) -> PeerRatio:
        """How many times as long as phiz ``entrant`` takes."""
        assert self.ours is not None
        return PeerRatio.of(entrant.seconds, self.ours.seconds)

    def fastest(self, peers: Sequence[str], form: str = "") -> Entrant | None:
        """The entrant of ``peers`` with the smallest ratio, of the form ``form`` where it is given."""
        fitting = [
            entrant
            for entrant in self.entrants
            if entrant.peer in peers and entrant.seconds and fits(entrant.form, form)
        ]
        return (
            min(fitting, key=lambda entrant: self.ratio(entrant).median, default=None) if self.ours else None
        )

    def verdicts(self) -> list[GoalVerdict]:
        """One per goal that could be measured."""
        found = []
        everyone = tuple({entrant.peer for entrant in self.entrants} - {"phiz"})
        for goal in self.case.goals:
            peers = {"pytorch": PYTORCH, "best": everyone}.get(goal.peer, (goal.peer,))
            entrant = self.fastest(peers, self.case.variant)
            if entrant is not None:
                found.append(GoalVerdict(goal, self.ratio(entrant).median, entrant.name))
        return found

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return {
            "case": self.case.name,
            "title": self.case.title,
            "batch": self.case.batch,
            "mode": self.case.mode,
            "variant": self.case.variant,
            "entrants": [
                asdict(one)
                | {
                    "ms": 1e3 * statistics.median(one.seconds),
                    "ratio": asdict(self.ratio(one)) if self.ours else None,
                }
                for one in self.entrants
                if one.seconds
            ],
            "goals": [
                {
                    "peer": v.goal.peer,
                    "factor": v.goal.factor,
                    "reached": v.reached,
                    "against": v.against,
                    "met": v.met,
                }
                for v in self.verdicts()
            ],
            "wrong": self.wrong,
            "notes": self.notes,
        }


def run(
    case: Case,
    workers: Mapping[str, WorkerProcess],
    folders: Sequence[str],
    rounds: int,
    seconds: float,
    say: Callable[[str], None],
    limits: Limits = NO_LIMITS,
) -> PeerComparison:
    """Prepares the case everywhere, compares results, then times ``rounds`` rounds.

    Each worker computes for about ``seconds`` a round, and the order turns round from one round to the next.
    A worker that fails, or that does not agree with phiz, is left out.  Where time is over before the first
    round, the first look counts.
    """
    comparison = PeerComparison(case, [], [], [])
    try:
        reference = workers["phiz"].ask(*_preparation("phiz", workers, case, folders, limits))
    except WorkerError as error:
        comparison.notes.append(str(error))
        return comparison
    pieces = [slice(s.offset, s.stop) for s in Problem.of(case, folders).network.slices]
    expected = reference[OURS[1]][1]
    agreement = Agreement(expected, pieces, limits.tolerance)
    _enter(comparison, "phiz", reference, agreement, seconds, keep_all=True)
    for name, worker in workers.items():
        if name == "phiz":
            continue
        say(f"{case.name}: preparing {worker.peer.title}")
        try:
            forms = worker.ask(*_preparation(name, workers, case, folders, limits))
            _enter(comparison, name, forms, agreement, seconds)
        except Unsupported as reason:
            comparison.notes.append(f"{worker.peer.title}: {reason}")
        except WorkerError as error:
            comparison.notes.append(str(error))
    for number in range(rounds):
        if time.monotonic() > limits.until:
            break
        for entrant in comparison.entrants[:: 1 if number % 2 else -1]:
            if not (entrant.slow and number >= SLOW_ROUNDS):
                _block(comparison, entrant, workers[entrant.peer], limits.fastest)
    for entrant in comparison.entrants:
        entrant.seconds = entrant.seconds or [entrant.once]
    _drop(workers)
    return comparison


def _preparation(
    name: str, workers: Mapping[str, WorkerProcess], case: Case, folders: Sequence[str], limits: Limits
) -> tuple[Any, ...]:
    """The request that prepares a case."""
    only = [limits.forms[name]] if name in limits.forms else []
    return "prepare", case, folders, workers[name].threads, *only


def _enter(
    comparison: PeerComparison,
    name: str,
    forms: Mapping[str, Any],
    agreement: Agreement,
    seconds: float,
    keep_all: bool = False,
) -> None:
    """Take part with the fastest form that agrees, and with the one that the goal is about."""
    found = {}
    for form, (once, results) in forms.items():
        gap, where = agreement.difference(results)
        if gap > agreement.tolerance:
            who = f"{name} {form}".strip()
            comparison.wrong.append(f"{comparison.case.name}: {who} differs from phiz by {gap:.1e} ({where})")
        else:
            calls = max(1, min(300, int(seconds / max(1e-6, once))))
            found[form] = (
                once,
                Entrant(name, form, gap if name != "phiz" else None, calls, once > SLOW * seconds, once=once),
            )
    if not found:
        comparison.refused.append(name)
        return
    fitting = [form for form in found if fits(form, comparison.case.variant)]
    kept = {min(forms, key=lambda form: found[form][0]) for forms in (list(found), fitting) if forms}
    comparison.entrants += [entrant for form, (_, entrant) in found.items() if keep_all or form in kept]


def _block(
    comparison: PeerComparison, entrant: Entrant, worker: WorkerProcess, fastest: bool = False
) -> None:
    try:
        request = "fastest" if fastest else "measure"
        entrant.seconds.append(worker.ask(request, entrant.form, entrant.calls))
    except WorkerError as error:
        comparison.notes.append(str(error))
        entrant.slow, entrant.seconds = True, []
        comparison.entrants.remove(entrant)


def _drop(workers: Mapping[str, WorkerProcess]) -> None:
    for worker in workers.values():
        try:
            worker.ask("drop")
        except WorkerError:
            worker.stop()  # the next case starts it afresh

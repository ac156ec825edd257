"""Says who is wrong where phiz and a peer differ: whoever is far from what float64 gives.

Both may be right and differ: rounding decides on which side of a kink a number lies, as in relu and in the
largest of a window, and a deep network carries that on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..cases.cases import Case
from ..cases.problem import Problem, Unsupported
from ..comparison.agreement import TOLERANCE, difference
from ..comparison.worker_process import WorkerError, WorkerProcess

#: phiz is wrong if it is so many times as far from float64 as its peer; a peer, if it is far and phiz is not.
FARTHER, FAR = 4.0, 100.0


@dataclass(frozen=True)
class Judgement:
    """Who is wrong, in one line.

    peer_counts: whether the peer's time counts nevertheless; None where phiz is wrong, or may be.
    """

    said: str
    peer_counts: bool | None


def judge(
    case: Case, folders: Sequence[str], phiz: WorkerProcess, peer: WorkerProcess, name: str
) -> Judgement:
    """Compares both with the peer's own results in float64."""
    try:
        exact = peer.ask("in double", case, folders, peer.threads)
        pieces = [slice(s.offset, s.stop) for s in Problem.of(case, folders).network.slices]
        ours, theirs = (
            min(
                difference(exact, results, pieces)
                for _, results in worker.ask("prepare", case, folders, worker.threads).values()
            )
            for worker in (phiz, peer)
        )
    except (Unsupported, WorkerError) as error:
        return Judgement(f"{case.name}: {name} differs from phiz, and nothing judges: {error}", None)
    return judgement(case.name, name, ours, theirs)


def judgement(case: str, name: str, ours: tuple[float, str], theirs: tuple[float, str]) -> Judgement:
    """The verdict on how far both are, and where."""
    said = f"{case}: from float64 phiz differs by {ours[0]:.1e} ({ours[1]}), {name} by {theirs[0]:.1e}"
    if ours[0] > max(TOLERANCE, FARTHER * theirs[0]):
        return Judgement(said, None)
    if ours[0] <= TOLERANCE and theirs[0] > FAR * max(TOLERANCE, ours[0]):
        return Judgement(f"{said} ({theirs[1]}): {name} is wrong", False)
    return Judgement(f"{said}: rounding decides", True)

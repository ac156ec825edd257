"""What the draws of a sweep show together: ratios, first calls, and predictions beside measured times."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Record = Mapping[str, Any]
NAMED = {"forward": "forward", "gradient": "value and gradient"}
MODES = tuple(NAMED)
#: First calls, and what they wait for.
WAITS = {"cold": "cold caches", "further": "another batch size, after it", "warm": "warm caches"}
#: Steps below this part of their pass, or as short as the launch's own work, tell nothing about predictions.
LEAST_PART, LEAST_SECONDS = 0.01, 1e-6
#: A prediction is right within this factor.
RIGHT = 2.0
WORST = 10


@dataclass(frozen=True)
class SweepGoal:
    """What a sweep is to show in a mode.

    what: "mean" for the geometric mean, "least" for the worst draw, else the part of the draws that are as
        fast as the peer.
    """

    mode: str
    what: str
    factor: float

    def reached(self, ratios: Sequence[float]) -> float:
        """What was reached."""
        if self.what == "mean":
            return geometric_mean(ratios)
        return min(ratios) if self.what == "least" else as_fast(ratios)


GOALS = (
    SweepGoal("gradient", "mean", 2.5),
    SweepGoal("gradient", "as fast", 0.95),
    SweepGoal("gradient", "least", 0.7),
    SweepGoal("forward", "mean", 2.0),
    SweepGoal("forward", "as fast", 0.9),
    SweepGoal("forward", "least", 0.5),
)


def geometric_mean(values: Sequence[float]) -> float:
    """The exponential of the mean logarithm of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


def as_fast(ratios: Sequence[float]) -> float:
    """The part of the draws in which phiz takes no longer than the peer."""
    return sum(ratio >= 1.0 for ratio in ratios) / len(ratios)


def quantiles(values: Sequence[float], parts: Sequence[float]) -> list[float]:
    """The values below which these parts of all lie."""
    return [float(value) for value in np.quantile(values, parts)]


def ratio(draw: Record, mode: str, peer: str) -> float | None:
    """The peer's time over phiz's; None where one of them has none, or the numbers are wrong."""
    found = ((draw.get(mode) or {}).get("peers") or {}).get(peer)
    return None if found is None or draw["wrong"] else found["ratio"]


def ratios(draws: Iterable[Record], mode: str, peer: str) -> list[float]:
    """Those of all draws that have one."""
    return [found for draw in draws if (found := ratio(draw, mode, peer)) is not None]


def worst(draws: Sequence[Record], mode: str, peer: str) -> list[Record]:
    """The draws in which phiz is the slowest beside the peer, the worst one first."""
    there = [(found, draw) for draw in draws if (found := ratio(draw, mode, peer)) is not None]
    return [draw for _, draw in sorted(there, key=lambda pair: pair[0])[:WORST]]


def first_calls(draws: Iterable[Record], which: str) -> list[float]:
    """Seconds of first calls: "cold", "warm", or "further" for another batch size in the cold process."""
    found = []
    for draw in draws:
        call = draw["first"].get("cold" if which == "further" else which)
        if call is not None:
            found.append(call["further" if which == "further" else "first"])
    return [seconds for seconds in found if seconds is not None]


@dataclass(frozen=True)
class Prediction:
    """A step of some pass: measured and predicted seconds, and its part of the pass."""

    measured: float
    predicted: float
    part: float

    @property
    def right(self) -> bool:
        """Whether the prediction is within ``RIGHT``."""
        return self.measured <= RIGHT * self.predicted and self.predicted <= RIGHT * self.measured


def predictions(draws: Iterable[Record], mode: str, counted: bool = True) -> list[Prediction]:
    """Of all steps that are predicted; ``counted``: of those alone that take long enough."""
    found = []
    for draw in draws:
        steps = (draw["steps"].get(mode) or {}).get("steps", ())
        total = sum(step["seconds"] for step in steps)
        for step in steps:
            long = step["seconds"] >= max(LEAST_SECONDS, LEAST_PART * total)
            if step["predicted"] > 0 and (long or not counted):
                found.append(Prediction(step["seconds"], step["predicted"], step["seconds"] / total))
    return found


def right(found: Sequence[Prediction]) -> tuple[float, float]:
    """The part of the predictions that are right: by number, and by the part of their pass."""
    count = sum(one.right for one in found) / len(found)
    return count, sum(one.part for one in found if one.right) / sum(one.part for one in found)


def error(found: Sequence[Prediction]) -> float:
    """The median of measured over predicted."""
    return statistics.median(one.measured / one.predicted for one in found)

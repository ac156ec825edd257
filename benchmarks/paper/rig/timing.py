"""Times of variants of one computation: blocks of many launches, in alternation, medians, and ratios of the
same round.

The machine may be busy and its clock may wander: the ratio of two variants is the median of the ratios of the
rounds in which they ran one after the other, and its quartiles say how far it can be trusted.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

#: Seconds of a block, the most launches in it, and the least rounds where the budget is short.
BLOCK, MOST_LAUNCHES, LEAST_ROUNDS = 3e-3, 400, 5
#: Seconds that one race may take.
BUDGET = 4.0

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Ratio:
    """Median and quartiles of the rounds' ratios."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.low:.2f}–{self.high:.2f})"

    def below(self, limit: float) -> bool:
        """Clearly smaller than ``limit``: three quarters of the rounds agree."""
        return self.high < limit

    def above(self, limit: float) -> bool:
        """Whether it is clearly larger than ``limit``."""
        return self.low > limit


def ratio_of(values: Sequence[float]) -> Ratio:
    """The median and the quartiles of ``values``."""
    if len(values) < 2:
        return Ratio(values[0], values[0], values[0])
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return Ratio(middle, low, high)


@dataclass(frozen=True)
class Race(Generic[Key]):
    """Seconds of one run of every variant, one entry per round."""

    seconds: Mapping[Key, Sequence[float]]

    def median(self, key: Key) -> float:
        """The median seconds of a variant."""
        return statistics.median(self.seconds[key])

    def medians(self) -> dict[Key, float]:
        """Seconds by variant."""
        return {key: self.median(key) for key in self.seconds}

    def ratio(self, key: Key, other: Key) -> Ratio:
        """Time of ``key`` over time of ``other``."""
        return ratio_of([a / b for a, b in zip(self.seconds[key], self.seconds[other], strict=True)])

    def fastest(self, among: Sequence[Key] | None = None) -> Key:
        """The variant with the least median."""
        return min(self.seconds if among is None else among, key=self.median)


def race(
    variants: Mapping[Key, Callable[[int], None]],
    rounds: int,
    block: float = BLOCK,
    budget: float = BUDGET,
    clock: Callable[[], float] = time.perf_counter,
) -> Race[Key]:
    """Time ``variants``, each of which runs itself so many times and waits.

    A first run of each only warms up (and compiles).  The order turns with every round.  No further round
    once they took ``budget`` seconds, but at least LEAST_ROUNDS (or ``rounds``).
    """

    def timed(run: Callable[[int], None], count: int) -> float:
        start = clock()
        run(count)
        return (clock() - start) / count

    counts = {}
    for key, run in variants.items():
        run(1)
        counts[key] = max(1, min(MOST_LAUNCHES, round(block / max(1e-9, timed(run, 1)))))
    found: dict[Key, list[float]] = {key: [] for key in variants}
    keys, start = list(variants), clock()
    for number in range(rounds):
        if number >= LEAST_ROUNDS and clock() - start >= budget:
            break
        shift = number % len(keys)
        order = keys[shift:] + keys[:shift]
        for key in order if number % 2 else order[::-1]:
            found[key].append(timed(variants[key], counts[key]))
    return Race(found)

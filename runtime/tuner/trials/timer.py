"""How long launches take: blocks of many, in alternation, by the clock on the wall."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ...opencl.plan.config import KernelConfig

#: Seconds of a block of launches, and the most launches in it.
BLOCK, MOST_LAUNCHES = 5e-4, 100
#: Blocks of which the fastest counts: other work on the machine interrupts some of them.
BLOCKS = 3
#: How often the number of launches is estimated; the first time warms up.
ESTIMATES = 3
#: Rounds after which a hopeless candidate is given up, of a trial, and of the final comparison.
FIRST, ROUNDS, FINAL = 3, 9, 21
#: A candidate this much slower than the best so far is not timed to the end.
HOPELESS = 1.1


class Launchable(Protocol):
    """A kernel ready to run."""

    config: KernelConfig

    def launch(self, count: int) -> None:
        """Run it ``count`` times and wait."""


@dataclass(frozen=True)
class Timing:
    """Seconds a launch, medians; ``ratio``: the median of the rounds' ratios, which a machine that
    slows down leaves alone.
    """

    default: float
    candidate: float
    ratio: float


class Timer(Protocol):
    """Compares two kernels that compute the same."""

    def seconds(self, kernel: Launchable) -> float:
        """The seconds of one launch, roughly."""

    def compare(self, default: Launchable, candidate: Launchable, best: float, rounds: int) -> Timing:
        """Both in alternation; fewer than ``rounds`` rounds where the ratio is far above ``best``."""


class WallTimer:
    """A timer that reads the clock on the wall.

    ``clock``: gives seconds.
    ``units``: of the device, which launches of a block are shared among.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter, units: int = 1) -> None:
        self.clock, self.units = clock, units

    def seconds(self, kernel: Launchable) -> float:
        """The median of a few rounds, after a warm-up."""
        count = self._calibrated(kernel)
        return statistics.median(self._fastest(kernel, count) for _ in range(FIRST))

    def compare(self, default: Launchable, candidate: Launchable, best: float, rounds: int) -> Timing:
        """Rounds of some blocks each, the order turned every round."""
        counts = [self._calibrated(kernel) for kernel in (default, candidate)]
        times: list[tuple[float, float]] = []
        for number in range(rounds):
            if number % 2:
                second = self._fastest(candidate, counts[1])
                times.append((self._fastest(default, counts[0]), second))
            else:
                times.append((self._fastest(default, counts[0]), self._fastest(candidate, counts[1])))
            if number + 1 == FIRST and _timing(times).ratio > HOPELESS * best:
                break
        return _timing(times)

    def _calibrated(self, kernel: Launchable) -> int:
        """Launches of a block, after a warm-up: what several take together says what waking the device
        costs but once.
        """
        count = 1
        for _ in range(ESTIMATES):
            count = self._count(self._block(kernel, count))
        return count

    def _fastest(self, kernel: Launchable, count: int) -> float:
        return min(self._block(kernel, count) for _ in range(BLOCKS))

    def _block(self, kernel: Launchable, count: int) -> float:
        start = self.clock()
        kernel.launch(count)
        return (self.clock() - start) / count

    def _count(self, once: float) -> int:
        return out_of_step(max(1, min(MOST_LAUNCHES, round(BLOCK / max(once, 1e-9)))), self.units)


def out_of_step(times: int, units: int) -> int:
    """The least number, at least ``times``, that is one more than a multiple of ``units``.

    Units that share such a launch evenly are at different items of the pass at any time.  At the same ones of
    two repetitions they would write the same memory, which no pass does: up to a fifth slower, measured.
    """
    return 1 + -(-(times - 1) // units) * units


def _timing(times: list[tuple[float, float]]) -> Timing:
    ratios = [b / a if a > 0 else 1.0 for a, b in times]
    return Timing(
        statistics.median(a for a, _ in times),
        statistics.median(b for _, b in times),
        statistics.median(ratios),
    )

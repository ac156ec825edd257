"""Brent's method along a ray (sections 5.1, 6.3): parabolas through values, golden section where they
fail.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .brackets import GOLDEN, Bracket, bracket, height
from .ray import LineSearchReason, LineSearchResult, Ray, Trial


@dataclass(frozen=True)
class Brent:
    """Minimises phi from values alone, to a relative tolerance `xtol` of alpha (about 1e-8 is the best
    possible).
    """

    xtol: float = 1e-4
    max_evaluations: int = 100
    max_step: float = 1e12

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """Brackets from the step alpha0, then closes in on the minimum."""
        found = bracket(ray, alpha0, max_evaluations=self.max_evaluations, max_step=self.max_step)
        if not isinstance(found, Bracket):
            return found
        return self._refine(ray, found)

    def _refine(self, ray: Ray, found: Bracket) -> LineSearchResult:
        lo, hi = found.lo.alpha, found.hi.alpha
        best = found.mid
        second, third = sorted((found.lo, found.hi), key=height)
        last = before_last = hi - lo
        floor = float(np.finfo(ray.start.x.dtype).eps)
        for _ in range(self.max_evaluations - found.evaluations):
            tolerance = max(self.xtol, floor) * best.alpha
            middle = 0.5 * (lo + hi)
            if abs(best.alpha - middle) + 0.5 * (hi - lo) <= 2.0 * tolerance:
                return ray.result(best, LineSearchReason.CONVERGED)
            step = _parabola_step(best, second, third)
            inside = lo < best.alpha + step < hi
            if inside and abs(step) < 0.5 * abs(before_last):
                before_last, last = last, step
            else:
                longer = hi - best.alpha if best.alpha < middle else lo - best.alpha
                before_last, step = longer, (2.0 - GOLDEN) * longer
                last = step
            if abs(step) < tolerance:
                step = tolerance if middle > best.alpha else -tolerance
            trial = ray.value(best.alpha + step)
            if height(trial) <= best.value:
                lo, hi = (best.alpha, hi) if step > 0.0 else (lo, best.alpha)
                best, second, third = trial, best, second
                continue
            lo, hi = (lo, trial.alpha) if step > 0.0 else (trial.alpha, hi)
            if height(trial) <= height(second):
                second, third = trial, second
            elif height(trial) <= height(third):
                third = trial
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)


def _parabola_step(best: Trial, second: Trial, third: Trial) -> float:
    """From `best` to the minimiser of the parabola through three trials; infinite where there is none."""
    if not (second.finite and third.finite):
        return float("inf")
    a, b = second.alpha - best.alpha, third.alpha - best.alpha
    fa, fb = second.value - best.value, third.value - best.value
    denominator = 2.0 * (fa * b - fb * a)
    if denominator == 0.0:
        return float("inf")
    return (fa * b * b - fb * a * a) / denominator

"""Brent's method with derivatives along a ray (section 6.3): the zero of phi' inside a shrinking bracket."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .brackets import height, shortest_step
from .interpolation import cubic_minimiser, secant_zero
from .ray import LineSearchReason, LineSearchResult, Ray, Trial


@dataclass(frozen=True)
class BrentDerivative:
    """Minimises phi from values and slopes, to a relative tolerance `xtol` of alpha (down to rounding).

    The bracket's left end descends; its right end rises, is higher, or is not finite.  New steps come from
    the cubic through the last two trials, from the secant of their slopes once their values agree to
    rounding, and from bisection where these leave the bracket or do not halve it in two steps.
    """

    xtol: float = 1e-4
    max_evaluations: int = 60
    max_step: float = 1e12

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """Brackets from the step alpha0, then closes in on the minimum."""
        if not ray.descends:
            return ray.give_up(LineSearchReason.NOT_DESCENT)
        lo, hi = ray.origin, ray.value_and_slope(alpha0)
        shortest = shortest_step(ray)
        while ray.evaluations < self.max_evaluations:
            if not hi.finite:
                if hi.alpha - lo.alpha < max(shortest, self.xtol * lo.alpha):
                    return ray.give_up(LineSearchReason.INTERVAL)
                trial = ray.value_and_slope(lo.alpha + 0.25 * (hi.alpha - lo.alpha))
                lo, hi = (trial, hi) if self._descends_on(ray, lo, trial) else (lo, trial)
                continue
            if not self._descends_on(ray, lo, hi):
                return self._refine(ray, lo, hi)
            if hi.alpha >= self.max_step:
                return ray.give_up(LineSearchReason.STEP_LIMIT)
            width = hi.alpha - lo.alpha
            guess = cubic_minimiser(lo.alpha, lo.value, lo.slope, hi.alpha, hi.value, hi.slope)
            shortest_growth, longest_growth = hi.alpha + width, hi.alpha + 9.0 * width
            alpha = (
                min(max(1.1 * guess, shortest_growth), longest_growth) if guess == guess else longest_growth
            )
            lo, hi = hi, ray.value_and_slope(min(alpha, self.max_step))
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)

    @staticmethod
    def _descends_on(ray: Ray, lo: Trial, trial: Trial) -> bool:
        """True when the minimum lies beyond this trial."""
        return height(trial) <= lo.value + ray.rounding and trial.slope < 0.0

    def _refine(self, ray: Ray, lo: Trial, hi: Trial) -> LineSearchResult:
        floor = 2.0 * float(np.finfo(ray.start.x.dtype).eps)
        last, previous = (hi, lo) if hi.finite else (lo, lo)
        widths = [np.inf, np.inf]
        while ray.evaluations < self.max_evaluations:
            width = hi.alpha - lo.alpha
            tolerance = max(self.xtol, floor) * hi.alpha
            nearest = lo if hi.slope != hi.slope or abs(lo.slope) < abs(hi.slope) else hi
            if width <= 2.0 * tolerance or nearest.slope == 0.0:
                return ray.result(nearest if nearest.alpha else ray.best, LineSearchReason.CONVERGED)
            alpha = _zero_of_slope(last, previous, ray.rounding)
            if not lo.alpha < alpha < hi.alpha or width > 0.5 * widths[0]:
                alpha = lo.alpha + (0.5 if hi.finite else 0.25) * width
            alpha = min(max(alpha, lo.alpha + tolerance), hi.alpha - tolerance)
            widths = [widths[1], width]
            trial = ray.value_and_slope(alpha)
            if trial.finite:
                last, previous = trial, last
            lo, hi = (trial, hi) if self._descends_on(ray, lo, trial) else (lo, trial)
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)


def _zero_of_slope(a: Trial, b: Trial, rounding: float) -> float:
    """Cubic minimiser through two trials, or the secant of their slopes where their values are equal to
    rounding.
    """
    if abs(a.value - b.value) <= 1e4 * rounding:
        return secant_zero(a.alpha, a.slope, b.alpha, b.slope)
    return cubic_minimiser(a.alpha, a.value, a.slope, b.alpha, b.value, b.slope)

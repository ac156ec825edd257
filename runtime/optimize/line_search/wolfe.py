"""The Wolfe conditions (187-190) and the searches that meet them."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..base.errors import OptionError
from .armijo import armijo_holds
from .brackets import shortest_step
from .interpolation import cubic_minimiser, parabola_minimiser, secant_zero
from .ray import LineSearchReason, LineSearchResult, Ray, Trial


def curvature_holds(slope: float, slope0: float, c2: float = 0.9) -> bool:
    """(188): phi'(alpha) >= c2 phi'(0)."""
    return slope >= c2 * slope0


def strong_curvature_holds(slope: float, slope0: float, c2: float = 0.9) -> bool:
    """(190): |phi'(alpha)| <= c2 |phi'(0)|."""
    return abs(slope) <= c2 * abs(slope0)


def wolfe_holds(
    alpha: float, value: float, slope: float, value0: float, slope0: float, c1: float = 1e-4, c2: float = 0.9
) -> bool:
    """(187) and (188)."""
    return armijo_holds(alpha, value, value0, slope0, c1) and curvature_holds(slope, slope0, c2)


def strong_wolfe_holds(
    alpha: float, value: float, slope: float, value0: float, slope0: float, c1: float = 1e-4, c2: float = 0.9
) -> bool:
    """(189) and (190)."""
    return armijo_holds(alpha, value, value0, slope0, c1) and strong_curvature_holds(slope, slope0, c2)


@dataclass(frozen=True)
class StrongWolfe:
    """Bracket and zoom for the strong Wolfe conditions, `strong=False` for the weak ones.

    c1 = 1e-4, c2 = 0.9 for quasi-Newton methods, c2 = 0.1 for conjugate gradients (ledger D15).  Where the
    change of f is below rounding, the slopes alone decide (phi'(0) is exact there, differences of f are not).
    """

    c1: float = 1e-4
    c2: float = 0.9
    max_evaluations: int = 40
    max_step: float = 1e12
    growth: float = 4.0
    strong: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.c1 < self.c2 < 1.0:
            raise OptionError(f"wolfe: expected 0 < c1 < c2 < 1, got c1 = {self.c1}, c2 = {self.c2}")

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """The step alpha0 if it satisfies the conditions, otherwise one found by bracketing and zooming."""
        if not ray.descends:
            return ray.give_up(LineSearchReason.NOT_DESCENT)
        lo, ceiling = ray.origin, math.inf
        alpha, shortest = min(alpha0, self.max_step), shortest_step(ray)
        while ray.evaluations < self.max_evaluations:
            trial = ray.value_and_slope(alpha)
            if not trial.finite:
                ceiling = alpha
                alpha = lo.alpha + 0.2 * (alpha - lo.alpha)
                if alpha - lo.alpha < max(shortest, 1e-10 * lo.alpha):
                    return ray.give_up(LineSearchReason.INTERVAL)
                continue
            if self._accepts(ray, trial):
                return ray.result(trial, LineSearchReason.SATISFIED)
            if self._too_high(ray, lo, trial):
                return self._zoom(ray, lo, trial)
            if trial.slope >= 0.0:
                return self._zoom(ray, trial, lo)
            if alpha >= self.max_step:
                return ray.give_up(LineSearchReason.STEP_LIMIT)
            alpha = min(self._extrapolate(lo, trial), self.max_step)
            if alpha >= ceiling:
                alpha = 0.5 * (trial.alpha + ceiling)
                if alpha - trial.alpha < 1e-3 * trial.alpha:
                    return ray.give_up(LineSearchReason.INTERVAL)
            lo = trial
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)

    def _accepts(self, ray: Ray, trial: Trial) -> bool:
        slope0, value0 = ray.origin.slope, ray.origin.value
        if self.strong and not strong_curvature_holds(trial.slope, slope0, self.c2):
            return False
        if not curvature_holds(trial.slope, slope0, self.c2):
            return False
        if armijo_holds(trial.alpha, trial.value, value0, slope0, self.c1):
            return True
        return abs(trial.value - value0) <= ray.rounding and trial.slope <= (2.0 * self.c1 - 1.0) * slope0

    def _too_high(self, ray: Ray, lo: Trial, trial: Trial) -> bool:
        if abs(trial.value - lo.value) <= ray.rounding and trial.slope < 0.0:
            return False
        if trial.value >= lo.value and lo is not ray.origin:
            return True
        return not armijo_holds(trial.alpha, trial.value, ray.origin.value, ray.origin.slope, self.c1)

    def _extrapolate(self, lo: Trial, trial: Trial) -> float:
        """A longer step: the cubic's minimiser, at least a tenth and at most `growth` times the last
        advance.
        """
        width = trial.alpha - lo.alpha
        shortest, longest = trial.alpha + 0.1 * width, trial.alpha + self.growth * width
        guess = cubic_minimiser(lo.alpha, lo.value, lo.slope, trial.alpha, trial.value, trial.slope)
        if not guess > trial.alpha:
            return longest
        return min(max(guess, shortest), longest)

    def _zoom(self, ray: Ray, lo: Trial, hi: Trial) -> LineSearchResult:
        """lo satisfies Armijo and is the lowest such end; phi descends from lo towards hi."""
        shortest = shortest_step(ray)
        widths = [math.inf, math.inf]
        while ray.evaluations < self.max_evaluations:
            width = hi.alpha - lo.alpha
            if abs(width) <= max(shortest, 1e-14 * max(lo.alpha, hi.alpha)):
                return ray.give_up(LineSearchReason.INTERVAL)
            alpha = (
                lo.alpha + 0.5 * width if abs(width) > 0.66 * widths[0] else self._interpolate(ray, lo, hi)
            )
            widths = [widths[1], abs(width)]
            trial = ray.value_and_slope(alpha)
            if not trial.finite:
                hi = trial
                continue
            if self._accepts(ray, trial):
                return ray.result(trial, LineSearchReason.SATISFIED)
            if self._too_high_in_zoom(ray, lo, trial):
                hi = trial
                continue
            if trial.slope * width >= 0.0:
                hi = lo
            lo = trial
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)

    def _too_high_in_zoom(self, ray: Ray, lo: Trial, trial: Trial) -> bool:
        if abs(trial.value - lo.value) <= ray.rounding:
            return trial.slope > 0.0 and trial.alpha > lo.alpha
        if trial.value >= lo.value:
            return True
        return not armijo_holds(trial.alpha, trial.value, ray.origin.value, ray.origin.slope, self.c1)

    @staticmethod
    def _interpolate(ray: Ray, lo: Trial, hi: Trial) -> float:
        """A step inside (lo, hi), no nearer to an end than a twentieth of the interval."""
        width = hi.alpha - lo.alpha
        if not hi.finite:
            return lo.alpha + 0.2 * width
        if abs(hi.value - lo.value) <= ray.rounding and lo.slope * hi.slope < 0.0:
            guess = secant_zero(lo.alpha, lo.slope, hi.alpha, hi.slope)
        else:
            guess = cubic_minimiser(lo.alpha, lo.value, lo.slope, hi.alpha, hi.value, hi.slope)
        if guess != guess:
            guess = parabola_minimiser(lo.alpha, lo.value, lo.slope, hi.alpha, hi.value)
        if guess != guess:
            return lo.alpha + 0.5 * width
        share = min(max((guess - lo.alpha) / width, 0.05), 0.95)
        return lo.alpha + share * width


def weak_wolfe(c1: float = 1e-4, c2: float = 0.9, max_evaluations: int = 40) -> StrongWolfe:
    """The search for the Wolfe conditions (187-188), which also accepts steps past the minimum."""
    return StrongWolfe(c1=c1, c2=c2, max_evaluations=max_evaluations, strong=False)

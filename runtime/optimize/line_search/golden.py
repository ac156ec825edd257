"""Golden section search (section 5.1): values only, a constant reduction per evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from .brackets import GOLDEN, Bracket, bracket, height
from .ray import LineSearchReason, LineSearchResult, Ray


@dataclass(frozen=True)
class GoldenSection:
    """Minimises phi to a relative tolerance `xtol` of alpha.

    Finds the minimum if phi is unimodal in the bracket.
    """

    xtol: float = 1e-4
    max_evaluations: int = 100
    max_step: float = 1e12

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """Brackets from the step alpha0, then divides the longer part of the bracket by the golden ratio."""
        found = bracket(ray, alpha0, max_evaluations=self.max_evaluations, max_step=self.max_step)
        if not isinstance(found, Bracket):
            return found
        lo, mid, hi = found.lo, found.mid, found.hi
        share = 2.0 - GOLDEN
        for _ in range(self.max_evaluations - found.evaluations):
            if hi.alpha - lo.alpha <= 2.0 * self.xtol * mid.alpha:
                return ray.result(mid, LineSearchReason.CONVERGED)
            right_is_longer = hi.alpha - mid.alpha > mid.alpha - lo.alpha
            end = hi if right_is_longer else lo
            trial = ray.value(mid.alpha + share * (end.alpha - mid.alpha))
            if height(trial) < mid.value:
                lo, hi = (mid, hi) if right_is_longer else (lo, mid)
                mid = trial
            elif right_is_longer:
                hi = trial
            else:
                lo = trial
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)

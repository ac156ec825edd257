"""Armijo backtracking and the Goldstein conditions (section 5.1)."""

from __future__ import annotations

from dataclasses import dataclass

from ..base.errors import OptionError
from .brackets import height, shortest_step
from .interpolation import parabola_minimiser
from .ray import LineSearchReason, LineSearchResult, Ray, Trial


def armijo_holds(alpha: float, value: float, value0: float, slope0: float, c1: float = 1e-4) -> bool:
    """Sufficient decrease (187): phi(alpha) <= phi(0) + c1 alpha phi'(0), and a fall that rounding leaves."""
    return value < value0 and value <= value0 + c1 * alpha * slope0


def goldstein_holds(alpha: float, value: float, value0: float, slope0: float, c: float = 0.25) -> bool:
    """Goldstein's conditions, with 0 < c < 1/2.

    phi(0) + (1 - c) alpha phi'(0) <= phi(alpha) <= phi(0) + c alpha phi'(0)."""
    return value < value0 and value0 + (1.0 - c) * alpha * slope0 <= value <= value0 + c * alpha * slope0


@dataclass(frozen=True)
class Armijo:
    """Backtracks from alpha0 until f falls by c1 of what the slope promises; values only."""

    c1: float = 1e-4
    max_evaluations: int = 60

    def __post_init__(self) -> None:
        if not 0.0 < self.c1 < 1.0:
            raise OptionError(f"armijo: expected 0 < c1 < 1, got c1 = {self.c1}")

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """The first of alpha0 and its parabolic reductions (by 0.1 to 0.5) that satisfies the condition."""
        if not ray.descends:
            return ray.give_up(LineSearchReason.NOT_DESCENT)
        origin, shortest, alpha = ray.origin, shortest_step(ray), alpha0
        for _ in range(self.max_evaluations):
            trial = ray.value(alpha)
            if trial.finite and armijo_holds(alpha, trial.value, origin.value, origin.slope, self.c1):
                return ray.result(trial, LineSearchReason.SATISFIED)
            alpha = backtrack(origin, trial)
            if alpha < shortest:
                return ray.give_up(LineSearchReason.INTERVAL)
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)


@dataclass(frozen=True)
class Goldstein:
    """A step that is neither too long nor too short by values alone."""

    c: float = 0.25
    max_evaluations: int = 60
    max_step: float = 1e12

    def __post_init__(self) -> None:
        if not 0.0 < self.c < 0.5:
            raise OptionError(f"goldstein: expected 0 < c < 1/2, got c = {self.c}")

    def __call__(self, ray: Ray, alpha0: float = 1.0) -> LineSearchResult:
        """Doubles the step while it is too short, then bisects between too short and too long."""
        if not ray.descends:
            return ray.give_up(LineSearchReason.NOT_DESCENT)
        origin, shortest, alpha = ray.origin, shortest_step(ray), alpha0
        lo, hi = 0.0, float("inf")
        for _ in range(self.max_evaluations):
            trial = ray.value(alpha)
            if goldstein_holds(alpha, height(trial), origin.value, origin.slope, self.c):
                return ray.result(trial, LineSearchReason.SATISFIED)
            if armijo_holds(alpha, height(trial), origin.value, origin.slope, self.c):
                lo = alpha
            else:
                hi = alpha
            if lo >= self.max_step:
                return ray.give_up(LineSearchReason.STEP_LIMIT)
            if hi - lo < max(shortest, 1e-12 * lo):
                return ray.give_up(LineSearchReason.INTERVAL)
            alpha = min(2.0 * lo, self.max_step) if hi == float("inf") else _between(origin, trial, lo, hi)
        return ray.give_up(LineSearchReason.MAX_EVALUATIONS)


def backtrack(origin: Trial, trial: Trial) -> float:
    """A step between 0.1 and 0.5 of the failed one: the parabola's minimiser where there is one."""
    if not trial.finite:
        return 0.25 * trial.alpha
    guess = parabola_minimiser(0.0, origin.value, origin.slope, trial.alpha, trial.value)
    if guess != guess:
        return 0.5 * trial.alpha
    return min(max(guess, 0.1 * trial.alpha), 0.5 * trial.alpha)


def _between(origin: Trial, trial: Trial, lo: float, hi: float) -> float:
    if lo == 0.0:
        return backtrack(origin, trial)
    return 0.5 * (lo + hi)

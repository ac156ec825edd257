"""Bracketing a minimum along a ray: three steps of which the middle one is the lowest (section 5.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..base.vector import max_norm
from .interpolation import parabola_minimiser
from .ray import LineSearchReason, LineSearchResult, Ray, Trial

GOLDEN = (1.0 + math.sqrt(5.0)) / 2.0


@dataclass(frozen=True, slots=True)
class Bracket:
    """lo.alpha < mid.alpha < hi.alpha with mid lower than lo and no higher than hi (hi may be not finite)."""

    lo: Trial
    mid: Trial
    hi: Trial
    evaluations: int


def height(trial: Trial) -> float:
    """phi(alpha), infinite where it is not finite: such a step counts as too long."""
    return trial.value if trial.finite else math.inf


def shortest_step(ray: Ray) -> float:
    """Steps below this do not change any parameter in its own precision."""
    moving = ray.direction != 0.0
    if not moving.any() or not math.isfinite(max_norm(ray.direction)):
        return math.inf
    eps = float(np.finfo(ray.direction.dtype).eps)
    sizes = np.maximum(np.abs(ray.start.x[moving]).astype(np.float64), eps)
    return 0.01 * eps * float((sizes / np.abs(ray.direction[moving])).min())


def bracket(
    ray: Ray, alpha0: float = 1.0, *, max_evaluations: int = 60, max_step: float = 1e12
) -> Bracket | LineSearchResult:
    """Brackets a minimum of phi for alpha > 0, starting from the step alpha0.

    Shrinks while f is higher than at the start or not finite; grows by at least the golden ratio while f
    falls. A LineSearchResult instead of a bracket says why there is none.
    """
    if not ray.descends:
        return ray.give_up(LineSearchReason.NOT_DESCENT)
    mid = ray.value(alpha0)
    if height(mid) < ray.origin.value:
        return _grow(ray, mid, max_evaluations, max_step)
    return _shrink(ray, mid, max_evaluations)


def _shrink(ray: Ray, hi: Trial, max_evaluations: int) -> Bracket | LineSearchResult:
    origin = ray.origin
    shortest = shortest_step(ray)
    for count in range(2, max_evaluations + 1):
        guess = parabola_minimiser(0.0, origin.value, origin.slope, hi.alpha, hi.value) if hi.finite else 0.0
        alpha = min(max(guess, 0.05 * hi.alpha), 0.5 * hi.alpha) if guess == guess else 0.5 * hi.alpha
        if alpha < shortest:
            return ray.give_up(LineSearchReason.INTERVAL)
        mid = ray.value(alpha)
        if height(mid) < origin.value:
            return Bracket(origin, mid, hi, count)
        hi = mid
    return ray.give_up(LineSearchReason.MAX_EVALUATIONS)


def _grow(ray: Ray, mid: Trial, max_evaluations: int, max_step: float) -> Bracket | LineSearchResult:
    lo = ray.origin
    guess = parabola_minimiser(0.0, lo.value, lo.slope, mid.alpha, mid.value)
    for count in range(2, max_evaluations + 1):
        if mid.alpha >= max_step:
            return ray.give_up(LineSearchReason.STEP_LIMIT)
        width = mid.alpha - lo.alpha
        shortest, longest = mid.alpha + GOLDEN * width, mid.alpha + 100.0 * width
        alpha = min(max(1.1 * guess, shortest), longest) if guess == guess else shortest
        hi = ray.value(min(alpha, max_step))
        if height(hi) >= mid.value:
            return Bracket(lo, mid, hi, count)
        guess = _through_three(lo, mid, hi)
        lo, mid = mid, hi
    return ray.give_up(LineSearchReason.MAX_EVALUATIONS)


def _through_three(a: Trial, b: Trial, c: Trial) -> float:
    """Minimiser of the parabola through three trials; NaN where it has none."""
    left = (b.value - a.value) / (b.alpha - a.alpha)
    right = (c.value - b.value) / (c.alpha - b.alpha)
    curvature = (right - left) / (c.alpha - a.alpha)
    if not curvature > 0.0:
        return math.nan
    return 0.5 * (a.alpha + b.alpha) - 0.5 * left / curvature

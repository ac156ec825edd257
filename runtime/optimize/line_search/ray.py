"""A function along a direction, phi(alpha) = f(x + alpha d), and what a line search returns."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from ...errors import ShapeError
from ..base.evaluation import Evaluator, Point
from ..base.vector import Vector, dot


class LineSearchReason(Enum):
    """Why a line search stopped."""

    SATISFIED = "the conditions hold"
    CONVERGED = "the minimum is bracketed to the tolerance"
    MAX_EVALUATIONS = "no more evaluations allowed"
    STEP_LIMIT = "f still falls at the longest step allowed"
    INTERVAL = "the interval is as small as rounding allows"
    NOT_DESCENT = "the direction does not descend"
    NO_DECREASE = "no step lowers f"
    NOT_FINITE = "f is not finite at any step tried"
    NO_GRADIENT = "the gradient at the step found is not finite"


@dataclass(frozen=True, slots=True)
class Trial:
    """One point of the line: value phi(alpha), slope phi'(alpha) (NaN where unknown), and the point
    itself.
    """

    alpha: float
    value: float
    slope: float
    point: Point

    @property
    def finite(self) -> bool:
        """True when phi(alpha) is finite."""
        return math.isfinite(self.value)


@dataclass(frozen=True, slots=True)
class LineSearchResult:
    """The step a line search chose: never None, `reason` says how it ended.

    On failure alpha is the best step seen, 0 when none was better than the start.
    """

    alpha: float
    point: Point
    slope: float
    evaluations: int
    reason: LineSearchReason

    @property
    def success(self) -> bool:
        """True when the search met its own conditions."""
        return self.reason in (LineSearchReason.SATISFIED, LineSearchReason.CONVERGED)

    @property
    def value(self) -> float:
        """f at the chosen point."""
        return self.point.value

    @property
    def moved(self) -> bool:
        """True when the chosen point is not the start."""
        return self.alpha != 0.0


class Ray:
    """phi(alpha) = f(x + alpha d) from a point whose value and gradient are known.

    Keeps `best`, the lowest trial seen, and counts evaluations.  alpha is dimensionless: 1 is the whole of d.
    """

    def __init__(self, evaluator: Evaluator, start: Point, direction: Vector):
        if start.gradient is None:
            raise ShapeError("line search: expected a start with its gradient, got the value alone")
        if direction.shape != start.x.shape:
            raise ShapeError(f"direction: expected shape {start.x.shape}, got {direction.shape}")
        self.evaluator = evaluator
        self.start = start
        self.direction = direction
        self.evaluations = 0
        self.origin = Trial(0.0, start.value, dot(start.gradient, direction), start)
        self.best = self.origin
        self.finite_seen = 0

    def value(self, alpha: float) -> Trial:
        """phi(alpha); the slope too where the objective only gives both."""
        return self._trial(alpha, self.evaluator.value)

    def value_and_slope(self, alpha: float) -> Trial:
        """phi(alpha) and phi'(alpha)."""
        return self._trial(alpha, self.evaluator.value_and_gradient)

    def _trial(self, alpha: float, evaluate: Callable[[Vector], Point]) -> Trial:
        self.evaluations += 1
        with np.errstate(over="ignore", invalid="ignore"):
            point = evaluate(self.start.x + self.direction * self.direction.dtype.type(alpha))
        slope = math.nan if point.gradient is None else dot(point.gradient, self.direction)
        trial = Trial(alpha, point.value, slope, point)
        if trial.finite:
            self.finite_seen += 1
            if trial.value < self.best.value:
                self.best = trial
        return trial

    def result(self, trial: Trial, reason: LineSearchReason) -> LineSearchResult:
        """The result that takes this trial."""
        return LineSearchResult(trial.alpha, trial.point, trial.slope, self.evaluations, reason)

    def give_up(self, reason: LineSearchReason) -> LineSearchResult:
        """The result of a search that did not meet its conditions: the best trial, honestly labelled."""
        if self.best is self.origin and self.evaluations:
            blind = self.finite_seen == 0
            reason = LineSearchReason.NOT_FINITE if blind else LineSearchReason.NO_DECREASE
        return self.result(self.best, reason)

    @property
    def descends(self) -> bool:
        """True when the slope at alpha = 0 is negative."""
        return self.origin.slope < 0.0

    @property
    def rounding(self) -> float:
        """Differences of f below this are rounding (ten units in the last place of f in the parameters'
        dtype).
        """
        return 10.0 * float(np.finfo(self.start.x.dtype).eps) * abs(self.start.value)


def ray_from(objective: Any, x: Vector, direction: Vector) -> Ray:
    """A ray over an objective at x, for using the line searches on their own; evaluates f and gradient
    once.
    """
    evaluator = Evaluator(objective, x.size, x.dtype)
    start = evaluator.value_and_gradient(x)
    evaluator.strict = False
    return Ray(evaluator, start, np.asarray(direction, dtype=x.dtype))

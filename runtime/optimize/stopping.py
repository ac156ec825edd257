"""The rules that end a run."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .base.errors import OptionError
from .base.evaluation import Point
from .base.result import Progress, Status
from .base.vector import max_norm, norm
from .methods.method import Stop, gradient_of

Callback = Callable[[Progress], bool | None]


@dataclass(frozen=True)
class StopRules:
    """Tolerances and limits.

    gtol: stop when max|g_i| <= gtol.  ftol: when f falls by no more than ftol max(|f|, |f'|, 1) in one iteration.
    xtol: when ||dx|| <= xtol (xtol + ||x||).  target: when f <= target.  Zero (or None) turns a rule off, except
    gtol = 0, which still stops at an exactly vanishing gradient.  time_limit in seconds.  LM scales its own tests.
    """

    gtol: float = 1e-5
    ftol: float = 0.0
    xtol: float = 0.0
    target: float | None = None
    maxiter: int | None = None
    maxfev: int | None = None
    time_limit: float | None = None

    def __post_init__(self) -> None:
        for name in ("gtol", "ftol", "xtol"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0.0 <= value < math.inf):
                raise OptionError(f"{name}: expected a number >= 0, got {value!r}")
        for name in ("maxiter", "maxfev"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, np.integer)) and value >= 0):
                raise OptionError(f"{name}: expected a whole number >= 0 or None, got {value!r}")
        if self.time_limit is not None and not self.time_limit >= 0.0:
            raise OptionError(f"time_limit: expected seconds >= 0 or None, got {self.time_limit!r}")

    def at_point(self, point: Point) -> Stop | None:
        """The tests that need no previous point."""
        reached = self.at_target(point)
        if reached is not None:
            return reached
        steepest = max_norm(gradient_of(point))
        if steepest <= self.gtol:
            return Status.GRADIENT, f"gradient: max|g| = {steepest:.3g} <= gtol = {self.gtol:.3g}"
        return None

    def at_target(self, point: Point) -> Stop | None:
        """The test on f alone."""
        if self.target is not None and point.value <= self.target:
            return Status.TARGET, f"f = {point.value:.10g} <= target {self.target:.10g}"
        return None

    def after_move(self, before: Point, after: Point) -> Stop | None:
        """The tests on the change of f and x."""
        fall = before.value - after.value
        if self.ftol and abs(fall) <= self.ftol * max(abs(before.value), abs(after.value), 1.0):
            return Status.FUNCTION, f"f changed by {fall:.3g}, within ftol = {self.ftol:.3g}"
        if self.xtol:
            moved = norm(after.x - before.x)
            if moved <= self.xtol * (self.xtol + norm(after.x)):
                return Status.STEP, f"x moved by {moved:.3g}, within xtol = {self.xtol:.3g}"
        return None

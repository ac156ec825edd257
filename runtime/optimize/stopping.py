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
from .line_search.ray import LineSearchReason
from .methods.method import Move, Stop, gradient_of

Callback = Callable[[Progress], bool | None]


#: Failing line searches in a row that end a run: in all, with falls too small to count, and at the longest
#: step allowed.
FAILED, USELESS, ENDLESS = 10, 3, 2


def rounding(point: Point) -> float:
    """Differences of f below this are rounding, in the parameters' dtype."""
    return 10.0 * float(np.finfo(point.x.dtype).eps) * abs(point.value)


@dataclass(frozen=True)
class Patience:
    """Line searches in a row that moved without meeting their conditions; they do not count as progress for
    ever.

    useless: those that lowered f by no more than the root of its precision.
    endless: those at the longest step allowed.
    """

    failed: int = 0
    useless: int = 0
    endless: int = 0

    def after(self, move: Move, before: Point) -> tuple[Patience, Stop | None]:
        """The counts after a move, and the end of the run where they are used up."""
        failure = move.failed
        if failure is None:
            return Patience(), None
        if failure.bottomless:
            return self, (Status.UNBOUNDED, "f falls without bound: to -inf on the last line")
        small = math.sqrt(float(np.finfo(before.x.dtype).eps)) * abs(before.value)
        useless = before.value - move.point.value <= small
        endless = failure.reason is LineSearchReason.STEP_LIMIT
        now = Patience(
            self.failed + 1, self.useless + 1 if useless else 0, self.endless + 1 if endless else 0
        )
        if now.endless >= ENDLESS:
            return now, (
                Status.UNBOUNDED,
                f"f falls without bound: {failure.reason.value}, {now.endless} times in a row",
            )
        if now.useless >= USELESS or now.failed >= FAILED:
            return now, (
                Status.LINE_SEARCH,
                f"line search: {failure.reason.value}, {now.failed} times in a row",
            )
        return now, None


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


@dataclass(frozen=True)
class StopRules:
    """Tolerances and limits.

    gtol: stop when max|g_i| <= gtol.
    ftol: when f falls by no more than ftol max(|f|, |f'|, 1) in one iteration.
    xtol: when ||dx|| <= xtol (xtol + ||x||).
    target: when f <= target.
    time_limit: in seconds.

    Zero (or None) turns a rule off, except gtol = 0, which still stops at an exactly vanishing gradient.  LM
    scales its own tests.
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
            if not (_is_number(value) and 0.0 <= value < math.inf):
                raise OptionError(f"{name}: expected a number >= 0, got {value!r}")
        for name in ("maxiter", "maxfev"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, (int, np.integer)) and value >= 0):
                raise OptionError(f"{name}: expected a whole number >= 0 or None, got {value!r}")
        for name, least, what in (("time_limit", 0.0, "seconds >= 0"), ("target", -math.inf, "a number")):
            value = getattr(self, name)
            if value is not None and not (_is_number(value) and value >= least):
                raise OptionError(f"{name}: expected {what} or None, got {value!r}")

    def at_point(self, point: Point) -> Stop | None:
        """The tests that need no previous point."""
        reached = self.at_target(point)
        if reached is not None:
            return reached
        steepest = max_norm(gradient_of(point))
        if steepest <= self.gtol:
            return Status.GRADIENT, f"gradient: max|g| = {steepest:.3g} <= gtol = {self.gtol:.3g}"
        return None

    def undecided(self, current: Point, lower: Point) -> float:
        """How far above a lower point the tests may stop.

        It is what gtol leaves open on the way there if f is convex between."""
        distance = norm(current.x.astype(np.float64) - lower.x)
        by_gradient = self.gtol * math.sqrt(current.x.size) * distance
        return by_gradient + self.ftol * max(abs(current.value), 1.0) + rounding(current)

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

"""Evaluations of an objective: counted, timed, guarded against NaN, infinity and exceptions; the best
point is kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import NotFiniteError, ShapeError
from .objective import half_squares, scalar
from .result import Status
from .vector import Vector, as_vector

# A function that cannot be evaluated at a trial point; anything else is a fault in the function and ends the
# run.
INFEASIBLE = (ArithmeticError, np.linalg.LinAlgError, NotFiniteError)


class StopRun(Exception):
    """Ends a run from inside an evaluation; the state of the last whole iteration stays valid."""

    def __init__(self, status: Status, message: str):
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass(frozen=True, slots=True)
class Point:
    """A point x (n,) with f(x); gradient (n,) or None where only the value is known."""

    x: Vector
    value: float
    gradient: Vector | None

    @property
    def finite(self) -> bool:
        """True when f is finite (the gradient, where known, was found finite too)."""
        return math.isfinite(self.value)


@dataclass(slots=True)
class _Rows:
    """Residuals and, once it is known, Jacobian at the x with these bytes."""

    x: bytes
    r: Vector
    jacobian: np.ndarray | None


class Evaluator:
    """Wraps an objective for one run over vectors of length n.

    The objective never sees the run's own arrays.

    A value or gradient that is not finite, or an arithmetic exception, gives a point whose value is NaN;
    `failure` says what happened; `bottomless` counts where f was minus infinity.  `best` is the lowest finite
    point seen.
    """

    def __init__(self, objective: Any, size: int, dtype: np.dtype[Any]):
        self.objective = objective
        self.size = size
        self.dtype = dtype
        self.nfev = 0
        self.njev = 0
        self.seconds = 0.0
        self.failure = ""
        self.bottomless = 0
        self.best: Point | None = None
        self.deadline = math.inf
        self.max_evaluations: float = math.inf
        self.strict = True
        self._has_value = hasattr(objective, "value") and getattr(objective, "separate", True)
        self._separate = getattr(objective, "separate", False)
        self._reusable = getattr(objective, "reusable", False)
        self._last_value: tuple[bytes, float] | None = None
        self._rows: _Rows | None = None

    def value(self, x: Vector) -> Point:
        """f alone where the objective offers it, otherwise f and gradient."""
        if not self._has_value:
            return self.value_and_gradient(x)
        return self._guarded(x, self._value)

    def value_and_gradient(self, x: Vector) -> Point:
        """f and gradient in one call."""
        return self._guarded(x, self._value_and_gradient)

    def value_and_gradient_of(self, objective: Any, x: Vector) -> Point:
        """f and gradient of another objective (a mini-batch): counted, but never kept as the best point."""
        return self._guarded(x, lambda at: self._value_and_gradient(at, objective), keep=False)

    @property
    def has_squares(self) -> bool:
        """False where f comes with the chunks alone."""
        return self._reusable or self._has_value or hasattr(self.objective, "residuals")

    def squares(self, x: Vector) -> float:
        """f for a least-squares trial: `value`, or 1/2 ||residuals||^2; NaN on failure."""
        return self._guarded(x, self._squares).value

    def chunks(self, x: Vector) -> Iterator[tuple[Vector, np.ndarray]]:
        """The residual and Jacobian chunks at x; exceptions of the objective pass through.

        Counts what is called: not what `squares` has computed at the same x where the objective allows it to
        be kept.
        """
        self._check_limits()
        if self._reusable:
            started = time.perf_counter()
            pair = self._pair(x)
            self.seconds += time.perf_counter() - started
            return iter([pair])
        self.nfev += not self.has_squares
        self.njev += 1
        started = time.perf_counter()
        # Called outside the generator, where its StopIteration would become a RuntimeError.
        chunks = self.objective.residuals_and_jacobian_chunks(x.copy())
        self.seconds += time.perf_counter() - started
        return self._checked(chunks)

    def _checked(self, chunks: Iterable[tuple[Vector, np.ndarray]]) -> Iterator[tuple[Vector, np.ndarray]]:
        started = time.perf_counter()
        for r, jacobian in chunks:
            self.seconds += time.perf_counter() - started
            if r.ndim != 1 or jacobian.shape != (r.size, self.size):
                raise ShapeError(
                    f"residuals_and_jacobian_chunks: expected r (m,) and J (m, {self.size}), "
                    f"got {r.shape} and {jacobian.shape}"
                )
            yield r, jacobian
            started = time.perf_counter()
        self.seconds += time.perf_counter() - started

    def _pair(self, x: Vector) -> tuple[Vector, np.ndarray]:
        if self._rows is None or self._rows.x != x.tobytes():
            self._squares(x)
        rows = self._rows
        assert rows is not None
        if rows.jacobian is None:
            self.njev += 1
            rows.jacobian = self.objective.jacobian(x, rows.r)
        return rows.r, rows.jacobian

    def keep(self, point: Point) -> None:
        """Remember the point if it is finite and no worse than the best."""
        if point.finite and (self.best is None or point.value <= self.best.value):
            self.best = point

    def _value(self, x: Vector) -> Point:
        if self._reusable:
            return self._squares(x)
        self.nfev += 1
        value = scalar(self.objective.value(x.copy()))
        self._last_value = x.tobytes(), value
        return Point(x, value, None)

    def _value_and_gradient(self, x: Vector, objective: Any = None) -> Point:
        if objective is None and self._reusable:
            r, jacobian = self._pair(x)
            return Point(x, half_squares(r), (jacobian.T @ r).astype(self.dtype, copy=False))
        known = self._last_value
        if objective is None and self._separate and known is not None and known[0] == x.tobytes():
            self.njev += 1
            gradient = as_vector("gradient", self.objective.gradient(x.copy()), self.size)
            return Point(x, known[1], gradient.astype(self.dtype, copy=False))
        self.nfev += 1
        self.njev += 1
        value, gradient = (self.objective if objective is None else objective).value_and_gradient(x.copy())
        # A copy: objectives may return a buffer that their next call overwrites.
        gradient = as_vector("gradient", gradient, self.size).astype(self.dtype, copy=False)
        return Point(x, scalar(value), gradient)

    def _squares(self, x: Vector) -> Point:
        self.nfev += 1
        if self._reusable:
            self._rows = self._new_rows(x)
            return Point(x, half_squares(self._rows.r), None)
        if self._has_value:
            return Point(x, scalar(self.objective.value(x.copy())), None)
        return Point(x, half_squares(as_vector("residuals", self.objective.residuals(x.copy()))), None)

    def _new_rows(self, x: Vector) -> _Rows:
        if self.objective.separate:
            return _Rows(x.tobytes(), self.objective.residuals(x), None)
        self.njev += 1
        return _Rows(x.tobytes(), *self.objective.pair(x))

    def _guarded(self, x: Vector, compute: Any, keep: bool = True) -> Point:
        self._check_limits()
        started = time.perf_counter()
        try:
            point: Point = compute(x)
        except INFEASIBLE as error:
            if self.strict:
                raise
            self.failure = f"f raised {type(error).__name__}: {error}"
            return Point(x, math.nan, None)
        finally:
            self.seconds += time.perf_counter() - started
        if not math.isfinite(point.value):
            self.failure = f"f is {point.value}"
            self.bottomless += point.value == -math.inf
            return Point(x, math.nan, None)
        if point.gradient is not None and not math.isfinite(float(point.gradient.sum(dtype=np.float64))):
            bad = np.flatnonzero(~np.isfinite(point.gradient))
            if bad.size:
                self.failure = f"gradient[{int(bad[0])}] is {point.gradient[bad[0]]}"
                return Point(x, math.nan, None)
        if keep:
            self.keep(point)
        return point

    def _check_limits(self) -> None:
        if time.perf_counter() >= self.deadline:
            raise StopRun(Status.TIME_LIMIT, "time limit reached")
        if self.nfev >= self.max_evaluations:
            raise StopRun(Status.MAX_EVALUATIONS, f"{self.nfev} evaluations, the limit")

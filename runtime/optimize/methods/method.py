"""What a method is: it proposes a move by evaluating, then commits it without evaluating."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ...errors import CheckpointError
from ..base.evaluation import Evaluator, Point
from ..base.result import Status
from ..base.vector import Vector
from ..line_search.line_search import LineSearch
from ..line_search.ray import LineSearchReason, LineSearchResult, Ray

StateDict = dict[str, Any]
Stop = tuple[Status, str]


@dataclass(frozen=True, slots=True)
class Move:
    """A proposed iteration.  `commit` changes the method's state; with `stop` the run ends after it.

    failed: why the line search that found the point did not meet its conditions.
    """

    point: Point
    step: float
    commit: Callable[[], None]
    note: str = ""
    stop: Stop | None = None
    failed: SearchFailure | None = None


@dataclass(frozen=True, slots=True)
class SearchFailure:
    """A line search that did not meet its conditions, and whether f was minus infinity on the way."""

    reason: LineSearchReason
    bottomless: bool


class Method(ABC):
    """One optimizer on one run.

    `propose` may be cut short by an exception at any evaluation: it must not change the method's state.
    """

    name: ClassVar[str]
    #: The driver's tests on the gradient and on the change of f apply.
    driver_tests: bool = True
    #: The values of the iterates are estimates from mini-batches.
    stochastic: bool = False

    point: Point
    evaluator: Evaluator

    def start(self, evaluator: Evaluator, x0: Vector) -> None:
        """Evaluates the start."""
        self.evaluator = evaluator
        self.point = evaluator.value_and_gradient(x0)

    @abstractmethod
    def propose(self) -> Move:
        """One iteration from the current point."""

    def memory_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Bytes of the method's own state and work space for `size` parameters (the objective's not
        included).
        """
        return 6 * size * dtype.itemsize

    def objective_bytes(self, objective: Any) -> int:
        """Bytes that the method makes the objective allocate, where the objective says so."""
        return 0

    @abstractmethod
    def state(self) -> StateDict:
        """Arrays and scalars that, with the point, continue the run bit for bit."""

    @abstractmethod
    def restore(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`; raises CheckpointError where it does not fit this method's options."""

    def stay(self, stop: Stop, note: str = "") -> Move:
        """No move: the run ends at the current point."""
        return Move(self.point, 0.0, _nothing, note, stop)


def _nothing() -> None:
    return None


def gradient_of(point: Point) -> Vector:
    """The point's gradient, which a method's own points always have."""
    if point.gradient is None:
        raise RuntimeError("a point without its gradient reached a method that needs it")
    return point.gradient


def search(
    evaluator: Evaluator, line_search: LineSearch, start: Point, direction: Vector, alpha0: float
) -> SearchEnd:
    """Runs a line search and completes its point with the gradient where the search only had values."""
    fallen = evaluator.bottomless
    result = line_search(Ray(evaluator, start, direction), alpha0)
    if result is None:
        raise TypeError(f"line search {line_search!r} returned None, expected a LineSearchResult")
    point = result.point
    if result.moved and point.gradient is None:
        point = evaluator.value_and_gradient(point.x)
        if not point.finite:
            result = replace(result, alpha=0.0, point=start, reason=LineSearchReason.NO_GRADIENT)
            return SearchEnd(result, start, evaluator.bottomless > fallen)
    return SearchEnd(result, point, evaluator.bottomless > fallen)


@dataclass(frozen=True, slots=True)
class SearchEnd:
    """A line search's result and its point with a gradient."""

    result: LineSearchResult
    point: Point
    bottomless: bool = False

    @property
    def failed(self) -> SearchFailure | None:
        """Why the search did not meet its conditions; None where it did."""
        return None if self.result.success else SearchFailure(self.result.reason, self.bottomless)

    @property
    def moved(self) -> bool:
        """True when there is a new point to go to."""
        return self.result.moved and self.point is not None and self.point.gradient is not None

    def failure(self, evaluator: Evaluator) -> Stop:
        """Status and message for a search that found nothing."""
        if self.bottomless:
            return Status.UNBOUNDED, "f falls without bound: to -inf on the last line"
        why = f"; last: {evaluator.failure}" if evaluator.failure else ""
        return Status.LINE_SEARCH, f"line search: {self.result.reason.value}{why}"


def field_of(state: Mapping[str, Any], key: str, shape: tuple[int, ...]) -> np.ndarray:
    """An array of a saved state, checked for its shape."""
    if key not in state:
        raise CheckpointError(f"optimizer state: expected the field {key!r}, it is missing")
    value = np.array(state[key], copy=True)
    if value.shape != shape:
        raise CheckpointError(f"optimizer state: expected {key} of shape {shape}, got {value.shape}")
    return value

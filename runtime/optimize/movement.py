"""Which weights move (section 8): statistics over a run, and optimising the moving ones alone by an
expensive method.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import ShapeError
from .base.errors import OptionError
from .base.result import OptimizeResult, Progress
from .base.vector import Vector, as_parameters
from .minimize import minimize


class MovementStatistics:
    """A callback that follows every parameter: path length sum |dx|, net displacement, sum dx^2, all
    (n,) float64.
    """

    def __init__(self, x0: ArrayLike):
        self.first = as_parameters(x0)
        self.last = self.first.copy()
        self.path = np.zeros(self.first.size)
        self.squares = np.zeros(self.first.size)
        self.iterations = 0

    def __call__(self, progress: Progress) -> None:
        if progress.x.shape != self.last.shape:
            raise ShapeError(f"movement: expected x of shape {self.last.shape}, got {progress.x.shape}")
        change = (progress.x - self.last).astype(np.float64)
        self.path += np.abs(change)
        self.squares += change * change
        self.last = progress.x.copy()
        self.iterations += 1

    @property
    def displacement(self) -> Vector:
        """x now minus x at the start, (n,)."""
        return (self.last - self.first).astype(np.float64)

    @property
    def straightness(self) -> Vector:
        """|displacement| / path, (n,): 1 for a weight that only went one way, near 0 for one that
        oscillates.
        """
        return np.divide(
            np.abs(self.displacement), self.path, out=np.zeros_like(self.path), where=self.path > 0.0
        )

    def moving(
        self, *, share: float | None = None, count: int | None = None, at_least: float | None = None
    ) -> Vector:
        """Sorted indices of the weights that move most, by path length.

        share: the fewest weights that hold this share of the whole path.
        count: so many.
        at_least: path >= this.
        """
        if [share, count, at_least].count(None) != 2:
            raise OptionError("moving: expected exactly one of share, count, at_least")
        if at_least is not None:
            return np.flatnonzero(self.path >= at_least)
        order = np.argsort(-self.path, kind="stable")
        if share is not None:
            if not 0.0 < share <= 1.0:
                raise OptionError(f"moving: expected 0 < share <= 1, got {share}")
            held = np.cumsum(self.path[order])
            count = int(np.searchsorted(held, share * held[-1])) + 1
        return np.sort(order[: min(count or 0, order.size)])


class SubsetObjective:
    """An objective of the parameters `indices` alone; the others stay at their values in x."""

    def __init__(self, objective: Any, x: ArrayLike, indices: ArrayLike):
        self._objective = objective
        self._x = as_parameters(x)
        self.indices = np.array(indices, copy=True)
        unique = np.unique(self.indices)
        inside = unique.size and unique[0] >= 0 and unique[-1] < self._x.size
        if self.indices.ndim != 1 or unique.size != self.indices.size or not inside:
            raise ShapeError(
                f"subset: expected distinct indices within 0..{self._x.size - 1}, got {self.indices}"
            )
        if hasattr(objective, "value"):
            self.value = self._value
        if hasattr(objective, "residuals"):
            self.residuals = self._residuals
        if hasattr(objective, "residuals_and_jacobian_chunks"):
            self.residuals_and_jacobian_chunks = self._chunks

    def full(self, part: Vector) -> Vector:
        """The whole vector (n,) with this part in place."""
        x = self._x.copy()
        x[self.indices] = part
        return x

    def value_and_gradient(self, part: Vector) -> tuple[float, Vector]:
        value, gradient = self._objective.value_and_gradient(self.full(part))
        return value, np.asarray(gradient)[self.indices]

    def _value(self, part: Vector) -> float:
        return float(self._objective.value(self.full(part)))

    def _residuals(self, part: Vector) -> Vector:
        return np.asarray(self._objective.residuals(self.full(part)))

    def _chunks(self, part: Vector) -> Iterator[tuple[Vector, np.ndarray]]:
        for r, jacobian in self._objective.residuals_and_jacobian_chunks(self.full(part)):
            yield r, jacobian[:, self.indices]


def minimize_subset(
    objective: Any, x: ArrayLike, indices: ArrayLike, method: str = "bfgs", **options: Any
) -> OptimizeResult:
    """`minimize` over x[indices] alone; the result's x is the whole vector, its jac that of the subset."""
    subset = SubsetObjective(objective, x, indices)
    part = as_parameters(x)[subset.indices]
    result = minimize(subset, part, method, **options)
    return replace(result, x=subset.full(result.x))

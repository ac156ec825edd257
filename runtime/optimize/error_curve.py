"""The error along a direction (section 8): what a line search would see."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..files import require_replaceable
from .base.errors import OptionError
from .base.vector import as_parameters, as_vector, norm
from .line_search.ray import Ray, ray_from


@dataclass(frozen=True)
class ErrorCurve:
    """phi(alpha) = f(x + alpha d) sampled: alphas, values, slopes (k,) each; NaN where f is not finite.

    length: ||d||, which turns alpha into a distance.
    """

    alphas: np.ndarray
    values: np.ndarray
    slopes: np.ndarray
    length: float

    @property
    def lowest(self) -> float:
        """The alpha of the lowest value sampled."""
        return float(self.alphas[np.nanargmin(self.values)])

    def plot(self, axes: Any = None, slopes: bool = True) -> Any:
        """Draws the curve, with its tangents as short strokes, into Matplotlib axes (new ones if None);
        returns them.
        """
        if axes is None:
            from matplotlib import pyplot

            axes = pyplot.subplots()[1]
        axes.plot(self.alphas, self.values, marker=".", label="f(x + α d)")
        if slopes and self.alphas.size > 1:
            half = 0.3 * np.median(np.diff(self.alphas))
            for alpha, value, slope in zip(self.alphas, self.values, self.slopes, strict=True):
                axes.plot(
                    [alpha - half, alpha + half], [value - half * slope, value + half * slope], "k-", lw=0.8
                )
        axes.axvline(self.lowest, ls=":", lw=0.8, label=f"lowest at α = {self.lowest:.3g}")
        axes.set_xlabel("α")
        axes.set_ylabel("f")
        axes.legend()
        return axes

    def save_csv(self, path: str | os.PathLike[str]) -> None:
        """Writes alpha, value, slope as CSV, through a temporary file."""
        require_replaceable(path)
        target = Path(path)
        temporary = target.with_name(target.name + ".tmp")
        table = np.column_stack([self.alphas, self.values, self.slopes])
        np.savetxt(temporary, table, delimiter=",", header="alpha,value,slope", comments="", fmt="%.17g")
        os.replace(temporary, target)


def error_curve(
    objective: Any,
    x: ArrayLike,
    direction: ArrayLike | None = None,
    *,
    alphas: Sequence[float] | np.ndarray | None = None,
    span: float = 4.0,
    points: int = 41,
) -> ErrorCurve:
    """Samples f and its slope along `direction` (default: the negative gradient) at x.

    Without `alphas`: `points` evenly spaced ones from 0 to `span` times the step at which the curve first
    turns up.
    """
    start = as_parameters(x)
    if direction is None:
        along = -as_vector("gradient", objective.value_and_gradient(start.copy())[1], start.size).astype(
            start.dtype
        )
    else:
        along = as_parameters(direction).astype(start.dtype)
    if norm(along) == 0.0:
        raise OptionError("error_curve: the direction is zero (at a stationary point, pass one)")
    ray = ray_from(objective, start, along)
    steps = (
        np.linspace(0.0, span * _turning_step(ray), points)
        if alphas is None
        else np.asarray(alphas, dtype=float)
    )
    trials = [ray.value_and_slope(float(alpha)) for alpha in steps]
    values = np.array([trial.value for trial in trials])
    return ErrorCurve(steps, values, np.array([trial.slope for trial in trials]), norm(along))


def _turning_step(ray: Ray) -> float:
    """The first alpha = 1/||d|| 2^k, up or down, around which f stops falling."""
    alpha = 1.0 / norm(ray.direction)
    falls = ray.value(alpha).value < ray.origin.value
    factor = 2.0 if falls else 0.5
    last = ray.origin.value if not falls else ray.value(alpha).value
    for _ in range(60):
        following = ray.value(alpha * factor).value
        if falls and not following < last:
            return alpha * factor
        if not falls and following < ray.origin.value:
            return alpha * factor
        alpha, last = alpha * factor, following
    return alpha

"""A least-squares step from the QR factors of the Jacobian (section 4).

It keeps the digits that J^T J would lose."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from ..base.vector import Vector
from .normal_equations import DampedStep

#: A step's length may miss the radius by this share (Moré 1978): it changes nothing, and one or two Newton
#: steps do.
NEAR = 0.1
_NEWTON_STEPS = 30


@dataclass(frozen=True, slots=True)
class TriangularEquations:
    """What is left of residuals and Jacobian, J = Q R.

    factor: R (n, n).
    right: Q^T r (n,).
    gradient: J^T r.
    half_squares: 1/2 ||r||^2.
    rows: number of r_i."""

    factor: np.ndarray
    right: Vector
    gradient: Vector
    half_squares: float
    rows: int

    @property
    def finite(self) -> bool:
        """True when every entry of J and r was finite."""
        return bool(np.isfinite(self.gradient).all()) and math.isfinite(self.half_squares)

    @property
    def columns(self) -> Vector:
        """Norms of the columns of J, (n,)."""
        return np.linalg.norm(self.factor, axis=0)


def factorise(chunks: Iterable[tuple[Vector, np.ndarray]], size: int) -> TriangularEquations:
    """R and Q^T r of all chunks together: memory n^2 and one chunk, whatever the number of samples."""
    table = np.zeros((0, size + 1))
    half_squares, rows = 0.0, 0
    for r, jacobian in chunks:
        joined = np.empty((len(table) + r.size, size + 1))
        joined[: len(table)] = table
        joined[len(table) :, :size] = jacobian
        joined[len(table) :, size] = r
        if not np.isfinite(joined).all():
            return TriangularEquations(table, r, np.full(size, np.nan), math.nan, rows)
        (table,) = linalg.qr(joined, mode="r", overwrite_a=True, check_finite=False)
        table = table[: size + 1]
        with np.errstate(over="ignore"):
            half_squares += 0.5 * float(np.square(r, dtype=np.float64).sum())
        rows += r.size
    factor = np.zeros((size, size + 1))
    factor[: min(len(table), size)] = table[:size]
    with np.errstate(over="ignore", invalid="ignore"):
        gradient = factor[:, :size].T @ factor[:, size]
    return TriangularEquations(factor[:, :size], factor[:, size].copy(), gradient, half_squares, rows)


class ScaledFactors:
    """Steps for every lambda from one SVD of R D^-1/2 (109).

    (J^T J + lambda D) step = -J^T r, D = diag(scale^2).

    Singular values below `cut_off` of the largest are left out (117); columns that are zero get no step.
    """

    def __init__(self, equations: TriangularEquations, scale: Vector, cut_off: float):
        u, values, self._vt = linalg.svd(equations.factor / scale, check_finite=False, lapack_driver="gesdd")
        kept = values > cut_off * values[0]
        self.rank = int(kept.sum())
        self._values = np.where(kept, values, 0.0)
        self._coefficients = np.where(kept, u.T @ equations.right, 0.0)
        self._scale, self._live = scale, equations.columns > 0.0

    def at(self, damping: float) -> DampedStep:
        """The step for this lambda."""
        weights = self._weights(damping)
        found = -(self._vt.T @ weights)
        found[~self._live] = 0.0
        square = float(weights @ weights)
        descent = float((self._values * self._coefficients) @ weights)
        predicted = 0.5 * (descent + damping * square)
        return DampedStep(
            found / self._scale, damping, predicted, math.sqrt(square), "svd", self.rank, -descent
        )

    def within(self, radius: float, guess: float = 0.0) -> DampedStep:
        """The step of the smallest lambda whose length, in scaled x, is at most about `radius`; `guess`
        for lambda.
        """
        full = self.at(0.0)
        if full.length <= (1.0 + NEAR) * radius:
            return full
        low, high = 0.0, float(np.linalg.norm(self._values * self._coefficients)) / radius
        damping = min(max(guess, 1e-3 * high), high)
        for _ in range(_NEWTON_STEPS):
            length, slope = self._length(damping)
            if abs(length - radius) <= NEAR * radius:
                break
            low, high = (damping, high) if length > radius else (low, damping)
            damping -= (length - radius) / radius * length / slope
            if not low < damping < high:
                damping = max(1e-3 * high, math.sqrt(low * high))
        return self.at(damping)

    def _weights(self, damping: float) -> Vector:
        below = self._values * self._values + damping
        return np.divide(
            self._values * self._coefficients, below, out=np.zeros_like(below), where=below > 0.0
        )

    def _length(self, damping: float) -> tuple[float, float]:
        """||D^1/2 step|| and its derivative by lambda."""
        weights = self._weights(damping)
        length = float(np.linalg.norm(weights))
        below = self._values * self._values + damping
        return length, -float((weights * weights / np.where(below > 0.0, below, 1.0)).sum()) / length

"""The normal equations of a least-squares step: accumulated in chunks, damped, and solved (section 4,
ledger X34).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg import blas, lapack

from ..base.vector import Vector

#: 4.2: singular values below this share of the largest count as zero, by the residuals' precision.
CUT_OFF = {np.dtype(np.float32): 1e-7, np.dtype(np.float64): 1e-15}


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """The normal equations of residuals r with the Jacobian J.

    matrix: J^T J (n, n), upper triangle only.
    gradient: J^T r (n,).
    half_squares: 1/2 ||r||^2.
    rows: number of r_i.

    All float64; the matrix is column-major, its lower triangle undefined.
    """

    matrix: np.ndarray
    gradient: Vector
    half_squares: float
    rows: int

    @property
    def columns(self) -> Vector:
        """Norms of the columns of J, (n,)."""
        return np.sqrt(np.maximum(self.matrix.diagonal(), 0.0))

    @property
    def finite(self) -> bool:
        """True when nothing overflowed."""
        # An entry that is not finite in J shows in its column's squares.
        finite = np.isfinite(self.gradient).all() and np.isfinite(self.matrix.diagonal()).all()
        return bool(finite) and math.isfinite(self.half_squares)


def accumulate(chunks: Iterable[tuple[Vector, np.ndarray]], size: int) -> NormalEquations:
    """Sums J^T J and J^T r over the chunks: memory n^2 and one chunk, whatever the number of samples.

    float64 chunks are added in place; the products of float32 chunks are float32, their sum is float64.
    """
    matrix = np.zeros((size, size), order="F")
    gradient = np.zeros(size)
    half_squares, rows = 0.0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        for r, jacobian in chunks:
            if r.size == 0:
                continue
            if jacobian.dtype == np.float64:
                matrix = blas.dsyrk(1.0, jacobian.T, beta=1.0, c=matrix, overwrite_c=1)
            else:
                matrix += jacobian.T @ jacobian
            gradient += jacobian.T @ r
            wide = r.astype(np.float64, copy=False)
            half_squares += 0.5 * float(wide @ wide)
            rows += r.size
    return NormalEquations(matrix, gradient, half_squares, rows)


@dataclass(frozen=True, slots=True)
class DampedStep:
    """step = -(A + lambda D)^-1 g.

    predicted: the model's fall of f.
    length: ||D^1/2 step||.
    solver: "cholesky" or "svd".
    rank: of the matrix as solved.
    slope: g^T step.
    """

    step: Vector
    damping: float
    predicted: float
    length: float
    solver: str
    rank: int
    slope: float


def damping_scale(diagonal: Vector) -> Vector:
    """sqrt(D), with 1 in place of zero columns' entries."""
    return np.where(diagonal > 0.0, np.sqrt(np.maximum(diagonal, 0.0)), 1.0)


def damped_step(
    equations: NormalEquations, damping: float, scale: Vector, cut_off: float, solver: str = "auto"
) -> DampedStep:
    """Solves (A + lambda D) step = -g (109) with D = diag(scale^2), after the symmetric scaling D^-1/2 .

    D^-1/2.

    A zero column has g_i = 0 and gets step_i = 0 from both solvers.  Cholesky first; where it fails, or its
    result would hold no correct digit, the SVD with singular values below `cut_off` of the largest left out
    (117).  A symmetric matrix's SVD is its eigendecomposition up to signs, so that is what is computed.
    """
    right = equations.gradient / -scale
    found = None if solver == "svd" else _cholesky(_scaled(equations, damping, scale), right, damping)
    name, rank = "cholesky", right.size
    if found is None:
        name = "svd"
        found, rank = pseudo_inverse_times(_scaled(equations, damping, scale), right, cut_off)
    found[equations.matrix.diagonal() == 0.0] = 0.0  # exactly, where the SVD leaves rounding
    square = float(found @ found)
    descent = float(found @ right)
    predicted = 0.5 * (descent + damping * square)
    return DampedStep(found / scale, damping, predicted, math.sqrt(square), name, rank, -descent)


def _scaled(equations: NormalEquations, damping: float, scale: Vector) -> np.ndarray:
    """Upper triangle of D^-1/2 A D^-1/2 + lambda I."""
    inverse = 1.0 / scale
    scaled = equations.matrix * inverse
    scaled *= inverse[:, None]
    np.einsum("ii->i", scaled)[...] += damping
    return scaled


def _cholesky(upper: np.ndarray, right: Vector, damping: float) -> Vector | None:
    """The solution; None where the matrix is not safely positive definite."""
    doubtful = damping < 1e-13 * right.size
    largest = _one_norm(upper) if doubtful else 0.0
    factor, info = lapack.dpotrf(upper, lower=0, clean=0, overwrite_a=1)
    if info != 0:
        return None
    if doubtful:
        # Nothing guarantees the smallest eigenvalue: estimate the condition before trusting the factor.
        reciprocal, info = lapack.dpocon(factor, largest)
        if info != 0 or reciprocal < np.finfo(np.float64).eps:
            return None
    found, info = lapack.dpotrs(factor, right, lower=0)
    return found if info == 0 else None


def _one_norm(upper: np.ndarray) -> float:
    """Largest column sum of the symmetric matrix with this upper triangle."""
    magnitudes = np.abs(np.triu(upper))
    return float((magnitudes.sum(axis=0) + magnitudes.sum(axis=1) - magnitudes.diagonal()).max())


def pseudo_inverse_times(upper: np.ndarray, right: Vector, cut_off: float) -> tuple[Vector, int]:
    """A^+ b for symmetric A, given by its upper triangle, and the rank that `cut_off` leaves (116, 117)."""
    values, vectors = linalg.eigh(upper, lower=False, overwrite_a=True, check_finite=False)
    kept = np.abs(values) > cut_off * np.abs(values).max()
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return vectors @ (inverse * (vectors.T @ right)), int(kept.sum())

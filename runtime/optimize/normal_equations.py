"""The normal equations of a least-squares step: accumulated in chunks, damped, and solved (section 4, ledger X34)."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from .vector import Vector

#: 4.2: singular values below this share of the largest count as zero, by the residuals' precision.
CUT_OFF = {np.dtype(np.float32): 1e-7, np.dtype(np.float64): 1e-15}


@dataclass(frozen=True, slots=True)
class NormalEquations:
    """matrix = J^T J (n, n) and gradient = J^T r (n,), float64; half_squares = 1/2 ||r||^2; rows = number of r_i."""

    matrix: np.ndarray
    gradient: Vector
    half_squares: float
    rows: int

    @property
    def finite(self) -> bool:
        """True when nothing overflowed."""
        if not (math.isfinite(self.half_squares) and np.isfinite(self.gradient).all()):
            return False
        return bool(np.isfinite(self.matrix).all())


def accumulate(chunks: Iterable[tuple[Vector, np.ndarray]], size: int) -> NormalEquations:
    """Sums J^T J and J^T r over the chunks: memory n^2 and one chunk, whatever the number of samples.

    Each chunk's products are in its own precision, their sum is in float64.
    """
    matrix = np.zeros((size, size))
    gradient = np.zeros(size)
    half_squares, rows = 0.0, 0
    with np.errstate(over="ignore", invalid="ignore"):
        for r, jacobian in chunks:
            if r.size == 0:
                continue
            matrix += jacobian.T @ jacobian
            gradient += jacobian.T @ r
            wide = r.astype(np.float64, copy=False)
            half_squares += 0.5 * float(wide @ wide)
            rows += r.size
    return NormalEquations(matrix, gradient, half_squares, rows)


@dataclass(frozen=True, slots=True)
class DampedStep:
    """step = -(A + lambda D)^-1 g; predicted: the model's fall; solver: "cholesky" or "svd"; rank of the matrix."""

    step: Vector
    predicted: float
    solver: str
    rank: int


def damping_scale(diagonal: Vector) -> Vector:
    """sqrt(D), with 1 in place of zero columns' entries."""
    return np.where(diagonal > 0.0, np.sqrt(np.maximum(diagonal, 0.0)), 1.0)


def damped_step(
    equations: NormalEquations, damping: float, scale: Vector, cut_off: float, solver: str = "auto"
) -> DampedStep:
    """Solves (A + lambda D) step = -g (109) with D = diag(scale^2), after the symmetric scaling D^-1/2 . D^-1/2.

    A zero column has g_i = 0 and gets step_i = 0 from both solvers.  Cholesky first; where it fails, or its result
    would hold no correct digit, the SVD with singular values below `cut_off` of the largest left out (117).  A
    symmetric matrix's SVD is its eigendecomposition up to signs, so that is what is computed.
    """
    scaled = equations.matrix / scale
    scaled /= scale[:, None]
    right = equations.gradient / -scale
    scaled.flat[:: right.size + 1] += damping
    found = None
    if solver != "svd":
        found = _cholesky(scaled, right, damping)
    name, rank = "cholesky", right.size
    if found is None:
        name = "svd"
        found, rank = pseudo_inverse_times(scaled, right, cut_off)
    predicted = 0.5 * float(found @ right) + 0.5 * damping * float(found @ found)
    return DampedStep(found / scale, predicted, name, rank)


def _cholesky(matrix: np.ndarray, right: Vector, damping: float) -> Vector | None:
    factor, info = lapack.dpotrf(matrix.T, lower=0, clean=0, overwrite_a=0)
    if info != 0:
        return None
    if damping < 1e-13 * right.size:
        # Nothing guarantees the smallest eigenvalue: estimate the condition before trusting the factor.
        reciprocal, info = lapack.dpocon(factor, float(np.abs(matrix).sum(axis=0).max()))
        if info != 0 or reciprocal < np.finfo(np.float64).eps:
            return None
    found, info = lapack.dpotrs(factor, right, lower=0)
    return found if info == 0 else None


def pseudo_inverse_times(matrix: np.ndarray, right: Vector, cut_off: float) -> tuple[Vector, int]:
    """A^+ b for symmetric A, and the rank that `cut_off` leaves (equations 116, 117)."""
    values, vectors = linalg.eigh(matrix, check_finite=False)
    kept = np.abs(values) > cut_off * np.abs(values).max()
    inverse = np.where(kept, 1.0 / np.where(kept, values, 1.0), 0.0)
    return vectors @ (inverse * (vectors.T @ right)), int(kept.sum())

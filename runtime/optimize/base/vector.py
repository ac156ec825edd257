"""Dot products and norms of flat vectors, float32 or float64."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import blas

from ...errors import NotFiniteError, ShapeError

Vector = np.ndarray
_BLOCK = 8192


def dot(a: Vector, b: Vector) -> float:
    """Inner product of two (n,) vectors as a Python float.

    Long vectors are cut into blocks of 8192, and the sums of the blocks are added in float64.  So the
    rounding error of float32 does not grow with the number of parameters, and the bits do not depend on the
    number of BLAS threads.
    """
    if a.size <= _BLOCK:
        return float(a @ b)
    whole = a.size - a.size % _BLOCK
    blocks = np.matmul(a[:whole].reshape(-1, 1, _BLOCK), b[:whole].reshape(-1, _BLOCK, 1))
    return float(blocks.sum(dtype=np.float64)) + float(a[whole:] @ b[whole:])


def add_scaled(target: Vector, factor: float, a: Vector) -> None:
    """Adds factor a to target, in place; both are (n,), contiguous and of one dtype.

    BLAS adds short vectors: one call does what NumPy does in two, and rounds once.  Long vectors are left to
    NumPy, because BLAS would share them among threads, and rounding could depend on the number of threads.
    """
    if a.size > _BLOCK:
        target += a * a.dtype.type(factor)
        return
    axpy = blas.saxpy if a.dtype == np.float32 else blas.daxpy
    axpy(a, target, a=factor)


def norm(a: Vector) -> float:
    """Euclidean norm; rescales first if the squares would overflow or vanish."""
    tiny = float(np.finfo(a.dtype).tiny) if a.dtype.kind == "f" else 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        square = dot(a, a)
    if 1e4 * tiny < square < math.inf:
        return math.sqrt(square)
    scale = max_norm(a)
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    scaled = a.astype(np.float64) / scale
    return scale * math.sqrt(dot(scaled, scaled))


def max_norm(a: Vector) -> float:
    """Largest magnitude, max|a_i|; 0 for an empty vector."""
    if a.size == 0:
        return 0.0
    return max(float(a.max()), -float(a.min()))


def as_vector(name: str, value: ArrayLike, size: int | None = None) -> Vector:
    """Copies what a user's function returned into a vector (m,).

    `value` may be a vector, one row or column, a list or a single number.  float32 and float64 are kept,
    other real numbers become float64.  Raises ShapeError that begins with `name`.
    """
    array = _real(name, value)
    if sum(length != 1 for length in array.shape) > 1 or (size is not None and array.size != size):
        raise ShapeError(f"{name}: expected shape ({'m' if size is None else size},), got {array.shape}")
    return np.array(array.reshape(-1), dtype=_float_type(array), copy=True)


def as_matrix(name: str, value: ArrayLike, rows: int, columns: int) -> np.ndarray:
    """Copies what a user's function returned into a matrix (rows, columns).

    A flat array is accepted if rows or columns is 1.  Raises ShapeError that begins with `name`.
    """
    array = _real(name, value)
    flat = array.ndim < 2 and 1 in (rows, columns) and array.size == rows * columns
    if array.shape != (rows, columns) and not flat:
        raise ShapeError(f"{name}: expected shape ({rows}, {columns}), got {array.shape}")
    return np.array(array.reshape(rows, columns), dtype=_float_type(array), copy=True)


def _real(name: str, value: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise ShapeError(
            f"{name}: expected an array of real numbers, got a ragged {type(value).__name__}"
        ) from None
    if array.dtype.kind not in "fiu":
        what = array.dtype if array.dtype.kind != "O" else type(value).__name__
        raise ShapeError(f"{name}: expected real numbers, got {what}")
    return array


def _float_type(array: np.ndarray) -> np.dtype[Any]:
    return (
        array.dtype if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)) else np.dtype(np.float64)
    )


def as_parameters(x0: ArrayLike) -> Vector:
    """Copies x0 into a vector (n,) of float32 or float64; integers become float64.

    Raises ShapeError if x0 is not a flat, non-empty vector of real numbers, NotFiniteError if it holds NaN or
    infinity.
    """
    try:
        x = np.asarray(x0)
    except (TypeError, ValueError):  # rows of different lengths
        raise ShapeError(f"x0: expected a flat vector of real numbers, got {type(x0).__name__}") from None
    if x.ndim == 0:
        x = x.reshape(1)
    if x.ndim != 1 or x.size == 0:
        raise ShapeError(f"x0: expected one flat vector with at least one parameter, got shape {x.shape}")
    if x.dtype.kind not in "fiu":
        raise ShapeError(f"x0: expected real numbers, got dtype {x.dtype}")
    x = np.array(x, dtype=_float_type(x), copy=True)
    if not np.isfinite(x).all():
        where = int(np.flatnonzero(~np.isfinite(x))[0])
        raise NotFiniteError(f"x0: expected finite numbers, x0[{where}] is {x[where]}")
    return x

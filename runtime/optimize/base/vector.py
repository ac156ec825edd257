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

    Long vectors are summed in blocks of 8192 and the blocks in float64: float32's rounding error does not grow with
    the number of parameters, and the bits do not depend on the number of BLAS threads.
    """
    if a.size <= _BLOCK:
        return float(a @ b)
    whole = a.size - a.size % _BLOCK
    blocks = np.matmul(a[:whole].reshape(-1, 1, _BLOCK), b[:whole].reshape(-1, _BLOCK, 1))
    return float(blocks.sum(dtype=np.float64)) + float(a[whole:] @ b[whole:])


def add_scaled(target: Vector, factor: float, a: Vector) -> None:
    """target += factor a, in place; both (n,), contiguous, of one dtype.

    Short vectors go through BLAS, which is one call for two and rounds once; longer ones do not, as its threads would share
    them out and the rounding at their borders could depend on how many there are.
    """
    if a.size > _BLOCK:
        target += a * a.dtype.type(factor)
        return
    axpy = blas.saxpy if a.dtype == np.float32 else blas.daxpy
    axpy(a, target, a=factor)


def norm(a: Vector) -> float:
    """Euclidean norm; rescales first where the squares would overflow or vanish."""
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
    """A fresh copy, (m,), of what a user's function returned.

    That may be a vector, one row or column, a list or a single number.

    float32 and float64 are kept, other reals become float64.  Raises ShapeError that begins with `name`.
    """
    array = _real(name, value)
    if sum(length != 1 for length in array.shape) > 1 or (size is not None and array.size != size):
        raise ShapeError(f"{name}: expected shape ({'m' if size is None else size},), got {array.shape}")
    return np.array(array.reshape(-1), dtype=_float_type(array), copy=True)


def as_matrix(name: str, value: ArrayLike, rows: int, columns: int) -> np.ndarray:
    """A fresh copy, (rows, columns), of what a user's function returned.

    A flat array is taken where rows or columns are 1."""
    array = _real(name, value)
    flat = array.ndim < 2 and 1 in (rows, columns) and array.size == rows * columns
    if array.shape != (rows, columns) and not flat:
        raise ShapeError(f"{name}: expected shape ({rows}, {columns}), got {array.shape}")
    return np.array(array.reshape(rows, columns), dtype=_float_type(array), copy=True)


def _real(name: str, value: ArrayLike) -> np.ndarray:
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise ShapeError(f"{name}: expected an array of real numbers, got a ragged {type(value).__name__}") from None
    if array.dtype.kind not in "fiu":
        what = array.dtype if array.dtype.kind != "O" else type(value).__name__
        raise ShapeError(f"{name}: expected real numbers, got {what}")
    return array


def _float_type(array: np.ndarray) -> np.dtype[Any]:
    return array.dtype if array.dtype in (np.dtype(np.float32), np.dtype(np.float64)) else np.dtype(np.float64)


def as_parameters(x0: ArrayLike) -> Vector:
    """A fresh (n,) float32 or float64 copy of x0; integers become float64.

    Raises ShapeError when x0 is not one flat, non-empty real vector, NotFiniteError when it holds NaN or infinity.
    """
    x = np.asarray(x0)
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

"""Checks arrays that a user passes: real numbers, no mask, and no overflow in a smaller dtype."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, NotFiniteError


def as_array(given: Any, what: str) -> npt.NDArray[Any]:
    """Makes an array of `given`, in any dtype.

    Raises: DataError for a masked array, whose mask would be lost, and for rows of different lengths.
    """
    if np.ma.isMaskedArray(given) or (
        isinstance(given, list | tuple) and any(np.ma.isMaskedArray(one) for one in given)
    ):
        raise DataError(
            f"{what}: expected an array of numbers, got a masked one: fill it, or leave out what is masked"
        )
    try:
        return np.asarray(given)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}: expected an array of numbers, got {error}") from None


def as_numbers(given: Any, dtype: str, what: str) -> npt.NDArray[Any]:
    """Converts `given` to an array of real numbers in `dtype`; returns `given` itself if it is one already.

    Raises: DataError if `given` is not an array of real numbers; NotFiniteError that names a finite number
    which overflows in `dtype`.
    """
    if type(given) is np.ndarray and given.dtype == dtype:
        return given
    values = as_array(given, what)
    if values.dtype.kind not in "biuf":
        raise DataError(f"{what}: expected an array of numbers, got {values.dtype}")
    with np.errstate(over="ignore"):
        cast = values.astype(dtype, copy=False)
    if values.dtype.kind == "f" and values.dtype.itemsize > cast.dtype.itemsize and np.isinf(cast).any():
        _refuse_overflow(values, cast, what)
    return cast


def _refuse_overflow(values: npt.NDArray[Any], cast: npt.NDArray[Any], what: str) -> None:
    lost = (np.isinf(cast) & np.isfinite(values)).reshape(-1)
    if lost.any():
        number = int(np.argmax(lost))
        sample, unit = divmod(number, max(1, values[:1].size)) if values.ndim else (0, 0)
        place = f"sample {sample}, unit {unit}" if values.ndim > 1 else f"place {number}"
        raise NotFiniteError(
            f"{what}: expected numbers that {cast.dtype} can hold, got {values.reshape(-1)[number]} "
            f"at {place}"
        )

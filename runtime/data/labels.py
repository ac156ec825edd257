"""Class labels: checked numbers 0..k-1 from what a file holds, and their one-hot encoding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import DataError

Classes = int | Sequence[str] | None
"""What the caller knows of the classes: their number, their names in order, or nothing (then the data
decides).
"""


def one_hot(
    labels: npt.ArrayLike, count: int, dtype: npt.DTypeLike = np.float32, source: str = "labels"
) -> npt.NDArray[np.floating]:
    """Targets `(N, count)` of `dtype`: 1 at the label of each sample, 0 elsewhere.

    labels: `(N,)` whole numbers in 0..count-1.  `source` names the data in the error.
    Raises: DataError for another rank, a number that is not whole, or a label out of range (the first one is
    named).
    """
    numbers = check_labels(labels, count, source)
    targets = np.zeros((numbers.size, count), dtype=dtype)
    targets[np.arange(numbers.size), numbers] = 1
    return targets


def check_labels(labels: npt.ArrayLike, count: int | None, source: str) -> npt.NDArray[np.int64]:
    """`labels` as int64 `(N,)`, each in 0..count-1 (`count` None: at least 0).

    Raises: DataError naming the first that is not.
    """
    values = np.asarray(labels)
    if values.ndim != 1:
        raise DataError(f"{source}: expected labels of shape (N,), got {values.shape}")
    if values.dtype.kind not in "iufb":
        raise DataError(f"{source}: expected labels that are whole numbers, got dtype {values.dtype}")
    if values.dtype.kind == "f":
        values = values.astype(np.float64)  # the limits below are beyond what float16 can hold
        _refuse_first(values, ~np.isfinite(values) | (values != np.round(values)), "a whole number", source)
    allowed = "a label of at least 0" if count is None else f"a label in 0..{count - 1}"
    upper = np.iinfo(np.int64).max if count is None else count - 1
    _refuse_first(values, (values < 0) | (values > upper), allowed, source)
    return values.astype(np.int64)


def numbered(
    values: npt.ArrayLike, classes: Classes, source: str
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels that are class numbers already (IDX and NPZ files): `(labels (N,), names of the k classes)`.

    k is what `classes` says, or the largest label + 1.  Raises: DataError for labels out of range, and for a
    largest label so far beyond the number of samples that the array cannot hold class numbers.
    """
    names = classes if isinstance(classes, Sequence) else None
    count = len(names) if names is not None else classes if isinstance(classes, int) else None
    labels = check_labels(values, count, source)
    if count is None:
        count = int(labels.max(initial=0)) + 1
        if count > max(labels.size, 256):
            raise DataError(
                f"{source}: expected labels 0..k-1, got a label {count - 1} among {labels.size} samples; "
                "give the number of classes if that is meant"
            )
    return labels, tuple(names) if names is not None else tuple(str(k) for k in range(count))


def named(
    values: npt.NDArray, classes: Classes, source: str
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Labels that are names (a column of a CSV file): `(labels (N,), names)`, the classes numbered in sorted
    order.

    Whole numbers are names too, sorted by value: 1, 2, 3 become the classes 0, 1, 2 named "1", "2", "3".
    With `classes` a number k the values must be 0..k-1; with names, each value must be one of them.
    Raises: DataError for a value that is none of these.
    """
    if isinstance(classes, int):
        return numbered(values, classes, source)
    if values.dtype.kind in "iufb":
        if values.dtype.kind == "f":
            _refuse_first(
                values, ~np.isfinite(values) | (values != np.round(values)), "a whole number", source
            )
        distinct, inverse = np.unique(values, return_inverse=True)
        names = tuple(str(int(value)) for value in distinct)
    else:
        distinct, inverse = np.unique(values.astype(str), return_inverse=True)
        names = tuple(str(value) for value in distinct)
    if classes is None:
        return inverse.reshape(-1).astype(np.int64), names
    order = {name: number for number, name in enumerate(classes)}
    unknown = [name for name in names if name not in order]
    if unknown:
        raise DataError(f"{source}: expected one of the classes {', '.join(classes)}, got {unknown[0]!r}")
    return np.array([order[name] for name in names], dtype=np.int64)[inverse.reshape(-1)], tuple(classes)


def _refuse_first(values: npt.NDArray, bad: npt.NDArray[np.bool_], expected: str, source: str) -> None:
    if not bad.any():
        return
    sample = int(np.argmax(bad))
    raise DataError(f"{source}: expected {expected}, got {values[sample]} at sample {sample}")

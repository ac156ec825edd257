"""Arrays that a user passes to a network: checked, in the network's dtype, one row per sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from ..data.numbers import as_numbers
from ..errors import DataError, NotFiniteError, ShapeError
from ..manifest.records import LossInfo
from ..program.shape import Shape

#: How many numbers are checked at a time.
PIECE = 1 << 16
#: Micro-batch lengths are rounded up to a multiple of this, which gives every core some vectors.
GRAIN = 64


@dataclass(frozen=True)
class Batch:
    """Samples as rows: ``inputs (N, units)``, ``targets (N, units) | None``, ``weights (N,) | None``."""

    inputs: Array
    targets: Array | None = None
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.inputs)

    def cut(self, size: int) -> Iterator[tuple[slice, Batch]]:
        """Consecutive parts of at most ``size`` samples."""
        for start in range(0, len(self), size):
            part = slice(start, min(start + size, len(self)))
            yield (
                part,
                Batch(
                    self.inputs[part],
                    None if self.targets is None else self.targets[part],
                    None if self.weights is None else self.weights[part],
                ),
            )


def even_parts(samples: int, size: int, most: int = 0) -> int:
    """The length of each part if ``samples`` are cut into parts of about ``size``, but at most ``most``.

    A ``size`` below ``GRAIN`` is the length of all but the last part.  A ``most`` below ``size`` counts as
    ``size``.  All parts are equally long, rounded up to ``GRAIN``,
    because a short last part takes nearly as long as a full one and leaves cores idle.
    """
    if size < GRAIN:
        return min(samples, size)
    most = max(size, most)
    pieces = max(-(-samples // most), round(samples / size))
    each = -(-samples // pieces)
    return min(samples, most, -(-each // GRAIN) * GRAIN)


def rows(array: Any, shape: Shape, dtype: str, what: str) -> Array:
    """``array`` as ``(N, units)`` of ``dtype``.

    Accepts one sample a row, flattened or in the shape of a sample.  Raises ShapeError naming both shapes,
    DataError for 0 samples or values that are no numbers, NotFiniteError naming sample and unit of the first
    NaN or infinity.
    """
    values = as_numbers(array, dtype, what)
    given = values.shape
    if not given or (given[1:] != shape.axes and given[1:] not in ((shape.units,), _squeezed(shape))):
        expected = f"(N, {', '.join(map(str, shape.axes))})"
        raise ShapeError(f"{what}: expected shape {expected} or (N, {shape.units}), got {given}")
    if given[0] == 0:
        raise DataError(f"{what}: 0 samples")
    flat = values.reshape(given[0], shape.units)
    finite(flat, what, "unit")
    return flat


def _squeezed(shape: Shape) -> tuple[int, ...]:
    """One map may go without its axis; one unit without any."""
    axes = shape.axes
    return axes[1:] if axes[0] == 1 else axes


def finite(values: Array, what: str, column: str) -> None:
    """NotFiniteError naming where ``values (N, columns)`` or ``(N,)`` first holds a NaN or an infinity."""
    if values.size <= PIECE and np.isfinite(values).all():
        return
    for start, part in _pieces(values):
        if np.isfinite(part).all():
            continue
        where = np.argwhere(~np.isfinite(part))[0]
        place = f"sample {start + where[0]}" + (f", {column} {where[1]}" if len(where) > 1 else "")
        raise NotFiniteError(f"{what}: {part[tuple(where)]} at {place}")


def admissible(targets: Array, loss: LossInfo) -> None:
    """DataError naming the first target that ``loss`` does not admit."""
    low, high = loss.targets
    for start, part in _pieces(targets):
        wrong = np.zeros(part.shape, bool)
        if low is not None:
            wrong |= part < low
        if high is not None:
            wrong |= part > high
        if wrong.any():
            sample, unit = np.argwhere(wrong)[0]
            place = f"{part[sample, unit]} at sample {start + sample}, unit {unit}"
            raise DataError(f"targets: {place}; loss {loss.name} admits {interval(low, high)}")


def _pieces(values: Array) -> Iterator[tuple[int, Array]]:
    """Consecutive rows with their first number, few enough that checking them takes little memory and
    stays in the cache.
    """
    step = max(1, PIECE // max(1, values[:1].size))
    for start in range(0, len(values), step):
        yield start, values[start : start + step]


def interval(low: float | None, high: float | None) -> str:
    """``[0, inf)`` as a message writes it."""
    left = "(-inf" if low is None else f"[{low:g}"
    right = "inf)" if high is None else f"{high:g}]"
    return f"{left}, {right}"


def weight_row(weights: Any, samples: int, dtype: str) -> Array:
    """Weights of the samples, ``(N,)``; ShapeError or NotFiniteError."""
    values = as_numbers(weights, dtype, "weights")
    if values.shape != (samples,):
        raise ShapeError(f"weights: expected shape ({samples},), one per sample, got {values.shape}")
    finite(values, "weights", "")
    return values

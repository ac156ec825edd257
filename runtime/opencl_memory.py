"""Memory of the OpenCL backend: tensors in one flat buffer, micro-batches on the device, transposition."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from .backend import Array
from .program import Slice

#: Columns that are transposed at a time, so that both sides stay in the cache.
BLOCK = 64


class Flat:
    """Tensors one after the other in one device buffer, each at an offset that a sub-buffer may have.

    ``lanes`` numbers per entry: 1, or the capacity for per-sample gradients.  ``align`` bytes.
    """

    def __init__(self, slices: tuple[Slice, ...], lanes: int, itemsize: int, align: int, allocate: Callable[[int], Any]) -> None:
        step = max(1, align // itemsize)
        self.starts, end = [], 0
        for piece in slices:
            self.starts.append(end)
            end += -(-max(1, piece.extent.units * lanes) // step) * step
        self.slices, self.lanes, self.count, self.itemsize = slices, lanes, max(1, end), itemsize
        self.buffer = allocate(self.count)

    def view(self, number: int) -> Any:
        """The sub-buffer of slice ``number``."""
        length = max(1, self.slices[number].extent.units * self.lanes)
        return self.buffer.get_sub_region(self.starts[number] * self.itemsize, length * self.itemsize)

    def pieces(self, host: Array) -> Iterator[tuple[Slice, Array]]:
        """Each slice with its part ``(units * lanes,)`` of a host copy of the whole."""
        for piece, start in zip(self.slices, self.starts, strict=True):
            yield piece, host[start : start + piece.extent.units * self.lanes]


class OpenCLResident:
    """A micro-batch on the device: ``samples`` real ones, ``used`` lanes that hold finite numbers."""

    def __init__(self, buffers: dict[str, Any]) -> None:
        self.buffers = buffers
        self.samples = self.used = 0


def to_columns(host: Array, samples: Array, used: int) -> None:
    """Sample-first ``(n, units)`` into the columns of ``host``; padding columns up to ``used`` repeat the last sample."""
    count = len(samples)
    for start in range(0, host.shape[0], BLOCK):
        host[start : start + BLOCK, :count] = samples[:, start : start + BLOCK].T
    host[:, count:used] = host[:, count - 1 : count]


def to_rows(host: Array, rows: Array) -> None:
    """The first ``n`` columns of ``host (units, T)`` into ``rows (n, units)``, which may be a view."""
    for start in range(0, host.shape[0], BLOCK):
        rows[:, start : start + BLOCK] = host[start : start + BLOCK, : len(rows)].T

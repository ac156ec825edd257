"""Multiplication of vectors and its kin on a rig: the kernels of ``kernels/elementwise.cl``, checked against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .convolution import Scheme
from .device import Array, Rig, Size, round_up

KERNELS = ("multiply", "polynomial")
STEPS = 31


def expected(name: str, a: Array, b: Array) -> Array:
    """What ``name`` gives, in float64."""
    x, k = a.astype(np.float64), b.astype(np.float64)
    if name == "multiply":
        return x * k
    value = k
    for _ in range(STEPS):
        value = value * x + k
    return value * x + 1


class Elementwise:
    """Two arrays of ``count`` numbers below 1 in size, seeded."""

    def __init__(self, rig: Rig, count: int) -> None:
        self.rig, self.count = rig, count
        random = np.random.default_rng(count)
        self.a, self.b = (random.uniform(-0.9, 0.9, count).astype(np.float32) for _ in range(2))
        self.sources = rig.put(self.a), rig.put(self.b)

    def vectors(self, name: str, vector: int = 1, group: int | None = 64, padded: bool = False) -> Scheme:
        """One explicit vector per work item.  ``vector`` must divide the count.

        ``group`` None: the driver's local size; where it does not divide the work items, ``padded`` must be set.
        """
        items = self.count // vector
        out = self.rig.empty(self.count)
        kernel = self.rig.kernel("elementwise", name, *self.sources, out, items, V=vector)
        size = round_up(items, group) if padded and group else items
        local = None if group is None else (group,)
        return Scheme(
            f"{name}, vectors of {vector}", (self.rig.launch(kernel, (size,), local),), out, expected(name, self.a, self.b)
        )

    def many(self, each: int, group: int | None, vector: int = 1) -> Scheme:
        """Products, ``each`` neighbouring vectors per work item."""
        vectors = self.count // vector
        items = -(-vectors // each)
        out = self.rig.empty(self.count)
        kernel = self.rig.kernel("elementwise", "multiply_many", *self.sources, out, vectors, each, V=vector)
        size: Size = (round_up(items, group or 1),)
        launch = self.rig.launch(kernel, size, None if group is None else (group,))
        return Scheme(f"{each} products per work item", (launch,), out, expected("multiply", self.a, self.b))

    def norms(self, together: bool, group: int = 64) -> Scheme:
        """Norms of ``count // 4`` vectors of four; ``together``: their components side by side (AoS), else apart (SoA)."""
        count = self.count // 4
        columns = self.a[: 4 * count].reshape(4, count)
        source: Any = self.rig.put(columns.T if together else columns)
        out = self.rig.empty(count)
        name = "norm_aos" if together else "norm_soa"
        kernel = self.rig.kernel("elementwise", name, source, out, count)
        wanted = np.sqrt((columns.astype(np.float64) ** 2).sum(axis=0))
        return Scheme(name, (self.rig.launch(kernel, (round_up(count, group),), (group,)),), out, wanted)


def powers(first: int, last: int) -> Sequence[int]:
    """Powers of two from ``first`` to ``last``, themselves powers of two."""
    return [1 << n for n in range(first.bit_length() - 1, last.bit_length())]

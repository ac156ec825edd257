"""Runs the elementwise kernels of ``kernels/elementwise.cl`` on a rig and checks them against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .convolution import Scheme
from .device import Array, Rig, Size, round_up

KERNELS = ("multiply", "polynomial")
STEPS = 31


def expected(name: str, a: Array, b: Array) -> Array:
    """The result of the kernel ``name``, computed in float64."""
    x, k = a.astype(np.float64), b.astype(np.float64)
    if name == "multiply":
        return x * k
    value = k
    for _ in range(STEPS):
        value = value * x + k
    return value * x + 1


class Elementwise:
    """Schemes on two seeded arrays of ``count`` random numbers between -0.9 and 0.9."""

    def __init__(self, rig: Rig, count: int) -> None:
        self.rig, self.count = rig, count
        random = np.random.default_rng(count)
        self.a, self.b = (random.uniform(-0.9, 0.9, count).astype(np.float32) for _ in range(2))
        self.sources = rig.put(self.a), rig.put(self.b)

    def vectors(self, name: str, vector: int = 1, group: int | None = 64, padded: bool = False) -> Scheme:
        """One explicit vector per work item.

        vector: lanes of a vector; must divide the count.
        group: the local size; None leaves it to the driver.
        padded: whether work items are padded to whole groups; must be set if ``group`` does not divide them.
        """
        items = self.count // vector
        out = self.rig.empty(self.count)
        kernel = self.rig.kernel("elementwise", name, *self.sources, out, items, V=vector)
        size = round_up(items, group) if padded and group else items
        local = None if group is None else (group,)
        return Scheme(
            f"{name}, vectors of {vector}",
            (self.rig.launch(kernel, (size,), local),),
            out,
            expected(name, self.a, self.b),
        )

    def many(self, each: int, group: int | None, vector: int = 1) -> Scheme:
        """Products of ``each`` neighbouring vectors per work item."""
        vectors = self.count // vector
        items = -(-vectors // each)
        out = self.rig.empty(self.count)
        kernel = self.rig.kernel("elementwise", "multiply_many", *self.sources, out, vectors, each, V=vector)
        size: Size = (round_up(items, group or 1),)
        launch = self.rig.launch(kernel, size, None if group is None else (group,))
        return Scheme(f"{each} products per work item", (launch,), out, expected("multiply", self.a, self.b))

    def norms(self, together: bool, group: int = 64) -> Scheme:
        """Norms of ``count // 4`` vectors with four components.

        together: whether a vector's components lie side by side (AoS) or in four arrays (SoA).
        """
        count = self.count // 4
        columns = self.a[: 4 * count].reshape(4, count)
        source: Any = self.rig.put(columns.T if together else columns)
        out = self.rig.empty(count)
        name = "norm_aos" if together else "norm_soa"
        kernel = self.rig.kernel("elementwise", name, source, out, count)
        wanted = np.sqrt((columns.astype(np.float64) ** 2).sum(axis=0))
        return Scheme(name, (self.rig.launch(kernel, (round_up(count, group),), (group,)),), out, wanted)


def powers(first: int, last: int) -> Sequence[int]:
    """Powers of two from ``first`` to ``last``, which are powers of two themselves."""
    return [1 << n for n in range(first.bit_length() - 1, last.bit_length())]

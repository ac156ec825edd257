"""Random networks of every kind, layer after layer on the shape that the layers below give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...runtime.errors import ShapeError
from ...runtime.manifest.records import Manifest
from ...runtime.program.layer import LayerSpec, instantiate, layer
from ...runtime.program.shape import Shape

#: Kinds of networks, and the part of all draws that each has.
KINDS = {"dense": 0.24, "convolution": 0.4, "single": 0.16, "radial basis": 0.08, "user": 0.12}
#: Layers of ``tests/layers`` by the file that defines them.
USERS = {
    "gated": "gated",
    "maxout": "maxout",
    "bilinear": "bilinear",
    "locally_connected": "locally_connected",
    "depthwise": "depthwise",
    "average_pooling": "average_pooling",
    "transposed_convolution": "transposed_convolution",
    "norm_pooling": "norm_pooling",
}
ACTIVATIONS = ("relu", "relu", "tanh", "sigmoid", "scaled_tanh", "linear")
DEEPEST, WIDEST, MOST_MAPS, LARGEST_KERNEL = 30, 2048, 256, 11
#: The largest extent of a coordinate by rank.
EXTENTS = {1: 4096, 2: 128, 3: 32}
SMALLEST = {1: 16, 2: 6, 3: 4}
RANKS = (0.25, 0.55, 0.2)

Random = np.random.Generator


def between(random: Random, low: int, high: int) -> int:
    """A whole number from ``low`` to ``high``, as often between 10 and 20 as between 100 and 200."""
    return min(high, int(np.exp(random.uniform(np.log(low), np.log(high + 1)))))


def size(random: Random, low: int, high: int) -> int:
    """A power of two in one half of all cases, as people choose, any number in the other."""
    powers = [2**n for n in range(3, 13) if low <= 2**n <= high]
    if powers and random.random() < 0.5:
        return int(random.choice(powers))
    return between(random, low, high)


class LayersOnShape:
    """Layers one above the other; those that do not fit on the shape below are left out."""

    def __init__(self, random: Random, manifest: Manifest, shape: tuple[int, ...]) -> None:
        self.random, self.manifest = random, manifest
        self.given, self.shape = shape, Shape.of(shape)
        self.specs: list[LayerSpec] = []
        self.activation = str(random.choice(ACTIVATIONS))

    def add(self, family: str, **keywords: Any) -> bool:
        """Puts a layer on top; whether it fits."""
        spec = layer(family, **keywords)
        try:
            one = instantiate(self.manifest, spec, len(self.specs), self.shape)
        except ShapeError:
            return False
        self.specs.append(spec)
        self.shape = one.output
        return True

    @property
    def least(self) -> int:
        """The smallest extent of a coordinate."""
        return min(self.shape.maps[0], default=1)

    def dense(self, widest: int = WIDEST) -> None:
        """A dense layer."""
        self.add("dense", maps=size(self.random, 1, widest), activation=self.activation)

    def convolution(self, maps: int = 0, kernel: int = 0) -> None:
        """A convolution; ``maps`` and ``kernel`` where they are given, and padding that keeps the extents."""
        random, kept = self.random, kernel > 0
        kernel = kernel or int(random.integers(1, LARGEST_KERNEL + 1))
        kernel = min(kernel, self.least)
        around: dict[str, Any] = {"padding": (kernel - 1) // 2}
        if not kept:
            choice = random.random()
            around["padding"] = 0 if choice < 0.4 else int(random.integers(0, kernel))
            if choice > 0.9 and kernel > 1:
                around = {"padding_low": int(random.integers(0, kernel)), "padding_high": kernel // 2}
            if random.random() < 0.25:
                around["stride"] = int(random.integers(2, 4))
        maps = maps or size(random, 1, MOST_MAPS)
        self.add("convolution", maps=maps, kernel=kernel, activation=self.activation, **around)

    def pooling(self) -> None:
        """A pooling layer, most often of the largest value in windows of 2."""
        families = ("max_pooling", "subsampling", "vanilla_subsampling")
        window = 2 if self.random.random() < 0.7 else int(self.random.integers(2, 5))
        self.add(str(self.random.choice(families, p=(0.7, 0.2, 0.1))), window=window)

    def radial_basis(self, widest: int = 512) -> None:
        """Radial basis functions whose values do not vanish in float32."""
        beta = {"rule": "constant", "value": 1.0 / self.shape.units}
        initial = {"c": {"rule": "normal", "scale": 0.5}, "beta": beta}
        radius = "norm" if self.random.random() < 0.2 else "squared"
        self.add("radial_basis", maps=size(self.random, 1, widest), radius=radius, initial=initial)

    def softmax(self) -> None:
        """Classes."""
        self.add("softmax", maps=between(self.random, 2, 1000))


def _image(random: Random, rank: int = 0, most_maps: int = 64) -> tuple[int, ...]:
    """Maps and extents; all extents are alike in two of three cases."""
    rank = rank or int(random.choice((1, 2, 3), p=RANKS))
    maps = int(random.choice((1, 3))) if random.random() < 0.5 else size(random, 1, most_maps)
    sizes = [size(random, SMALLEST[rank], EXTENTS[rank]) for _ in range(rank)]
    return (maps, *(sizes if random.random() < 1 / 3 else sizes[:1] * rank))


def _dense(random: Random, manifest: Manifest) -> LayersOnShape:
    found = LayersOnShape(random, manifest, (size(random, 1, WIDEST),))
    depth, width = between(random, 1, DEEPEST), size(random, 1, WIDEST)
    equal = random.random() < 0.5
    for _ in range(depth):
        found.add("dense", maps=width, activation=found.activation) if equal else found.dense()
    if random.random() < 0.6:
        found.softmax()
    return found


def _convolution(random: Random, manifest: Manifest) -> LayersOnShape:
    found = LayersOnShape(random, manifest, _image(random))
    depth, maps = between(random, 1, DEEPEST), size(random, 1, MOST_MAPS)
    equal, pools = random.random() < 0.4, random.uniform(0, 0.5)
    kernel = int(random.choice((3, 3, 3, 5, 1))) if equal else 0
    for _ in range(depth):
        if found.least < 2:
            break
        if found.least > 3 and found.specs and random.random() < pools:
            found.pooling()
        else:
            found.convolution(maps if equal else 0, kernel)
    _head(found)
    return found


def _head(found: LayersOnShape) -> None:
    """Dense layers and classes, or none of them."""
    if found.random.random() < 0.7:
        for _ in range(int(found.random.integers(0, 3))):
            found.dense(512)
        found.softmax()


def _single(random: Random, manifest: Manifest) -> LayersOnShape:
    chosen = str(random.choice(("convolution", "dense", "radial_basis", "softmax"), p=(0.5, 0.3, 0.1, 0.1)))
    if chosen == "convolution":
        found = LayersOnShape(random, manifest, _image(random, most_maps=MOST_MAPS))
    else:
        found = LayersOnShape(random, manifest, (size(random, 1, WIDEST),))
    getattr(found, chosen)()
    return found


def _radial_basis(random: Random, manifest: Manifest) -> LayersOnShape:
    found = LayersOnShape(random, manifest, (size(random, 1, 1024),))
    found.radial_basis()
    above = random.random()
    if above < 0.4:
        found.add("linear_combination", maps=between(random, 1, 64))
    elif above < 0.7:
        _head(found)
    return found


def _user(random: Random, manifest: Manifest) -> LayersOnShape:
    """One of the users' layers: flat ones between dense layers, others between convolutions."""
    family = str(random.choice(list(USERS)))
    if family in ("gated", "maxout"):
        found = LayersOnShape(random, manifest, (size(random, 1, 1024),))
        if random.random() < 0.5:
            found.dense(1024)
        more = {"pieces": int(random.integers(2, 5))} if family == "maxout" else {}
        found.add(family, maps=size(random, 1, 512), **more)
    elif family == "bilinear":
        found = LayersOnShape(random, manifest, (between(random, 1, 64), 1))
        found.add(family, maps=between(random, 1, 64))
    else:
        rank = 2 if family in ("locally_connected", "norm_pooling") else 0
        found = LayersOnShape(random, manifest, _image(random, rank))
        if family != "depthwise" or random.random() < 0.5:
            found.convolution(between(random, 1, 32), 3)
        found.add(family, **_sizes(family, found))
    _head(found)
    return found


def _sizes(family: str, found: LayersOnShape) -> dict[str, Any]:
    """Keywords of a layer with coordinates."""
    random, least = found.random, found.least
    kernel = min(least, int(random.integers(2, 6)))
    stride = int(random.integers(1, 3))
    maps = between(random, 1, 16)
    return {
        "locally_connected": {"maps": maps, "kernel": kernel, "stride": stride},
        "depthwise": {"kernel": kernel, "stride": stride, "padding": (kernel - 1) // 2},
        "average_pooling": {"window": kernel, "stride": stride},
        "transposed_convolution": {"maps": maps, "kernel": kernel, "stride": stride},
        "norm_pooling": {"window": min(least, 2)},
    }[family]


BUILDERS: dict[str, Callable[[Random, Manifest], LayersOnShape]] = {
    "dense": _dense,
    "convolution": _convolution,
    "single": _single,
    "radial basis": _radial_basis,
    "user": _user,
}


def build(kind: str, random: Random, manifest: Manifest) -> tuple[tuple[int, ...], tuple[LayerSpec, ...]]:
    """The shape of a sample, and the layers on it."""
    found = BUILDERS[kind](random, manifest)
    return found.given, tuple(found.specs)

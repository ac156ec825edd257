"""Every layer in PyTorch's tensors, of any rank, in each style in which a person might write it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ...runtime.program.layer import Layer
from ..cases.problem import Array, Step, Unsupported, extents, padding, window

Pack = tuple[Callable[[Array], Array], Callable[[Array], Array]]

ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "tanh": torch.tanh,
    "scaled_tanh": lambda z: 1.7159 * torch.tanh(z * (2 / 3)),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
}
CONVOLUTIONS: Sequence[Callable[..., Any]] = (F.conv1d, F.conv2d, F.conv3d)
TRANSPOSED: Sequence[Callable[..., Any]] = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)
MAXIMA: Sequence[Callable[..., Any]] = (F.max_pool1d, F.max_pool2d, F.max_pool3d)
MEANS: Sequence[Callable[..., Any]] = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


# ------------------------------------------------------------------------------------------------ convolution
def _padded(one: Layer, y: Any) -> tuple[Any, list[int]]:
    """The input with what it needs below and above, and the padding that is left to the convolution."""
    low, high = padding(one)
    if low == high:
        return y, low
    around = [n for pair in zip(reversed(low), reversed(high), strict=True) for n in pair]
    return F.pad(y, around), [0] * len(low)


def _convolution(one: Layer) -> Step:
    stride, dilation = extents(one, "k"), extents(one, "d")
    convolve = CONVOLUTIONS[len(stride) - 1]

    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, around = _padded(one, y)
        return convolve(y, p["w"], p.get("b"), stride, around, dilation)

    return step


def _depthwise(one: Layer) -> Step:
    stride = extents(one, "k")
    convolve = CONVOLUTIONS[len(stride) - 1]

    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, around = _padded(one, y)
        return convolve(y, p["w"].unsqueeze(1), p["b"], stride, around, groups=y.shape[1])

    return step


def _transposed_convolution(one: Layer) -> Step:
    stride, crop, dilation = extents(one, "k"), extents(one, "p"), extents(one, "d")
    convolve = TRANSPOSED[len(stride) - 1]
    return lambda p, y: convolve(y, p["w"].transpose(0, 1), p["b"], stride, crop, dilation=dilation)


# ---------------------------------------------------------------------------------------------------- pooling
def _max_pooling(one: Layer) -> Step:
    pool, size = MAXIMA[len(window(one)) - 1], window(one)
    return lambda p, y: pool(y, size)


def _subsampling(one: Layer) -> Step:
    """The sum over each window, as the mean times its size."""
    pool, size = MEANS[len(window(one)) - 1], window(one)
    count, shape = float(prod(size)), (-1, *[1] * len(size))
    return lambda p, y: pool(y, size) * (count * p["alpha"].view(shape)) + p["b"].view(shape)


def _vanilla_subsampling(one: Layer) -> Step:
    every = (slice(None), slice(None), *(slice(None, None, n) for n in window(one)))
    return lambda p, y: y[every]


def _average_pooling(one: Layer) -> Step:
    size, stride = extents(one, "M"), extents(one, "k")
    pool = MEANS[len(size) - 1]
    return lambda p, y: pool(y, size, stride)


# ------------------------------------------------------------------------------------------------------ dense
def _affine(one: Layer) -> Step:
    return lambda p, y: F.linear(y.flatten(1), p["w"], p.get("b"))


def _linear_combination(one: Layer) -> Step:
    return lambda p, y: F.linear(y.flatten(1), p["a"])


def _gated(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y = y.flatten(1)
        return torch.tanh(F.linear(y, p["w"], p["b"])) * torch.sigmoid(F.linear(y, p["v"], p["c"]))

    return step


def _maxout(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        found = F.linear(y.flatten(1), p["w"].flatten(0, 1), p["b"].flatten())
        return found.unflatten(1, p["w"].shape[:2]).amax(2)

    return step


def _radial_basis_cdist(one: Layer) -> Step:
    squared = one.info.options.get("radius") != "norm"

    def step(p: Mapping[str, Any], y: Any) -> Any:
        distance = torch.cdist(y.flatten(1), p["c"])
        return torch.exp(-p["beta"] * (distance.square() if squared else distance))

    return step


def _radial_basis_expanded(one: Layer) -> Step:
    squared = one.info.options.get("radius") != "norm"

    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, c = y.flatten(1), p["c"]
        radius = y.square().sum(1, keepdim=True) + c.square().sum(1) - 2 * y @ c.T
        return torch.exp(-p["beta"] * (radius if squared else radius.sqrt()))

    return step


# --------------------------------------------------------------------------------------- weights of one place
def _locally_connected_bmm(one: Layer) -> Step:
    """Weights kept as ``(places, taps of all maps, maps)``."""
    kernel, stride = _plane(one)
    shape = one.tensors[one.info.output].shape

    def step(p: Mapping[str, Any], y: Any) -> Any:
        patches = F.unfold(y, kernel, stride=stride).permute(2, 0, 1)
        return torch.bmm(patches, p["w"]).permute(1, 2, 0).reshape(-1, *shape) + p["b"]

    return step


def _locally_connected_einsum(one: Layer) -> Step:
    kernel, stride = _plane(one)

    def step(p: Mapping[str, Any], y: Any) -> Any:
        patches = y.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
        return torch.einsum("njxyuv,ijxyuv->nixy", patches, p["w"]) + p["b"]

    return step


def _plane(one: Layer) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel and stride; Unsupported for other ranks than 2."""
    kernel, stride = tuple(extents(one, "M")), tuple(extents(one, "k"))
    if len(kernel) != 2:
        raise Unsupported(f"no counterpart of {one.label} with rank {len(kernel)}")
    return kernel, stride


def _places(w: Array) -> Array:
    maps, below, *axes = w.shape
    return np.ascontiguousarray(
        w.transpose(2, 3, 1, 4, 5, 0).reshape(axes[0] * axes[1], below * axes[2] * axes[3], maps)
    )


def _from_places(shape: tuple[int, ...]) -> Callable[[Array], Array]:
    maps, below, x0, x1, m0, m1 = shape
    return lambda g: g.reshape(x0, x1, below, m0, m1, maps).transpose(5, 2, 0, 1, 3, 4)


# -------------------------------------------------------------------------------------------------- products
def _bilinear_function(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y = _one_place(one, y)
        return F.bilinear(y, y, p["w"]).unsqueeze(2)

    return step


def _bilinear_outer(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, w = _one_place(one, y), p["w"]
        return F.linear((y.unsqueeze(2) * y.unsqueeze(1)).flatten(1), w.flatten(1)).unsqueeze(2)

    return step


def _bilinear_two_steps(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, w = _one_place(one, y), p["w"]
        inner = F.linear(y, w.flatten(0, 1)).unflatten(1, w.shape[:2])
        return (inner * y.unsqueeze(1)).sum(2, keepdim=True)

    return step


def _one_place(one: Layer, y: Any) -> Any:
    """The maps of a single coordinate; Unsupported where there are more."""
    if prod(y.shape[2:]) != 1:
        raise Unsupported(f"no counterpart of {one.label} with several coordinates")
    return y.flatten(1)


# ----------------------------------------------------------------------------------------------------- styles
FAMILIES: Mapping[str, Callable[[Layer], Step]] = {
    "convolution": _convolution, "max_pooling": _max_pooling, "dense": _affine, "softmax": _affine,
    "subsampling": _subsampling, "vanilla_subsampling": _vanilla_subsampling,
    "radial_basis": _radial_basis_expanded, "linear_combination": _linear_combination,
    "depthwise": _depthwise, "transposed_convolution": _transposed_convolution,
    "average_pooling": _average_pooling, "gated": _gated, "maxout": _maxout,
    "locally_connected": _locally_connected_einsum, "bilinear": _bilinear_two_steps,
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """One way of writing a layer.

    step: what computes it.
    packs: by parameter, its way into a layout of its own and back.
    compiled: whether compiling it is worth the time.
    channels_last: whether images lie channels last.
    """

    step: Callable[[Layer], Step]
    packs: Mapping[str, Callable[[tuple[int, ...]], Pack]] = field(default_factory=dict)
    compiled: bool = True
    channels_last: bool = False


STYLES: Mapping[str, Mapping[str, Style]] = {
    "radial_basis": {"cdist": Style(_radial_basis_cdist), "expanded": Style(_radial_basis_expanded)},
    "locally_connected": {
        "unfold, bmm": Style(_locally_connected_bmm, {"w": lambda shape: (_places, _from_places(shape))}),
        "einsum": Style(_locally_connected_einsum, compiled=False),
    },
    "bilinear": {
        "nn.functional.bilinear": Style(_bilinear_function, compiled=False),
        "outer product, linear": Style(_bilinear_outer),
        "linear, product, sum": Style(_bilinear_two_steps),
    },
    "convolution": {
        "": Style(_convolution),
        "channels last": Style(_convolution, compiled=False, channels_last=True),
    },
}


def styles(layers: Sequence[Layer]) -> tuple[str, Mapping[str, Style]]:
    """The family whose layers are written in several ways, and these ways.

    It is the first of the network that has some; channels lie last in images, which have two coordinates.
    """
    image = layers[0].below.rank == 2
    for one in layers:
        known = {
            name: style
            for name, style in STYLES.get(one.spec.family, {}).items()
            if image or not style.channels_last
        }
        if len(known) > 1:
            return one.spec.family, known
    family = layers[0].spec.family
    return family, {"": Style(FAMILIES.get(family, _affine))}

"""PyTorch as a peer: every form of a network that a person might write, eager or compiled."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..runtime.layer import Layer
from .subject import Array, Form, Results, Step, Subject, gathered, geometry, passed, window
from .works import Work

Pack = tuple[Callable[[Array], Array], Callable[[Array], Array]]

ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda z: z,
    "tanh": torch.tanh,
    "scaled_tanh": lambda z: 1.7159 * torch.tanh(z * (2 / 3)),
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
}


# -------------------------------------------------------------------------------------------------------------- layers
def _convolution(one: Layer) -> Step:
    stride, padding, dilation = geometry(one)
    return lambda p, y: F.conv2d(y, p["w"], p.get("b"), stride, padding, dilation)


def _max_pooling(one: Layer) -> Step:
    return lambda p, y: F.max_pool2d(y, window(one))


def _affine(one: Layer) -> Step:
    return lambda p, y: F.linear(y.flatten(1), p["w"], p.get("b"))


def _radial_basis_cdist(one: Layer) -> Step:
    return lambda p, y: torch.exp(-p["beta"] * torch.cdist(y.flatten(1), p["c"]).square())


def _radial_basis_expanded(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, c = y.flatten(1), p["c"]
        return torch.exp(-p["beta"] * (y.square().sum(1, keepdim=True) + c.square().sum(1) - 2 * y @ c.T))

    return step


def _locally_connected_bmm(one: Layer) -> Step:
    """Weights kept as ``(places, taps of all maps, maps)``."""
    kernel, stride = (tuple(int(one.sizes[f"{name}{r}"]) for r in range(2)) for name in ("M", "k"))
    shape = one.tensors[one.info.output].shape

    def step(p: Mapping[str, Any], y: Any) -> Any:
        patches = F.unfold(y, kernel, stride=stride).permute(2, 0, 1)
        return torch.bmm(patches, p["w"]).permute(1, 2, 0).reshape(-1, *shape) + p["b"]

    return step


def _locally_connected_einsum(one: Layer) -> Step:
    kernel, stride = (tuple(int(one.sizes[f"{name}{r}"]) for r in range(2)) for name in ("M", "k"))

    def step(p: Mapping[str, Any], y: Any) -> Any:
        patches = y.unfold(2, kernel[0], stride[0]).unfold(3, kernel[1], stride[1])
        return torch.einsum("njxyuv,ijxyuv->nixy", patches, p["w"]) + p["b"]

    return step


def _places(w: Array) -> Array:
    maps, below, *axes = w.shape
    return np.ascontiguousarray(w.transpose(2, 3, 1, 4, 5, 0).reshape(axes[0] * axes[1], below * axes[2] * axes[3], maps))


def _from_places(shape: tuple[int, ...]) -> Callable[[Array], Array]:
    maps, below, x0, x1, m0, m1 = shape
    return lambda g: g.reshape(x0, x1, below, m0, m1, maps).transpose(5, 2, 0, 1, 3, 4)


def _bilinear_function(one: Layer) -> Step:
    return lambda p, y: F.bilinear(y.flatten(1), y.flatten(1), p["w"]).unsqueeze(2)


def _bilinear_outer(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, w = y.flatten(1), p["w"]
        return F.linear((y.unsqueeze(2) * y.unsqueeze(1)).flatten(1), w.flatten(1)).unsqueeze(2)

    return step


def _bilinear_two_steps(one: Layer) -> Step:
    def step(p: Mapping[str, Any], y: Any) -> Any:
        y, w = y.flatten(1), p["w"]
        inner = F.linear(y, w.flatten(0, 1)).unflatten(1, w.shape[:2])
        return (inner * y.unsqueeze(1)).sum(2, keepdim=True)

    return step


FAMILIES: Mapping[str, Callable[[Layer], Step]] = {
    "convolution": _convolution, "max_pooling": _max_pooling, "dense": _affine, "softmax": _affine,
}  # fmt: skip


@dataclass(frozen=True)
class Style:
    """One way of writing a layer: its step, parameters in a layout of their own, whether compiling it is worth the time."""

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
    "convolution": {"": Style(_convolution), "channels last": Style(_convolution, compiled=False, channels_last=True)},
}


# --------------------------------------------------------------------------------------------------------------- forms
def versions() -> str:
    """What runs."""
    return f"PyTorch {torch.__version__}"


def prepare(work: Work, folders: Sequence[str], threads: int, compiled: bool = False) -> dict[str, Form]:
    """A form per style of the first layer."""
    torch.set_num_threads(threads)
    subject = Subject.of(work, folders)
    family = subject.network.layers[0].spec.family
    styles = STYLES.get(family, {"": Style(FAMILIES.get(family, _affine))})
    chosen = {name: style for name, style in styles.items() if style.compiled or not compiled}
    return {name: _Side(subject, family, style, compiled).form() for name, style in chosen.items()}


class Compiled:
    """``torch.compile`` with its default backend (inductor), which needs a C++ compiler on CPUs."""

    @staticmethod
    def versions() -> str:
        """What runs."""
        return f"{versions()}, inductor, {os.environ.get('CXX', 'g++')}"

    @staticmethod
    def prepare(work: Work, folders: Sequence[str], threads: int) -> dict[str, Form]:
        """As ``prepare``, compiled for exactly these shapes."""
        return prepare(work, folders, threads, compiled=True)


class _Side:
    def __init__(self, subject: Subject, family: str, style: Style, compiled: bool) -> None:
        self.subject = subject
        self.unpack: list[Callable[[Array], Array]] = []
        self.leaves = [self._leaf(style, owner, name, value) for owner, name, value in subject.leaves()]
        self.inputs, self.targets, self.delta = (torch.from_numpy(a) for a in (subject.inputs, subject.targets, subject.delta))
        if style.channels_last:
            self.inputs = self.inputs.contiguous(memory_format=torch.channels_last)
        chain = subject.chain({**FAMILIES, family: style.step}, ACTIVATIONS)
        mode, loss = subject.work.mode, subject.work.case.loss
        if mode == "pass":
            self.inputs.requires_grad_()
        softmax = subject.network.layers[-1].spec.family == "softmax"

        def value(leaves: Sequence[Any], x: Any, t: Any) -> Any:
            y = chain(leaves, x)
            if loss == "ce":
                return F.cross_entropy(y, t, reduction="sum")
            return 0.5 * (y.flatten(1) - t).square().sum()

        def outputs(leaves: Sequence[Any], x: Any) -> Any:
            y = chain(leaves, x)
            return torch.softmax(y, 1) if softmax else y

        function: Callable[..., Any] = value if mode == "gradient" else outputs
        self.function = torch.compile(function, dynamic=False) if compiled else function
        self.found: tuple[Any, ...] = ()

    def _leaf(self, style: Style, owner: int, name: str, value: Array) -> Any:
        pack, unpack = style.packs[name](value.shape) if owner == 0 and name in style.packs else (np.array, lambda g: g)
        self.unpack.append(unpack)
        leaf = torch.from_numpy(pack(value))
        if style.channels_last and leaf.dim() == 4:
            leaf = leaf.contiguous(memory_format=torch.channels_last)
        return leaf.requires_grad_()

    def form(self) -> Form:
        """The calls of this side."""
        return Form({"gradient": self._gradient, "pass": self._pass}.get(self.subject.work.mode, self._forward), self._results)

    def _gradient(self) -> None:
        value = self.function(self.leaves, self.inputs, self.targets)
        self.found = (value.item(), torch.autograd.grad(value, self.leaves))

    def _forward(self) -> None:
        with torch.no_grad():
            self.found = (self.function(self.leaves, self.inputs),)

    def _pass(self) -> None:
        y = self.function(self.leaves, self.inputs)
        self.found = (y, torch.autograd.grad(y, [self.inputs, *self.leaves], self.delta.view(y.shape)))

    def _results(self) -> Results:
        mode = self.subject.work.mode
        if mode == "gradient":
            return gathered(self.found[0], self._arrays(self.found[1]))
        outputs = self.found[0].detach().contiguous().numpy()
        if mode != "pass":
            return {"outputs": outputs.reshape(len(outputs), -1)}
        below, *gradients = self.found[1]
        return passed(outputs, below.contiguous().numpy(), self._arrays(gradients))

    def _arrays(self, gradients: Sequence[Any]) -> list[Array]:
        return [unpack(g.contiguous().numpy()) for unpack, g in zip(self.unpack, gradients, strict=True)]

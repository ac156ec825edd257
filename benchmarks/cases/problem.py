"""What every peer computes with: the same network, parameters, samples and deltas; and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.network.network import Network
from ...runtime.program.layer import Layer
from .cases import Case

Array = npt.NDArray[Any]
Results = dict[str, Array]
Step = Callable[[Mapping[str, Any], Any], Any]
"""A layer in a library's tensors: parameters by name and the input give phi(Z) (Z for a softmax)."""


class Unsupported(Exception):
    """A case that a peer has no counterpart for; the message says which part."""


@dataclass(frozen=True)
class PeerForm:
    """One way in which a peer computes a case; ``results`` gives what ``call`` computes as arrays."""

    call: Callable[[], object]
    results: Callable[[], Results]


@dataclass(frozen=True)
class Problem:
    """A case with its numbers, float32 unless ``in_double`` made them wider.

    parameters: flat, in the network's order.
    inputs: ``(N, *shape)``.
    targets, delta: ``(N, units)``.
    """

    case: Case
    network: Network
    parameters: Array
    inputs: Array
    targets: Array
    delta: Array

    @classmethod
    def of(
        cls, case: Case, folders: Sequence[str], backend: str = "numpy", device: str | None = None
    ) -> Problem:
        """``folders``: generated folders with the layers that phiz does not come with."""
        network = case.model.network(backend, manifests=folders, device=device)
        inputs, targets = case.model.samples(case.batch)
        shape = case.batch, network.output_shape.units
        delta = np.random.default_rng(7).standard_normal(shape, dtype=np.float32)
        return cls(case, network, network.parameters, inputs, targets, delta)

    def leaves(self) -> list[tuple[int, str, Array]]:
        """Layer, name and value of every parameter, in order."""
        pieces = self.network.slices
        return [(s.layer, s.name, self.parameters[s.offset : s.stop].reshape(s.extent.shape)) for s in pieces]

    def in_double(self) -> Problem:
        """The same numbers in float64, for whoever computes without the network."""
        numbers = {
            name: getattr(self, name).astype(np.float64)
            for name in ("parameters", "inputs", "targets", "delta")
        }
        return replace(self, **numbers)

    def chain(
        self, families: Mapping[str, Callable[[Layer], Step]], activations: Mapping[str, Any]
    ) -> Callable[..., Any]:
        """``f(leaves, inputs)``: the layers in a library's tensors; Unsupported where it lacks one."""
        steps: list[Step] = []
        for one in self.network.layers:
            if one.spec.family not in families or one.activation.name not in activations:
                raise Unsupported(f"no counterpart of {one.label}")
            steps.append(families[one.spec.family](one))
        phis = [activations[one.activation.name] for one in self.network.layers]
        owners = [(index, name) for index, name, _ in self.leaves()]

        def run(leaves: Sequence[Any], y: Any) -> Any:
            for index, step in enumerate(steps):
                mine = {
                    name: leaf for (owner, name), leaf in zip(owners, leaves, strict=True) if owner == index
                }
                y = phis[index](step(mine, y))
            return y

        return run


def extents(one: Layer, name: str) -> list[int]:
    """A size of a layer in every coordinate of its input: its strides, its windows."""
    return [int(one.sizes[f"{name}{r}"]) for r in range(one.input.rank)]


def padding(one: Layer) -> tuple[list[int], list[int]]:
    """The padding below and above in every coordinate."""
    return extents(one, "p"), extents(one, "q")


def geometry(one: Layer) -> tuple[list[int], list[int], list[int]]:
    """Stride, padding and dilation of a convolution of rank 2, padded alike below and above."""
    low, high = padding(one)
    if one.input.rank != 2:
        raise Unsupported(f"rank {one.input.rank} of {one.label}")
    if low != high:
        raise Unsupported(f"asymmetric padding of {one.label}")
    return extents(one, "k"), low, extents(one, "d")


def window(one: Layer) -> list[int]:
    """The window of a pooling layer."""
    return extents(one, "K")


def gathered(value: object, gradients: Sequence[Array]) -> Results:
    """The results of mode "gradient"."""
    return {
        "value": np.array([value], np.float64),
        "gradient": np.concatenate([np.ravel(g) for g in gradients]),
    }


def passed(outputs: Array, below: Array, gradients: Sequence[Array]) -> Results:
    """The results of mode "pass"."""
    flat = np.concatenate([np.ravel(g) for g in gradients])
    return {
        "outputs": outputs.reshape(len(outputs), -1),
        "input gradient": below.reshape(len(below), -1),
        "gradient": flat,
    }

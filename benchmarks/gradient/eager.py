"""The same network, loss and parameters in PyTorch, run eagerly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.network.network import Network
from ...runtime.program.layer import Layer

Array = npt.NDArray[Any]


class TorchTwin:
    """PyTorch's copy of ``network`` at ``parameters``; ``threads`` for its own thread pool."""

    def __init__(self, network: Network, parameters: Array, inputs: Array, targets: Array, threads: int) -> None:
        import torch

        torch.set_num_threads(threads)
        self.torch, self.network = torch, network
        self.leaves = [
            torch.tensor(parameters[s.offset : s.stop].reshape(s.extent.shape), requires_grad=True) for s in network.slices
        ]
        self.inputs, self.targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        named = {(s.layer, s.name): leaf for s, leaf in zip(network.slices, self.leaves, strict=True)}
        self.steps = [self._step(one, named) for one in network.layers]

    def _step(self, one: Layer, named: dict[tuple[int, str], Any]) -> Callable[[Any], Any]:
        functional = self.torch.nn.functional
        phi = {
            "linear": lambda z: z,
            "tanh": self.torch.tanh,
            "scaled_tanh": lambda z: 1.7159 * self.torch.tanh(z * (2 / 3)),
            "relu": functional.relu,
            "sigmoid": self.torch.sigmoid,
        }[one.activation.name]
        w, b = named.get((one.index, "w")), named.get((one.index, "b"))
        match one.spec.family:
            case "convolution":
                stride, padding, dilation = ([int(one.sizes[f"{n}{r}"]) for r in range(2)] for n in ("k", "p", "d"))
                return lambda y: phi(functional.conv2d(y, w, b, stride, padding, dilation))
            case "max_pooling":
                window = [int(one.sizes[f"K{r}"]) for r in range(2)]
                return lambda y: phi(functional.max_pool2d(y, window))
            case "dense" | "softmax":  # cross_entropy below takes what softmax would exponentiate
                return lambda y: phi(functional.linear(y.flatten(1), w, b))
        raise ValueError(f"no PyTorch counterpart for {one.label}")

    def value_and_gradient(self) -> float:
        """E, summed over the samples; the gradient is left in ``leaves``."""
        for leaf in self.leaves:
            leaf.grad = None
        y = self.inputs
        for step in self.steps:
            y = step(y)
        loss = self.torch.nn.functional.cross_entropy(y, self.targets, reduction="sum")
        loss.backward()
        return float(loss.item())

    def gradient(self) -> npt.NDArray[np.float64]:
        """The last gradient in phiz's order, flat, float64."""
        found = [leaf.grad for leaf in self.leaves]
        return np.concatenate([grad.numpy().ravel() for grad in found if grad is not None]).astype(np.float64)


def torch_version() -> str | None:
    """The version of PyTorch, None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    return str(torch.__version__)

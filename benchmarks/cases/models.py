"""The networks and data that are measured, the same for every peer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ...runtime.backend import Backend
from ...runtime.data.datasets import load
from ...runtime.network.architectures import NAMED
from ...runtime.network.network import Network
from ...runtime.program.layer import LayerSpec, layer

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Model:
    """A network, the batches to measure, and what its inputs look like.

    data: "digits" for scikit-learn's images (repeated where a batch is larger), "noise" for seeded uniform
    pixels.
    outputs: numbers a sample.
    micro_batch: for models that are to run in one pass whatever the device's cache holds.
    definition: the file of ``tests/layers`` that defines a layer of the model; "" for layers that come with
    phiz.
    """

    name: str
    layers: tuple[LayerSpec, ...]
    input_shape: Any
    batches: tuple[int, ...]
    data: str = "noise"
    outputs: int = 10
    loss: str = "ce"
    micro_batch: int | None = None
    definition: str = ""

    def network(
        self,
        backend: str | Backend = "opencl",
        micro_batch: int | None = None,
        manifests: Sequence[str] = (),
        device: str | None = None,
    ) -> Network:
        """The phiz network, float32, seed 0; ``manifests`` holds the generated folder of the
        ``definition``.
        """
        return Network(
            self.layers,
            self.input_shape,
            self.loss,
            backend=backend,
            dtype="float32",
            seed=0,
            micro_batch=micro_batch or self.micro_batch,
            manifests=manifests,
            device=device,
        )

    def at(self, batch: int) -> Model:
        """This model for another batch."""
        return self if self.micro_batch is None else replace(self, micro_batch=batch)

    def samples(self, count: int) -> tuple[Array, Array]:
        """Inputs ``(count, *input shape)`` and targets ``(count, outputs)``, float32: one-hot, or any
        where the loss is "mse".
        """
        if self.data == "digits":
            digits = load("digits", "float32")
            chosen = np.arange(count) % len(digits)
            return digits.inputs[chosen], digits.targets[chosen]
        random = np.random.default_rng(count)
        shape = self.input_shape if isinstance(self.input_shape, tuple) else (self.input_shape,)
        inputs = random.random((count, *shape), dtype=np.float32)
        if self.loss == "mse":
            return inputs, random.random((count, self.outputs), dtype=np.float32)
        return inputs, np.eye(self.outputs, dtype=np.float32)[random.integers(0, self.outputs, count)]


LENET = (
    layer("convolution", maps=6, kernel=5, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=16, kernel=5, activation="tanh"),
    layer("max_pooling", window=2),
    layer("dense", maps=120, activation="tanh"),
    layer("dense", maps=84, activation="tanh"),
    layer("softmax", maps=10),
)
DENSE = (
    layer("dense", maps=300, activation="tanh"),
    layer("dense", maps=100, activation="tanh"),
    layer("softmax", maps=10),
)

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model("lenet", LENET, (1, 28, 28), (16, 128, 1024)),
        Model("digits", NAMED["lenet-digits"].build(10, True), (1, 8, 8), (1347,), data="digits"),
        Model("dense", DENSE, 784, (128,)),
    )
}

"""Small splits and networks for the tests of training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from phiz.runtime.data.datasets import Dataset, from_arrays, load
from phiz.runtime.data.split import Split, split
from phiz.runtime.network.architectures import architecture
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import layer


def digits(samples: int = 90, validation: float = 0.2, seed: int = 0, dtype: str = "float32") -> Split:
    """The first digits at 4x4 pixels, split."""
    data = load("digits", dtype).subset(np.arange(samples))
    coarse = data.inputs.reshape(samples, 1, 4, 2, 4, 2).mean(axis=(3, 5), dtype=dtype)
    data = replace(data, inputs=coarse)
    return split(data, test=0.25, validation=validation, seed=seed)


def regression(samples: int = 40, dtype: str = "float64") -> Dataset:
    """A smooth function of two features, one target."""
    random = np.random.default_rng(1)
    inputs = random.uniform(-1, 1, size=(samples, 2))
    return from_arrays(inputs, np.sin(2 * inputs[:, :1]) * inputs[:, 1:], dtype)


def network(
    parts: Split, name: str = "linear", backend: str = "numpy", seed: int = 0, **options: Any
) -> Network:
    """A named network for ``parts``, in the dtype of the data."""
    chosen = architecture(name, parts.train)
    return Network(
        chosen.layers,
        chosen.input_shape,
        chosen.loss,
        backend,
        str(parts.train.inputs.dtype),
        seed,
        **options,
    )


def small(dtype: str = "float64", loss: str = "ce", outputs: int = 3) -> Network:
    """Four features, a hidden layer of three, outputs that the loss admits."""
    heads = {
        "ce": layer("softmax", maps=outputs),
        "mse": layer("dense", maps=outputs),
        "binary_ce": layer("dense", maps=outputs, activation="sigmoid"),
    }
    return Network([layer("dense", maps=3, activation="tanh"), heads[loss]], 4, loss, "numpy", dtype, seed=3)

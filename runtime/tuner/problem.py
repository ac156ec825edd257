"""The network whose kernels are tuned.

A user names a network, a file, or one layer at given sizes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..backend import Backend, Request
from ..data.datasets import Dataset, load
from ..errors import PhizError, ShapeError
from ..manifest.records import Manifest
from ..network.architectures import NAMED, architecture, stated_shape
from ..network.network import Network
from ..program.layer import LayerSpec, layer

#: Shapes that a named network is given where the user names none: the digits' first.
IMAGES = ((1, 8, 8), (1, 28, 28))
OUTPUTS = 10
DEFAULT_NETWORK = "lenet-digits"

PathLike = str | os.PathLike[str]


def named_network(
    source: PathLike | None,
    backend: Backend,
    dtype: str = "float32",
    shape: tuple[int, ...] | None = None,
    outputs: int = OUTPUTS,
    data: str | None = None,
    manifests: Sequence[PathLike] | Manifest = (),
) -> Network:
    """The network ``source``, a name or a file; by default that for the digits.

    It stands on inputs of ``shape``, or on the samples of ``data``.

    Without both, a file says its ``input_shape`` itself, and a name is tried on images of 8x8 and 28x28.
    Raises PhizError.
    """
    name = str(source or DEFAULT_NETWORK)
    if data is not None:
        return _on(name, load(data, dtype), backend, dtype, manifests)
    stated = stated_shape(Path(name)) if shape is None and name not in NAMED else None
    shapes = [shape or stated] if shape or stated else list(IMAGES)
    for tried in shapes[:-1]:
        try:
            return _on(name, _blank(tried, outputs, dtype), backend, dtype, manifests)
        except ShapeError:
            continue
    return _on(name, _blank(shapes[-1], outputs, dtype), backend, dtype, manifests)


def _on(
    name: str, data: Dataset, backend: Backend, dtype: str, manifests: Sequence[PathLike] | Manifest
) -> Network:
    found = architecture(name, data)
    return Network(found.layers, found.input_shape, found.loss, backend, dtype, manifests=manifests)


def _blank(shape: Any, outputs: int, dtype: str) -> Dataset:
    """One sample of a shape: what an architecture asks of its data."""
    targets = np.zeros((1, outputs), dtype)
    targets[0, 0] = 1
    labels, classes = np.zeros(1, np.int64), tuple(map(str, range(outputs)))
    return Dataset("input", np.zeros((1, *shape), dtype), targets, labels, "classification", classes)


def layer_network(
    text: str,
    shape: tuple[int, ...],
    backend: Backend,
    dtype: str = "float32",
    manifests: Sequence[PathLike] | Manifest = (),
) -> Network:
    """One layer alone, ``"convolution maps=64 kernel=3 padding=1"``, on inputs of ``shape``.

    Raises PhizError.
    """
    return Network([parsed_layer(text)], shape, "mse", backend, dtype, manifests=manifests)


def parsed_layer(text: str) -> LayerSpec:
    """``FAMILY NAME=VALUE ...``; values are JSON, or text.  Raises PhizError."""
    family, *words = text.split() or [""]
    keywords: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name and equals):
            raise PhizError(f"--layer {text!r}: expected NAME=VALUE, got {word!r}")
        try:
            keywords[name] = json.loads(value)
        except ValueError:
            keywords[name] = value
    return layer(family, **keywords)


def request(network: Network, sample_gradients: bool = False) -> Request:
    """What is tuned: a gradient with its value; of a single layer the delta of its input as well."""
    return Request(
        losses=True,
        gradients="sample" if sample_gradients else "sum",
        input_gradient=len(network.layers) == 1,
    )

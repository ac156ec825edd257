"""Networks by name, and networks from a JSON or TOML file, which is read and never run."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.datasets import Dataset
from ..errors import PhizError, ShapeError
from ..files import as_path, exists, read_regular, reason
from ..nearest import did_you_mean
from ..program.layer import LayerSpec, layer
from ..schema.check import checked

if TYPE_CHECKING:
    from ..schema.network_file import NetworkFile

LARGEST_SMALL_IMAGE = 15
"""If no network is named, images of up to this many pixels a side get the network for 8x8 digits."""


@dataclass(frozen=True)
class Architecture:
    """All that ``Network`` needs: layers and a loss, for samples of shape ``input_shape``."""

    name: str
    layers: tuple[LayerSpec, ...]
    loss: str
    input_shape: tuple[Any, ...]


@dataclass(frozen=True)
class Named:
    """A network that comes with phiz.

    ``build``: gives its layers; called as ``build(outputs, classification)``.
    ``images``: whether it takes images only.
    """

    summary: str
    build: Callable[[int, bool], tuple[LayerSpec, ...]]
    images: bool = False
    tasks: tuple[str, ...] = ("classification", "regression")


def _head(outputs: int, classification: bool) -> LayerSpec:
    """The last layer: softmax (equation 25) for classes, a linear layer for quantities."""
    return layer("softmax" if classification else "dense", maps=outputs)


def _lenet_digits(outputs: int, classification: bool) -> tuple[LayerSpec, ...]:
    return (
        layer("convolution", maps=8, kernel=3, padding=1, activation="tanh"),
        layer("convolution", maps=12, kernel=3, activation="tanh"),
        layer("max_pooling", window=2),
        _head(outputs, classification),
    )


def _lenet_digits_small(outputs: int, classification: bool) -> tuple[LayerSpec, ...]:
    return (
        layer("convolution", maps=8, kernel=3, padding=1, activation="tanh"),
        layer("convolution", maps=8, kernel=3, padding=1, activation="tanh"),
        layer("max_pooling", window=2),
        _head(outputs, classification),
    )


def _lenet(outputs: int, classification: bool) -> tuple[LayerSpec, ...]:
    return (
        layer("convolution", maps=6, kernel=5, padding=2, activation="scaled_tanh"),
        layer("subsampling", window=2, activation="scaled_tanh"),
        layer("convolution", maps=16, kernel=5, activation="scaled_tanh"),
        layer("subsampling", window=2, activation="scaled_tanh"),
        layer("dense", maps=120, activation="scaled_tanh"),
        layer("dense", maps=84, activation="scaled_tanh"),
        _head(outputs, classification),
    )


def _mlp(hidden: int, activation: str) -> Callable[[int, bool], tuple[LayerSpec, ...]]:
    return lambda outputs, classification: (
        layer("dense", maps=hidden, activation=activation),
        _head(outputs, classification),
    )


NAMED: dict[str, Named] = {
    "lenet-digits": Named(
        "two convolutions and max pooling for 8x8 images, 2,046 parameters with 10 classes",
        _lenet_digits,
        True,
    ),
    "lenet-digits-small": Named(
        "the same with eight maps twice, 1,954 parameters", _lenet_digits_small, True
    ),
    "lenet": Named("the classical LeNet for 28x28 images, 61,750 parameters with 10 classes", _lenet, True),
    "mlp-digits": Named("one hidden layer of 64, 4,810 parameters on 8x8 digits", _mlp(64, "tanh")),
    "mlp": Named("one hidden layer of 16 tanh units", _mlp(16, "tanh")),
    "linear": Named("no hidden layer: softmax or linear regression", lambda n, c: (_head(n, c),)),
}


def default_network(data: Dataset) -> str:
    """The name of the network for ``data`` if the user names none; it depends on the shape of a sample."""
    if len(data.sample_shape) != 3:
        return "mlp"
    return "lenet-digits" if min(data.sample_shape[1:]) <= LARGEST_SMALL_IMAGE else "lenet"


def architecture(source: str | os.PathLike[str], data: Dataset) -> Architecture:
    """The network ``source``, for the samples of ``data``.

    ``source`` is a name in ``NAMED`` or the path of a JSON or TOML file.  A file has these entries:

    ``layers``: a list of tables; in each, ``layer`` is the family and the rest are its keywords
        (``activation``, ``name``, ``connections``, ...).
    ``loss``: the name of a loss (default: ce for classes, mse for quantities).
    ``input_shape``: optional; the shape of a sample.

    ``Network`` checks later whether the layers fit.  Raises: PhizError that names the file and the place.
    """
    path = as_path(source, "network")
    name = str(source)
    if name in NAMED:
        return _named(name, data)
    if path.suffix.lower() not in (".json", ".toml") and not exists(path):
        raise PhizError(
            f"network {name!r}: expected one of {', '.join(NAMED)}, or a .json or .toml file"
            f"{did_you_mean(name, NAMED)}"
        )
    return _from_record(path, _read(path), data)


def stated_shape(path: Path) -> tuple[Any, ...] | None:
    """The ``input_shape`` that a network file states; None if the file leaves it to the data.

    Raises: PhizError if the file cannot be read.
    """
    if path.suffix.lower() not in (".json", ".toml") and not exists(path):
        raise PhizError(
            f"network {str(path)!r}: expected one of {', '.join(NAMED)}, or a .json or .toml file"
        )
    shape = _checked(path, _read(path)).input_shape
    if shape is None:
        return None
    listed = _listed(shape)
    return listed if isinstance(listed, tuple) else (listed,)


def _named(name: str, data: Dataset) -> Architecture:
    entry = NAMED[name]
    if entry.images and len(data.sample_shape) != 3:
        raise PhizError(
            f"network {name}: expected images (maps, height, width), {data.name} has samples "
            f"{data.sample_shape}"
        )
    classification = data.task == "classification"
    layers = entry.build(data.targets.shape[1], classification)
    return Architecture(name, layers, "ce" if classification else "mse", data.sample_shape)


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix.lower() not in (".json", ".toml"):
        raise PhizError(
            f"{path}: expected a network in a .json or .toml file, got {path.suffix or 'no suffix'}"
        )
    try:
        text = read_regular(path).decode("utf-8")
        record = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except OSError as error:
        raise PhizError(f"{path}: expected a readable network file, got: {reason(error)}") from error
    except (ValueError, RecursionError) as error:
        raise PhizError(f"{path}: expected {path.suffix[1:].upper()}, got: {reason(error)}") from error
    if not isinstance(record, dict):
        raise PhizError(f"{path}: expected a table with 'layers', got {type(record).__name__}")
    return record


def _from_record(path: Path, record: Mapping[str, Any], data: Dataset) -> Architecture:
    file = _checked(path, record)
    if not file.layers:
        raise PhizError(f"{path}: layers: expected a list of layers, got none")
    layers = tuple(_layer(path, index, entry) for index, entry in enumerate(file.layers))
    loss = file.loss or ("ce" if data.task == "classification" else "mse")
    shape = _listed(data.sample_shape if file.input_shape is None else file.input_shape)
    if not isinstance(shape, tuple):
        shape = (shape,)
    if shape != data.sample_shape:
        raise PhizError(f"{path}: input_shape is {shape}, {data.name} has samples {data.sample_shape}")
    return Architecture(file.name or path.stem, layers, loss, shape)


def _checked(path: Path, record: Mapping[str, Any]) -> NetworkFile:
    from ..schema.network_file import NetworkFile

    return checked(record, NetworkFile, str(path))


def _layer(path: Path, index: int, entry: Mapping[str, Any]) -> LayerSpec:
    if "family" in entry:
        raise PhizError(f"{path}: layer {index}: unknown entry 'family', the family stands in 'layer'")
    try:
        spec = LayerSpec.from_dict(entry)
        spec.require_types(f"layer {index}")
        return spec
    except ShapeError as error:
        named = str(error).startswith(f"layer {index}")
        raise PhizError(f"{path}: {'' if named else f'layer {index}: '}{error}") from None


def _listed(value: Any) -> Any:
    return tuple(_listed(entry) for entry in value) if isinstance(value, list | tuple) else value

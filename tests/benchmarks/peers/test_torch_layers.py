"""PyTorch's counterparts of layers, of every rank, beside phiz's NumPy kernels; skipped without PyTorch.

Slow because kernels of the tests' definitions are derived and generated once.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.benchmarks.cases.cases import DEFINITIONS, Case, Mode
from phiz.benchmarks.cases.models import Model
from phiz.benchmarks.cases.problem import Problem
from phiz.benchmarks.comparison.agreement import TOLERANCE, difference
from phiz.benchmarks.comparison.definitions import generate_into
from phiz.benchmarks.peers.own import Reference
from phiz.runtime.program.layer import LayerSpec, layer

IMAGES = {1: (2, 13), 2: (2, 9, 11), 3: (2, 7, 6, 8)}
FLAT = (
    layer("radial_basis", maps=4, activation="tanh"),
    layer("linear_combination", maps=5),
    layer("radial_basis", maps=3, radius="norm"),
    layer("softmax", maps=3),
)
USERS = ("gated", "maxout", "depthwise", "average_pooling", "transposed_convolution", "locally_connected")


def stack(rank: int) -> tuple[LayerSpec, ...]:
    """Every built-in layer with coordinates, padded alike and unlike."""
    return (
        layer("convolution", maps=3, kernel=3, padding_low=2, padding_high=1, activation="tanh"),
        layer("subsampling", window=2),
        layer(
            "convolution", maps=4, kernel=[2] * rank, stride=1, padding=1, dilation=2, activation="sigmoid"
        ),
        layer("max_pooling", window=2),
        layer("vanilla_subsampling", window=2),
        layer("dense", maps=3, bias=False),
    )


def users(rank: int) -> tuple[LayerSpec, ...]:
    """Layers of the tests; one of rank 2 alone is among them there."""
    own = (layer("locally_connected", maps=3, kernel=2, stride=2),) if rank == 2 else ()
    return (
        layer("convolution", maps=3, kernel=3, padding=1, activation="tanh"),
        layer("depthwise", kernel=3, stride=2, padding_low=1, padding_high=2),
        layer("transposed_convolution", maps=2, kernel=3, stride=2),
        layer("average_pooling", window=2, stride=1),
        *own,
        layer("gated", maps=6),
        layer("maxout", maps=5, pieces=3),
        layer("softmax", maps=3),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    place: Path = tmp_path_factory.mktemp("users")
    generate_into(place, [DEFINITIONS / f"{name}.py" for name in USERS])
    return str(place)


def check(layers: tuple[LayerSpec, ...], shape: Any, folders: list[str], mode: Mode) -> None:
    """All forms agree, and so does float64, to as many digits as float32 has."""
    peer = pytest.importorskip("phiz.benchmarks.peers.pytorch", exc_type=ImportError)
    loss = "ce" if layers[-1].family == "softmax" else "mse"
    case = Case(Model("drawn", layers, shape, (5,), outputs=3, loss=loss), 5, mode, "t")
    reference = Reference.prepare(case, folders, 1)[""]
    reference.call()
    expected = reference.results()
    pieces = [slice(s.offset, s.stop) for s in Problem.of(case, folders).network.slices]
    found = {name: (form.call(), form.results())[1] for name, form in peer.prepare(case, folders, 1).items()}
    exact = peer.in_double(case, folders, 1)
    assert all(array.dtype == np.float64 for array in exact.values())
    for name, results in {**found, "in double": exact}.items():
        gap, where = difference(expected, results, pieces)
        assert gap < TOLERANCE / 2, (name, where)


@pytest.mark.parametrize("rank", IMAGES)
@pytest.mark.parametrize("mode", ["gradient", "predict"])
def test_layers_with_coordinates(rank: int, mode: Mode) -> None:
    check(stack(rank), IMAGES[rank], [], mode)


def test_flat_layers() -> None:
    check(FLAT, (11,), [], "gradient")


@pytest.mark.parametrize("rank", IMAGES)
def test_layers_of_users(rank: int, folder: str) -> None:
    check(users(rank), IMAGES[rank], [folder], "gradient")

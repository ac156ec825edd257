"""Activations behind layers that select: the same function and gradient, from loops and finite
differences, and when they move.
"""

from __future__ import annotations

from math import erf
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import LayerSpec, layer

SHAPE = (1, 7, 6)
PHI = {
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "gelu": np.vectorize(lambda z: z * (1 + erf(z / 2**0.5)) / 2),
}


def specs(phi: str, *above: LayerSpec) -> list[LayerSpec]:
    """A convolution with ``phi``, then ``above``."""
    return [layer("convolution", maps=2, kernel=2, activation=phi), *above]


def images(phi: str, family: str) -> list[LayerSpec]:
    return specs(phi, layer(family, window=2), layer("dense", maps=4, activation="tanh"))


def activations(chosen: list[LayerSpec]) -> list[str]:
    """Of the layers that are computed."""
    network = Network(chosen, SHAPE, "mse", backend="numpy", dtype="float64")
    assert [one.activation.name for one in network.layers] == [spec.activation for spec in chosen], (
        "the network is as it was given"
    )
    return [one.activation.name for one in network.program.layers]


def loops(parameters: np.ndarray, sample: np.ndarray, phi: str, family: str) -> np.ndarray:
    """One sample through convolution, phi, selection and dense layer, place by place, phi where it was
    written.
    """
    w, b = parameters[:8].reshape(2, 1, 2, 2), parameters[8:10]
    hidden = np.zeros((2, 6, 5))
    for i, x0, x1 in np.ndindex(hidden.shape):
        window = sample[:, x0 : x0 + 2, x1 : x1 + 2]
        hidden[i, x0, x1] = PHI[phi](np.sum(w[i] * window) + b[i])
    if family == "max_pooling":
        selected = np.array(
            [
                [[m[2 * x : 2 * x + 2, 2 * y : 2 * y + 2].max() for y in range(2)] for x in range(3)]
                for m in hidden
            ]
        )
    else:
        selected = hidden[:, ::2, ::2]
    flat = selected.reshape(-1)
    dense = parameters[10:]
    return np.tanh(dense[: 4 * flat.size].reshape(4, flat.size) @ flat + dense[4 * flat.size :])


@pytest.mark.quickly_built
@pytest.mark.parametrize("backend", ["numpy", "opencl"])
@pytest.mark.parametrize("family", ["max_pooling", "vanilla_subsampling"])
@pytest.mark.parametrize("phi", PHI)
def test_function_and_gradient_are_those_of_the_network_as_written(
    phi: str, family: str, backend: str
) -> None:
    random = np.random.default_rng(3)
    network = Network(images(phi, family), SHAPE, "mse", backend=backend, dtype="float64")
    parameters = random.normal(size=network.parameter_count) / 2
    inputs, targets = random.normal(size=(5, *SHAPE)), random.normal(size=(5, 4))

    def errors(values: np.ndarray, samples: np.ndarray = inputs) -> np.ndarray:
        outputs = np.array([loops(values, sample, phi, family) for sample in samples])
        return np.asarray(np.sum((outputs - targets) ** 2, axis=1) / 2)

    outputs = np.array([loops(parameters, sample, phi, family) for sample in inputs])
    np.testing.assert_allclose(network.forward(parameters, inputs), outputs, rtol=0, atol=1e-13)
    value, gradient = network.value_and_gradient(parameters, inputs, targets)
    np.testing.assert_allclose(value, errors(parameters).sum(), rtol=1e-12)
    shifts = 1e-5 * np.eye(network.parameter_count)
    rows = np.array([(errors(parameters + shift) - errors(parameters - shift)) / 2e-5 for shift in shifts]).T
    np.testing.assert_allclose(gradient, rows.sum(axis=0), rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        network.per_sample_gradients(parameters, inputs, targets), rows, rtol=0, atol=1e-8
    )
    below = network.input_gradient(parameters, inputs, targets)
    for place in [(0, 0, 0), (0, 3, 2), (0, 6, 5)]:
        shift = np.zeros(SHAPE)
        shift[place] = 1e-5
        expected = (errors(parameters, inputs + shift) - errors(parameters, inputs - shift)) / 2e-5
        np.testing.assert_allclose(below[(slice(None), *place)], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        pytest.param(images("tanh", "max_pooling"), ["linear", "tanh", "tanh"], id="largest"),
        pytest.param(
            images("gelu", "vanilla_subsampling"), ["linear", "gelu", "tanh"], id="one, whatever phi is"
        ),
        pytest.param(images("gelu", "max_pooling"), ["gelu", "linear", "tanh"], id="phi falls somewhere"),
        pytest.param(images("linear", "max_pooling"), ["linear", "linear", "tanh"], id="nothing to move"),
        pytest.param(
            images("tanh", "subsampling"), ["tanh", "linear", "tanh"], id="a weighted sum selects nothing"
        ),
        pytest.param(
            specs("tanh", layer("max_pooling", window=2, activation="relu"), layer("dense", maps=4)),
            ["tanh", "relu", "linear"],
            id="the place is taken",
        ),
        pytest.param(
            specs(
                "relu",
                layer("max_pooling", window=2),
                layer("vanilla_subsampling", window=2),
                layer("dense", maps=4),
            ),
            ["linear", "linear", "relu", "linear"],
            id="behind several",
        ),
        pytest.param(
            specs("tanh", layer("max_pooling", window=1), layer("dense", maps=4)),
            ["tanh", "linear", "linear"],
            id="none is left out",
        ),
        pytest.param(
            specs("tanh", layer("max_pooling", window=2)),
            ["tanh", "linear"],
            id="the loss reads the last one",
        ),
    ],
)
def test_when_an_activation_moves(chosen: list[LayerSpec], expected: list[str]) -> None:
    assert activations(chosen) == expected


def test_a_folder_that_says_nothing_of_selections(folder: Path) -> None:
    manifest = load_folder(folder, trust=True)
    assert manifest.layers["dense"].selects == "" and not manifest.activations["tanh"].increasing


def test_saturated_windows_have_no_gradient_and_no_error() -> None:
    """All phi(z) of a window are equal: z decides which one is the largest, and phi' is 0 there."""
    network = Network(images("relu", "max_pooling"), SHAPE, "mse", backend="opencl", dtype="float32")
    parameters = network.parameters.copy()
    parameters[8:10] = -100
    _, gradient = network.value_and_gradient(parameters, np.ones((3, *SHAPE)), np.ones((3, 4)))
    assert np.isfinite(gradient).all() and not gradient[:10].any() and gradient[10:].any()

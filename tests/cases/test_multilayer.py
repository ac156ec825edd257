"""Equations 13-41 with Tables 3 and 4: fully connected networks with every loss, and the softmax output."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import layer

from tests.cases.worked import ACTIVATIONS, BACKENDS, Worked, agree, cases, named

LOSSES = {"mse": "mse", "bce": "binary_ce", "ce": "ce", "softmax_ce": "ce"}


def build(given: dict[str, Any], backend: str) -> Worked:
    sizes, last = given["sizes"], len(given["sizes"]) - 2
    specs = []
    for number, (_, units) in enumerate(pairwise(sizes)):
        softmax = given["error"] == "softmax_ce" and number == last
        activation = ACTIVATIONS[given["activations"][number]]
        specs.append(
            layer("softmax", maps=units) if softmax else layer("dense", maps=units, activation=activation)
        )
    parameters = [part for pair in zip(given["W"], given["b"], strict=True) for part in pair]
    return Worked(specs, sizes[0], LOSSES[given["error"]], backend, parameters, given["X"], given["T"])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("mlp_"))
def test_multilayer_perceptron(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    found = build(given, backend)
    agree(found.value, expected["E"], "E")
    agree(found.outputs, expected["y_per_sample"], "y")
    agree(found.input_gradient, expected["dE_dX"], "dE/dX")
    for number in range(len(given["W"])):
        agree(found.slope(number, "w"), expected[f"dW{number + 1}"], f"dW{number + 1}")
        agree(found.slope(number, "b"), expected[f"db{number + 1}"], f"db{number + 1}")
        stage = "A" if given["error"] == "softmax_ce" and number == len(given["W"]) - 1 else None
        deltas = [sample[number] for sample in expected["delta_per_sample"]]
        agree(found.delta(number, stage), deltas, f"delta {number + 1}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("lm_step_"))
def test_residuals_and_jacobian_of_levenberg_marquardt(name: str, backend: str) -> None:
    """Equations 104-110: r and J, one row per component or (residual "norm") per sample."""
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    sizes = given["sizes"]
    specs = [
        layer("dense", maps=n, activation=ACTIVATIONS[a])
        for n, a in zip(sizes[1:], given["activations"], strict=True)
    ]
    network = Network(specs, sizes[0], loss="mse", backend=backend, dtype="float64")
    parameters = np.array(
        given["omega"]
    )  # the paper's order, unit by unit and then biases, is that of the flat vector
    inputs, targets = np.array(given["X"]), np.array(given["T"])
    chunks = list(network.jacobian_chunks(parameters, inputs, targets, chunk=3))
    residuals = np.concatenate([r for r, _ in chunks])
    rows = np.concatenate([J for _, J in chunks])
    if given["residual"] == "norm":
        residuals = residuals.reshape(len(inputs), -1)
        length = np.sqrt((residuals**2).sum(axis=1))
        rows = np.einsum("so,sop->sp", residuals / length[:, None], rows.reshape(*residuals.shape, -1))
        residuals = length
    else:
        residuals, rows = -residuals, -rows  # the case counts t - y, jacobian_chunks y - t
    agree(residuals, expected["r"], "r")
    agree(rows, expected["J"], "J")
    agree(rows.T @ residuals, expected["grad"], "J^T r")
    agree((rows**2).sum(axis=0), expected["diag_JTJ"], "diag J^T J")
    error, gradient = network.value_and_gradient(parameters, inputs, targets)
    agree(error, expected["E_before"], "E")
    agree(gradient, expected["grad"], "dE/d omega")

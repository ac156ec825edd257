"""Equations 56-81, Remarks 2-5: connections, shared kernels, mixed sizes, stride, dilation, padding.

Slow because every worked case is another network, whose kernels are built once for each.
"""

from typing import Any

import numpy as np
import pytest
from phiz.runtime.program.layer import LayerSpec, layer

from tests.cases.worked import BACKENDS, Worked, agree, cases, flat, named


def convolution(given: dict[str, Any], numbers: dict[str, int]) -> LayerSpec:
    """The case's connections as rows in no order."""
    pairs = [
        (*map(int, key.split(",")), numbers[kernel]) for key, kernel in reversed(given["kernel_of"].items())
    ]
    i, j, q = (list(column) for column in zip(*pairs, strict=True))
    assert sorted(zip(i, j, strict=True)) == [(n, m) for n, inputs in enumerate(given["D"]) for m in inputs]
    return layer(
        "convolution",
        maps=len(given["D"]),
        kernel=[given["kernel_shapes"][name] for name in numbers],
        stride=given["stride"],
        dilation=given["dilation"],
        padding_low=[low for low, _ in given["pad"]],
        padding_high=[high for _, high in given["pad"]],
        connections={"i": i, "j": j, "q": q},
        activation="tanh",
    )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", named("conv_"))
def test_convolution(name: str, backend: str) -> None:
    given, expected = cases()[name]["inputs"], cases()[name]["expected"]
    kernels = sorted(given["w"])
    spec = convolution(given, {kernel: number for number, kernel in enumerate(kernels)})
    weights = [[given["w"][kernel] for kernel in kernels], given["b"]]
    shape = [tuple(size) for size in given["in_shapes"]]
    maps = len(shape)
    found = Worked(
        [spec], shape, "mse", backend, weights, [np.tanh(flat(given["Z0"])).tolist()], [given["T"]]
    )
    agree(found.value, expected["E"], "E")
    agree([list(size) for size in found.network.output_shape.maps], expected["out_shapes"], "output sizes")
    agree(found.outputs[0], expected["Y1"], "Y")
    agree(found.delta(0)[0], expected["delta_1"], "delta")
    agree(found.input_gradient[0], expected["dE_dY0"], "dE/dY below")
    agree(found.slope(0, "w"), [expected["dw"][kernel] for kernel in kernels], "dw")
    agree(found.slope(0, "b"), expected["db"], "db")
    # The same below an activation, here that of a convolution with 1: its delta contains phi'.
    ones = layer(
        "convolution", maps=maps, kernel=1, connections="one-to-one", sharing=[0] * maps, activation="tanh"
    )
    stacked = Worked(
        [ones, spec], shape, "mse", backend, [[1.0], [0.0] * maps, *weights], [given["Z0"]], [given["T"]]
    )
    agree(stacked.delta(0)[0], expected["delta_0"], "delta below")
    agree(stacked.input_gradient[0], expected["delta_0"], "dE/dZ below")
    agree(stacked.slope(1, "w"), [expected["dw"][kernel] for kernel in kernels], "dw above an activation")

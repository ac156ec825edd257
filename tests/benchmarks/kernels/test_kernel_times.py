"""The operations of every kernel are counted right, and every kernel of a gradient is timed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from phiz.benchmarks.kernels.kernel_times import operations, profile
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import LayerSpec, layer


def counted(specs: list[LayerSpec], shape: Any, unit: int, kernel: str, samples: int = 1) -> int:
    network = Network(specs, shape, "mse", backend="numpy")
    steps = (*network.program.forward, *network.program.backward("loss", "sum", True))
    step = next(s for s in steps if (s.unit, s.kernel.name) == (unit, kernel))
    return operations(step, network.program.units[unit], network, samples)


def test_operations_of_a_dense_layer() -> None:
    specs = [layer("dense", maps=5, activation="tanh"), layer("dense", maps=3)]
    assert counted(specs, 7, 0, "forward_Z", 11) == 11 * 5 * (2 * 7 + 1 + 1)  # bias, phi
    assert counted(specs, 7, 1, "delta_Y", 11) == 11 * 5 * (2 * 3 + 2)  # phi' and its product
    assert counted(specs, 7, 0, "gradient_w", 11) == 11 * 5 * 7 * 2
    assert counted(specs, 7, 0, "gradient_b", 11) == 11 * 5


@pytest.mark.parametrize("stride,padding,dilation", [(1, 0, 1), (2, 1, 1), (3, 2, 2), (2, 3, 3)])
def test_operations_of_a_convolution_by_enumeration(stride: int, padding: int, dilation: int) -> None:
    """Taps inside the map, counted one by one; the delta reads the same taps as the forward pass."""
    height, kernel, maps, below = 9, 3, 4, 2
    specs = [
        layer("convolution", maps=maps, kernel=kernel, stride=stride, padding=padding, dilation=dilation)
    ]
    size = (height + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    taps = sum(
        all(0 <= stride * x[r] + dilation * u[r] - padding < height for r in (0, 1))
        for x in itertools.product(range(size), repeat=2)
        for u in itertools.product(range(kernel), repeat=2)
    )
    assert (
        counted(specs, (below, height, height), 0, "forward_Z")
        == maps * below * taps * 2 + maps * size**2 * 2
    )
    assert (
        counted(specs, (below, height, height), 0, "delta_Y")
        == maps * below * taps * 2 + below * height**2 * 2
    )
    assert counted(specs, (below, height, height), 0, "gradient_w") == maps * below * taps * 2


def test_operations_of_listed_connections() -> None:
    specs = [layer("irregular", connections=[[0, 3], [1, 2, 2], []], activation="tanh")]
    assert counted(specs, 4, 0, "forward_Z") == 5 * 2 + 3


def test_profile_names_every_kernel_of_the_gradient() -> None:
    network = Network([layer("dense", maps=3, activation="tanh"), layer("softmax", maps=2)], 4, "ce")
    found = profile(
        network, np.ones((5, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1]], repeats=2
    )
    steps = (*network.program.forward, network.program.value, *network.program.backward("loss", "sum", False))
    assert [kernel.kernel for kernel in found] == [step.kernel.name for step in steps]
    assert all(kernel.seconds > 0 and kernel.gflops >= 0 for kernel in found)

"""Parameters packed along the lanes: drawn convolutions against loops on NumPy, and where packing happens."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from phiz.runtime import Network, layer
from phiz.runtime.backend import VALUE_AND_GRADIENT, Request
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch.fused import Fusion
from phiz.runtime.program.program import PACK, Program

Array = np.ndarray[Any, Any]


class InRows(OpenCLBackend):
    """Always the kernels for samples that lie one after the other."""

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        return True


def convolved(x: Array, w: Array, b: Array, stride: int, padding: int) -> Array:
    """Z of a convolution, entry by entry as in equation 60."""
    samples, (maps, _, rows, columns) = len(x), w.shape
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    height, width = ((n - k) // stride + 1 for n, k in zip(padded.shape[2:], (rows, columns), strict=True))
    z = np.zeros((samples, maps, height, width))
    for y0 in range(height):
        for y1 in range(width):
            window = padded[:, :, y0 * stride : y0 * stride + rows, y1 * stride : y1 * stride + columns]
            z[:, :, y0, y1] = np.einsum("njuv,ijuv->ni", window, w) + b
    return z


def drawn(random: np.random.Generator) -> dict[str, Any]:
    """A small convolution: maps that do and do not fill vectors, kernels wider than images, borders."""
    window = tuple(int(n) for n in random.integers(1, 5, 2))
    padding = int(random.integers(0, 3))
    least = [max(1, n - 2 * padding) for n in window]
    return {
        "inputs": int(random.integers(1, 12)),
        "size": tuple(int(n + random.integers(0, 14)) for n in least),
        "maps": int(random.integers(1, 37)),
        "kernel": window,
        "stride": int(random.integers(1, 3)),
        "padding": padding,
        "samples": int(random.choice([1, 2, 3, 5, 33])),
    }


@pytest.mark.parametrize("seed", range(6))
def test_drawn_convolutions_are_what_loops_give(seed: int) -> None:
    """Z from loops; the derivatives of its error by all parameters and by the input from differences of Z."""
    random = np.random.default_rng(seed)
    found = drawn(random)
    shape = (found["inputs"], *found["size"])
    spec = layer("convolution", **{k: found[k] for k in ("maps", "kernel", "stride", "padding")})
    network = Network((spec,), shape, "mse", backend=InRows(), dtype="float64")
    x, p = random.normal(size=(found["samples"], *shape)), random.normal(size=network.parameter_count)

    def z(x: Array, p: Array) -> Array:
        w, b = network.parameter(0, "w", p), network.parameter(0, "b", p)
        return convolved(x, w, b, found["stride"], found["padding"]).reshape(len(x), -1)

    outputs = z(x, p)
    np.testing.assert_allclose(network.forward(p, x).reshape(outputs.shape), outputs, rtol=1e-11, atol=1e-11)
    targets = outputs + random.normal(size=outputs.shape)
    value, gradient = network.value_and_gradient(p, x, targets)
    by_input = network.input_gradient(p, x, targets)
    dx, dp = random.normal(size=x.shape), random.normal(size=p.shape)
    # Z is linear in each, so E is a parabola along either direction, and central differences are exact
    unit = value / np.sum((outputs - targets) ** 2)
    for moved, found_slope in (
        (lambda h: z(x, p + h * dp), float(gradient @ dp)),
        (lambda h: z(x + h * dx, p), float(np.sum(by_input * dx))),
    ):
        ends = [unit * np.sum((moved(h) - targets) ** 2) for h in (1.0, -1.0)]
        np.testing.assert_allclose(found_slope, (ends[0] - ends[1]) / 2, rtol=1e-9)


def executor_of(network: Network, samples: int) -> OpenCLExecutor:
    found = network.executor(samples)
    assert isinstance(found, OpenCLExecutor) and found.sample_outer
    return found


def test_a_parameter_is_packed_once_a_pass_ahead_of_what_reads_it() -> None:
    """Forward reads it along the output maps, the delta along the input maps; a trace shows no copies."""
    width = OpenCLBackend().width("float32")
    layers = (layer("convolution", maps=width + 1, kernel=3), layer("convolution", maps=width, kernel=3))
    network = Network(layers, (2, 9, 9), "mse", backend=InRows())
    x, t = np.zeros((2, 2, 9, 9), np.float32), np.zeros((2, width * 25), np.float32)
    executor = executor_of(network, 2)
    executor.set_parameters(network.parameters)
    resident = executor.upload(x.reshape(2, -1), t, None)
    steps = [one.step for one in executor.single("loss", resident, VALUE_AND_GRADIENT)]
    packs = [step for step in steps if step.kernel.role == PACK]
    assert [(step.unit, step.numbers) for step in packs] == [
        (0, (1, width + 1, 18)),
        (1, (1, width, 9 * (width + 1))),
        (1, (width, width + 1, 9)),
    ]
    for pack in packs:
        readers = [n for n, step in enumerate(steps) if pack.writes.key in step.use.reads]
        assert len(readers) == 1 and steps.index(pack) < readers[0]
    traced = [step.kernel.role for step, _ in executor.trace(resident, VALUE_AND_GRADIENT)]
    assert traced == [step.kernel.role for step in steps if step not in packs]


def test_large_kernels_are_spread_over_the_units_where_samples_are_few() -> None:
    """One sample keeps every compute unit busy; the bits are those of the pass in blocks."""
    layers = (layer("convolution", maps=40, kernel=3, padding=1), layer("dense", maps=3))
    network = Network(layers, (24, 20, 20), "mse", backend=InRows())
    random = np.random.default_rng(1)
    x, t = random.normal(size=(3, 24, 20, 20)), random.normal(size=(3, 3))
    launcher = executor_of(network, 3).launcher
    assert isinstance(launcher, Fusion) and launcher.spread < float("inf")

    class Whole(InRows):
        def sample_outer_fusion(self, *given: Any) -> Fusion:
            found = super().sample_outer_fusion(*given)
            return Fusion(found.plan, found.blocks, found.shares)

    other = Network(layers, (24, 20, 20), "mse", backend=Whole())
    found = [n.value_and_gradient(network.parameters, x, t) for n in (network, other)]
    assert found[0][0] == found[1][0] and found[0][1].tobytes() == found[1][1].tobytes()

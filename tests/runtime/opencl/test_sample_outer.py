"""Samples one after the other, lanes along units: against NumPy, on sizes around the width of a vector; and
when it is chosen.

Slow because each size and precision needs programs of its own in both layouts, to compare them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.manifest.records import KernelInfo
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch.block_layout import BlockLayout
from phiz.runtime.opencl.launch.fused import sample_outer_blocking
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Program

GRADIENT = Request(losses=True, gradients="sum")
#: Coordinates shorter than a vector, just as long and longer; padding, where lanes differ in their bounds;
#: strides, which gather.
IMAGES = (
    layer("convolution", maps=3, kernel=(3, 5), padding=2, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=9, kernel=3, stride=2, padding=(1, 0), activation="relu"),
    layer("dense", maps=19, activation="gelu"),
    layer("softmax", maps=5),
)
UNITS = (
    layer("dense", maps=33, activation="sigmoid"),
    layer("radial_basis", maps=17),
    layer("dense", maps=8, activation="tanh"),
)


class InRows(OpenCLBackend):
    """Every pass in rows."""

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        return True


def compared(
    layers: tuple[LayerSpec, ...], shape: tuple[int, ...], loss: str, dtype: str, samples: int
) -> None:
    ours, theirs = (
        Network(layers, shape, loss, backend=b, dtype=dtype, micro_batch=64) for b in (InRows(), "numpy")
    )
    random = np.random.default_rng(samples)
    x = random.normal(size=(samples, *shape))
    t = np.eye(ours.output_shape.units)[random.integers(0, ours.output_shape.units, samples)]
    weights = random.uniform(0.5, 2.0, samples)
    p, close = theirs.parameters, 3e-5 if dtype == "float32" else 1e-12
    found, wanted = (n.value_and_gradient(p, x, t, weights) for n in (ours, theirs))
    executor = ours.executor(min(samples, 64))
    assert isinstance(executor, OpenCLExecutor) and executor.sample_outer
    assert abs(found[0] - wanted[0]) <= close * abs(wanted[0])
    assert np.abs(found[1] - wanted[1]).max() <= close * np.abs(wanted[1]).max()
    again = ours.value_and_gradient(p, x, t, weights)
    assert again[0] == found[0] and again[1].tobytes() == found[1].tobytes(), (
        "the bits differ from run to run"
    )
    for name in ("forward", "input_gradient", "per_sample_gradients", "losses"):
        given: tuple[Any, ...] = (p, x) if name == "forward" else (p, x, t)
        one, other = (getattr(n, name)(*given) for n in (ours, theirs))
        assert np.allclose(one, other, rtol=20 * close, atol=20 * close * np.abs(other).max()), name


@pytest.mark.parametrize(
    ("samples", "dtype"), [(1, "float32"), (3, "float64"), (9, "float32"), (130, "float32")]
)
def test_sample_outer_images_are_what_numpy_gives(samples: int, dtype: str) -> None:
    compared(IMAGES, (2, 9, 21), "ce", dtype, samples)


@pytest.mark.parametrize(
    ("samples", "dtype"), [(1, "float64"), (7, "float32"), (33, "float64"), (100, "float32")]
)
def test_sample_outer_units_are_what_numpy_gives(samples: int, dtype: str) -> None:
    compared(UNITS, (13,), "mse", dtype, samples)


def test_lanes_see_no_neighbouring_sample() -> None:
    """A NaN in one sample stays there, whatever vectors reach over the end of a row."""
    layers = (
        IMAGES[0],
        layer("subsampling", window=2),
        layer("dense", maps=19, activation="gelu"),
        layer("softmax", maps=5),
    )
    network = Network(layers, (2, 9, 21), "ce", backend=InRows())
    x = np.random.default_rng(0).normal(size=(6, 2, 9, 21)).astype(np.float32)
    placed = network.executor(6, Request(outputs=True))
    placed.set_parameters(network.parameters)
    x[3] = np.nan
    outputs = (
        placed.start(placed.upload(x.reshape(6, -1), None, None), Request(outputs=True)).result().outputs
    )
    assert outputs is not None
    assert np.isnan(outputs[3]).all() and np.isfinite(np.delete(outputs, 3, axis=0)).all()


def test_rows_are_chosen_where_samples_would_leave_lanes_empty_and_units_fill_them() -> None:
    """Whatever the width: units in whole vectors of it, coordinates in rows of it, samples enough for
    vectors of every core.
    """
    backend = OpenCLBackend()
    width, cores = backend.width("float32"), int(backend.device.max_compute_units)
    units = Network(
        (layer("dense", maps=8 * width), layer("softmax", maps=10)), (128,), "ce", backend=backend
    ).program
    convolutions = (
        layer("convolution", maps=4, kernel=5, activation="tanh"),
        layer("max_pooling", window=2),
        layer("dense", maps=4 * width, activation="tanh"),
        layer("softmax", maps=10),
    )
    images = Network(convolutions, (1, 20, 4 * width + 4), "ce", backend=backend).program
    inference = Request(outputs=True)
    assert all(
        backend.prefers_sample_outer(units, "float32", 1, request) for request in (inference, GRADIENT)
    )
    assert backend.prefers_sample_outer(images, "float32", 1, inference)
    # the deltas of convolutions and of pooling have no lanes but samples, which fill every vector here
    assert not backend.prefers_sample_outer(images, "float32", 4 * width * cores, GRADIENT)
    assert not OpenCLBackend(fuse=False).prefers_sample_outer(units, "float32", 1, inference)


def test_a_folder_without_the_second_form_runs_as_before() -> None:
    backend = OpenCLBackend()
    program = Network((layer("dense", maps=64),), (128,), "mse", backend=backend).program
    assert backend.prefers_sample_outer(program, "float32", 1, GRADIENT)

    def bare_kernel(kernel: KernelInfo) -> KernelInfo:
        return replace(kernel, launches={kernel.layout: kernel.launch})

    bare = [replace(unit, kernels=tuple(map(bare_kernel, unit.kernels))) for unit in program.units]
    program.units = tuple(bare)
    assert not backend.prefers_sample_outer(program, "float32", 1, GRADIENT)


def test_a_value_and_its_gradient_agree_to_the_last_bit() -> None:
    """Line searches ask for the one and for the other."""
    network = Network(
        (layer("dense", maps=40, activation="tanh"), layer("softmax", maps=4)), (60,), "ce", backend="opencl"
    )
    random = np.random.default_rng(1)
    for samples in (1, 3, 20):
        x, t = random.normal(size=(samples, 60)), np.eye(4)[random.integers(0, 4, samples)]
        value, _ = network.value_and_gradient(network.parameters, x, t)
        assert network.value(network.parameters, x, t) == value


def test_sums_do_not_depend_on_the_capacity() -> None:
    """So that an executor at hand may serve fewer samples."""
    random = np.random.default_rng(2)
    x, t = random.normal(size=(3, 13)), random.normal(size=(3, 8))
    found = []
    for first in (3, 20):
        network = Network(UNITS, (13,), "mse", backend=InRows())
        network.value_and_gradient(
            network.parameters, random.normal(size=(first, 13)), random.normal(size=(first, 8))
        )
        found.append(network.value_and_gradient(network.parameters, x, t))
        assert (network.executor(3) is network.executor(first)) is True
    assert found[0][0] == found[1][0] and found[0][1].tobytes() == found[1][1].tobytes()


def test_blocks_of_rows_have_few_sizes() -> None:
    found = {sample_outer_blocking(n, 8, 2).samples for n in range(1, 2000)}
    assert found == {1, 8, 32}
    assert (
        sample_outer_blocking(3, 8, 2).layout(8) == BlockLayout(8, 1)
        and sample_outer_blocking(3, 8, 2).whole(3) == 8
    )

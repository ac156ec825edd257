"""Networks of the committed kernels, end to end: differences, NumPy against OpenCL, resident batches,
irregular layers.

Slow because every kernel of every network is built, in two precisions where that matters, and differences run
networks often.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.errors import DataError, PhizError, ShapeError
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.program.layer import LayerSpec, layer

LENET = [
    layer("convolution", maps=3, kernel=3, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=4, kernel=2, padding=1, stride=(2, 1), activation="softplus"),
    layer("dense", maps=6, activation="gelu"),
    layer("softmax", maps=5),
]
NETWORKS: dict[str, tuple[list[LayerSpec], Any, str]] = {
    "lenet": (LENET, (2, 8, 8), "ce"),
    "softmax_mse": ([layer("dense", maps=5, activation="elu"), layer("softmax", maps=3)], 7, "mse"),
    "binary": (
        [layer("dense", maps=5, activation="relu"), layer("dense", maps=3, activation="sigmoid")],
        7,
        "binary_ce",
    ),
    "sigmoid_ce": (
        [layer("dense", maps=4, bias=False, activation="tanh"), layer("dense", maps=3, activation="sigmoid")],
        5,
        "ce",
    ),
    "radial": ([layer("radial_basis", maps=5), layer("linear_combination", maps=3)], 4, "mse"),
    "radial_norm": (
        [
            layer("radial_basis", maps=5, radius="norm"),
            layer("linear_combination", connections=[[0, 4], [], [2]]),
        ],
        4,
        "mse",
    ),
    "pooling": (
        [
            layer("subsampling", window=2, activation="tanh"),
            layer("vanilla_subsampling", window=2),
            layer("dense", maps=2),
        ],
        (2, 9, 9),
        "mse",
    ),
    "crossed_pooling": (
        [layer("subsampling", window=(2, 3), connections=[[1], [0, 1]], activation="tanh")],
        (2, 5, 7),
        "mse",
    ),
    "ragged": (
        [
            layer(
                "convolution",
                kernel=[[3, 2], [2, 2], [1, 3]],
                connections=[[0, 1], [1]],
                activation="softplus",
            ),
            layer("convolution", maps=3, kernel=2, sharing="map", activation="tanh"),
            layer("dense", maps=2),
        ],
        ((6, 5), (5, 7)),
        "mse",
    ),
    "irregular": (
        [
            layer(
                "irregular",
                connections=[[0, 3], [1, 2, 2], []],
                sharing=[[0, 1], [1, 0, 0], []],
                activation="tanh",
            ),
            layer("dense", maps=2),
        ],
        4,
        "mse",
    ),
    "one_dimension": (
        [layer("convolution", maps=3, kernel=3, dilation=2, padding=1, activation="leaky_relu")],
        (2, 9),
        "mse",
    ),
    "three_dimensions": (
        [
            layer("convolution", maps=2, kernel=2, stride=2, activation="scaled_tanh"),
            layer("max_pooling", window=(1, 2, 1)),
        ],
        (2, 4, 5, 3),
        "mse",
    ),
}


def build(name: str, backend: str = "numpy", dtype: str = "float64", **options: Any) -> Network:
    specs, shape, loss = NETWORKS[name]
    network = Network(specs, shape, loss, backend=backend, dtype=dtype, **options)
    noise = np.random.default_rng(5).normal(size=network.parameter_count)
    network.parameters += (0.1 * noise).astype(dtype)  # biases off zero
    return network


def samples(network: Network, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(count)
    units = network.output_shape.units
    targets = {
        "ce": np.eye(units)[random.integers(0, units, count)],
        "binary_ce": random.uniform(size=(count, units)),
        "mse": random.normal(size=(count, units)),
    }[network.loss.name]
    return random.normal(size=(count, network.input_shape.units)), targets, random.uniform(0.5, 1.5, count)


def close(found: Any, expected: Any, tolerance: float) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max(initial=0) <= tolerance * max(1.0, np.abs(expected).max(initial=0))


# ------------------------------------------------------------------------------------------------ derivatives
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_against_differences(name: str) -> None:
    """Central differences along a few parameters, and along random directions of parameters and inputs."""
    network = build(name)
    x, t, w = samples(network, 4)
    p, step, random = network.parameters, 1e-6, np.random.default_rng(0)
    gradient = network.value_and_gradient(p, x, t, w)[1]
    for n in random.permutation(p.size)[:12]:
        shift = np.zeros_like(p)
        shift[n] = step
        slope = (network.value(p + shift, x, t, w) - network.value(p - shift, x, t, w)) / (2 * step)
        assert gradient[n] == pytest.approx(slope, rel=1e-6, abs=1e-7)
    v, u = random.normal(size=p.shape), random.normal(size=x.shape)
    slope = (network.value(p + step * v, x, t, w) - network.value(p - step * v, x, t, w)) / (2 * step)
    assert gradient @ v == pytest.approx(slope, rel=1e-6, abs=1e-7)
    below = network.input_gradient(p, x, t, w).reshape(x.shape)
    slopes = (network.losses(p, x + step * u, t, w) - network.losses(p, x - step * u, t, w)) / (2 * step)
    np.testing.assert_allclose((below * u).sum(axis=1), slopes, rtol=1e-6, atol=1e-7)
    rows = np.concatenate([rows for _, rows in network.jacobian_chunks(p, x, t, chunk=3)])
    outputs = (network.forward(p + step * v, x) - network.forward(p - step * v, x)).ravel() / (2 * step)
    np.testing.assert_allclose(rows @ v, outputs, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        network.per_sample_gradients(p, x, t, w).sum(axis=0), gradient, rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(
    "name,dtype",
    [
        ("lenet", "float64"),
        ("lenet", "float32"),
        ("ragged", "float64"),
        ("ragged", "float32"),
        ("binary", "float32"),
    ],
)
def test_opencl_equals_numpy(name: str, dtype: str) -> None:
    tolerance = {"float64": 1e-11, "float32": 1e-4}[dtype]
    numpy, opencl = (build(name, backend, dtype, micro_batch=16) for backend in ("numpy", "opencl"))
    p = numpy.parameters
    for count in (37, 1, 7, 8, 9):  # the largest first: its capacity serves the others
        x, t, w = samples(numpy, count)
        error, gradient = numpy.value_and_gradient(p, x, t, w)
        found_error, found = opencl.value_and_gradient(p, x, t, w)
        close(found_error, error, tolerance)
        close(found, gradient, tolerance)
        for method in ("losses", "input_gradient", "per_sample_gradients"):
            close(getattr(opencl, method)(p, x, t, w), getattr(numpy, method)(p, x, t, w), tolerance)
        close(opencl.forward(p, x), numpy.forward(p, x), tolerance)
        close(opencl.per_sample_gradients(p, x, t, w).sum(axis=0), found, tolerance)
        again, same = opencl.value_and_gradient(p, opencl.place(x, t, w))
        assert again == found_error and np.array_equal(same, found)


@pytest.mark.parametrize("name", ["lenet", "radial_norm", "crossed_pooling", "irregular"])
def test_opencl_jacobian_equals_numpy(name: str) -> None:
    numpy, opencl = (build(name, backend) for backend in ("numpy", "opencl"))
    x, t, _ = samples(numpy, 11)
    chunks = [list(n.jacobian_chunks(numpy.parameters, x, t, chunk=9)) for n in (numpy, opencl)]
    assert [len(residuals) for residuals, _ in chunks[0]] == [
        9 * numpy.output_shape.units,
        2 * numpy.output_shape.units,
    ]
    for (residuals, rows), (found_residuals, found_rows) in zip(*chunks, strict=True):
        close(found_residuals, residuals, 1e-11)
        close(found_rows, rows, 1e-11)


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_micro_batches_change_nothing(backend: str) -> None:
    whole = build("lenet", backend, micro_batch=16)
    x, t, w = samples(whole, 15)
    error, gradient = whole.value_and_gradient(whole.parameters, x, t, w)
    for size in (5, 7, 14):
        part_error, part = build("lenet", backend, micro_batch=size).value_and_gradient(
            whole.parameters, x, t, w
        )
        assert part_error == pytest.approx(error, rel=1e-12)
        close(part, gradient, 1e-12)


@pytest.mark.parametrize("count", [9, 100])
def test_the_capacity_changes_no_bit(count: int) -> None:
    """Padding vectors, strides and tiles of a larger capacity leave every result as it is.

    An executor whose vectors and blocks are wider adds the samples in another order, so it does not serve
    them, nor does one of more than eight times the capacity that they need.
    """
    small, large = (build("lenet", "opencl", "float32", micro_batch=256) for _ in range(2))
    large.place(*samples(large, 250)[:2])  # a capacity at hand that may also serve the small batch
    x, t, w = samples(small, count)
    expected, found = (n.value_and_gradient(small.parameters, x, t, w) for n in (small, large))
    if isinstance(small.backend, OpenCLBackend) and small.backend.fuses:
        units, backend = small.program.units, small.backend
        blocks = {backend.fusion(units, "float32", n).blocks for n in (count, 250)}
        own, other = (backend.capacity(small.program, "float32", n) for n in (count, 250))
        assert len(large._executors.built) == (1 if len(blocks) == 1 and other <= 8 * own else 2)
    assert found[0] == expected[0] and np.array_equal(found[1], expected[1])
    assert np.array_equal(small.forward(small.parameters, x), large.forward(small.parameters, x))


# -------------------------------------------------------------------------------------------------- structure
def test_the_first_layers_input_delta_is_left_out() -> None:
    program = build("lenet").program
    usual = [(s.unit, s.kernel.name) for s in program.backward("loss", "sum", False)]
    asked = [(s.unit, s.kernel.name) for s in program.backward("loss", "sum", True)]
    assert (0, "delta_Y") in asked and set(asked) - set(usual) == {(0, "delta_Y")}
    assert usual[0][1] == "head_ce_delta"  # softmax and cross-entropy fused
    assert not any(unit == 4 and name in ("delta_S", "delta_E", "delta_A") for unit, name in usual)


def test_fused_and_plain_heads_agree() -> None:
    """The softmax's Jacobian times y - t, by the layer's own delta kernels, is the fused delta."""
    network = build("softmax_mse")
    x, t, _ = samples(network, 6)
    p = network.parameters
    residuals, rows = next(network.jacobian_chunks(p, x, t))
    close(residuals @ rows, network.value_and_gradient(p, x, t)[1], 1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_architectures_survive_json(name: str) -> None:
    network = build(name, seed=3)
    again = Network.from_architecture(json.loads(json.dumps(network.architecture())), backend="numpy", seed=3)
    assert again.parameter_count == network.parameter_count and again.digests == network.digests
    x, _, _ = samples(network, 3)
    assert np.array_equal(again.forward(network.parameters, x), network.forward(network.parameters, x))


def test_ragged_parameters_have_their_own_shapes() -> None:
    network = build("ragged")
    assert [w.shape for w in network.parameter(0, "w")] == [(3, 2), (2, 2), (1, 3)]
    assert network.parameter(0, "b").shape == (2,)
    assert str(network.layers[0].output) == "(4×4, 5×5)"


def test_memory_is_bounded_by_the_micro_batch() -> None:
    network = build("lenet", "opencl", "float32", micro_batch=32)
    x, t, w = samples(network, 100)
    network.value_and_gradient(network.parameters, x, t, w)
    assert {executor.capacity for executor in network._executors.built.values()} == {32}
    assert network.row_chunk(10**9) == 1


# -------------------------------------------------------------------------------------------------- bad input
@pytest.mark.parametrize(
    "specs,shape,loss,words,kind",
    [
        ([layer("convolution", maps=2, kernel=5), layer("max_pooling", window=3)], (1, 6, 6), "mse",
         r"layer 1 \(max_pooling\)", ShapeError),
        ([layer("dense", maps=3), layer("convolution", maps=2, kernel=1)], 4, "mse",
         r"layer 1 \(convolution\): .* input is 3 ", ShapeError),
        ([layer("dense", maps=3, activation="tanh")], 4, "ce", r"layer 0 \(dense\): loss ce", PhizError),
        ([layer("irregular", connections=[[4]])], 4, "mse", r"j = 4, expected 0 <= j < 4", ShapeError),
        ([layer("max_pooling", window=0)], (1, 4, 4), "mse", "window = 0, expected at least 1", ShapeError),
    ],
)  # fmt: skip
def test_bad_networks(
    specs: list[LayerSpec], shape: Any, loss: str, words: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=words):
        Network(specs, shape, loss, backend="numpy")


def test_targets_outside_what_the_loss_admits() -> None:
    for name, value, words in (("lenet", -0.5, "loss ce admits"), ("binary", 1.5, "loss binary_ce admits")):
        network = build(name)
        x, t, _ = samples(network, 3)
        t[2, 1] = value
        with pytest.raises(DataError, match=rf"targets: {value} at sample 2, unit 1; {words}"):
            network.value_and_gradient(network.parameters, x, t)


def test_first_nonfinite_names_the_stage() -> None:
    for backend in ("numpy", "opencl"):
        network = build("lenet", backend, "float32")
        x, t, _ = samples(network, 9)
        assert network.first_nonfinite(network.parameters, x, t) is None
        p = network.parameters.copy()
        network.parameter(3, "b", p)[:] = 10
        network.parameter(4, "w", p)[:] = 3e38
        with np.errstate(all="ignore"):
            found = network.first_nonfinite(p, x, t)
        assert found is not None and (found.layer, found.tensor, found.role) == (4, "A", "forward")


def test_the_built_in_folder_is_whole() -> None:
    manifest = builtin()
    folder: Path = manifest.layers["dense"].folder.path
    kernels = {
        str(p.relative_to(folder)) for pattern in ("numpy/*.py", "opencl/*.cl") for p in folder.glob(pattern)
    }
    assert kernels - {"numpy/__init__.py"} <= set(manifest.layers["dense"].folder.digests)
    assert {"convolution", "dense", "softmax", "max_pooling", "irregular"} <= set(manifest.families)


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_a_map_without_connections_is_its_bias(backend: str) -> None:
    """Z_i = b_i on the size that the user gives (ledger G3)."""
    bias = {"b": {"rule": "constant", "value": 0.75}}
    spec = layer("convolution", maps=2, kernel=3, connections=[[0, 1], []], size=(4, 4), initial=bias)
    network = Network([spec], (2, 6, 6), loss="mse", backend=backend, dtype="float64")
    x = np.random.default_rng(3).normal(size=(3, 2, 6, 6))
    maps = network.forward(network.parameters, x).reshape(3, 2, 4, 4)
    assert np.all(maps[:, 1] == 0.75)
    assert np.ptp(maps[:, 0]) > 0

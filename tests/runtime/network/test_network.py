"""Networks: values and gradients against finite differences and loops written here, bad input,
descriptions.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.errors import DataError, ManifestError, NotFiniteError, PhizError, ShapeError
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import layer

Make = Callable[..., Network]

SPECS = [
    layer("dense", units=6, activation="square", name="first"),
    layer("dense", units=5, activation="tanh"),
    layer("dense", units=3, activation="square"),
]


@pytest.fixture
def make(folder: Path) -> Make:
    """A network over the hand-written folder."""
    manifest = load_folder(folder, trust=True)

    def build(
        specs: list[Any] = SPECS, shape: Any = 4, loss: str = "mse", backend: str = "numpy", **options: Any
    ) -> Network:
        options = {"dtype": "float64", "manifests": manifest, **options}
        return Network(specs, shape, loss, backend=backend, **options)

    return build


def data(samples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Inputs (N, 4), targets (N, 3), weights (N,)."""
    random = np.random.default_rng(seed)
    return random.normal(size=(samples, 4)), random.normal(size=(samples, 3)), random.uniform(0.1, 2, samples)


def reference(parameters: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The network of SPECS in plain NumPy, sample first, from the documented parameter order."""
    for inputs, units, phi in ((4, 6, np.square), (6, 5, np.tanh), (5, 3, np.square)):
        w, parameters = parameters[: units * inputs].reshape(units, inputs), parameters[units * inputs :]
        b, parameters = parameters[:units], parameters[units:]
        x = phi(x @ w.T + b)
    assert not len(parameters)
    return x


def differences(function: Callable[[np.ndarray], Any], point: np.ndarray, step: float = 1e-6) -> np.ndarray:
    """Central differences along every coordinate; the last axis is the coordinate."""
    columns = []
    for n in range(point.size):
        shift = np.zeros(point.size)
        shift[n] = step
        shift = shift.reshape(point.shape)
        columns.append(
            (np.asarray(function(point + shift)) - np.asarray(function(point - shift))) / (2 * step)
        )
    return np.stack(columns, axis=-1)


# ----------------------------------------------------------------------------------------------------- values
def test_forward_and_losses(make: Make) -> None:
    network = make()
    x, t, w = data(7)
    y = reference(network.parameters, x)
    np.testing.assert_allclose(network.forward(network.parameters, x), y, rtol=1e-12)
    np.testing.assert_allclose(network.predict(x), y, rtol=1e-12)
    errors = 0.5 * ((y - t) ** 2).sum(axis=1)
    np.testing.assert_allclose(network.losses(network.parameters, x, t), errors, rtol=1e-12)
    np.testing.assert_allclose(network.losses(network.parameters, x, t, w), w * errors, rtol=1e-12)
    assert network.value(network.parameters, x, t, w) == pytest.approx((w * errors).sum(), rel=1e-13)


def test_gradient_against_differences(make: Make) -> None:
    network = make()
    x, t, w = data(5)
    error, gradient = network.value_and_gradient(network.parameters, x, t, w)
    expected = differences(lambda p: network.value(p, x, t, w), network.parameters)
    np.testing.assert_allclose(gradient, expected, rtol=1e-7, atol=1e-8)
    assert error == network.value(network.parameters, x, t, w)
    below = differences(lambda inputs: network.value(network.parameters, inputs, t, w), x).reshape(x.shape)
    np.testing.assert_allclose(
        network.input_gradient(network.parameters, x, t, w), below, rtol=1e-7, atol=1e-8
    )


def test_per_sample_gradients_are_gradients_of_single_samples(make: Make) -> None:
    network = make()
    x, t, w = data(6)
    rows = network.per_sample_gradients(network.parameters, x, t, w)
    singles = [
        network.value_and_gradient(network.parameters, x[n : n + 1], t[n : n + 1], w[n : n + 1])[1]
        for n in range(6)
    ]
    np.testing.assert_allclose(rows, singles, rtol=1e-12, atol=1e-14)


def test_jacobian_against_differences(make: Make) -> None:
    network = make()
    x, t, _ = data(5)
    chunks = list(network.jacobian_chunks(network.parameters, x, t, chunk=2))
    assert [len(residual) for residual, _ in chunks] == [6, 6, 3]
    residuals, rows = np.concatenate([r for r, _ in chunks]), np.concatenate([j for _, j in chunks])
    np.testing.assert_allclose(residuals, (reference(network.parameters, x) - t).ravel(), rtol=1e-12)
    expected = differences(lambda p: reference(p, x).ravel(), network.parameters)
    np.testing.assert_allclose(rows, expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 11, 50])
def test_micro_batches_change_nothing(make: Make, micro_batch: int) -> None:
    x, t, w = data(11)
    whole, parts = make(micro_batch=11), make(micro_batch=micro_batch)
    error, gradient = whole.value_and_gradient(whole.parameters, x, t, w)
    part_error, part_gradient = parts.value_and_gradient(parts.parameters, x, t, w)
    assert part_error == pytest.approx(error, rel=1e-13)
    np.testing.assert_allclose(part_gradient, gradient, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(
        parts.forward(parts.parameters, x), whole.forward(whole.parameters, x), rtol=1e-13
    )
    np.testing.assert_allclose(
        parts.input_gradient(parts.parameters, x, t, w),
        whole.input_gradient(whole.parameters, x, t, w),
        rtol=1e-12,
    )


def test_placed_samples_give_the_same(make: Make) -> None:
    network = make(micro_batch=4)
    x, t, w = data(10)
    placed = network.place(x, t, w)
    assert len(placed) == 10
    for seed in (0, 1):
        p = network.initial_parameters(seed)
        error, gradient = network.value_and_gradient(p, x, t, w)
        again, same = network.value_and_gradient(p, placed)
        assert error == again and np.array_equal(gradient, same)
    assert np.array_equal(network.forward(p, placed), network.forward(p, x))
    assert np.array_equal(network.per_sample_gradients(p, placed), network.per_sample_gradients(p, x, t, w))
    with pytest.raises(PhizError, match="another network"):
        make().value_and_gradient(p, placed)
    with pytest.raises(PhizError, match="carry their own"):
        network.value_and_gradient(p, placed, t)
    with pytest.raises(DataError, match="no targets"):
        network.value_and_gradient(p, network.place(x))


def test_the_callers_parameters_may_change_afterwards(make: Make) -> None:
    network = make()
    x, t, _ = data(3)
    p = network.parameters.copy()
    first = network.value(p, x, t)
    chunks = network.jacobian_chunks(p, x, t, chunk=1)
    next(chunks)
    p += 1
    assert network.value(p, x, t) != first
    assert network.value(network.parameters, x, t) == first


# ------------------------------------------------------------------------------------------------ description
def test_parameters_are_seeded_and_named(make: Make) -> None:
    network = make(seed=3)
    assert np.array_equal(network.parameters, make(seed=3).parameters)
    assert not np.array_equal(network.parameters, make(seed=4).parameters)
    assert [(s.layer, s.name, s.offset) for s in network.slices][:3] == [
        (0, "w", 0),
        (0, "b", 24),
        (1, "w", 30),
    ]
    w = network.parameter(0, "w")
    assert w.shape == (6, 4) and (np.abs(w) <= np.sqrt(3 / 4)).all() and np.abs(w).max() > 0.5
    assert (network.parameter(1, "b") == 0).all()
    network.parameter(1, "b")[2] = 5
    assert network.parameters[30 + 30 + 2] == 5
    single = make(dtype="float32", seed=3)
    assert single.parameters.dtype == np.float32
    np.testing.assert_allclose(single.parameters, make(seed=3).parameters, rtol=1e-6)
    with pytest.raises(ShapeError, match="layer 0 has no parameter 'c'"):
        network.parameter(0, "c")


def test_architecture_survives_json(make: Make) -> None:
    specs = [
        layer(
            "dense", units=np.int64(3), activation="tanh", initial={"b": {"rule": "constant", "value": 2.0}}
        )
    ]
    network = make(specs, (2, 1, 2), dtype="float32", seed=5)
    record = json.loads(json.dumps(network.architecture()))
    again = Network.from_architecture(record, backend="numpy", manifests=network.manifest, seed=5)
    assert again.architecture() == network.architecture() and again.dtype == "float32"
    assert np.array_equal(again.parameters, network.parameters) and (again.parameter(0, "b") == 2).all()
    assert (
        again.digests
        == network.digests
        == {
            "activation tanh": "b",
            "layer dense": "dense-digest",
            "loss mse": "mse-digest",
        }
    )
    for broken in ({}, {**record, "format": 7}, {**record, "layers": [{}]}):
        with pytest.raises(PhizError):
            Network.from_architecture(broken, backend="numpy", manifests=network.manifest)


# -------------------------------------------------------------------------------------------------- bad input
def bad(network: Network, words: str, kind: type[Exception], **change: Any) -> None:
    x, t, w = data(4)
    arguments = {"parameters": network.parameters, "inputs": x, "targets": t, "weights": w, **change}
    with pytest.raises(kind, match=words):
        network.value_and_gradient(**arguments)


def test_bad_arrays(make: Make) -> None:
    network = make()
    x, t, w = data(4)
    wrong = x.copy()
    wrong[2, 1] = np.nan
    bad(network, r"inputs: nan at sample 2, unit 1", NotFiniteError, inputs=wrong)
    bad(
        network,
        r"inputs: expected shape \(N, 4\) or \(N, 4\), got \(4, 5\)",
        ShapeError,
        inputs=np.ones((4, 5)),
    )
    bad(network, r"0 samples", DataError, inputs=np.ones((0, 4)))
    bad(network, r"array of numbers", DataError, inputs=[["a"] * 4])
    bad(network, r"targets: expected 4 samples like the inputs, got 3", ShapeError, targets=t[:3])
    bad(network, r"targets are missing", DataError, targets=None)
    bad(network, r"targets: inf at sample 0, unit 0", NotFiniteError, targets=np.full((4, 3), np.inf))
    bad(network, r"weights: expected shape \(4,\)", ShapeError, weights=w[:2])
    bad(network, r"weights: nan at sample 0", NotFiniteError, weights=np.full(4, np.nan))
    bad(
        network,
        r"parameters: expected shape \(83,\), got \(82,\)",
        ShapeError,
        parameters=network.parameters[:-1],
    )
    p = network.parameters.copy()
    p[30 + 7] = np.inf
    bad(network, r"layer 1 \(dense\): parameter w is inf at entry 7", NotFiniteError, parameters=p)
    for nothing in (3.0, None, []):
        with pytest.raises((ShapeError, DataError), match="inputs: "):
            network.forward(network.parameters, nothing)
    with pytest.raises(NotFiniteError, match=r"inputs: expected numbers that float32 can hold, got 1e\+300"):
        make(dtype="float32").value_and_gradient(network.parameters, np.full((4, 4), 1e300), t)


def test_sample_shapes(make: Make) -> None:
    network = make(SPECS, (1, 2, 2))
    x, t, _ = data(4)
    flat = network.forward(network.parameters, x)
    for shape in ((4, 1, 2, 2), (4, 2, 2)):
        assert np.array_equal(network.forward(network.parameters, x.reshape(shape)), flat)
    assert network.input_gradient(network.parameters, x, t).shape == (4, 1, 2, 2)
    with pytest.raises(ShapeError, match=r"expected shape \(N, 1, 2, 2\) or \(N, 4\), got \(4, 2, 2, 1\)"):
        network.forward(network.parameters, x.reshape(4, 2, 2, 1))


def test_loss_that_does_not_admit(make: Make) -> None:
    with pytest.raises(
        PhizError,
        match=r"layer 1 \(dense\): loss positive admits outputs in \[0, 1\], activation tanh gives \[-1, 1\]",
    ):
        make(SPECS[:2], loss="positive")
    with pytest.raises(PhizError, match=r"activation linear gives \(-inf, inf\)"):
        make([layer("dense", units=2)], loss="positive")


def test_targets_that_the_loss_does_not_admit(make: Make) -> None:
    network = make()
    network.loss = network.manifest.loss("positive")
    bad(
        network,
        r"targets: -3\.0 at sample 1, unit 2; loss positive admits \[0, inf\)",
        DataError,
        targets=[[1, 1, 1], [0, 0, -3]] * 2,
    )


@pytest.mark.parametrize(
    "specs,options,words,kind",
    [
        ([], {}, "at least one layer", ShapeError),
        (
            [layer("dens", units=2)],
            {},
            r"layer 0 \(dens\): unknown layer 'dens', known are dense",
            ShapeError,
        ),
        (
            [layer("dense", units=2, activation="relu")],
            {},
            "unknown activation 'relu', known are linear",
            ShapeError,
        ),
        ([layer("dense")], {}, r"layer 0 \(dense\): keyword 'units' is missing", ShapeError),
        (
            [layer("dense", units=2, stride=1)],
            {},
            "unknown keyword 'stride', known are activation",
            ShapeError,
        ),
        ([layer("dense", units=0)], {}, r"units = 0, expected at least 1", ShapeError),
        ([layer("dense", units=2.5)], {}, r"units = 2\.5, expected an integer", ShapeError),
        (
            [layer("dense", units=2, name="out", connections=[[0]])],
            {},
            r"layer 0 \(out\): takes no connections",
            ShapeError,
        ),
        (
            [layer("dense", units=2, initial={"c": {"rule": "normal"}})],
            {},
            "unknown parameter 'c', known are w, b",
            ShapeError,
        ),
        ([layer("dense", units=2, initial={"w": {"rule": "x"}})], {}, "unknown rule 'x'", ShapeError),
        (SPECS, {"dtype": "float16"}, "dtype 'float16', expected float32 or float64", PhizError),
        (SPECS, {"backend": "cuda"}, "unknown backend 'cuda'", PhizError),
        (SPECS, {"micro_batch": 0}, "micro_batch: expected a whole number >= 1", PhizError),
        (SPECS, {"loss": "ce"}, "unknown loss 'ce'", PhizError),
        (SPECS, {"shape": (0,)}, "at least 1", ShapeError),
        (SPECS, {"shape": ((2, 2), (3,))}, "same rank", ShapeError),
        (SPECS, {"shape": "big"}, "expected", ShapeError),
    ],
)
def test_bad_networks(
    make: Make, specs: list[Any], options: dict[str, Any], words: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind, match=words):
        make(specs, **options)


# ------------------------------------------------------------------------------------------------- not finite
def test_first_nonfinite_names_layer_and_tensor(make: Make) -> None:
    network = make(micro_batch=3)
    x, t, _ = data(5)
    assert network.first_nonfinite(network.parameters, x, t) is None
    p = network.parameters.copy()
    p[30] = np.nan
    found = network.first_nonfinite(p, x, t)
    assert found is not None and (found.layer, found.tensor, found.role) == (1, "w", "parameter")
    p = network.parameters.copy()
    p[:24] = 1e200  # finite, but its square is not: the first layer's Y overflows
    x[:4] = 0
    with np.errstate(over="ignore"):
        found = network.first_nonfinite(p, x, t)
    assert found is not None and (found.layer, found.tensor, found.role, found.sample) == (
        0,
        "Z",
        "forward",
        4,
    )
    assert str(found).startswith("layer 0 (first): forward Z is inf at sample 4, entry")
    with np.errstate(all="ignore"):
        assert not np.isfinite(network.value_and_gradient(p, x, t)[1]).all()


def test_a_delta_that_overflows_is_found(make: Make) -> None:
    network = make([layer("dense", units=1), layer("dense", units=1)], 1)
    p = np.array([1e-160, 0, 1e180, 0])
    with np.errstate(over="ignore"):
        found = network.first_nonfinite(p, [[1.0]], [[1e200]])
    assert found is not None and (found.role, found.tensor) == ("loss", "r")
    with np.errstate(over="ignore"):
        found = network.first_nonfinite(p, [[1.0]], [[1e140]])
    assert found is not None and (found.layer, found.role, found.tensor) == (1, "delta", "delta_Y")


def test_a_kernel_that_is_missing_is_named(make: Make) -> None:
    network = make()
    kernels = network.layers[0].info.folder.module("numpy/dense.py")
    del kernels.gradient_b
    x, t, _ = data(2)
    with pytest.raises(ManifestError, match=r"dense\.py: has no kernel gradient_b; run: phiz generate"):
        network.value_and_gradient(network.parameters, x, t)

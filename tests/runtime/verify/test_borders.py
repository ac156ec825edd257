"""What verification finds at zeros, ties, empty windows and saturated values, and what was mended there.

Slow because the definitions are derived and built for OpenCL.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.codegen.user_file import combined, load_definitions
from phiz.runtime import Network, layer
from phiz.runtime.errors import ShapeError
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.verify.kernel_run import NumpyRun, OpenCLRun, loss_fixture
from phiz.runtime.verify.verify import verify

DEFINITIONS = '''
from phiz.derive import Max, Sum, activation, layer, log, piecewise, root, sqrt


@activation
def steep(z):
    return piecewise((sqrt(z), z >= 0), (z, True))


@activation
def gentle(z):
    return piecewise((root(z), z >= 0), (z, True))


@layer()
def polynomial(L):
    """Powers 0 to 2 of every input."""
    Y = L.input()
    i, p = L.maps("i"), L.axis("p", 3)
    w = L.parameter("w", i, p, Y.j)
    return L.output(i)(Sum(w[i, p, Y.j] * Y[Y.j] ** p, p, Y.j))


@layer()
def rising(L):
    """Powers 1 to 3 of every input."""
    Y = L.input()
    i, k = L.maps("i"), L.axis("k", 3)
    w = L.parameter("w", i, k, Y.j)
    return L.output(i)(Sum(w[i, k, Y.j] * Y[Y.j] ** (1 + k), k, Y.j))


@layer()
def length(L):
    """The length of a scaled input by sqrt, which has no slope at 0."""
    Y = L.input()
    i = L.maps("i")
    w = L.parameter("w", i, Y.j)
    return L.output(i)(sqrt(Sum((w[i, Y.j] * Y[Y.j]) ** 2, Y.j)))


@layer()
def rooted(L):
    """The same by root."""
    Y = L.input()
    i = L.maps("i")
    w = L.parameter("w", i, Y.j)
    return L.output(i)(root(Sum((w[i, Y.j] * Y[Y.j]) ** 2, Y.j)))


@layer()
def logarithms(L):
    """A product of logarithms, which is 0 at 0."""
    Y = L.input()
    i = L.maps("i")
    c = L.parameter("c", i, Y.j)
    return L.output(i)(Sum(c[i, Y.j] * log(Y[Y.j]) * log(1 + Y[Y.j]), Y.j))


@layer()
def clipped(L):
    """The largest value of windows that may lie outside the map."""
    Y = L.input(1)
    i, M = L.own(Y), L.sizes("M", "window", 1)
    p, q = L.padding(1)
    x, u = L.coordinates("x", Y.H + p + q - M + 1), L.window("u", M)
    return L.output(i, x)(Max(Y.clipped[i, x + u - p], u))
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("borders")
    (path / "own.py").write_text(DEFINITIONS)
    definitions, _ = combined(load_definitions([path / "own.py"]))
    write(
        path / "generated", generate(definitions.families, definitions.activations, definitions.losses).files
    )
    return path / "generated"


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_what_has_no_derivative_at_zero_is_found_and_the_rest_is_finite(folder: Path, backend: str) -> None:
    names = ["polynomial", "rising", "length", "rooted", "logarithms", "clipped"]
    report = verify(names if backend == "numpy" else names[1:5], folder, backend, cases=1)  # type: ignore[arg-type]
    rows = [row for row in report.rows if row.check == "borders"]
    assert {row.layer for row in rows if not row.passed} == {"length", "logarithms"}
    assert {row.layer for row in rows if row.passed} >= {"rising", "rooted"}
    found = next(row for row in rows if row.layer == "length" and row.kernel == "delta_Y")
    assert "where the input is 0" in found.note and "root(s)" in found.note
    assert all(row.kernel.startswith("delta") for row in rows if row.layer == "logarithms" and not row.passed)
    assert not [row for row in report.failures if row.check != "borders"]


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
@pytest.mark.parametrize(("name", "first"), [("polynomial", 0), ("rising", 1)])
def test_powers_have_their_derivative_at_zero(folder: Path, name: str, first: int, backend: str) -> None:
    """n y^(n-1) at y = 0: the weight of the first power; of the powers' sums by weights, 0^0 = 1 and 0."""
    network = Network(
        [layer(name, maps=1)], 2, "mse", backend=backend, dtype="float64", manifests=[str(folder)]
    )
    weights = np.arange(1.0, 7.0)  # [power, input]
    _, gradient = network.value_and_gradient(weights, np.zeros((1, 2)), np.array([[-1.0]]))
    value = 3.0 if first == 0 else 0.0  # the weights of y^0
    by_power = [value + 1.0 if first + p == 0 else 0.0 for p in range(3)]
    np.testing.assert_allclose(gradient, np.repeat(by_power, 2))
    below = [layer("dense_no_bias", maps=2), layer(name, maps=1)]
    network = Network(below, 1, "mse", backend=backend, dtype="float64", manifests=[str(folder)])
    _, gradient = network.value_and_gradient(
        np.array([0.0, 0.0, *weights]), np.ones((1, 1)), np.array([[-1.0]])
    )
    linear = weights.reshape(3, 2)[1 - first]
    np.testing.assert_allclose(gradient[:2], (value + 1.0) * linear)


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_logarithms_are_their_limit_at_zero(folder: Path, backend: str) -> None:
    network = Network(
        [layer("logarithms", maps=1)], 2, "mse", backend=backend, dtype="float64", manifests=[str(folder)]
    )
    value, gradient = network.value_and_gradient(
        np.array([2.0, 3.0]), np.array([[0.0, 1.0]]), np.array([[1.0]])
    )
    assert value == 0.5 and gradient.tolist() == [0.0, 0.0]  # log 1 = 0 too


def test_a_maximum_over_no_value_is_refused_where_the_network_is_made(folder: Path) -> None:
    def network(padding: int) -> Network:
        layers = [layer("clipped", window=2, padding=padding)]
        return Network(layers, (1, 3), "mse", backend="numpy", manifests=[str(folder)])

    assert network(1).program.layers[0].output.units == 4
    with pytest.raises(
        ShapeError, match=r"layer 0 \(clipped\): the maximum Z\[0, 0\] is over no value.*padded"
    ):
        network(2)


def test_verification_draws_empty_windows_and_says_so(folder: Path) -> None:
    report = verify(["clipped"], folder, "numpy", cases=12, seed=1)
    assert report.passed, report.failures[:3]
    notes = [row.note for row in report.rows if row.check == "borders"]
    assert any("networks refuse it" in note and "over no value" in note for note in notes)
    assert any(note == "all finite" for note in notes)


def test_an_infinite_slope_of_an_activation_is_found(folder: Path) -> None:
    rows = {name: verify([name], folder, "numpy", cases=1).rows for name in ("steep", "gentle")}
    border = {name: next(r for r in found if r.check == "borders") for name, found in rows.items()}
    assert not border["steep"].passed and "z = 0" in border["steep"].note
    assert border["gentle"].passed


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
@pytest.mark.parametrize(
    ("name", "targets", "outputs", "delta"),
    [
        ("ce", [0.0, 1.0, 0.0], [0.0, 0.5, 2.0], [0.0, -2.0, 0.0]),
        ("binary_ce", [0.0, 1.0, 0.25], [0.0, 1.0, 0.5], [1.0, -1.0, 1.0]),
    ],
)
def test_losses_have_their_delta_where_an_output_is_its_target(
    backend: str, name: str, targets: list[float], outputs: list[float], delta: list[float]
) -> None:
    """-t/y is 0 at t = y = 0, and (1 - t)/(1 - y) is 0 at t = y = 1."""
    loss = builtin().loss(name)
    fixture = loss_fixture(loss, 3)
    run = NumpyRun(fixture, "float64", 1) if backend == "numpy" else None
    run = run or OpenCLRun(fixture, "float64", 1, OpenCLBackend())
    given = {"T": targets, "Y": outputs, "Z": outputs, "weight": [1.0]}
    for tensor, values in given.items():
        run.put(tensor, np.array(values)[:, None])
    kernel = loss.kernel(loss.pairs["linear"][1])
    run.run(kernel)
    np.testing.assert_allclose(run.get(kernel.output)[:, 0], delta)

"""NumPy kernels of accesses that leave their tensor, of bounds that arrays share with indices, and of maxima
of rows, against loops written from their equations.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from random import Random

import numpy as np
import pytest
from phiz.codegen.reference.axes import PrintError
from phiz.codegen.reference.comparison import differences
from phiz.codegen.reference.printer import numpy_source
from phiz.codegen.reference.trial import PrintedKernels, tried_shapes, try_activations, try_kernels
from phiz.derive import Family, Layer, Max, Sum, derive_definition, layer, tanh
from phiz.derive.interpreter.sizes import SizeValues

Array = np.ndarray


@layer()
def guarded(L: Layer):
    """A padded access under tanh, whose map leaves the input."""
    Y = L.input(1)
    i = L.maps("i")
    (u,), (x,) = L.window("u", L.sizes("A", "window", 1)), L.coordinates("x", Y.H)
    w = L.parameter("w", u, x, i)
    return L.output(i, x)(Sum(tanh(w[u, x, i] + Y.padded[u - 1, x + u]), u))


@layer()
def bounded(L: Layer):
    """A coordinate that one index restricts by a number and another by an array."""
    Y = L.input(3)
    (k,) = L.sizes("k", "stride", 1)
    i, j = L.maps("i"), L.copy(Y.j, "jj")
    x0, x1 = L.axis("x0", Y.H[0], "coordinate"), L.axis("x1", Y.H[1], "coordinate")
    w = L.parameter("w", x1)
    return L.output(i, x0, x1)(Sum(Y.padded[j, x0, k * x0 + j - 2 * i - 1, x1 + x0] * w[x1], j))


@layer()
def rows(L: Layer):
    """The largest input for every map, which it does not depend on, and the largest weight."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    S = L.stage("S", i)(Max(Y[j], j))
    T = L.stage("T", i)(Max(w[i, j], j))
    U = L.stage("U", i, j)(Max(w[i, j], L.copy(j, "jj")))
    return L.output(i)(S[i] * T[i] + Sum(U[i, j], j))


def evaluated(
    family: Family, sizes: dict[str, int], samples: int = 2, dtype: str = "float64"
) -> tuple[dict[str, Array], dict[str, Array]]:
    """Random arguments and what the printed kernels make of them, as ``(units, samples)``."""
    derivation = derive_definition(family, {})
    text = numpy_source(derivation.kernels, derivation.tensors, {})
    printed = PrintedKernels(text, derivation.tensors, SizeValues(sizes), samples, dtype)
    generator = np.random.default_rng(3)
    given = {"dphi": np.zeros(0)}
    for tensor in derivation.tensors.values():
        if tensor.kind in ("input", "parameter") or tensor.name == "delta_Z":
            shape = (printed.units(tensor), *((samples,) if tensor.samples else ()))
            given[tensor.name] = generator.normal(size=shape).astype(dtype)
    given["dphi"] = np.ones_like(given["Y"])
    found = dict(given)
    for kernel in derivation.kernels:
        found |= printed.run(kernel, found)
    return given, found


@pytest.mark.parametrize("window", [1, 2, 3])
def test_a_guarded_term_keeps_its_axes(window: int) -> None:
    J, H, I, T = 2, 3, 2, 2
    given, found = evaluated(guarded, {"J": J, "H0": H, "A0": window, "I": I}, T)
    Y, w = given["Y"].reshape(J, H, T), given["w"].reshape(window, H, I)
    delta = given["delta_Z"].reshape(I, H, T)
    Z, below, gradient = np.zeros((I, H, T)), np.zeros_like(Y), np.zeros((window, H, I, T))
    for i, x, u in product(range(I), range(H), range(window)):
        inside = 0 <= u - 1 < J and x + u < H
        value = np.tanh(w[u, x, i] + (Y[u - 1, x + u] if inside else 0))
        Z[i, x] += value
        gradient[u, x, i] += delta[i, x] * (1 - value**2)
        if inside:
            below[u - 1, x + u] += delta[i, x] * (1 - value**2)
    np.testing.assert_allclose(found["Z"], Z.reshape(-1, T), rtol=1e-12)
    np.testing.assert_allclose(found["delta_Y"], below.reshape(-1, T), rtol=1e-12)
    np.testing.assert_allclose(found["samplegradient_w"], gradient.reshape(-1, T), rtol=1e-12)
    np.testing.assert_allclose(found["gradient_w"], gradient.sum(-1).reshape(-1), rtol=1e-12)


def terms(
    I: int, J: int, H: tuple[int, ...], k: int
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...], int]]:
    """Output, input and weight of every term of ``bounded``."""
    for i, x0, x1, j in product(range(I), range(H[0]), range(H[1]), range(J)):
        y1, y2 = k * x0 + j - 2 * i - 1, x1 + x0
        if 0 <= y1 < H[1] and y2 < H[2]:
            yield (i, x0, x1), (j, x0, y1, y2), x1


@pytest.mark.parametrize(("J", "H", "k"), [(3, (4, 3, 3), 2), (4, (5, 8, 6), 3), (1, (1, 1, 1), 1)])
def test_an_index_stays_inside_where_only_an_array_is_empty(J: int, H: tuple[int, ...], k: int) -> None:
    I, T = 2, 2
    sizes = {"J": J, "I": I, "k0": k, **{f"H{r}": n for r, n in enumerate(H)}}
    given, found = evaluated(bounded, sizes, T)
    Y, delta = given["Y"].reshape(J, *H, T), given["delta_Z"].reshape(I, *H[:2], T)
    Z, below, gradient = np.zeros_like(delta), np.zeros_like(Y), np.zeros((H[1], T))
    for out, read, x1 in terms(I, J, H, k):
        Z[out] += Y[read] * given["w"][x1]
        below[read] += delta[out] * given["w"][x1]
        gradient[x1] += delta[out] * Y[read]
    for name, right in (("Z", Z), ("delta_Y", below), ("samplegradient_w", gradient)):
        np.testing.assert_allclose(found[name], right.reshape(-1, T), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found["gradient_w"], gradient.sum(-1), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_maximum_that_does_not_depend_on_every_axis(dtype: str) -> None:
    I, J, T = 3, 4, 2
    given, found = evaluated(rows, {"I": I, "J": J}, T, dtype)
    Y, w, delta = given["Y"], given["w"].reshape(I, J), given["delta_Z"]
    best, heaviest = Y.argmax(0), w.argmax(1)
    Z = Y.max(0) * w.max(1)[:, None] + w.sum(1)[:, None]
    below, gradient = np.zeros((J, T)), np.zeros((I, J, T))
    for i, t in product(range(I), range(T)):
        below[best[t], t] += delta[i, t] * w[i].max()
        gradient[i, :, t] += delta[i, t]
        gradient[i, heaviest[i], t] += delta[i, t] * Y[:, t].max()
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(found["Z"], Z, rtol=tolerance)
    np.testing.assert_allclose(found["delta_Y"], below, rtol=tolerance)
    np.testing.assert_allclose(found["samplegradient_w"], gradient.reshape(-1, T), rtol=tolerance)
    assert {array.dtype for array in found.values()} == {np.dtype(dtype)}


@layer()
def largest(L: Layer):
    """A maximum that names its window before its inputs."""
    Y = L.input()
    (u,) = L.window("u", L.sizes("A", "window", 1))
    w = L.parameter("w", u, Y.j)
    return L.output(L.maps("i"))(Max(w[u, Y.j], u, Y.j) + Y[0])


def test_the_first_maximiser_is_the_first_in_the_order_that_a_maximum_names() -> None:
    derivation = derive_definition(largest, {})
    text = numpy_source(derivation.kernels, derivation.tensors, {})
    printed = PrintedKernels(text, derivation.tensors, SizeValues({"J": 2, "A0": 2, "I": 1}), 1, "float64")
    found = {"Y": np.zeros((2, 1)), "w": np.array([0.0, 5.0, 5.0, 0.0]), "delta_Z": np.ones((1, 1))}
    found["dphi"] = np.ones((2, 1))
    for kernel in derivation.kernels:
        found |= printed.run(kernel, found)
    assert found["gradient_w"].tolist() == [0.0, 1.0, 0.0, 0.0]


@layer()
def connected(L: Layer):
    """The largest term of all connections, which a window comes before."""
    Y = L.input()
    c, u = L.connections("table", Y), L.axis("u", 2, "window")
    w = L.parameter("w", *c.q, u)
    return L.output(c.i)(Max(w[*c.q, u] * Y[c.j], u, c))


def test_points_of_a_maximum_over_connections_have_numbers_of_their_own() -> None:
    """With the window outermost, row 1 of window 0 and row 0 of window 1 had the number 1 both."""
    derivation = derive_definition(connected, {})
    text = numpy_source(derivation.kernels, derivation.tensors, {})
    sizes = SizeValues({"J": 2, "I": 1, "Q": 2}, {"D": {"i": [0, 0], "j": [0, 1], "q": [0, 1]}})
    printed = PrintedKernels(text, derivation.tensors, sizes, 1, "float64")
    found = {"Y": np.ones((2, 1)), "w": np.array([1.0, 5.0, 2.0, 3.0]), "delta_Z": np.ones((1, 1))}
    found["dphi"] = np.ones((2, 1))
    for kernel in derivation.kernels:
        found |= printed.run(kernel, found)
    assert found["gradient_w"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert found["delta_Y"].ravel().tolist() == [5.0, 0.0]


@layer()
def still(L: Layer):
    """An index whose multiples of two others cancel where a stride is 1."""
    Y = L.input(1)
    (k,) = L.sizes("k", "stride", 1)
    x = L.axis("x", Y.H[0], "coordinate")
    u, v = L.axis("u", 2, "window"), L.axis("v", Y.H[0])
    w = L.parameter("w", v)
    return L.output(x)(Sum(tanh(Y.padded[0, k * x + k * v + u] * w[v] * Y[0, x]), v, u))


def test_random_shapes_of_them_agree_with_the_definition() -> None:
    for family in (guarded, bounded, rows, largest, connected, still):
        derivation = derive_definition(family, {})
        text = numpy_source(derivation.kernels, derivation.tensors, {})
        found = list(differences(derivation, text, Random(family.name), 9))
        assert not found, "\n".join(map(str, found))


# ---------------------------------------------------------------------------------- run before it is written
@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("return np.tanh", "return undefined", "forward_S fails with .*NameError"),
        ("np.tanh(S_sum1)", "np.tanh(S_sum1)[1:]", r"forward_S fails .*has the shape"),
        ("np.tanh(S_sum1)", "np.tanh(S_sum1).astype(np.float64)", "forward_S .*is float64, not float32"),
    ],
)
def test_a_kernel_that_does_not_run_is_refused_by_name(right: str, wrong: str, reason: str) -> None:
    derivation = derive_definition(plain, {})
    text = numpy_source(derivation.kernels, derivation.tensors, {})
    assert right in text
    shapes = list(tried_shapes(derivation.definition))
    assert len(shapes) == 3
    try_kernels(text, derivation.kernels, derivation.tensors, shapes, "layer plain")
    with pytest.raises(PrintError, match=rf"^layer plain: the NumPy kernel {reason}"):
        try_kernels(
            text.replace(right, wrong, 1), derivation.kernels, derivation.tensors, shapes, "layer plain"
        )


@layer()
def plain(L: Layer):
    """A stage of tanh."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    S = L.stage("S", i)(tanh(Sum(w[i, j] * Y[j], j)))
    return L.output(i)(S[i] ** 2)


def test_an_activation_that_does_not_run_is_refused_by_name() -> None:
    text = "import numpy as np\ndef phi_a(z): return z[0]\ndef dphi_a(z): return z\n"
    with pytest.raises(PrintError, match=r"activation a: .* another shape"):
        try_activations(text, ["a"])
    with pytest.raises(PrintError, match=r"activation b: .* fails"):
        try_activations(text, ["b"])

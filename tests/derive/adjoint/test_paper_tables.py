"""Tables 4 to 8 of the paper as the ledger corrects them, and the printed forms that fail (errata X...).

The derived kernels run on symbols over small index sets; the tables are written here as loops.  Equality is
that of polynomials.  phi' is the factor that a kernel marked ``dphi`` takes from the layer below, so it is
left out on both sides.
"""

from __future__ import annotations

from itertools import permutations, product

import pytest
import sympy as sp
from phiz.derive.layers import (
    convolution,
    dense,
    linear_combination,
    max_pooling,
    radial_basis,
    subsampling,
    vanilla_subsampling,
)

from tests.derive.adjoint.paper import Entries, equal, symbolic, without_sample
from tests.harness import LayerRun, derived
from tests.interpreter import EXACT


def delta_kernel_takes_phi(run: LayerRun) -> bool:
    kernel = next(k for k in run.derivation.kernels if k.name == "delta_Y")
    return kernel.finish == "dphi"


# ----------------------------------------------------------------------------------- Table 4, equations 33-41
@pytest.fixture(scope="module")
def perceptron() -> tuple[LayerRun, dict[str, Entries]]:
    run = symbolic(dense, (3,), I=2)
    return run, {name: without_sample(run.values[name]) for name in ("Y", "Z", "delta_Z", "delta_Y")}


def test_table_4(perceptron) -> None:  # type: ignore[no-untyped-def]
    run, v = perceptron
    W, b, y, d = run.values["w"], run.values["b"], v["Y"], v["delta_Z"]
    assert equal(v["Z"], {(i,): sum(W[i, j] * y[j,] for j in range(3)) + b[i,] for i in range(2)})
    assert equal(v["delta_Y"], {(j,): sum(W[i, j] * d[i,] for i in range(2)) for j in range(3)})  # W^T delta
    assert equal(run.values["gradient_w"], {(k, j): d[k,] * y[j,] for k, j in product(range(2), range(3))})
    assert equal(run.values["gradient_b"], {(k,): d[k,] for k in range(2)})
    assert delta_kernel_takes_phi(run)


def test_x11_the_delta_in_the_sum_over_i_is_delta_i() -> None:
    """Equations 36, 37 print delta_j: sum_i delta_j dz_i/dw_kj = delta_j y_j, which is no gradient."""
    run = symbolic(dense, (2,), I=2)
    y, d = without_sample(run.values["Y"]), without_sample(run.values["delta_Z"])
    z = without_sample(run.values["Z"])
    w = run.values["w"]

    def equation_37(printed: bool) -> Entries:
        return {
            (k, j): sum(d[j if printed else i,] * sp.diff(z[i,], w[k, j]) for i in range(2))
            for k, j in product(range(2), repeat=2)
        }

    assert equal(run.values["gradient_w"], equation_37(printed=False))
    assert not equal(run.values["gradient_w"], equation_37(printed=True))
    assert y  # the gradient is delta_k y_j: test_table_4


def test_x1_the_tangent_recursion_sums_over_the_layer_below() -> None:
    """Equation 4 prints dY_i^(L-1) inside the sum over j; with dY_j^(L-1) it gives the derived gradient
    of two layers.
    """
    below = symbolic(dense, (2,), options={"bias": False}, I=2)
    y1 = without_sample(below.values["Z"])  # phi = identity
    above = LayerRun(derived(dense, bias=False), (2,), arithmetic=EXACT, I=2)
    above.values["Y"] = {(*k, 0): v for k, v in y1.items()}
    for name in ("w", "delta_Z"):
        entries = above.fill(name, lambda: 0)
        entries |= {k: sp.Symbol(f"{name}2_{'_'.join(map(str, k))}", real=True) for k in entries}
        above.values[name] = entries
    above.run("forward", "delta", "gradient")
    below.values["delta_Z"] = above.values["delta_Y"]
    below.run("delta", "gradient")
    w1, w2, d = below.values["w"], above.values["w"], without_sample(above.values["delta_Z"])

    def equation_4(m: tuple[int, ...], printed: bool) -> sp.Expr:
        total = 0
        for i in range(2):
            tangent = sum(w2[i, j] * sp.diff(y1[i if printed else j,], w1[m]) for j in range(2))
            total += d[i,] * tangent
        return total

    assert equal(below.values["gradient_w"], {m: equation_4(m, printed=False) for m in w1})
    assert not equal(below.values["gradient_w"], {m: equation_4(m, printed=True) for m in w1})


# ------------------------------------------------------------------------------------------- equations 54, 55
def test_x15_the_output_combines_the_functions_of_the_layer_below() -> None:
    """Equation 55 prints the centre c_i of the output's own index; with c_j each output mixes all
    functions of D_i.
    """
    y, c = [1, 2], {(j, k): (2 * j - k) for j in range(3) for k in range(2)}
    units = LayerRun(derived(radial_basis), (2,), arithmetic=EXACT, I=3)
    units.values |= {
        "Y": {(k, 0): sp.Integer(v) for k, v in enumerate(y)},
        "c": {k: sp.Integer(v) for k, v in c.items()},
    }
    units.values["beta"] = {(j,): sp.log(2) for j in range(3)}
    rho = without_sample(units.forward())
    distance = [sum((y[k] - c[j, k]) ** 2 for k in range(2)) for j in range(3)]
    assert rho == {(j,): sp.Rational(1, 2 ** distance[j]) for j in range(3)}  # equation 54, squared radius

    D = {0: [0, 2], 1: [1, 2]}
    rows = [(i, j) for i in D for j in D[i]]
    relation = {"D": {"i": [i for i, _ in rows], "j": [j for _, j in rows], "q": list(range(len(rows)))}}
    outputs = symbolic(linear_combination, (3,), relation, {"connections": "table"}, I=2)
    outputs.values["Y"] = {(*k, 0): v for k, v in rho.items()}
    z = without_sample(outputs.forward())
    a = {row: outputs.values["a"][q,] for q, row in enumerate(rows)}
    assert equal(z, {(i,): sum(a[i, j] * rho[j,] for j in D[i]) for i in D})
    assert not equal(z, {(i,): sum(a[i, j] * rho[i,] for j in D[i]) for i in D})  # as printed


# ----------------------------------------------------------------------------------- Table 5, equations 60-81
H, M, D = (3, 4), (2, 3), {0: [0, 1], 1: [1]}
O = tuple(h - m + 1 for h, m in zip(H, M, strict=True))
C = {j: [i for i in D if j in D[i]] for j in range(2)}
ROWS = [(i, j) for i in D for j in D[i]]
KERNEL = {row: q for q, row in enumerate(ROWS)}


def box(*sizes: int) -> list[tuple[int, ...]]:
    return list(product(*map(range, sizes)))


class Convolution:
    """The derived layer with a kernel per connection, and the symbols that the table is written in."""

    def __init__(self, shared: bool) -> None:
        q = [i for i, _ in ROWS] if shared else list(range(len(ROWS)))
        relation = {"D": {"i": [i for i, _ in ROWS], "j": [j for _, j in ROWS], "q": q}}
        count = max(q) + 1
        sizes = {"M0": [M[0]] * count, "M1": [M[1]] * count}
        self.run = symbolic(
            convolution, [H, H], relation, {"rank": 2, "connections": "table"}, I=2, Q=count, **sizes
        )
        self.Y, self.Z, self.delta, self.delta_Y = (
            without_sample(self.run.values[name]) for name in ("Y", "Z", "delta_Z", "delta_Y")
        )
        self.w = {(row, u): self.run.values["w"][(q[n], *u)] for n, row in enumerate(ROWS) for u in box(*M)}
        self.b = self.run.values["b"]


@pytest.fixture(scope="module")
def image() -> Convolution:
    return Convolution(shared=False)


@pytest.fixture(scope="module")
def shared_image() -> Convolution:
    """Remark 2: one kernel per map."""
    return Convolution(shared=True)


def feed_forward(c: Convolution, bias: bool = True, taps: tuple[int, int] = M) -> Entries:
    def term(i: int, x: tuple[int, ...]) -> sp.Expr:
        return sum(c.Y[j, x[0] + u, x[1] + v] * c.w[(i, j), (u, v)] for j in D[i] for u, v in box(*taps))

    return {(i, *x): term(i, x) + (c.b[i,] if bias else 0) for i in D for x in box(*O)}


def test_table_5_feed_forward(image: Convolution, shared_image: Convolution) -> None:
    assert equal(image.Z, feed_forward(image))
    assert equal(shared_image.Z, feed_forward(shared_image))


def test_x23_the_bias_belongs_to_the_feed_forward_row(image: Convolution) -> None:
    assert not equal(image.Z, feed_forward(image, bias=False))  # as Table 5 prints it


def test_x17_the_sums_end_at_m_minus_1(image: Convolution) -> None:
    with pytest.raises(KeyError):  # as printed, u = 0..M_u: reads omega[M]
        feed_forward(image, taps=(M[0] + 1, M[1] + 1))


def equation_70(c: Convolution) -> Entries:
    """The gather form with the indicator 1{(x - u, y - v) in S_i}, limits as in X17."""
    return {
        (j, x, y): sum(
            c.delta[i, x - u, y - v] * c.w[(i, j), (u, v)]
            for i in C[j]
            for u, v in box(*M)
            if (x - u, y - v) in box(*O)
        )
        for j in C
        for x, y in box(*H)
    }


def padded(c: Convolution, i: int, pad: tuple[int, int]) -> dict[tuple[int, int], sp.Expr]:
    """delta~ with its origin at the padded corner."""
    size = (O[0] + 2 * pad[0], O[1] + 2 * pad[1])
    return {(x, y): c.delta.get((i, x - pad[0], y - pad[1]), sp.S.Zero) for x, y in box(*size)}


def star(
    image: dict[tuple[int, int], sp.Expr], kernel: dict[tuple[int, int], sp.Expr]
) -> dict[tuple[int, int], sp.Expr]:
    """Equation 61 with taps 0..M-1, on every coordinate where it is defined."""
    size = [1 + max(key[r] for key in image) - M[r] + 1 for r in range(2)]
    return {(x, y): sum(image[x + u, y + v] * kernel[u, v] for u, v in box(*M)) for x, y in box(*size)}


def rotated(c: Convolution, row: tuple[int, int]) -> dict[tuple[int, int], sp.Expr]:
    return {(u, v): c.w[row, (M[0] - 1 - u, M[1] - 1 - v)] for u, v in box(*M)}


def back_propagation(c: Convolution, pad: tuple[int, int]) -> Entries:
    """Equation 74: delta~ padded by ``pad``, star the rotated kernel, summed over C_j."""
    total: Entries = {}
    for j in C:
        for i in C[j]:
            for (x, y), value in star(padded(c, i, pad), rotated(c, (i, j))).items():
                total[j, x, y] = total.get((j, x, y), sp.S.Zero) + value
    return total


def test_table_5_back_propagation(image: Convolution, shared_image: Convolution) -> None:
    for c in (image, shared_image):
        assert equal(c.delta_Y, equation_70(c))
        assert equal(c.delta_Y, back_propagation(c, (M[0] - 1, M[1] - 1)))
        assert delta_kernel_takes_phi(c.run)


def test_x18_the_padding_is_m_minus_1(image: Convolution) -> None:
    printed = back_propagation(image, M)
    assert {key[1:] for key in printed} == set(box(H[0] + 2, H[1] + 2))  # two rows and columns too many
    assert not equal(image.delta_Y, {key: printed[key] for key in image.delta_Y})


def test_x19_the_correlation_is_shifted_by_m_minus_1(image: Convolution) -> None:
    """Equation 72 at the same (x, y) fails; at (x - M_u + 1, y - M_v + 1) it is an identity.  delta~ is
    0 outside S_i.
    """

    def equation_72(shift: tuple[int, int]) -> Entries:
        return {
            (j, x, y): sum(
                image.delta.get((i, x - shift[0] + u, y - shift[1] + v), 0) * rotated(image, (i, j))[u, v]
                for i in C[j]
                for u, v in box(*M)
            )
            for j in C
            for x, y in box(*H)
        }

    assert equal(image.delta_Y, equation_72((M[0] - 1, M[1] - 1)))
    assert not equal(image.delta_Y, equation_72((0, 0)))


def test_table_5_gradients(image: Convolution, shared_image: Convolution) -> None:
    def term(c: Convolution, i: int, j: int, u: tuple[int, ...]) -> sp.Expr:
        return sum(c.delta[(i, *x)] * c.Y[j, x[0] + u[0], x[1] + u[1]] for x in box(*O))

    assert equal(
        image.run.values["gradient_w"],
        {(KERNEL[p, q], *u): term(image, p, q, u) for p, q in ROWS for u in box(*M)},
    )
    one_per_map = {(i, *u): sum(term(shared_image, i, j, u) for j in D[i]) for i in D for u in box(*M)}
    assert equal(shared_image.run.values["gradient_w"], one_per_map)
    printed = {(i, *u): sum(term(shared_image, i, j, u) for j in C[i]) for i in D for u in box(*M)}
    assert not equal(shared_image.run.values["gradient_w"], printed)  # X22: equation 80 prints j in C_i
    for c in (image, shared_image):
        assert equal(c.run.values["gradient_b"], {(i,): sum(c.delta[(i, *x)] for x in box(*O)) for i in D})


def test_x21_an_absent_connection_has_no_gradient() -> None:
    """Equation 79 gives a value for every (p, q); the derived gradient is that times 1{q in D_p}."""
    relation = {"D": {"i": [0, 1], "j": [0, 1], "q": [0, 2]}}  # kernel 1 is used by no connection
    run = symbolic(convolution, [(4,), (4,)], relation, {"connections": "table"}, I=2, Q=3, M0=[2, 2, 2])
    gradient = run.values["gradient_w"]
    assert gradient[1, 0] == gradient[1, 1] == 0
    delta, Y = run.values["delta_Z"], run.values["Y"]
    printed = sum(delta[1, x, 0] * Y[0, x, 0] for x in range(3))  # equation 79 for (p, q) = (1, 0), u = 0
    assert printed != 0


# ----------------------------------------------------------------------------------- Table 6, equations 86-97
RAGGED, K = (5, 4), (2, 3)
WHOLE = tuple(h // k for h, k in zip(RAGGED, K, strict=True))


class Subsampling:
    """Weighted sub-sampling on ragged maps: H = 5, 4 and K = 2, 3 leave one row and one column over."""

    def __init__(self, q: list[int]) -> None:
        relation = {"D": {"i": [i for i, _ in ROWS], "j": [j for _, j in ROWS], "q": q}}
        options = {"rank": 2, "connections": "table"}
        self.run = symbolic(subsampling, (2, *RAGGED), relation, options, I=2, Q=max(q) + 1, K0=K[0], K1=K[1])
        self.Y, self.Z, self.delta, self.delta_Y = (
            without_sample(self.run.values[name]) for name in ("Y", "Z", "delta_Z", "delta_Y")
        )
        self.alpha = {row: self.run.values["alpha"][q[n],] for n, row in enumerate(ROWS)}

    def window(self, j: int, x: tuple[int, ...]) -> sp.Expr:
        return sum(self.Y[j, x[0] * K[0] + u, x[1] * K[1] + v] for u, v in box(*K))


@pytest.mark.parametrize("q", [[0, 1, 2], [0, 0, 1]], ids=["cross weights", "single weights"])
def test_table_6(q: list[int]) -> None:
    s = Subsampling(q)
    b = s.run.values["b"]
    assert equal(
        s.Z,
        {(i, *x): sum(s.alpha[i, j] * s.window(j, x) for j in D[i]) + b[i,] for i in D for x in box(*WHOLE)},
    )
    inside = {
        (j, x, y): sum(s.alpha[i, j] * s.delta.get((i, x // K[0], y // K[1]), 0) for i in C[j])
        for j in C
        for x, y in box(*RAGGED)
    }
    assert equal(s.delta_Y, inside)  # equation 92 with the indicator of X25
    terms = {row: sum(s.delta[(row[0], *x)] * s.window(row[1], x) for x in box(*WHOLE)) for row in ROWS}
    gradient = {(k,): sum(terms[row] for n, row in enumerate(ROWS) if q[n] == k) for k in set(q)}
    assert equal(s.run.values["gradient_alpha"], gradient)
    assert equal(s.run.values["gradient_b"], {(i,): sum(s.delta[(i, *x)] for x in box(*WHOLE)) for i in D})
    assert delta_kernel_takes_phi(s.run)


def test_table_6_with_one_input_map() -> None:
    """Equations 87 and 93: j = i."""
    run = symbolic(subsampling, (2, 5), K0=2)
    Y, delta, alpha, b = (run.values[name] for name in ("Y", "delta_Z", "alpha", "b"))
    assert equal(
        run.values["Z"],
        {(i, x, 0): alpha[i,] * (Y[i, 2 * x, 0] + Y[i, 2 * x + 1, 0]) + b[i,] for i, x in box(2, 2)},
    )
    assert equal(
        run.values["delta_Y"], {(j, x, 0): alpha[j,] * delta.get((j, x // 2, 0), 0) for j, x in box(2, 5)}
    )


def test_x25_the_leftover_edge_has_no_delta() -> None:
    """Equation 92 reads delta at floor(x / K), which is outside S for the leftover row and column; the
    derived one is 0 there.
    """
    s = Subsampling([0, 1, 2])
    outside = [(j, x, y) for j in C for x, y in box(*RAGGED) if (x // K[0], y // K[1]) not in box(*WHOLE)]
    assert len(outside) == 2 * (5 * 4 - 4 * 3)
    assert all(s.delta_Y[key] == 0 for key in outside)
    for j, x, y in outside:
        with pytest.raises(KeyError):
            s.delta[C[j][0], x // K[0], y // K[1]]
    clamped = {
        (j, x, y): sum(
            s.alpha[i, j] * s.delta[i, min(x // K[0], WHOLE[0] - 1), min(y // K[1], WHOLE[1] - 1)]
            for i in C[j]
        )
        for j in C
        for x, y in box(*RAGGED)
    }
    assert not equal(s.delta_Y, clamped)


# ---------------------------------------------------------------------------------- Table 7, equations 98-100
def pooled(values: list[int], H0: int, H1: int, k: tuple[int, int]) -> LayerRun:
    run = LayerRun(derived(max_pooling, rank=2), (1, H0, H1), arithmetic=EXACT, K0=k[0], K1=k[1])
    run.values["Y"] = {(0, *x, 0): sp.Integer(v) for x, v in zip(box(H0, H1), values, strict=True)}
    delta = run.fill("delta_Z", lambda: 0)
    run.values["delta_Z"] = {key: sp.Symbol(f"d_{'_'.join(map(str, key))}") for key in delta}
    run.run("forward", "delta")
    return run


@pytest.mark.parametrize("order", [*permutations(range(4)), (1, 1, 0, 1), (2, 2, 2, 2), (0, 3, 3, 3)])
def test_table_7_on_every_order_of_a_window(order: tuple[int, ...]) -> None:
    """One 2x2 window and a leftover column: the delta goes to the first maximiser in row-major order
    (X28), and to no other.
    """
    values = [order[0], order[1], 9, order[2], order[3], 9]
    run = pooled(values, 2, 3, (2, 2))
    assert run.values["Z"] == {(0, 0, 0, 0): max(order)}
    first = [(0, 0), (0, 1), (1, 0), (1, 1)][order.index(max(order))]
    d = run.values["delta_Z"][0, 0, 0, 0]
    assert run.values["delta_Y"] == {(0, *x, 0): d if x == first else 0 for x in box(2, 3)}
    literal = {(0, *x, 0): d if x[1] < 2 and values[3 * x[0] + x[1]] == max(order) else 0 for x in box(2, 3)}
    ties = order.count(max(order)) > 1
    assert (run.values["delta_Y"] != literal) == ties  # equation 100 gives every tied maximum the whole delta


def test_table_7_on_ragged_maps() -> None:
    """Equation 100 with the indicator of X25, over several windows."""
    values = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9]
    run = pooled(values, 3, 5, (2, 2))
    Y = dict(zip(box(3, 5), values, strict=True))
    expected = {}
    for x, y in box(3, 5):
        cell = (x // 2, y // 2)
        points = [(2 * cell[0] + u, 2 * cell[1] + v) for u, v in box(2, 2)]
        chosen = cell in box(1, 2) and max(points, key=lambda p: Y[p]) == (
            x,
            y,
        )  # max keeps the first of ties
        expected[0, x, y, 0] = run.values["delta_Z"][0, *cell, 0] if chosen else 0
    assert run.values["delta_Y"] == expected
    assert delta_kernel_takes_phi(run)


# --------------------------------------------------------------------------------- Table 8, equations 101-103
@pytest.mark.parametrize(("H0", "K0"), [(4, 2), (5, 2), (7, 3), (2, 3), (1, 1)])
def test_table_8(H0: int, K0: int) -> None:
    run = symbolic(vanilla_subsampling, (2, H0, 2), options={"rank": 2}, K0=K0, K1=1)
    Y, delta = run.values["Y"], run.values["delta_Z"]
    kept = -(-H0 // K0)  # ceil: every x with x K in S (ledger D7)
    assert equal(run.values["Z"], {(i, x, y, 0): Y[i, K0 * x, y, 0] for i, x, y in box(2, kept, 2)})
    expected = {
        (j, x, y, 0): delta[j, x // K0, y, 0] if x % K0 == 0 else sp.S.Zero for j, x, y in box(2, H0, 2)
    }
    assert equal(run.values["delta_Y"], expected)
    assert delta_kernel_takes_phi(run)


def test_a_strided_convolution_is_vanilla_sub_sampling_of_a_convolution() -> None:
    """Remarks 4 and 5, with the delta that the paper leaves open (X24)."""
    strided = symbolic(convolution, (1, 8), I=1, M0=3, k0=2)
    plain = symbolic(convolution, (1, 8), I=1, M0=3)
    kept = symbolic(vanilla_subsampling, (1, 6), K0=2)
    kept.values["Y"] = plain.values["Z"]
    assert equal(strided.values["Z"], kept.forward())
    plain.values["delta_Z"] = kept.run("delta")["delta_Y"]
    plain.run("delta", "gradient")
    assert equal(strided.values["delta_Y"], plain.values["delta_Y"])
    assert equal(strided.values["gradient_w"], plain.values["gradient_w"])

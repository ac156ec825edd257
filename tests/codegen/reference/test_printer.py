"""Kernels built by hand, printed as NumPy, against loops written from the equations."""

from __future__ import annotations

import ast
import itertools
import math
import subprocess
import sys
import types
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from phiz.codegen.reference.axes import PrintError
from phiz.codegen.reference.printer import numpy_source
from phiz.derive.ir import (
    Accumulator,
    Axis,
    Call,
    Column,
    Compare,
    Condition,
    Expr,
    FromInteger,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Let,
    Load,
    Loop,
    Name,
    Nest,
    Number,
    Select,
    Size,
    TableLoop,
    Temporary,
    Tensor,
)
from phiz.runtime.program.connections import ConnectionTable

DTYPES = pytest.mark.parametrize("dtype", [np.float64, np.float32])
SAMPLES = pytest.mark.parametrize("T", [1, 3])
ZERO, ONE = Integer(0), Integer(1)


# -------------------------------------------------------------------------------------------- writing kernels
def plus(*args: IntExpr) -> IntExpr:
    return IntOp("add", args)


def times(*args: IntExpr) -> IntExpr:
    return IntOp("mul", args)


def minus(e: IntExpr) -> IntExpr:
    return times(Integer(-1), e)


def product(*args: Expr) -> Expr:
    return Call("mul", args)


def tensor(name: str, *shape: IntExpr, samples: bool = True, kind: str = "input", **ragged: Any) -> Tensor:
    return Tensor(name, kind, shape, samples, **ragged)  # type: ignore[arg-type]


def loop(name: str, kind: str, extent: IntExpr) -> Loop:
    """A loop whose bounds are not tight."""
    return Loop(name, kind, extent, ZERO, extent, ONE)  # type: ignore[arg-type]


def window(name: str, extent: IntExpr, lower: IntExpr, upper: IntExpr) -> Loop:
    return Loop(name, "window", extent, lower, upper, ONE)


def nest(body: Expr, *loops: Loop | TableLoop, conditions: Sequence[Condition] = (), **more: Any) -> Nest:
    return Nest(loops, tuple(more.pop("lets", ())), tuple(conditions), tuple(conditions), body, **more)


def kernel(
    output: Tensor,
    axes: Sequence[tuple[str, str, IntExpr]],
    *nests: Nest,
    result: Expr | None = None,
    **more: Any,
) -> Kernel:
    found = tuple(Axis(*a) for a in axes)  # type: ignore[arg-type]
    return Kernel("f", "forward", output.name, output, found, nests, result or Accumulator(0), **more)


def run(
    k: Kernel, tensors: Sequence[Tensor], *arguments: Any, text: list[str] | None = None, **names: Any
) -> Any:
    """The result of the printed kernel."""
    source = numpy_source([k], {t.name: t for t in tensors}, {"equation": "by hand"})
    if text is not None:
        text.append(source)
    module = types.ModuleType("printed")
    exec(compile(source, "printed.py", "exec"), module.__dict__)
    return module.f(*arguments, **names)


def close(got: Any, want: Any, dtype: type) -> None:
    want = np.asarray(want)
    assert isinstance(got, np.ndarray) and got.dtype == dtype and got.shape == want.shape
    np.testing.assert_allclose(
        got, want, rtol=1e-12 if dtype is np.float64 else 1e-4, atol=1e-13 if dtype is np.float64 else 1e-5
    )


def drawn(dtype: type, *shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


I, J, N = Size("I"), Size("J"), Size("N")
i, j, n, x, u, c = (Name(v) for v in "ijnxuc")


# ------------------------------------------------------------------------------------------------------ dense
@DTYPES
@SAMPLES
def test_dense(dtype: type, T: int) -> None:
    Y, w, b, d = (
        tensor("Y", J),
        tensor("w", I, J, samples=False),
        tensor("b", I, samples=False),
        tensor("delta", I),
    )
    y, weight, bias, delta = drawn(dtype, 3, T), drawn(dtype, 2, 3), drawn(dtype, 2), drawn(dtype, 2, T)
    forward = nest(product(Load("w", (i, j)), Load("Y", (j,))), loop("j", "unit", J))
    k = kernel(
        tensor("Z", I), [("i", "unit", I)], forward, result=Call("add", (Accumulator(0), Load("b", (i,))))
    )
    want = [[bias[a] + sum(weight[a, e] * y[e, t] for e in range(3)) for t in range(T)] for a in range(2)]
    close(run(k, [Y, w, b], y, weight, bias, I=2, J=3), want, dtype)

    back = nest(product(Load("w", (i, j)), Load("delta", (i,))), loop("i", "unit", I))
    k = kernel(tensor("delta_Y", J), [("j", "unit", J)], back, finish="dphi")
    slope = drawn(dtype, 3, T, seed=1)
    want = [
        [slope[e, t] * sum(weight[a, e] * delta[a, t] for a in range(2)) for t in range(T)] for e in range(3)
    ]
    close(run(k, [w, d], weight, delta, slope, I=2, J=3), want, dtype)

    outer = nest(product(Load("delta", (i,)), Load("Y", (j,))))
    axes = [("i", "unit", I), ("j", "unit", J)]
    text: list[str] = []
    total = run(kernel(tensor("g", I, J, samples=False), axes, outer), [Y, d], y, delta, I=2, J=3, text=text)
    close(total, [[sum(delta[a, t] * y[e, t] for t in range(T)) for e in range(3)] for a in range(2)], dtype)
    assert "delta @ Y.T" in text[0]
    rows = run(kernel(tensor("g", I, J), axes, outer), [Y, d], y, delta, I=2, J=3)
    close(rows, [[[delta[a, t] * y[e, t] for t in range(T)] for e in range(3)] for a in range(2)], dtype)


# ------------------------------------------------------------------------------------------------ convolution
SPATIAL = [
    (5, 3, 2, 1, 1),
    (4, 2, 3, 2, 2),
    (6, 3, 1, 2, 0),
    (3, 3, 2, 1, 0),
    (1, 1, 1, 1, 0),
    (7, 2, 4, 1, 1),
]


def spatial(r: int) -> tuple[IntExpr, ...]:
    return tuple(Size(f"{s}{r}") for s in "HMkdpO")


def output_size(H: int, M: int, k: int, d: int, p: int) -> int:
    return (H + 2 * p - d * (M - 1) - 1) // k + 1


def environment(first: tuple[int, ...], second: tuple[int, ...]) -> dict[str, int]:
    found = {}
    for r, values in enumerate((first, second)):
        found |= {f"{s}{r}": v for s, v in zip("HMkdp", values, strict=True)} | {
            f"O{r}": output_size(*values)
        }
    return found


def taps(env: dict[str, int]) -> list[tuple[int, int, int, int, int, int]]:
    """(x0, x1, u0, u1, y0, y1) with y inside the map: the definition, ledger B."""
    ranges = [range(env[s]) for s in ("O0", "O1", "M0", "M1")]
    found = []
    for x0, x1, u0, u1 in itertools.product(*ranges):
        y0, y1 = (
            env[f"k{r}"] * v + env[f"d{r}"] * a - env[f"p{r}"] for r, v, a in ((0, x0, u0), (1, x1, u1))
        )
        if 0 <= y0 < env["H0"] and 0 <= y1 < env["H1"]:
            found.append((x0, x1, u0, u1, y0, y1))
    return found


@DTYPES
@SAMPLES
@pytest.mark.parametrize("case", range(len(SPATIAL)))
def test_convolution(case: int, dtype: type, T: int) -> None:
    env = environment(SPATIAL[case], SPATIAL[(case + 2) % len(SPATIAL)])
    H, M, k, d, p, O = zip(spatial(0), spatial(1), strict=True)
    Y, w, delta = tensor("Y", J, *H), tensor("w", I, J, *M, samples=False), tensor("delta", I, *O)
    y = drawn(dtype, 2, env["H0"], env["H1"], T)
    weight = drawn(dtype, 3, 2, env["M0"], env["M1"])
    dz = drawn(dtype, 3, env["O0"], env["O1"], T)
    names = {**env, "I": 3, "J": 2}

    at = [plus(times(k[r], Name(f"x{r}")), times(d[r], Name(f"u{r}")), minus(p[r])) for r in (0, 1)]
    inside = tuple(q for r in (0, 1) for q in (Condition(at[r], ">=", ZERO), Condition(at[r], "<", H[r])))
    first = [IntOp("ceildiv", (plus(p[r], times(Integer(-1), k[r], Name(f"x{r}"))), d[r])) for r in (0, 1)]
    final = [plus(H[r], p[r], times(Integer(-1), k[r], Name(f"x{r}")), Integer(-1)) for r in (0, 1)]
    windows = [  # bounds that depend on array axes: the whole window runs, and conditions narrow the axes
        window(
            f"u{r}",
            M[r],
            IntOp("max", (ZERO, first[r])),
            IntOp("min", (M[r], plus(IntOp("floordiv", (final[r], d[r])), ONE))),
        )
        for r in (0, 1)
    ]
    body = product(Load("w", (i, j, Name("u0"), Name("u1"))), Load("Y", (j, *at)))
    xs = [("x0", "coordinate", O[0]), ("x1", "coordinate", O[1])]
    tight = Nest((loop("j", "map", J), *windows), (), inside, (), body)
    forward = kernel(tensor("Z", I, *O), [("i", "map", I), *xs], tight)
    want = np.zeros((3, env["O0"], env["O1"], T))
    for x0, x1, u0, u1, y0, y1 in taps(env):
        want[:, x0, x1] += np.einsum("ij,jt->it", weight[:, :, u0, u1], y[:, y0, y1])
    close(run(forward, [Y, w], y, weight, **names), want, dtype)
    extended = product(Load("w", (i, j, Name("u0"), Name("u1"))), Load("Y", (j, *at), inside))
    extended_kernel = replace(forward, nests=(nest(extended, loop("j", "map", J), *windows),))
    close(run(extended_kernel, [Y, w], y, weight, **names), want, dtype)

    # the delta by congruence, ledger B F1: n = (y + p - d u) / k
    numerator = [plus(Name(f"y{r}"), p[r], times(Integer(-1), d[r], Name(f"u{r}"))) for r in (0, 1)]
    lets = [Let(f"n{r}", IntOp("floordiv", (numerator[r], k[r]))) for r in (0, 1)]
    conditions = [Condition(IntOp("mod", (numerator[r], k[r])), "==", ZERO) for r in (0, 1)]
    conditions += [
        q for r in (0, 1) for q in (Condition(Name(f"n{r}"), ">=", ZERO), Condition(Name(f"n{r}"), "<", O[r]))
    ]
    body = product(Load("delta", (i, Name("n0"), Name("n1"))), Load("w", (i, j, Name("u0"), Name("u1"))))
    whole = [window(f"u{r}", M[r], ZERO, M[r]) for r in (0, 1)]
    back = nest(body, loop("i", "map", I), *whole, lets=lets, conditions=conditions)
    axes = [("j", "map", J), ("y0", "coordinate", H[0]), ("y1", "coordinate", H[1])]
    text: list[str] = []
    got = run(kernel(tensor("delta_Y", J, *H), axes, back), [w, delta], weight, dz, text=text, **names)
    want = np.zeros((2, env["H0"], env["H1"], T))
    for x0, x1, u0, u1, y0, y1 in taps(env):
        want[:, y0, y1] += np.einsum("ij,it->jt", weight[:, :, u0, u1], dz[:, x0, x1])
    close(got, want, dtype)
    assert "span(n0)" in text[0]  # a view, not a copy through index arrays

    # the gradient, with tight bounds over the coordinates
    ceiling = [IntOp("ceildiv", (plus(p[r], times(Integer(-1), d[r], Name(f"u{r}"))), k[r])) for r in (0, 1)]
    last = [plus(H[r], p[r], times(Integer(-1), d[r], Name(f"u{r}")), Integer(-1)) for r in (0, 1)]
    lower = [IntOp("max", (ZERO, ceiling[r])) for r in (0, 1)]
    upper = [IntOp("min", (O[r], plus(IntOp("floordiv", (last[r], k[r])), ONE))) for r in (0, 1)]
    loops = [Loop(f"x{r}", "coordinate", O[r], lower[r], upper[r], ONE) for r in (0, 1)]
    body = product(Load("delta", (i, Name("x0"), Name("x1"))), Load("Y", (j, *at)))
    tight = Nest(tuple(loops), (), inside, (), body)
    axes = [("i", "map", I), ("j", "map", J), ("u0", "window", M[0]), ("u1", "window", M[1])]
    got = run(kernel(tensor("g", I, J, *M, samples=False), axes, tight), [Y, delta], y, dz, **names)
    want = np.zeros((3, 2, env["M0"], env["M1"]))
    for x0, x1, u0, u1, y0, y1 in taps(env):
        want[:, :, u0, u1] += np.einsum("it,jt->ij", dz[:, x0, x1], y[:, y0, y1])
    close(got, want, dtype)


@DTYPES
def test_ragged_convolution_with_connections(dtype: type) -> None:
    """Maps and kernels of different sizes, connections as rows (i, j, q); one output map has none."""
    rows = {"i": [2, 0, 0], "j": [1, 0, 1], "q": [1, 0, 1]}
    D = ConnectionTable("D", rows, {"i": 3, "j": 2, "q": 2})
    H, M, O, T = np.array([5, 7]), np.array([2, 3]), np.array([4, 3, 5]), 2
    y = [drawn(dtype, h, T) for h in H]
    weight = [drawn(dtype, m) for m in M]
    j_, q_ = Column("D", "j", c), Column("D", "q", c)
    Y = tensor("Y", J, Size("H", Name("_")), ragged=True, layout="Y")
    w = tensor("w", Size("Q"), Size("M", Name("_")), samples=False, ragged=True, layout="w")
    body = product(Load("w", (q_, u)), Load("Y", (j_, plus(x, u))))
    content = nest(body, TableLoop("c", "D", "i", i), loop("u", "window", Size("M", q_)))
    Z = tensor("Z", I, Size("O", Name("_")), ragged=True, layout="Z")
    k = kernel(Z, [("i", "map", I), ("x", "coordinate", Size("O", i))], content)
    got = run(k, [Y, w], y, weight, I=3, J=2, Q=2, H=H, M=M, O=O, D=D)
    assert isinstance(got, list) and len(got) == 3
    for a in range(3):
        want = np.zeros((O[a], T))
        for i_row, j_row, q_row in zip(*rows.values(), strict=True):
            for v, tap in itertools.product(range(O[a] if i_row == a else 0), range(M[q_row])):
                want[v] += weight[q_row][tap] * y[j_row][v + tap]
        close(got[a], want, dtype)


@DTYPES
@SAMPLES
def test_units_with_connection_lists(dtype: type, T: int) -> None:
    """Rows of plain units become an array axis, and the sum one product of matrices."""
    rows = {"i": [0, 0, 2, 2, 2], "j": [1, 3, 0, 1, 1], "q": [0, 1, 1, 0, 0]}
    D = ConnectionTable("D", rows, {"i": 3, "j": 4, "q": 2})
    body = product(Load("w", (Column("D", "q", c),)), Load("Y", (Column("D", "j", c),)))
    k = kernel(tensor("Z", I), [("i", "unit", I)], nest(body, TableLoop("c", "D", "i", i)))
    y, w = drawn(dtype, 4, T), drawn(dtype, 2)
    want = np.zeros((3, T))
    for a, b, q in zip(*rows.values(), strict=True):
        want[a] += w[q] * y[b]
    text: list[str] = []
    tensors = [tensor("Y", J), tensor("w", Size("Q"), samples=False)]
    close(run(k, tensors, y, w, I=3, J=4, Q=2, D=D, text=text), want, dtype)
    assert "for c in" not in text[0]


# ------------------------------------------------------------------------------------------------ max pooling
K, X, H = Size("K"), Size("X"), Size("H")


def pooling(extra: Expr | None = None, **more: Any) -> Kernel:
    """Overlapping windows of 3, stride 1, first maximiser."""
    body = extra or Load("Y", (j, plus(x, u)))
    content = nest(body, loop("u", "window", K), combine="max", position=u, **more)
    position = tensor("P", J, X, kind="position")
    return kernel(tensor("Z", J, X), [("j", "map", J), ("x", "coordinate", X)], content, position=position)


@DTYPES
@SAMPLES
def test_max_pooling(dtype: type, T: int) -> None:
    y = np.round(drawn(dtype, 2, 7, T) * 2)  # ties
    y[0, 2, 0], y[1, 3, -1], y[1, 4, -1] = math.nan, math.nan, -math.inf
    y[0, 4:7, 0] = -math.inf
    Z, P = run(pooling(), [tensor("Y", J, H)], y, J=2, H=7, K=3, X=5)
    assert Z.dtype == P.dtype == dtype
    for a, v, t in np.ndindex(2, 5, T):
        values = y[a, v : v + 3, t].tolist()
        first = next((n for n, value in enumerate(values) if math.isnan(value)), None)
        if first is None:
            first = values.index(max(values))
        assert P[a, v, t] == first
        np.testing.assert_equal(Z[a, v, t], y[a, v + first, t])

    d = drawn(dtype, 2, 5, T)
    n_ = plus(Name("y"), minus(u))
    hit = Select(Compare(Load("P", (j, n)), "==", FromInteger(u)), Load("delta", (j, n)), Number("0.0"))
    conditions = [Condition(n, ">=", ZERO), Condition(n, "<", X)]
    back = nest(hit, loop("u", "window", K), lets=[Let("n", n_)], conditions=conditions)
    k = kernel(tensor("delta_Y", J, H), [("j", "map", J), ("y", "coordinate", H)], back)
    got = run(k, [tensor("P", J, X, kind="position"), tensor("delta", J, X)], P, d, J=2, H=7, K=3, X=5)
    want = np.zeros((2, 7, T))
    for a, v, t in np.ndindex(2, 5, T):
        want[a, v + int(P[a, v, t]), t] += d[a, v, t]
    close(got, want, dtype)


@DTYPES
def test_max_over_padding_and_masks(dtype: type) -> None:
    """Zeros outside the map take part in the maximum; excluded points do not."""
    y = -np.abs(drawn(dtype, 2, 4, 3)) - 0.1
    at = plus(x, u, Integer(-1))
    inside = (Condition(at, ">=", ZERO), Condition(at, "<", H))
    Z, P = run(pooling(Load("Y", (j, at), inside)), [tensor("Y", J, H)], y, J=2, H=4, K=3, X=4)
    padded = np.pad(y, ((0, 0), (1, 1), (0, 0)))
    close(Z, np.stack([padded[:, v : v + 3].max(axis=1) for v in range(4)], axis=1), dtype)
    assert P[:, 0].tolist() == np.zeros((2, 3)).tolist() and P[:, 3].tolist() == np.full((2, 3), 2).tolist()
    masked = pooling(Load("Y", (j, at)), conditions=inside)
    Z, P = run(masked, [tensor("Y", J, H)], y, J=2, H=4, K=3, X=4)
    close(Z, np.stack([y[:, max(0, v - 1) : v + 2].max(axis=1) for v in range(4)], axis=1), dtype)
    assert (P[:, 0] >= 1).all() and (P[:, 3] <= 1).all()


# --------------------------------------------------------------------------------------- other bodies, stages
@DTYPES
@SAMPLES
def test_radial_basis(dtype: type, T: int) -> None:
    """A squared distance is no product: its arrays are never larger than the input."""
    Y, C, D = tensor("Y", J), tensor("c", I, J, samples=False), tensor("delta", I)
    y, centre, delta = drawn(dtype, 5, T), drawn(dtype, 3, 5), drawn(dtype, 3, T)
    difference = Call("add", (Load("Y", (j,)), Call("neg", (Load("c", (i, j)),))))
    square = nest(Call("pow", (difference, Number("2"))), loop("j", "unit", J))
    text: list[str] = []
    got = run(kernel(tensor("R", I), [("i", "unit", I)], square), [Y, C], y, centre, I=3, J=5, text=text)
    close(
        got,
        [[sum((y[e, t] - centre[a, e]) ** 2 for e in range(5)) for t in range(T)] for a in range(3)],
        dtype,
    )
    assert "for i in range(I)" in text[0] and "for j" not in text[0]
    gradient = nest(product(Number("-2"), Load("delta", (i,)), difference))
    k = kernel(tensor("g", I, J, samples=False), [("i", "unit", I), ("j", "unit", J)], gradient)
    got = run(k, [Y, C, D], y, centre, delta, I=3, J=5)
    want = [
        [-2 * sum(delta[a, t] * (y[e, t] - centre[a, e]) for t in range(T)) for e in range(5)]
        for a in range(3)
    ]
    close(got, want, dtype)
    back = nest(product(Number("2.0"), Load("delta", (i,)), difference), loop("i", "unit", I))
    got = run(kernel(tensor("delta_Y", J), [("j", "unit", J)], back), [Y, C, D], y, centre, delta, I=3, J=5)
    want = [
        [2 * sum(delta[a, t] * (y[e, t] - centre[a, e]) for a in range(3)) for t in range(T)]
        for e in range(5)
    ]
    close(got, want, dtype)


@DTYPES
@SAMPLES
def test_softmax_stages(dtype: type, T: int) -> None:
    A, m = tensor("A", I), tensor("m", kind="stage")
    a = np.concatenate([drawn(dtype, 4, T), np.full((1, T), 1000, dtype)])
    largest = run(kernel(m, [], nest(Load("A", (i,)), loop("i", "unit", I), combine="max")), [A], a, I=5)
    close(largest, a.max(axis=0), dtype)
    stored = kernel(
        m, [], nest(Load("A", (i,)), loop("i", "unit", I), combine="max", position=i), position=tensor("P")
    )
    ties = np.round(a)
    ties[1, 0] = math.nan
    values, where = run(stored, [A], ties, I=5)
    np.testing.assert_equal(values, ties.max(axis=0))
    assert where.dtype == dtype and where[0] == 1
    e = Call("exp", (Call("add", (Load("A", (i,)), Call("neg", (Load("m", ()),)))),))
    S = run(
        kernel(tensor("S"), [], nest(Temporary("s0"), loop("i", "unit", I), temporaries=(("s0", e),))),
        [A, m],
        a,
        largest,
        I=5,
    )
    close(S, np.exp(a.astype(float) - largest).sum(axis=0), dtype)
    out = Call("div", (Temporary("s1"), Load("S", ())))
    k = kernel(tensor("Z", I), [("i", "unit", I)], result=out, temporaries=(("s1", e),))
    close(run(k, [A, m, tensor("S")], a, largest, S, I=5), np.exp(a.astype(float) - largest) / S, dtype)


@DTYPES
@SAMPLES
def test_mean_over_everything(dtype: type, T: int) -> None:
    Y, y = tensor("Y", J, H), drawn(dtype, 2, 5, T)
    content = nest(Load("Y", (j, x)), loop("j", "map", J), loop("x", "coordinate", H))
    mean = Call("div", (Accumulator(0), FromInteger(times(J, H))))
    close(
        run(kernel(tensor("m"), [], content, result=mean), [Y], y, J=2, H=5),
        y.astype(float).mean(axis=(0, 1)),
        dtype,
    )
    total = run(kernel(tensor("g", samples=False), [], content), [Y], y, J=2, H=5)
    close(total, y.astype(float).sum(), dtype)


@DTYPES
def test_axes_that_the_body_does_not_have(dtype: type) -> None:
    """A sum over an index that no factor depends on counts its points; so does the sum over samples."""
    b = drawn(dtype, 2)
    content = nest(Load("b", (i,)), loop("j", "map", J), loop("x", "coordinate", H))
    tensors = [tensor("b", I, samples=False)]
    got = run(kernel(tensor("Z", I), [("i", "map", I)], content), tensors, b, I=2, J=3, H=4, samples=5)
    close(got, np.repeat(12 * b.astype(float)[:, None], 5, axis=1), dtype)
    got = run(
        kernel(tensor("g", I, samples=False), [("i", "map", I)], content),
        tensors,
        b,
        I=2,
        J=3,
        H=4,
        samples=5,
    )
    close(got, 60 * b.astype(float), dtype)
    ramp = nest(product(FromInteger(plus(x, i)), Load("b", (i,))), loop("x", "coordinate", H))
    got = run(kernel(tensor("g", I, samples=False), [("i", "map", I)], ramp), tensors, b, I=2, H=4, samples=5)
    close(got, 5 * np.array([6 * b[0], 10 * b[1]], float), dtype)


@DTYPES
def test_samples_summed_over_the_result(dtype: type) -> None:
    """Where the result reads samples, t is summed after it, not before."""
    Y, y = tensor("Y", J), drawn(dtype, 3, 4)
    square = nest(Call("pow", (Load("Y", (j,)), Number("2"))), loop("j", "unit", J))
    k = kernel(
        tensor("g", I, samples=False),
        [("i", "unit", I)],
        square,
        result=product(Accumulator(0), Load("Y", (i,))),
    )
    close(run(k, [Y], y, I=2, J=3), ((y**2).sum(axis=0) * y[:2]).sum(axis=1), dtype)


@DTYPES
def test_views_are_not_returned(dtype: type) -> None:
    Y, y = tensor("Y", J, H), drawn(dtype, 2, 5, 3)
    axes = [("j", "map", J), ("x", "coordinate", X)]
    for index, want in (
        (x, y[:, :2]),
        (plus(times(Integer(2), x), ONE), y[:, 1:5:2]),
        (plus(Integer(3), minus(x)), y[:, [3, 2]]),
    ):
        got = run(kernel(tensor("Z", J, X), axes, result=Load("Y", (j, index))), [Y], y, J=2, H=5, X=2)
        close(got, want, dtype)
        assert not np.shares_memory(got, y)


@DTYPES
def test_loops_with_bounds_that_depend_on_the_output(dtype: type) -> None:
    """Sums over n with ceil(x / 2) <= n < min(H, x + 1) in steps of 1 and 2."""
    Y, y = tensor("Y", H), drawn(dtype, 6, 3)
    for step in (1, 2):
        lower = IntOp("ceildiv", (x, Integer(2)))
        upper = IntOp("min", (H, plus(x, ONE)))
        congruent = Condition(IntOp("mod", (plus(n, minus(lower)), Integer(step))), "==", ZERO)
        conditions = (Condition(n, ">=", lower), Condition(n, "<", upper), congruent)
        content = Nest(
            (Loop("n", "coordinate", H, lower, upper, Integer(step)),), (), conditions, (), Load("Y", (n,))
        )
        got = run(kernel(tensor("Z", X), [("x", "coordinate", X)], content), [Y], y, H=6, X=8)
        close(
            got,
            [sum((y[v] for v in range(-(-a // 2), min(6, a + 1), step)), np.zeros(3)) for a in range(8)],
            dtype,
        )


# --------------------------------------------------------------------------------------------------- the text
def dense_kernel() -> tuple[Kernel, dict[str, Tensor]]:
    body = product(Load("w", (i, j)), Load("Y", (j,)))
    k = kernel(
        tensor("Z", I),
        [("i", "unit", I)],
        nest(body, loop("j", "unit", J)),
        text="Z[i] = sum over j of w[i, j] * Y[j]",
    )
    return k, {"Y": tensor("Y", J), "w": tensor("w", I, J, samples=False)}


def test_text() -> None:
    k, tensors = dense_kernel()
    source = numpy_source(
        [k, replace(k, name="g", text=r"\sum_j " "" + "very long " * 40)],
        tensors,
        {"equation": "17", "digest": "1f"},
    )
    assert "# equation: 17\n# digest: 1f\n" in source and "import numpy" not in source
    module = ast.parse(source)
    functions = {f.name: f for f in module.body if isinstance(f, ast.FunctionDef)}
    assert set(functions) == {"f", "g"}
    assert (ast.get_docstring(functions["f"]) or "").startswith("Z[i] = sum over j of w[i, j] * Y[j]\n")
    assert (ast.get_docstring(functions["g"]) or "").startswith(r"\sum_j very")
    assert "return w @ Y" in source
    assert all(len(line) <= 120 and line == line.rstrip() for line in source.splitlines())


def test_text_does_not_depend_on_hash_order() -> None:
    code = (
        "from phiz.derive.layers.convolution import convolution\n"
        "from phiz.derive.pipeline import derive_definition\n"
        "from phiz.codegen.reference.printer import numpy_source\n"
        "d = derive_definition(convolution, {'rank': 2, 'connections': 'table'})\n"
        "print(numpy_source(d.kernels, d.tensors, {}))\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1")
    }
    assert len(outputs) == 1 and "def forward_Z" in outputs.pop()


def test_refused() -> None:
    k, tensors = dense_kernel()
    content = k.nests[0]

    def refused(message: str, **changes: Any) -> None:
        with pytest.raises(PrintError, match=f"kernel f: .*{message}"):
            numpy_source([replace(k, **changes)], tensors, {})

    refused("undeclared tensor V", nests=(replace(content, body=Load("V", (j,))),))
    refused("Y has 1 indices, not 2", nests=(replace(content, body=Load("Y", (j, j))),))
    refused("the name q is not bound", nests=(replace(content, body=Load("Y", (Name("q"),))),))
    refused(
        "maximum over samples", nests=(replace(content, combine="max"),), output=tensor("Z", I, samples=False)
    )
    refused("0 axes for 1 indices", axes=())
    refused("no nest gives the position", position=tensor("P", I))
    refused("cannot print Accumulator", result=Accumulator(1))
    refused("'lambda' cannot be a name", output=tensor("lambda", I))
    shadow = nest(Load("Y", (Name("np"),)), loop("np", "unit", J))
    refused("'np' cannot be a name", nests=(shadow,))
    lets = (Let("a", plus(Name("b"), ONE)), Let("b", plus(Name("a"), ONE)))
    refused(
        "a is computed from b before b is known",
        nests=(replace(content, lets=lets, body=Load("Y", (Name("a"),))),),
    )
    inverse = Load("Y", (IntOp("inverse", (j, I)),))
    refused("inverse over the array axes", nests=(replace(content, body=inverse),))

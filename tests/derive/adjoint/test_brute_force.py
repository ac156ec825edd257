"""The derived convolution against its definition by scattering (ledger B and X24): stride, dilation, padding,
connections, tables.

Values are small integers held in floats, so that every comparison is exact.  The interpreter also compares
the loops' tight bounds with their full extents (``tests.interpreter.Mismatch``).
"""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from phiz.derive.ir import Integer, IntOp
from phiz.derive.layers import convolution

from tests.harness import LayerRun, derived
from tests.interpreter import Environment, Mismatch, Values, visitor

PADDINGS = [(0, 0), (1, 0), (0, 2), (2, 3)]
GRID = [
    (H, M, k, d, p, q)
    for H, M, k, d, (p, q) in product(range(1, 13), (1, 2, 3, 4), (1, 2, 3, 4), (1, 2, 3, 4), PADDINGS)
    if H + p + q - d * (M - 1) >= 1
] + [
    (H, M, k, d, p, p) for H, M, k, d, p in product((6, 9), (2, 3), (5, 6), (5, 6), (6, 7))
]  # steps beyond the kernel


def draw(run: LayerRun, rng: random.Random) -> None:
    for name in ("Y", "w", "b", "delta_Z"):
        run.fill(name, lambda: float(rng.randint(-4, 4)))


def scatter(run: LayerRun, rows: list[tuple[int, int, int]], shared: bool) -> Values:
    """Z, delta_Y and the gradients by the definition: every (connection, output coordinate, tap) adds
    its term.
    """
    env, v = run.env, run.values
    rank = len(next(iter(v["Y"]))) - 2
    d = range(rank)
    expected: Values = {
        "Z": {key: v["b"][key[:1]] for key in v["delta_Z"]},
        "delta_Y": dict.fromkeys(v["Y"], 0.0),
        "gradient_w": dict.fromkeys(v["w"], 0.0),
        "gradient_b": dict.fromkeys(v["b"], 0.0),
    }
    for (i, *_), delta in v["delta_Z"].items():
        expected["gradient_b"][i,] += delta
    for i, j, q in rows:
        outputs = [key[1:-1] for key in v["delta_Z"] if key[0] == i]
        kernel = (q,) if shared else (i, j)
        taps = [key[len(kernel) :] for key in v["w"] if key[: len(kernel)] == kernel]
        for x, u in product(outputs, taps):
            y = tuple(env[f"k{r}"] * x[r] + env[f"d{r}"] * u[r] - env[f"p{r}"] for r in d)
            if (j, *y, 0) not in v["Y"]:
                continue  # zero outside the map
            at, out, tap = (j, *y, 0), (i, *x, 0), (*kernel, *u)
            expected["Z"][out] += v["Y"][at] * v["w"][tap]
            expected["delta_Y"][at] += v["delta_Z"][out] * v["w"][tap]
            expected["gradient_w"][tap] += v["delta_Z"][out] * v["Y"][at]
    return expected


def check(run: LayerRun, rows: list[tuple[int, int, int]], shared: bool = False) -> None:
    run.run("forward", "delta", "gradient")
    expected = scatter(run, rows, shared)
    for name, entries in expected.items():
        assert run.values[name] == entries, (name, {k: v for k, v in run.env.items() if isinstance(k, str)})
    adjoint_identity(run)


def adjoint_identity(run: LayerRun) -> None:
    """<delta, Z(Y) - b> = <delta_Y, Y> = <gradient_w, w>: Z is linear in the input and in the kernels."""
    v = run.values
    left = sum(delta * (v["Z"][key] - v["b"][key[:1]]) for key, delta in v["delta_Z"].items())
    assert left == sum(delta * v["Y"][key] for key, delta in v["delta_Y"].items())
    assert left == sum(g * v["w"][key] for key, g in v["gradient_w"].items())


def test_one_dimension_on_a_grid_of_2000_configurations() -> None:
    rng = random.Random(1)
    derivation = derived(convolution)
    assert len(GRID) >= 2000
    for H, M, k, d, p, q in GRID:
        run = LayerRun(derivation, (1, H), I=1, M0=M, k0=k, d0=d, p0=p, q0=q)
        assert run.env["X0"] == (H + p + q - d * (M - 1) - 1) // k + 1
        draw(run, rng)
        check(run, [(0, 0, 0)])


@pytest.mark.parametrize(("rank", "count"), [(1, 60), (2, 60), (3, 12)])
def test_every_rank_on_random_configurations(rank: int, count: int) -> None:
    rng = random.Random(rank)
    derivation = derived(convolution, rank=rank)
    tried = 0
    while tried < count:
        I, J = rng.randint(1, 3), rng.randint(1, 3)
        shape, sizes = (J,), {}
        for r in range(rank):
            H, M, k, d = rng.randint(1, 6 - rank), rng.randint(1, 3), rng.randint(1, 3), rng.randint(1, 3)
            p, q = rng.randint(0, 2), rng.randint(0, 2)
            shape = (*shape, H)
            sizes |= {f"M{r}": M, f"k{r}": k, f"d{r}": d, f"p{r}": p, f"q{r}": q}
        run = LayerRun(derivation, shape, I=I, **sizes)
        if min(run.env[f"X{r}"] for r in range(rank)) < 1:
            continue
        draw(run, rng)
        check(run, [(i, j, -1) for i in range(I) for j in range(J)])
        tried += 1


def random_table(rng: random.Random, rank: int) -> tuple[LayerRun, list[tuple[int, int, int]]] | None:
    """Maps and kernels of different sizes, connections in any order, repeated, shared kernels, maps
    without connections.
    """
    I, J, Q = rng.randint(1, 4), rng.randint(1, 3), rng.randint(1, 3)
    shapes = [tuple(rng.randint(2, 7 - rank) for _ in range(rank)) for _ in range(J)]
    rows = [(rng.randrange(I), rng.randrange(J), rng.randrange(Q)) for _ in range(rng.randint(0, 5))]
    sizes: dict[str, Any] = {}
    for r in range(rank):
        sizes |= {
            f"M{r}": [rng.randint(1, 3) for _ in range(Q)],
            f"k{r}": rng.randint(1, 3),
            f"d{r}": rng.randint(1, 2),
        }
        sizes |= {f"p{r}": rng.randint(0, 2), f"q{r}": rng.randint(0, 2)}
    relation = {"i": [i for i, _, _ in rows], "j": [j for _, j, _ in rows], "q": [q for _, _, q in rows]}
    run = LayerRun(
        derived(convolution, rank=rank, connections="table"),
        shapes,
        {"D": relation},
        I=I,
        Q=Q,
        empty=rng.randint(1, 2),
        **sizes,
    )
    if any(x < 1 for r in range(rank) for x in run.env[f"X{r}"]):
        return None
    return run, rows


@pytest.mark.parametrize(("rank", "count"), [(1, 150), (2, 40), (3, 8)])
def test_tables_with_mixed_sizes_and_shared_kernels(rank: int, count: int) -> None:
    rng = random.Random(10 + rank)
    cases = [case for case in (random_table(rng, rank) for _ in range(3 * count)) if case][:count]
    assert len(cases) == count
    for run, rows in cases:
        draw(run, rng)
        check(run, rows, shared=True)
    empty = [i for run, rows in cases for i in range(run.env["I"]) if all(row[0] != i for row in rows)]
    shared = [rows for _, rows in cases if len({q for _, _, q in rows}) < len(rows)]
    assert empty and shared  # the awkward cases were there


def test_the_number_of_taps_is_that_of_form_f2() -> None:
    """Ledger F2: only every k'-th tap is visited, from the first that the bounds allow."""
    kernel = next(k for k in derived(convolution).kernels if k.name == "delta_Y")
    visit = visitor(kernel.nests[0])
    for H, M, k, d, p, q in GRID[::7]:
        X = (H + p + q - d * (M - 1) - 1) // k + 1
        for y in range(H):
            env: Environment = {
                "I": 1,
                "J": 1,
                "M0": M,
                "k0": k,
                "d0": d,
                "p0": p,
                "H0": H,
                "X0": X,
                "j": 0,
                "y0": y,
            }
            taps = [env["u0"] for _ in visit(env)]
            assert taps == [u for u in range(M) if (y + p - d * u) % k == 0 and 0 <= (y + p - d * u) // k < X]


def test_the_interpreter_sees_a_wrong_bound() -> None:
    """A bound that is one too small, or a lost congruence, is a mismatch between the two descriptions."""
    kernel = next(k for k in derived(convolution).kernels if k.name == "delta_Y")
    nest = kernel.nests[0]
    *outer, u = nest.loops
    env: Environment = {"I": 1, "J": 1, "M0": 3, "k0": 2, "d0": 1, "p0": 1, "H0": 5, "X0": 3, "j": 0, "y0": 2}
    assert len(list(visitor(nest)(dict(env)))) == 1
    for wrong in (replace(u, upper=IntOp("add", (u.upper, Integer(-3)))), replace(u, step=Integer(1))):
        with pytest.raises(Mismatch):
            list(visitor(replace(nest, loops=(*outer, wrong)))(dict(env)))

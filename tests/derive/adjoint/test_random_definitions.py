"""Random layers against their definition: affine accesses, conditions and extents drawn at random, exact
integer arithmetic.

Each layer is one or two sums of products of input and weight over random index variables, with random
``where=`` conditions.  The oracle enumerates every point of every index, keeps those where the conditions
hold, and scatters deltas and gradients.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
import sympy as sp
from phiz.derive.language.layer import Definition, Eq, Layer, Sum, layer
from phiz.derive.pipeline import Derivation, derive_definition

from tests.harness import LayerRun

Point = dict[str, int]
VARIABLES = {"u": "A", "v": "B"}  # reduction variables and their sizes
SIZES = ("A", "B", "k", "n")


@dataclass(frozen=True)
class Affine:
    """A sum of factor * variable and a constant; factors are integers or names of sizes."""

    terms: tuple[tuple[int | str, str], ...]
    constant: int

    def value(self, point: Point, sizes: dict[str, Any]) -> int:
        return self.constant + sum((sizes[f] if isinstance(f, str) else f) * point[v] for f, v in self.terms)

    def symbolic(self, symbols: dict[str, sp.Expr]) -> sp.Expr:
        return self.constant + sum(symbols.get(f, f) * symbols[v] for f, v in self.terms)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Term:
    """Sum of Y[j, y...] * w[weight...] over ``loops`` where ``zero`` = 0 and ``positive`` >= 0."""

    loops: tuple[str, ...]
    access: tuple[Affine, ...]
    zero: tuple[Affine, ...]
    positive: tuple[Affine, ...]
    weight: tuple[str, ...]
    clipped: bool


def draw_affine(rng: random.Random, names: list[str]) -> Affine:
    chosen = rng.sample(names, rng.randint(1, min(3, len(names))))
    return Affine(tuple((rng.choice([1, 1, 1, -1, 2, -2, 3, "k"]), v) for v in chosen), rng.randint(-2, 2))


def draw_condition(rng: random.Random, names: list[str]) -> Affine:
    """A condition that SymPy does not see through: one that never holds would be refused."""
    symbols = {name: sp.Symbol(name, integer=True, nonnegative=True) for name in (*names, *SIZES)}
    while True:
        drawn = draw_affine(rng, names)
        e = drawn.symbolic(symbols)
        if not sp.Eq(e, 0).is_Atom and not sp.Ge(e, 0).is_Atom:
            return drawn


def draw_term(rng: random.Random, rank: int, number: int) -> Term:
    loops = tuple(f"{v}{number}" for v in rng.sample(sorted(VARIABLES), rng.randint(1, 2)))
    names = [*loops, *(f"x{r}" for r in range(rank))]
    access = tuple(draw_affine(rng, names) for _ in range(rank))
    zero = tuple(draw_condition(rng, names) for _ in range(rng.choice([0, 0, 1])))
    positive = tuple(draw_condition(rng, names) for _ in range(rng.choice([0, 0, 1, 2])))
    weight = tuple(rng.sample(names, rng.randint(1, 2)))
    return Term(loops, access, zero, positive, weight, rng.random() < 0.5)


def define(terms: list[Term], rank: int) -> Derivation:
    @layer()
    def drawn(L: Layer) -> Definition:
        Y = L.input(rank)
        symbols: dict[str, sp.Expr] = {name: L.size(name, f"size_{name}") for name in SIZES}
        i, j = L.axis("i", symbols["n"]), Y.j
        x = [L.axis(f"x{r}", symbols["AB"[r]], "coordinate") for r in range(rank)]
        symbols |= {f"x{r}": s for r, s in enumerate(x)}
        Z: sp.Expr = sp.S.Zero
        for number, term in enumerate(terms):
            for name in term.loops:
                symbols[name] = L.axis(name, symbols[VARIABLES[name[0]]], "window")
            loops = [symbols[name] for name in term.loops]
            where = [Eq(a.symbolic(symbols), 0) for a in term.zero]
            where += [sp.Ge(a.symbolic(symbols), 0) for a in term.positive]
            w = L.parameter(f"w{number}", i, j, *(symbols[v] for v in term.weight))
            read = (Y.clipped if term.clipped else Y.padded)[j, [a.symbolic(symbols) for a in term.access]]
            Z += Sum(read * w[i, j, [symbols[v] for v in term.weight]], j, loops, where=where)
        return L.output(i, x)(Z)

    return derive_definition(drawn, {})


def expected(run: LayerRun, terms: list[Term]) -> dict[str, dict[tuple[int, ...], float]]:
    v, sizes = run.values, run.env
    result = {"Z": dict.fromkeys(v["delta_Z"], 0.0), "delta_Y": dict.fromkeys(v["Y"], 0.0)}
    for number, term in enumerate(terms):
        gradient = result[f"gradient_w{number}"] = dict.fromkeys(v[f"w{number}"], 0.0)
        ranges = [range(sizes[VARIABLES[name[0]]]) for name in term.loops]
        for (i, *x, t), j in product(v["delta_Z"], range(sizes["J"])):
            for values in product(*ranges):
                point = {f"x{r}": c for r, c in enumerate(x)} | dict(zip(term.loops, values, strict=True))
                if any(a.value(point, sizes) != 0 for a in term.zero) or any(
                    a.value(point, sizes) < 0 for a in term.positive
                ):
                    continue
                read = (j, *(a.value(point, sizes) for a in term.access), t)
                if read not in v["Y"]:
                    continue
                weight, out = (i, j, *(point[name] for name in term.weight)), (i, *x, t)
                result["Z"][out] += v["Y"][read] * v[f"w{number}"][weight]
                result["delta_Y"][read] += v["delta_Z"][out] * v[f"w{number}"][weight]
                gradient[weight] += v["delta_Z"][out] * v["Y"][read]
    return result


@pytest.mark.parametrize("seed", range(40))
def test_a_random_layer_is_its_definition(seed: int) -> None:
    rng = random.Random(seed)
    rank = rng.choice([1, 1, 2])
    terms = [draw_term(rng, rank, number) for number in range(rng.choice([1, 1, 2]))]
    derivation = define(terms, rank)
    for _ in range(4):
        shape = (rng.randint(1, 2), *(rng.randint(1, 5) for _ in range(rank)))
        run = LayerRun(
            derivation,
            shape,
            A=rng.randint(1, 4),
            B=rng.randint(1, 4),
            k=rng.randint(1, 3),
            n=rng.randint(1, 2),
        )
        for name in ("Y", *run.parameters, "delta_Z"):
            run.fill(name, lambda: float(rng.randint(-3, 3)))
        run.run("forward", "delta", "gradient")
        for name, entries in expected(run, terms).items():
            assert run.values[name] == entries, (name, terms, run.env)

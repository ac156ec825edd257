"""Shifts: the proof succeeds where Z does not move, and refuses where it does, also where a careless
proof would not notice.
"""

from __future__ import annotations

import numpy as np
import pytest
from phiz.derive.language.layer import Definition, Layer, Max, Sum, exp, layer, log, piecewise
from phiz.derive.pipeline import derive_definition
from phiz.derive.symbols.errors import DefinitionError

from tests.harness import LayerRun, derived


@layer()
def softmax_of_input(L: Layer) -> Definition:
    Y = L.input()
    i, k = L.own(Y), L.copy(Y.j, "k")
    m = L.shift("m")(Max(Y[k], k))
    E = L.stage("E", i)(exp(Y[i] - m()))
    return L.output(i)(E[i] / Sum(E[k], k))


@layer()
def log_softmax(L: Layer) -> Definition:
    Y = L.input()
    i, k = L.own(Y), L.copy(Y.j, "k")
    m = L.shift("m")(Max(Y[k], k))
    return L.output(i)(Y[i] - m() - log(Sum(exp(Y[k] - m()), k)))


@layer()
def softmax_and_one(L: Layer) -> Definition:
    """exp(y - m) / (1 + sum exp(y - m)) moves with m."""
    Y = L.input()
    i, k = L.own(Y), L.copy(Y.j, "k")
    m = L.shift("m")(Max(Y[k], k))
    S = L.stage("S")(1 + Sum(exp(Y[k] - m()), k))
    return L.output(i)(exp(Y[i] - m()) / S())


@layer()
def difference_of_shifts(L: Layer) -> Definition:
    """m[i] - m[k] does not move when all entries move together, but it does when one does."""
    Y = L.input(1)
    i, k, (x,) = L.own(Y), L.copy(Y.j, "k"), L.coordinates("x", Y.H)
    m = L.shift("m", i)(Max(Y[i, Y.y], Y.y))
    return L.output(i, x)(Sum(Y[i, x] * exp(m[i] - m[k]), k))


@layer()
def shift_that_counts(L: Layer) -> Definition:
    Y = L.input()
    i, k = L.own(Y), L.copy(Y.j, "k")
    m = L.shift("m")(Max(Y[k], k))
    return L.output(i)(Y[i] - m())


@layer()
def shift_that_decides(L: Layer) -> Definition:
    Y = L.input()
    i, k = L.own(Y), L.copy(Y.j, "k")
    m = L.shift("m")(Max(Y[k], k))
    return L.output(i)(piecewise((Y[i], m() > 1), (2 * Y[i], True)))


@pytest.mark.parametrize("family", [softmax_of_input, log_softmax], ids=lambda f: f.name)
def test_proved(family) -> None:  # type: ignore[no-untyped-def]
    run = LayerRun(derived(family), (5,), samples=2)
    run.randomise(np.random.default_rng(0))
    run.check_differences()


@pytest.mark.parametrize(
    "family",
    [softmax_and_one, difference_of_shifts, shift_that_counts, shift_that_decides],
    ids=lambda f: f.name,
)
def test_refused(family) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DefinitionError, match=rf"layer {family.name}: .*m"):
        derive_definition(family, {})


def test_a_large_input_stays_finite() -> None:
    run = LayerRun(derived(softmax_of_input), (3,))
    run.values |= {
        "Y": {(0, 0): 2000.0, (1, 0): 1999.0, (2, 0): -2000.0},
        "delta_Z": {(n, 0): float(n) for n in range(3)},
    }
    Z = run.forward()
    assert Z[0, 0] == pytest.approx(1 / (1 + np.exp(-1.0)), rel=1e-15)
    assert all(np.isfinite(v) for v in run.backward()["delta_Y"].values())

"""Activations and layers of several branches: phi and phi' as formulas written here, and with which losses
they are paired.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random

import numpy as np
import pytest
import sympy as sp
from phiz.codegen.reference.comparison import differences
from phiz.codegen.reference.printer import numpy_activations_source, numpy_source
from phiz.derive import (
    DefinitionError,
    Layer,
    Max,
    Sum,
    derive_definition,
    exp,
    layer,
    maximum,
    minimum,
    piecewise,
    sin,
)
from phiz.derive.adjoint.loss_kernels import derive_loss
from phiz.derive.language.activations import ACTIVATIONS, Activation, activation, z
from phiz.derive.language.frozen_activation import freeze_activation
from phiz.derive.language.losses import LOSSES, Loss, admissible, t, y
from phiz.derive.symbols.functions import flattened

HALF = sp.Rational(1, 2)
Value = Callable[[float], float]
#: phi; the right phi and phi' at a number, with slope 0 where a constant meets a kink; the range.
CASES: dict[str, tuple[sp.Expr, Value, Value, tuple[float | None, float | None]]] = {
    "relu6": (minimum(maximum(z, 0), 6), lambda v: min(max(v, 0), 6), lambda v: float(0 < v < 6), (0, 6)),
    "hardtanh": (
        maximum(minimum(z, 1), -1),
        lambda v: max(min(v, 1), -1),
        lambda v: float(-1 < v < 1),
        (-1, 1),
    ),
    "hardswish": (
        z * minimum(maximum(z + 3, 0), 6) / 6,
        lambda v: v * min(max(v + 3, 0), 6) / 6,
        lambda v: 0.0 if v <= -3 else 1.0 if v >= 3 else (2 * v + 3) / 6,
        (-0.375, None),
    ),
    "hardsigmoid": (
        minimum(maximum(z / 6 + HALF, 0), 1),
        lambda v: min(max(v / 6 + 0.5, 0), 1),
        lambda v: float(-3 < v < 3) / 6,
        (0, 1),
    ),
    "softshrink": (
        piecewise((z - HALF, z > HALF), (z + HALF, z < -HALF), (0, True)),
        lambda v: v - 0.5 if v > 0.5 else v + 0.5 if v < -0.5 else 0.0,
        lambda v: float(abs(v) > 0.5),
        (None, None),
    ),
    "snake": (z + sin(z) ** 2, lambda v: v + np.sin(v) ** 2, lambda v: 1 + np.sin(2 * v), (None, None)),
    "power": (2**z, lambda v: 2.0**v, lambda v: 2.0**v * np.log(2), (0, None)),
    "cbrt": (
        sp.cbrt(z),
        np.cbrt,
        lambda v: 0.0 if v == 0 else 1 / (3 * np.cbrt(v) ** 2),
        (None, None),
    ),
    "clipped": (
        sp.Min(sp.Max(z, -2), HALF),
        lambda v: np.clip(v, -2, 0.5),
        lambda v: float(-2 < v < 0.5),
        (-2, 0.5),
    ),
    "tent": (
        abs(abs(z) - 1),
        lambda v: abs(abs(v) - 1),
        lambda v: np.sign(abs(v) - 1) * np.sign(v),
        (0, None),
    ),
    "celu": (
        maximum(z, 0) + minimum(exp(z) - 1, 0),
        lambda v: max(v, 0) + min(np.expm1(v), 0),
        lambda v: 0.0 if v == 0 else 1.0 if v > 0 else np.exp(v),
        (-1, None),
    ),
}
POINTS = np.array(
    [-20.0, -7, -6, -3, -2.5, -2, -1, -0.75, -0.5, -0.25, 0, 0.25, 0.5, 1, 1.5, 2, 3, 4, 6, 7, 20]
)


def case(name: str) -> Activation:
    """An activation as a user defines it."""

    def define(_: sp.Symbol) -> sp.Expr:
        return CASES[name][0]

    define.__name__ = name
    return activation(define)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_phi_and_its_slope_also_at_kinks(name: str, dtype: str) -> None:
    _, phi, slope, value_range = CASES[name]
    found = case(name)
    functions: dict[str, Callable[[np.ndarray], np.ndarray]] = {}
    exec(numpy_activations_source([freeze_activation(found)]), functions)
    given = POINTS.astype(dtype)
    values = functions[f"phi_{name}"](given)
    slopes = functions[f"dphi_{name}"](values if found.derivative_in == "y" else given)
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    assert values.dtype == slopes.dtype == given.dtype
    np.testing.assert_allclose(values, [phi(v) for v in POINTS], rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(slopes, [slope(v) for v in POINTS], rtol=tolerance, atol=tolerance)
    assert found.value_range == pytest.approx(value_range)


@pytest.mark.parametrize("name", CASES)
def test_one_piecewise_expression_has_the_same_values(name: str) -> None:
    nested, flat = CASES[name][0], flattened(CASES[name][0])
    for at in POINTS:
        number = sp.Rational(str(at))
        assert sp.simplify(nested.subs(z, number) - flat.subs(z, number)) == 0 or name == "cbrt"


@pytest.mark.parametrize("name", CASES)
def test_only_admissible_pairs_are_derived_and_these_are_right(name: str) -> None:
    """Value and delta of a loss at random targets, against rho and its derivative by differences."""
    _, phi, _, (low, high) = CASES[name]
    found = case(name)
    for loss in LOSSES:
        derived = derive_loss(loss, [found])
        fits = all(b is None or (a is not None and s * a >= s * b)
                   for a, b, s in zip((low, high), loss.outputs, (1, -1), strict=True))  # fmt: skip
        assert list(derived.pairs) == [name] * fits == [name] * admissible(loss, found)
        if not fits:
            continue
        functions: dict[str, Callable[..., np.ndarray]] = {}
        exec(numpy_source(derived.kernels, derived.tensors, {}), functions)
        at = np.array([[-2.3], [-0.3], [0.4], [2.9]])
        targets, weight = np.array([[0.3], [0.9], [0.5], [0.2]]), np.array([2.0])
        rho = sp.lambdify((t, y), loss.rho)

        def total(
            v: np.ndarray, rho: Callable[..., float] = rho, targets: np.ndarray = targets
        ) -> np.ndarray:
            return np.array(
                [2 * rho(target, phi(x)) for target, x in zip(targets[:, 0], v[:, 0], strict=True)]
            )

        with np.errstate(all="ignore"):
            right = (total(at + 1e-6) - total(at - 1e-6)) / 2e-6
            arguments = {"T": targets, "Y": np.vectorize(phi)(at), "Z": at, "weight": weight}
            got = called(functions[f"delta_{name}"], arguments)
        flat = np.array([phi(v + 0.01) == phi(v - 0.01) for v in at[:, 0]])
        np.testing.assert_allclose(got[:, 0], np.where(flat, 0.0, right), rtol=1e-6, atol=1e-6)


def called(function: Callable[..., np.ndarray], arguments: dict[str, np.ndarray]) -> np.ndarray:
    """A kernel of a loss, given what it asks for."""
    import inspect

    wanted = inspect.signature(function).parameters
    given = [arguments[n] for n, p in wanted.items() if p.kind is not p.KEYWORD_ONLY]
    keywords = {"N": 4, "samples": 1, "dtype": np.dtype(float)}
    return function(*given, **{n: keywords[n] for n, p in wanted.items() if p.kind is p.KEYWORD_ONLY})


def test_the_built_in_pairs_are_those_that_networks_can_use() -> None:
    pairs = {loss.name: [a.name for a in ACTIVATIONS if admissible(loss, a)] for loss in LOSSES}
    assert pairs["mse"] == [a.name for a in ACTIVATIONS]
    assert pairs["binary_ce"] == ["linear", "sigmoid"]
    assert pairs["ce"] == ["linear", "sigmoid", "relu", "softplus"]


def test_a_refused_pair_is_called_by_loss_and_activation() -> None:
    strange = Loss("strange", sp.gamma(y) * t)
    with pytest.raises(TypeError, match=r"^loss strange with tanh: the IR has no function"):
        derive_loss(strange, [ACTIVATIONS[2]])


@pytest.mark.parametrize("phi", [sp.log(z), sp.sqrt(z), 1 / z, z**z], ids=str)
def test_an_activation_that_is_no_real_number_somewhere_is_refused(phi: sp.Expr) -> None:
    with pytest.raises(DefinitionError, match=r"^activation odd: phi\(.*\) is no real number"):
        _ = Activation("odd", phi).value_range


@pytest.mark.parametrize(("phi", "value_range"), [
    (sp.log(1 + z**2), (0.0, None)), (sp.asinh(z).rewrite(sp.log), (None, None)),
    (sp.atan(z), (-np.pi / 2, np.pi / 2)),
    (sin(z), (-1.0, 1.0)), (z / (1 + sp.Abs(z)), (-1.0, 1.0)), (exp(-exp(z)), (0.0, 1.0)),
])  # fmt: skip
def test_ranges(phi: sp.Expr, value_range: tuple[float | None, float | None]) -> None:
    assert Activation("tried", phi).value_range == pytest.approx(value_range, abs=1e-3)


# -------------------------------------------------------------------------------------------------- in layers
@layer()
def branched(L: Layer):
    """Minima of maxima, absolute values and odd roots, of sums and inside them."""
    Y = L.input(1)
    i, (x,) = L.maps("i"), L.coordinates("x", Y.H)
    w, b = L.parameter("w", i, Y.j), L.parameter("b", i)
    S = L.stage("S", i, x)(Sum(minimum(maximum(w[i, Y.j] * Y[Y.j, x], -1), b[i]), Y.j))
    M = L.stage("M", x)(Max(abs(abs(Y[Y.j, x]) - 1), Y.j))
    clipped = minimum(maximum(S[i, x], b[i]), 2) * sp.Max(M[x], HALF, b[i])
    return L.output(i, x)(clipped + sp.Abs(S[i, x]) * sp.cbrt(b[i]))


def test_a_layer_of_branches_is_its_definition() -> None:
    derivation = derive_definition(branched, {})
    text = numpy_source(derivation.kernels, derivation.tensors, {})
    assert not [str(d) for d in differences(derivation, text, Random(1), 12)]


def test_conditions_of_a_flat_expression_are_simple() -> None:
    """No condition holds another piecewise expression, and none repeats what is certain."""
    flat = flattened(minimum(maximum(z, 0), 6))
    conditions = [c for _, c in flat.args]
    assert not any(c.has(sp.Piecewise) or c.has(sp.ITE) for c in conditions)
    assert all(a != b for a, b in pairwise(conditions)) and flat.args[0] == (z, sp.And(z > 0, z < 6))


@pytest.mark.parametrize("choose", [maximum, minimum])
def test_a_comparison_that_sympy_turns_to_and_fro(choose: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> None:
    """Its canonical form has the other side's canonical form, so that an evaluation never ended."""
    a, b = sp.symbols("a[i] b[j]", real=True)
    found = choose(b - a, a - b / 4)
    for values in ({a: 1, b: 2}, {a: 3, b: -1}, {a: 5, b: 8}):
        assert found.subs(values) == (max if choose is maximum else min)(
            values[b] - values[a], values[a] - sp.Rational(values[b], 4)
        )

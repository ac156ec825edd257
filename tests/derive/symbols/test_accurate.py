"""Rewritten forms: equal to the old ones in high precision, and without the cancellation in floats."""

from __future__ import annotations

import math

import pytest
import sympy as sp
from phiz.derive.symbols.accurate import accurate
from phiz.derive.symbols.compensated import compensated
from phiz.derive.symbols.freeze import IntegerFreezer, ScalarFreezer
from phiz.derive.symbols.functions import erf, erfc, exp, expm1, log, log1p, sigmoid, sqrt, tanh

from tests.interpreter import FLOAT, Interpreter, Temporary

z, y, t = sp.symbols("z y t", real=True)
FORMS = {
    "exp(z) - 1": exp(z) - 1,
    "a multiple": 3 * exp(z) - 3,
    "a symbol in front": y * exp(z) - y,
    "falling": 1 - exp(-z),
    "log(1 + z)": log(1 + z),
    "log(1 - z)": t * log(1 - z),
    "logarithm of a logistic sum": log(1 + exp(z)),
    "a quotient of exponentials": exp(z) / (1 + exp(z)),
    "a squared one": exp(z) / (1 + exp(z)) ** 2,
    "derivative of tanh": sp.diff(tanh(z), z),
    "derivative of sigmoid, multiplied out": sp.expand(sp.diff(sigmoid(z), z)),
    "1 - sigmoid": 1 - sigmoid(z),
    "1 - tanh": y - y * tanh(z),
    "1 + erf": 1 + erf(z),
    "1 - cos": 1 - sp.cos(z),
    "1 - cosh": 1 - sp.cosh(z),
    "a root less 1": sqrt(1 + z) - 1,
    "1 - y^2": t - t * z**2,
    "inside a case": sp.Piecewise((z, z > 0), (exp(z) - 1, True)),
    "in a product": z * (exp(z) - 1) * log(1 + z),
}
POINTS = ("1e-12", "-1e-12", "0.3", "-0.6", "1e-5")


def in_floats(e: sp.Expr, at: dict[str, float]) -> float:
    """``e`` as the kernels compute it, with Python's numbers."""
    symbols = {name: Temporary(name) for name in at}
    freeze = ScalarFreezer(IntegerFreezer(frozenset(), {}), lambda s: symbols[s.name], "test")
    env = {("temporary", name): value for name, value in at.items()}
    return float(Interpreter({}, FLOAT).scalar(freeze(e))(env, {}))


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_rewritten_forms_are_equal_and_keep_their_digits(form: sp.Expr) -> None:
    found = accurate(form)
    assert found != form
    for point in POINTS:
        at = {"z": float(point), "y": 1.25, "t": 0.75}
        exact = form.subs({s: sp.Rational(at[s.name]) for s in form.free_symbols}).evalf(60)
        error = abs(sp.Float(in_floats(found, at), 40) - exact)
        assert error <= 8 * math.ulp(float(exact)), f"{found} at {point}"


@pytest.mark.parametrize(
    "e", [exp(z) - 2, 2 * exp(z) - 1, log(2 + z), 1 + tanh(z) * y, z + y, sp.Integer(3), z]
)
def test_what_does_not_cancel_stays(e: sp.Expr) -> None:
    assert accurate(e) == e


@pytest.mark.parametrize(
    ("form", "point"),
    [
        (exp(z / 3), -700.3),
        (exp(-(z**2) / 2), -37.1),
        (sigmoid(sp.Rational(4, 3) * z), -500.3),
        (erfc(-z / sqrt(2)), -33.3),
        (erfc(-z / sqrt(2)), 1.7),
        (expm1(z * sp.pi), 211.7),
    ],
)
def test_corrected_functions_of_rounded_products(form: sp.Expr, point: float) -> None:
    """Within 4 units in the last place where the rounded argument alone costs up to 500."""
    exact = form.rewrite(sp.exp).subs({z: sp.Rational(point)})
    exact = (sp.erfc(-sp.Rational(point) / sp.sqrt(2)) if form.has(erfc) else exact).evalf(400).n(60)
    got = in_floats(compensated(form, z), {"z": point})
    assert abs(sp.Float(got, 40) - exact) <= 4 * math.ulp(float(exact)), (form, point)


def test_exact_products_are_not_corrected() -> None:
    assert compensated(exp(2 * z) + sigmoid(-z / 4) + erfc(z), z) == exp(2 * z) + sigmoid(-z / 4) + erfc(z)


@pytest.mark.parametrize(
    ("e", "value"), [(y * log(z) * log(1 + z), 0.0), (y * log(z) * log1p(-z), 0.0), (z * log(z), 0.0)]
)
def test_logarithms_at_zero_have_their_limit(e: sp.Expr, value: float) -> None:
    """0 log 0 = 0, with another logarithm as the factor that vanishes too."""
    guarded = dict(FLOAT.functions)
    guarded["xlogy"] = lambda x, a: 0.0 if x == 0 else x * (math.log(a) if a else -math.inf)
    symbols = {"z": Temporary("z"), "y": Temporary("y")}
    freeze = ScalarFreezer(IntegerFreezer(frozenset(), {}), lambda s: symbols[s.name], "test")
    arithmetic = type(FLOAT)(FLOAT.number, guarded, FLOAT.lowest)
    got = Interpreter({}, arithmetic).scalar(freeze(accurate(e)))
    assert got({("temporary", "z"): 0.0, ("temporary", "y"): 2.0}, {}) == value

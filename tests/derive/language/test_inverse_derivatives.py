"""phi' as a function of y = phi(z), compared with phi' itself at points, in high precision."""

from __future__ import annotations

import pytest
import sympy as sp
from phiz.derive.language.activations import Activation, y, z
from phiz.derive.symbols.functions import sigmoid, softplus, tanh

OF_OUTPUT = {
    "one exponential": 3 * sp.exp(2 * z) - 1,
    "a falling one": sp.exp(-z) - 2,
    "a fraction": (sp.exp(z) - 2) / (3 * sp.exp(z) + 5),
    "only even powers": 5 * tanh(z / 3) + 1,
    "no constant": -sigmoid(-z),
    "a logarithm": sp.log(sp.Rational(1, 2) + sp.exp(3 * z) / 2),
    "a logarithm of a fraction": sp.log((sp.exp(z) + 1) / (sp.exp(z) + 3)),
    "a multiple of a logarithm": softplus(2 * z) / 2,
}
"""Functions that can be inverted: by the fast way, and the last one by SymPy's."""
NOT_OF_OUTPUT = {
    "z besides": z * sigmoid(z),
    "two exponentials": sp.exp(2 * z) + sp.exp(z),
    "not one to one": tanh(z) ** 2,
    "no exponential": sp.sin(z),
    "a constant in disguise": sp.exp(z) * sp.exp(-z),
}


@pytest.mark.parametrize("phi", OF_OUTPUT.values(), ids=OF_OUTPUT.keys())
def test_derivative_of_the_output_is_the_derivative(phi: sp.Expr) -> None:
    activation = Activation("own", phi)
    found = activation.derivative_of_output
    assert found is not None and found.free_symbols == {y}
    for point in (sp.Rational(-7, 3), sp.Rational(-1, 5), sp.S.Zero, sp.Rational(2, 7), sp.Rational(5, 2)):
        expected = activation.derivative.rewrite(sp.exp).subs(z, point).evalf(40)
        value = found.subs(y, phi.rewrite(sp.exp).subs(z, point)).evalf(40)
        assert abs(value - expected) < sp.Float("1e-30"), f"at z = {point}: {value} for {expected}"


@pytest.mark.parametrize("phi", NOT_OF_OUTPUT.values(), ids=NOT_OF_OUTPUT.keys())
def test_no_function_of_the_output_is_made_up(phi: sp.Expr) -> None:
    activation = Activation("own", phi)
    found = activation.derivative_of_output
    assert found is None or found == 0 == activation.derivative

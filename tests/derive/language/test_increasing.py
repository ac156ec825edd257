"""Activations that are proved never to fall, against their values; nothing that falls is proved."""

from __future__ import annotations

from itertools import pairwise

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.derive.language.activations import ACTIVATIONS, Activation, activation, z
from phiz.derive.symbols.functions import erf, exp, log, piecewise, sigmoid, softplus, sqrt, tanh

PROVED = {
    **{a.name: a.phi for a in ACTIVATIONS if a.name != "gelu"},
    "erf": erf(z),
    "a cube": z**3,
    "a slow sigmoid": z / sqrt(1 + z**2),
    "a slow slope": z * sqrt(1 + z**2),
    "an arc": sp.atan(z),
    "two rates": exp(z) + tanh(2 * z) / 3,
    "a quotient": -1 / (2 + exp(z / 2)),
    "a jump up": piecewise((z + 1, z > 0), (exp(z) - 1, True)),
}
NOT = {
    "gelu": next(a.phi for a in ACTIVATIONS if a.name == "gelu"),
    "a product with z": z * sigmoid(z),
    "a wave": sp.sin(z),
    "a falling sigmoid": -tanh(z),
    "what is left of a softplus": softplus(z) - z,
    "a bump": tanh(z) ** 2,
    "two signs": exp(z) - 3 * tanh(z),
    "a magnitude": piecewise((z, z > 0), (-z, True)),
    "a jump down": piecewise((z - 1, z > 0), (sp.S.Zero, True)),
}


def values(phi: sp.Expr) -> list[float]:
    """phi between -6 and 6, in steps of an eighth."""
    at = sp.lambdify(z, phi.rewrite(sp.exp) if phi.has(sigmoid, softplus) else phi, "mpmath")
    return [float(at(sp.Rational(n, 8))) for n in range(-48, 49)]


@pytest.mark.parametrize("phi", PROVED.values(), ids=PROVED.keys())
def test_what_never_falls_is_proved(phi: sp.Expr) -> None:
    assert Activation("own", phi).increasing
    found = values(phi)
    assert found == sorted(found)


@pytest.mark.parametrize("phi", NOT.values(), ids=NOT.keys())
def test_what_falls_is_not(phi: sp.Expr) -> None:
    found = values(phi)
    assert found != sorted(found), "an example that never falls shows nothing"
    assert not Activation("own", phi).increasing


TERM = st.tuples(
    st.sampled_from((tanh, exp, sigmoid, softplus, lambda e: e)), st.integers(-3, 3), st.integers(-2, 2)
)


@settings(max_examples=40, deadline=None)
@given(st.lists(TERM, min_size=1, max_size=3))
def test_no_proof_of_a_sum_that_falls(terms: list[tuple[object, int, int]]) -> None:
    phi = sp.Add(*(factor * function(rate * z) for function, factor, rate in terms))  # type: ignore[operator]
    if Activation("own", phi).increasing:
        found = values(phi)
        slack = 1e-12 * max(abs(v) for v in found)  # a sum may be constant but for rounding
        assert all(upper >= lower - slack for lower, upper in pairwise(found))


@pytest.mark.parametrize("phi", [log(1 + z**2), exp(sp.sin(z)), z / sqrt(1 + z**2), exp(-(z**2))], ids=str)
def test_powers_and_other_functions_of_z_beside_exponentials(phi: sp.Expr) -> None:
    """They have no form in exp(c z), which is said without an error; phi' is then computed from z."""
    own = activation(lambda _: phi.subs(z, _))
    assert own.derivative_in == "z" and sp.simplify(own.derivative - sp.diff(phi, z)) == 0

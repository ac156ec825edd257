"""Activations, of which only phi is written.

The derivative phi' comes from ``diff``.  Where possible it is rewritten in terms of y = phi(z), so that z
need not be stored.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import mpmath
import sympy as sp

from ..symbols.errors import DefinitionError
from ..symbols.functions import (
    erf,
    exp,
    flattened,
    maximum,
    piecewise,
    sigmoid,
    softplus,
    sqrt,
    tanh,
    without_kinks,
)
from .ranges import Range, value_range

z = sp.Symbol("z", real=True)
y = sp.Symbol("y", real=True)
#: phi' is computed from y where a relative error of y grows by no more than this.  Infinite, it would be
#: computed from y wherever a formula is found: 1 - y^2 of tanh is that, and 0 from z = 9 on in float32.
MOST_CONDITION = 2.0


@dataclass(frozen=True)
class Activation:
    """y = phi(z), equation 1.  ``phi`` is an expression in ``z``."""

    name: str
    phi: sp.Expr

    @cached_property
    def derivative(self) -> sp.Expr:
        """phi'(z)."""
        return sp.diff(self.phi, z)

    @cached_property
    def derivative_of_output(self) -> sp.Expr | None:
        """phi' as an expression in ``y``, or None where phi' is no function of y (GELU)."""
        return _in_terms_of_output(self.phi, self.derivative)

    @cached_property
    def derivative_in(self) -> Literal["y", "z"]:
        """Which value the kernels compute phi' from: y where phi' has as many digits from y as from z."""
        known = self.derivative_of_output is not None
        return "y" if known and _condition(self) <= MOST_CONDITION else "z"

    @property
    def computed_derivative(self) -> sp.Expr:
        """phi' as the kernels compute it, in y or in z."""
        in_y = self.derivative_of_output
        return self.derivative if in_y is None or self.derivative_in == "z" else in_y

    @cached_property
    def increasing(self) -> bool:
        """True where it is proved that phi never falls, so that the largest phi(z) is phi of the
        largest z.
        """
        if not isinstance(self.phi, sp.Piecewise):
            return _never_negative(self.derivative)
        if not _kinked_at_zero(self.phi):
            return False
        upper, lower = self.phi.args[0][0], self.phi.args[1][0]
        together = bool((upper - lower).subs(z, 0) >= 0)
        return together and all(_never_negative(sp.diff(part, z)) for part in (upper, lower))

    @cached_property
    def value_range(self) -> Range:
        """Infimum and supremum of phi over the reals; None where unbounded."""
        return value_range(self.name, self.phi, z)


def _condition(activation: Activation) -> float:
    """How much phi' as a function of y magnifies a relative error of y, at most: |y phi'' / phi'^2|.

    It is measured, in more digits than cancel, at magnitudes of z from 1e-9 to 1e3 on both sides.
    """
    parts = (activation.phi, activation.derivative, sp.diff(activation.derivative, z))
    value, slope, bend = (_in_digits(part) for part in parts)
    worst = 0.0
    with mpmath.workdps(1000):
        magnitudes = [mpmath.mpf(10) ** (mpmath.mpf(exponent) / 4) for exponent in range(-36, 13)]
        for at in (sign * magnitude for magnitude in magnitudes for sign in (-1, 1)):
            above = value(at) * bend(at)
            if above != 0:
                below = slope(at) ** 2
                worst = max(worst, float(abs(above / below)) if below else math.inf)
            if worst > MOST_CONDITION:
                break
    return worst


def _in_digits(e: sp.Expr) -> Callable[[mpmath.mpf], mpmath.mpf]:
    """``e`` as a function of z in mpmath's precision."""
    return sp.lambdify(z, e.rewrite(sp.exp).rewrite(sp.Pow), "mpmath")


def _exponential_form(e: sp.Expr) -> sp.Expr:
    return e.rewrite(sp.exp).replace(sp.tanh, lambda a: (sp.exp(2 * a) - 1) / (sp.exp(2 * a) + 1))


def _unit_rate(e: sp.Expr) -> sp.Expr | None:
    """The largest c of which every exponent in ``e`` is a multiple c z; None where there is none."""
    rates = sorted(
        {sp.cancel(a.args[0] / z) for a in _exponential_form(e).atoms(sp.exp) if a.has(z)}, key=str
    )
    if not rates or not all(r.is_rational for r in rates):
        return None
    unit = abs(rates[0])
    for rate in rates[1:]:
        unit = sp.gcd(unit, abs(rate))
    return unit


def _in_powers(e: sp.Expr, unit: sp.Expr, q: sp.Symbol) -> sp.Expr:
    """``e`` in powers of q = exp(unit z)."""
    return sp.together(_exponential_form(e).replace(sp.exp, lambda a: q ** sp.expand(a / (unit * z))))


def _never_negative(e: sp.Expr) -> bool:
    """True where SymPy knows it, or where ``e`` is a quotient of polynomials in exp(c z) without
    negative coefficients.
    """
    if e.is_nonnegative or sp.together(e).is_nonnegative:
        return True
    q = sp.Symbol("q", positive=True)
    unit = None if e.has(sp.Piecewise) else _unit_rate(e)
    if unit is None:
        return False
    found = sp.cancel(_in_powers(e, unit, q))
    if found.free_symbols != {q} or not found.is_rational_function(q):
        return False
    return all(c.is_nonnegative for part in sp.fraction(found) for c in sp.Poly(part, q).coeffs())


def _kinked_at_zero(phi: sp.Piecewise) -> bool:
    """True for two parts, one above and one below z = 0."""
    return len(phi.args) == 2 and phi.args[0][1] == (z > 0) and phi.args[1][1] == True  # noqa: E712


def _inverse_derivative(phi: sp.Expr, derivative: sp.Expr) -> sp.Expr | None:
    """phi' of one smooth branch as a function of y, or None where none is found.

    It is proved by substituting back.
    """
    if not derivative.has(z):
        return derivative
    if phi.has(sp.Piecewise):
        return None
    if not phi.has(z):
        return None
    q = sp.Symbol("q", positive=True)
    unit = _unit_rate(phi)
    if unit is None:
        return None
    smooth, slope = _in_powers(phi, unit, q), _in_powers(derivative, unit, q)
    if (found := _linear_fractional(smooth, slope, q)) is not None:
        return found
    try:
        solutions = sp.solve(sp.Eq(smooth, y), q, dict=False)
    except (NotImplementedError, sp.PolynomialError, ValueError):
        return None
    for solution in solutions:
        candidate = sp.simplify(slope.subs(q, solution))
        candidate = sp.factor(candidate) if candidate.is_rational_function(y) else candidate
        back = sp.simplify(slope - candidate.subs(y, smooth))
        if back == 0 and not candidate.has(q) and not candidate.has(z):
            return _shorter(candidate)
    return None


def _linear_fractional(phi: sp.Expr, derivative: sp.Expr, q: sp.Symbol) -> sp.Expr | None:
    """phi' as a function of y, where phi or exp(phi) is linear fractional in a power of q; otherwise None.

    Everything is rational in q here, so
    ``cancel`` decides the proof exactly, where ``solve`` and ``simplify`` would search for it.
    """
    logarithm = isinstance(phi, sp.log)
    inner, value = (phi.args[0], sp.Symbol("p", positive=True)) if logarithm else (phi, y)
    if any(e.free_symbols != {q} or not e.is_rational_function(q) for e in (inner, derivative)):
        return None
    over, under = sp.fraction(sp.cancel(inner))
    power = math.gcd(*(degree for (degree,) in sp.Poly(over - value * under, q).monoms())) or 1
    over, under, derivative = (
        e.subs(q, q ** sp.Rational(1, power)) for e in (over, under, sp.cancel(derivative))
    )
    equation = sp.Poly(over - value * under, q)
    if equation.degree() != 1 or not derivative.is_rational_function(q):
        return None
    slope, constant = equation.all_coeffs()
    candidate = sp.cancel(derivative.subs(q, -constant / slope))
    if sp.cancel(derivative - candidate.subs(value, over / under)) != 0:
        return None
    return sp.expand(candidate).subs(value, sp.exp(y)) if logarithm else _shorter(sp.factor(candidate))


def _shorter(e: sp.Expr) -> sp.Expr:
    """``e`` multiplied out, unless that makes it longer."""
    expanded = sp.expand(e)
    return expanded if sp.count_ops(expanded) <= sp.count_ops(e) else e


def _in_terms_of_output(phi: sp.Expr, derivative: sp.Expr) -> sp.Expr | None:
    """phi' in terms of y, or None.

    A kink at z = 0 is allowed where phi is 0 there and increases above it, since then z > 0 exactly where y >
    0.
    """
    if not isinstance(phi, sp.Piecewise):
        return _inverse_derivative(phi, derivative)
    if not _kinked_at_zero(phi):
        return None
    upper, lower = phi.args[0][0], phi.args[1][0]
    above, below = sp.diff(upper, z), sp.diff(lower, z)
    increasing = above.is_positive or sp.simplify(above - 1) == 0
    not_above_zero = all(lower.subs(z, -(2.0**e)) <= 0 for e in range(-10, 10)) and lower.subs(z, 0) <= 0
    if upper.subs(z, 0) != 0 or not increasing or not not_above_zero:
        return None
    parts = [_inverse_derivative(upper, above), _inverse_derivative(lower, below)]
    if parts[0] is None or parts[1] is None:
        return None
    return sp.Piecewise((parts[0], y > 0), (parts[1], True))


def activation(function: Callable[[sp.Symbol], sp.Expr]) -> Activation:
    """Make ``def name(z): return phi`` an activation."""
    phi = flattened(without_kinks(sp.sympify(function(z))))
    unknown = phi.free_symbols - {z}
    if unknown:
        raise DefinitionError(
            f"activation {function.__name__}: phi depends on {min(map(str, unknown))}; it may depend "
            "on z alone"
        )
    return Activation(function.__name__, phi)


ACTIVATIONS: tuple[Activation, ...] = (
    Activation("linear", z),
    Activation("sigmoid", sigmoid(z)),
    Activation("tanh", tanh(z)),
    Activation("scaled_tanh", sp.Rational(17159, 10000) * tanh(sp.Rational(2, 3) * z)),
    Activation("relu", maximum(z, 0)),
    Activation("leaky_relu", piecewise((z, z > 0), (z / 100, True))),
    Activation("softplus", softplus(z)),
    Activation("elu", piecewise((z, z > 0), (exp(z) - 1, True))),
    Activation("gelu", z * (1 + erf(z / sqrt(2))) / 2),
)

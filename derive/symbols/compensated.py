"""Corrects functions of a rounded product by what the rounding took.

The relative error of exp, of the sigmoid's tail and of erfc grows with their argument's: at c z = 80 half a
unit in the last place of the argument is 40 units of exp.  So where z is a number as it is stored, as in an
activation, the function of the rounded product is corrected to first order by the rest, which is computed
exactly.  (Dekker's products; T. J. Dekker, Numerische Mathematik 18 (1971) 224-242.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import sympy as sp

from .functions import erfc, expm1, sigmoid, sigmoid_slope

_Form = Callable[[sp.Expr, sp.Expr], sp.Expr]


class scaled(sp.Function):
    """c a, rounded once: ``scaled(a, c)`` for a number c."""

    nargs = 2
    is_real = True


class product_rest(sp.Function):
    """c a - fl(c a): what rounding the product of ``product_rest(a, c)`` took."""

    nargs = 2
    is_real = True


class square_rest(sp.Function):
    """a^2 - fl(a^2): what rounding the square took."""

    nargs = 1
    is_real = True


def _erfc(p: sp.Expr, rest: sp.Expr) -> sp.Expr:
    """erfc(p + rest) with -2p for the slope of log erfc.

    That is right up to 1/p; times ``rest`` this is a third of a unit in the last place.
    """
    return erfc(p) * (1 - 2 * sp.Piecewise((p, p > 0), (0, True)) * rest)


_FORMS: Mapping[type, _Form] = {
    sp.exp: lambda p, rest: sp.exp(p) * (1 + rest),
    expm1: lambda p, rest: expm1(p) + sp.exp(p) * rest,
    sigmoid: lambda p, rest: sigmoid(p) * (1 + sigmoid(-p) * rest),
    sigmoid_slope: lambda p, rest: sigmoid_slope(p) * (1 - sp.tanh(p / 2) * rest),
    erfc: _erfc,
}
"""f(p + rest) to first order in ``rest``."""


def compensated(e: sp.Expr, z: sp.Symbol) -> sp.Expr:
    """``e`` with corrections wherever a function that magnifies is taken of a rounded multiple of ``z`` or
    of z^2.
    """

    def correct(f: sp.Expr) -> sp.Expr:
        number, rest = f.args[0].as_independent(z, as_Add=False)
        if number.is_number and rest == z and not _exact(number):
            return _FORMS[type(f)](scaled(z, number), product_rest(z, number))
        if number.is_number and rest == z**2 and _exact(number):
            return _FORMS[type(f)](number * z**2, number * square_rest(z))
        return f

    return e.replace(lambda n: type(n) in _FORMS, correct)


def _exact(number: sp.Expr) -> bool:
    """Whether a product by ``number`` is exact: a power of two, or its negative."""
    if not number.is_Rational:
        return False
    p, q = abs(int(number.p)), int(number.q)
    return p > 0 and p & (p - 1) == 0 and q & (q - 1) == 0

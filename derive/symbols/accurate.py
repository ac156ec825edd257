"""Rewrites expressions into equal ones that do not cancel: exp(a) - 1 becomes expm1(a), log(1 + a) log1p(a).

Every rule is an identity, so that what was derived and proved stays so.  The rules know forms, never a layer
or an activation.  They follow ``sympy.codegen.rewriting`` (``optims_c99``), with more functions, and with
terms in the place of numbers: ``y*exp(a) - y`` becomes ``y*expm1(a)``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import sympy as sp

from .functions import erfc, expm1, log1p, sigmoid, sigmoid_slope, softplus


def accurate(e: sp.Expr) -> sp.Expr:
    """``e`` rewritten by the rules of sums, products, powers and logarithms until none of them applies."""
    if not isinstance(e, sp.Basic) or not e.args:
        return e
    found = e.replace(lambda n: isinstance(n, _REWRITTEN), lambda n: _RULES[_kind(n)](n))
    return found if found == e else accurate(found)


def _kind(e: sp.Expr) -> type:
    return next(kind for kind in _RULES if isinstance(e, kind))


# ----------------------------------------------------------------------------------------------------- sums
@dataclass(frozen=True)
class _Pair:
    """``C f(a) + number C`` is ``C value(a)``."""

    number: int
    value: Callable[[sp.Expr], sp.Expr]


_PAIRS: Mapping[type, tuple[_Pair, ...]] = {
    sp.exp: (_Pair(-1, expm1),),
    sp.cosh: (_Pair(-1, lambda a: 2 * sp.sinh(a / 2) ** 2),),
    sp.cos: (_Pair(-1, lambda a: -2 * sp.sin(a / 2) ** 2),),
    sp.erf: (_Pair(1, lambda a: erfc(-a)), _Pair(-1, lambda a: -erfc(a))),
    sp.tanh: (_Pair(1, lambda a: 2 * sigmoid(2 * a)), _Pair(-1, lambda a: -2 * sigmoid(-2 * a))),
    sigmoid: (_Pair(-1, lambda a: -sigmoid(-a)),),
}
"""Functions, and the numbers beside them that a sum cancels with."""


def _sum(e: sp.Add) -> sp.Expr:
    """The sum with its first two terms that cancel put together, else ``e``."""
    terms = list(e.args)
    for n, term in enumerate(terms):
        for partner, value in _partners(term):
            rest = terms[:n] + terms[n + 1 :]
            if partner in rest:
                rest.remove(partner)
                return sp.Add(*rest, value)
    return e


def _partners(term: sp.Expr) -> Iterator[tuple[sp.Expr, sp.Expr]]:
    """What ``term`` cancels with, and their sum."""
    for factor in sp.Mul.make_args(term):
        others = term / factor
        for pair in _PAIRS.get(type(factor), ()):
            yield pair.number * others, others * pair.value(factor.args[0])
        base, exponent = factor.as_base_exp()
        if exponent == 2 and isinstance(base, sp.tanh):
            yield -others, -4 * others * sigmoid_slope(2 * base.args[0])
        elif exponent == 2 and isinstance(base, sigmoid):
            yield -others * base, -others * sigmoid_slope(base.args[0])
        elif exponent == 2 and base.is_Symbol:
            yield -others, others * (base - 1) * (base + 1)
        elif exponent == sp.Rational(1, 2) and base.is_Add and sp.S.One in base.args:
            inner = base - 1
            yield -others, others * inner / (1 + factor)


# ------------------------------------------------------------------------------- products, powers, logarithms
def _product(e: sp.Mul) -> sp.Expr:
    """sigmoid(a) sigmoid(-a), and an exponential times a sigmoid, as one function."""
    if (found := _one_power(e)) is not None:
        return found
    for factor in e.args:
        base, exponent = factor.as_base_exp()
        if not isinstance(base, sigmoid) or not (exponent.is_Integer and exponent > 0):
            continue
        a = base.args[0]
        for other in e.args:
            if isinstance(other, sp.exp) and other.args[0] == -a:
                return e / base / other * sigmoid(-a)
            if other.as_base_exp()[0] == sigmoid(-a) and other.as_base_exp()[1].is_Integer:
                return e / base / sigmoid(-a) * sigmoid_slope(a)
    return e


def _one_power(e: sp.Mul) -> sp.Expr | None:
    """The product with two powers of one base as one, or None.

    x^n / x is 0/0 at x = 0 where x^(n-1) is not; n x^(n-1) is 0 where n is 0, as the derivative of x^0 is.
    """
    powers: dict[sp.Expr, sp.Expr] = {}
    for factor in e.args:
        base, exponent = factor.as_base_exp()
        if base.is_number or base not in powers:
            powers[base] = factor
            continue
        pair = (powers[base], factor)
        n = powers[base].as_base_exp()[1] + exponent + 1
        found = sp.Mul(*(other for other in e.args if other not in pair), base ** (n - 1))
        if n in e.args and not n.is_nonzero:
            return sp.Piecewise((found, sp.Ne(n, 0)), (0, True))
        return found
    return None


def _power(e: sp.Pow) -> sp.Expr:
    """1 / (1 + exp(a)) is sigmoid(-a)."""
    if not (e.base.is_Add and len(e.base.args) == 2 and sp.S.One in e.base.args):
        return e
    other = e.base - 1
    if isinstance(other, sp.exp) and e.exp.is_Integer and e.exp < 0:
        return sigmoid(-other.args[0]) ** (-e.exp)
    return e


def _logarithm(e: sp.log) -> sp.Expr:
    """log(1 + a) as log1p(a), or as what it is where a is an exponential."""
    inner = e.args[0]
    if isinstance(inner, sigmoid):
        return -softplus(-inner.args[0])
    if not inner.is_Add or sp.S.One not in inner.args:
        return e
    rest = inner - 1
    if isinstance(rest, sp.exp):
        return softplus(rest.args[0])
    return rest.args[0] if isinstance(rest, expm1) else log1p(rest)


_RULES: Mapping[type, Callable[..., sp.Expr]] = {
    sp.Add: _sum,
    sp.Mul: _product,
    sp.Pow: _power,
    sp.log: _logarithm,
}
_REWRITTEN = tuple(_RULES)

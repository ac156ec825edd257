"""Scalar functions of the definition language, with the derivative conventions of the paper's ledger.

SymPy's own ``Max`` and ``Abs`` differentiate to ``Heaviside`` and ``sign``, whose values at 0 are not the
convention here (ledger D9: phi'(0) = 0), and ``sqrt`` has no derivative at 0 (ledger D5: subgradient 0 at the
centre).
"""

from __future__ import annotations

import sympy as sp
from sympy import cos, erf, exp, log, sin, sqrt, tanh
from sympy.codegen.cfunctions import expm1, log1p
from sympy.core.relational import Relational

__all__ = [
    "cos",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "piecewise",
    "root",
    "sigmoid",
    "sigmoid_slope",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
]


class sigmoid(sp.Function):
    """1 / (1 + exp(-z)), evaluated without overflow at either end."""

    nargs = 1
    is_real = True
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return self * (1 - self)

    def _eval_rewrite_as_exp(self, z: sp.Expr, **_: object) -> sp.Expr:
        return 1 / (1 + sp.exp(-z))

    def _eval_evalf(self, precision: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(precision)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        body = rf"\sigma\left({printer._print(self.args[0])}\right)"  # type: ignore[attr-defined]
        return body if exp is None else rf"{{{body}}}^{{{exp}}}"


class erfc(sp.Function):
    """1 - erf(z), to the last digits where erf(z) is near 1; SymPy's own writes erfc(-z) as 2 - erfc(z)."""

    nargs = 1
    is_real = True
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return -2 * sp.exp(-(self.args[0] ** 2)) / sp.sqrt(sp.pi)

    def _eval_rewrite_as_exp(self, z: sp.Expr, **_: object) -> sp.Expr:
        return 1 - sp.erf(z)

    def _eval_evalf(self, precision: int) -> sp.Expr:
        return sp.erfc(self.args[0])._eval_evalf(precision)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        body = rf"\operatorname{{erfc}}\left({printer._print(self.args[0])}\right)"  # type: ignore[attr-defined]
        return body if exp is None else rf"{{{body}}}^{{{exp}}}"


class sigmoid_slope(sp.Function):
    """sigmoid(z) sigmoid(-z), the derivative of the sigmoid, to the last digits at either end."""

    nargs = 1
    is_real = True
    is_positive = True

    @classmethod
    def eval(cls, z: sp.Expr) -> sp.Expr | None:
        """An even function."""
        return cls(-z) if z.could_extract_minus_sign() else None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        z = self.args[0]
        return self * (sigmoid(-z) - sigmoid(z))

    def _eval_rewrite_as_exp(self, z: sp.Expr, **_: object) -> sp.Expr:
        return sp.exp(z) / (1 + sp.exp(z)) ** 2

    def _eval_evalf(self, precision: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(precision)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        body = rf"\sigma'\left({printer._print(self.args[0])}\right)"  # type: ignore[attr-defined]
        return body if exp is None else rf"{{{body}}}^{{{exp}}}"


class softplus(sp.Function):
    """log(1 + exp(z)), evaluated without overflow at either end."""

    nargs = 1
    is_real = True
    is_positive = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        return sigmoid(self.args[0])

    def _eval_rewrite_as_exp(self, z: sp.Expr, **_: object) -> sp.Expr:
        return sp.log(1 + sp.exp(z))

    def _eval_evalf(self, precision: int) -> sp.Expr:
        return self.rewrite(sp.exp)._eval_evalf(precision)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        body = rf"\operatorname{{softplus}}\left({printer._print(self.args[0])}\right)"  # type: ignore[attr-defined]
        return body if exp is None else rf"{{{body}}}^{{{exp}}}"


class root(sp.Function):
    """sqrt(s) for s >= 0 with the subgradient 0 at s = 0 (ledger D5)."""

    nargs = 1
    is_real = True
    is_nonnegative = True

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        s = self.args[0]
        return sp.Piecewise((1 / (2 * self), s > 0), (0, True))

    def _eval_rewrite_as_Pow(self, s: sp.Expr, **_: object) -> sp.Expr:
        return sp.sqrt(s)

    def _eval_evalf(self, precision: int) -> sp.Expr:
        return sp.sqrt(self.args[0])._eval_evalf(precision)

    def _latex(self, printer: object, exp: str | None = None) -> str:
        body = rf"\sqrt{{{printer._print(self.args[0])}}}"  # type: ignore[attr-defined]
        return body if exp is None else rf"{{{body}}}^{{{exp}}}"


def piecewise(*branches: tuple[object, object]) -> sp.Expr:
    """``piecewise((value, condition), ..., (value, True))``: the first branch whose condition holds."""
    return sp.Piecewise(*((value, _settled(condition)) for value, condition in branches))


def _settled(condition: object) -> object:
    """``condition`` with everything on one side, where one side is a sum and both vary.

    Which side SymPy writes first depends on the names of symbols, and of some sums each form is the better
    one of the other: an evaluation never ends.
    """
    if not isinstance(condition, Relational) or not (condition.lhs.is_Add or condition.rhs.is_Add):
        return condition
    if not condition.lhs.free_symbols or not condition.rhs.free_symbols:
        return condition
    return condition.func(sp.expand(condition.lhs - condition.rhs), 0)


def maximum(a: object, b: object) -> sp.Expr:
    """max(a, b); a tie takes b, and its derivative: ``maximum(z, 0)`` has slope 0 at 0."""
    first, second = sp.sympify(a), sp.sympify(b)
    return sp.Piecewise((first, _settled(first > second)), (second, True))


def minimum(a: object, b: object) -> sp.Expr:
    """min(a, b); a tie takes b."""
    first, second = sp.sympify(a), sp.sympify(b)
    return sp.Piecewise((first, _settled(first < second)), (second, True))


def without_kinks(expression: sp.Expr) -> sp.Expr:
    """Replace SymPy's ``Max``, ``Min``, ``Abs`` and odd roots by piecewise forms.

    At a tie a constant wins (slope 0).  A root of odd degree is the real one, with the subgradient 0 at 0.
    """

    def fold(choose: object, args: tuple[sp.Expr, ...]) -> sp.Expr:
        ordered = sorted(args, key=lambda a: (a.is_number, sp.default_sort_key(a)))
        result = ordered[-1]
        for argument in reversed(ordered[:-1]):
            result = choose(argument, result)  # type: ignore[operator]
        return result

    expression = expression.replace(sp.Max, lambda *args: fold(maximum, args))
    expression = expression.replace(sp.Min, lambda *args: fold(minimum, args))
    expression = expression.replace(sp.Abs, lambda a: sp.Piecewise((a, a > 0), (-a, a < 0), (0, True)))
    return expression.replace(_is_odd_root, lambda e: _real_power(e.base, e.exp))


def _is_odd_root(e: sp.Expr) -> bool:
    """True for a positive power with an odd denominator of what may be negative."""
    return bool(
        isinstance(e, sp.Pow)
        and e.exp.is_Rational
        and e.exp > 0
        and e.exp.q > 1
        and e.exp.q % 2
        and e.base.free_symbols
        and not e.base.is_nonnegative
    )


def _real_power(base: sp.Expr, exponent: sp.Rational) -> sp.Expr:
    """``base**exponent`` for an odd denominator, over all reals."""
    sign = -1 if exponent.p % 2 else 1
    below = sp.Pow(-base, exponent, evaluate=False)
    return sp.Piecewise(
        (sp.Pow(base, exponent, evaluate=False), base > 0), (sign * below, base < 0), (0, True)
    )


#: More branches than these are left nested.
MOST_BRANCHES = 12


def flattened(expression: sp.Expr) -> sp.Expr:
    """``expression`` as one piecewise expression without others in it, where it has any."""
    if not expression.has(sp.Piecewise):
        return expression
    folded = sp.piecewise_fold(expression)
    if not isinstance(folded, sp.Piecewise) or len(folded.args) > MOST_BRANCHES:
        return expression
    branches: list[tuple[sp.Expr, sp.Basic]] = []
    for value, condition in folded.args:
        earlier = {c: sp.false for _, c in branches if isinstance(c, Relational)}
        branches.append((value, _simpler(condition.xreplace(earlier))))
    return sp.Piecewise(*branches)


def _simpler(condition: sp.Basic) -> sp.Basic:
    """A condition in which what holds for certain beside it is left out."""
    if isinstance(condition, sp.And | sp.Or):
        certain = sp.true if isinstance(condition, sp.And) else sp.false
        parts = list(condition.args)
        for part in [p for p in parts if isinstance(p, Relational)]:
            known = {part: certain, part.negated: sp.Not(certain)}
            parts = [p if p == part else p.xreplace(known) for p in parts]
        return condition.func(*map(_simpler, parts))
    if isinstance(condition, sp.ITE):
        test, first, second = condition.args
        return sp.Or(_simpler(sp.And(test, first)), _simpler(sp.And(sp.Not(test), second)))
    return condition

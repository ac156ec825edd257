"""The integer functions of the index algebra, as SymPy functions that are never rewritten automatically.

SymPy's ``floor`` is distributed over sums, and its ``Mod`` is factored.  Both would hide the structure that
the index solver needs.
"""

from __future__ import annotations

import math

import sympy as sp


class FloorDiv(sp.Function):
    """floor(a / b) for b > 0."""

    nargs = 2
    is_integer = True

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if b == 1:
            return a
        if a == 0:
            return sp.S.Zero
        if a.is_Integer and b.is_Integer:
            return sp.Integer(int(a) // int(b))
        if a == b:
            return sp.S.One
        return None

    def _eval_is_nonnegative(self) -> bool | None:
        return True if self.args[0].is_nonnegative else None


class CeilDiv(sp.Function):
    """ceil(a / b) for b > 0."""

    nargs = 2
    is_integer = True

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if b == 1:
            return a
        if a == 0:
            return sp.S.Zero
        if a.is_Integer and b.is_Integer:
            return sp.Integer(-(-int(a) // int(b)))
        return None


class Modulo(sp.Function):
    """a mod b in 0..b-1."""

    nargs = 2
    is_integer = True
    is_nonnegative = True

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if b == 1 or a == 0:
            return sp.S.Zero
        if a.is_Integer and b.is_Integer:
            return sp.Integer(int(a) % int(b))
        return None


class Gcd(sp.Function):
    """Greatest common divisor of two positive integers."""

    nargs = 2
    is_integer = True
    is_positive = True

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        if a == 1 or b == 1:
            return sp.S.One
        if a == b:
            return a
        if a.is_Integer and b.is_Integer:
            return sp.Integer(math.gcd(int(a), int(b)))
        return None


class Inverse(sp.Function):
    """The inverse of a modulo m; 0 if m = 1."""

    nargs = 2
    is_integer = True
    is_nonnegative = True

    @classmethod
    def eval(cls, a: sp.Expr, m: sp.Expr) -> sp.Expr | None:
        if m == 1:
            return sp.S.Zero
        if a.is_Integer and m.is_Integer:
            return sp.Integer(pow(int(a), -1, int(m)))
        return None


class Largest(sp.Function):
    """The maximum of integers, without SymPy's costly simplification of ``Max``."""

    is_integer = True

    @classmethod
    def eval(cls, *args: sp.Expr) -> sp.Expr | None:
        return args[0] if len(set(args)) == 1 else None


class Smallest(sp.Function):
    """The minimum of integers, without SymPy's costly simplification of ``Min``."""

    is_integer = True

    @classmethod
    def eval(cls, *args: sp.Expr) -> sp.Expr | None:
        return args[0] if len(set(args)) == 1 else None

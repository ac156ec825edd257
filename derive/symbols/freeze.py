"""Freezes SymPy expressions into the kernel IR.

What the IR cannot hold raises an error here and never passes through as text.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational as SymPyRelational
from sympy.functions.elementary.piecewise import ExprCondPair
from sympy.logic.boolalg import Boolean

from ..ir import (
    Accumulator,
    Call,
    Column,
    Compare,
    Condition,
    Expr,
    FromInteger,
    Integer,
    IntExpr,
    IntOp,
    IRError,
    Load,
    Name,
    Number,
    Select,
    Size,
    Temporary,
)
from . import integers
from .compensated import product_rest, scaled, square_rest
from .functions import erfc, expm1, log1p, root, sigmoid, sigmoid_slope, softplus

_INTEGER_FUNCTIONS: Mapping[type, str] = {
    integers.FloorDiv: "floordiv",
    integers.CeilDiv: "ceildiv",
    integers.Modulo: "mod",
    integers.Gcd: "gcd",
    integers.Inverse: "inverse",
    integers.Largest: "max",
    integers.Smallest: "min",
}
_SCALAR_FUNCTIONS: Mapping[type, str] = {
    sp.exp: "exp",
    sp.log: "log",
    expm1: "expm1",
    log1p: "log1p",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.tan: "tan",
    sp.asin: "asin",
    sp.acos: "acos",
    sp.atan: "atan",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.tanh: "tanh",
    sp.erf: "erf",
    sp.erfc: "erfc",
    erfc: "erfc",
    square_rest: "square_rest",
    sigmoid: "sigmoid",
    sigmoid_slope: "sigmoid_slope",
    softplus: "softplus",
    root: "sqrt",
}
_Operator = Literal["==", "!=", "<", "<=", ">", ">="]
_OPERATORS: Mapping[type, _Operator] = {
    sp.Eq: "==", sp.Ne: "!=", sp.Lt: "<", sp.Le: "<=", sp.Gt: ">", sp.Ge: ">=",
}  # fmt: skip


class IntegerFreezer:
    """Freezes index expressions.

    * ``sizes``: the names of the layer's sizes.
    * ``relations``: the relation and the column that a function such as ``D_j`` stands for, by its name.
    """

    def __init__(self, sizes: frozenset[str], relations: Mapping[str, tuple[str, str]]) -> None:
        self.sizes, self.relations = sizes, relations

    def __call__(self, e: sp.Expr) -> IntExpr:
        if e.is_Integer:
            return Integer(int(e))
        if e.is_Symbol:
            return Size(e.name) if e.name in self.sizes else Name(e.name)
        if isinstance(e, AppliedUndef) and (entry := self._table_entry(e)) is not None:
            return entry
        if (operation := _integer_operation(e)) is not None:
            op, args = operation
            return IntOp(op, tuple(self(a) for a in args))  # type: ignore[arg-type]
        raise IRError(f"{e} is no integer expression that the IR can hold ({type(e).__name__})")

    def _table_entry(self, e: sp.Expr) -> Column | Size | None:
        """A column of a relation, or a size that varies from entry to entry; None for any other function."""
        name = e.func.__name__
        if name in self.relations:
            relation, column = self.relations[name]
            return Column(relation, column, self(e.args[0]))
        return Size(name, self(e.args[0])) if name in self.sizes else None

    def condition(self, left: sp.Expr, op: str, right: sp.Expr) -> Condition:
        """``left op right``; a sum that is >= 0 becomes a comparison that is easier to read."""
        compared = _two_sides(left) if op == ">=" and right == 0 and left.is_Add else None
        smaller, op, larger = compared or (left, op, right)
        return Condition(self(smaller), op, self(larger))  # type: ignore[arg-type]


def _integer_operation(e: sp.Expr) -> tuple[str, Sequence[sp.Expr]] | None:
    """The IR's operation for ``e`` and its arguments; None if the IR has none."""
    if type(e) in _INTEGER_FUNCTIONS:
        return _INTEGER_FUNCTIONS[type(e)], e.args
    if e.is_Add:
        return "add", _positive_first(e)
    if e.is_Mul:
        return "mul", e.args
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        return "mul", [e.base] * int(e.exp)
    return None


def _two_sides(e: sp.Expr) -> tuple[sp.Expr, str, sp.Expr] | None:
    """``e >= 0`` as a comparison of two sides; None if all terms have the same sign.

    The left side has the terms that ``e`` subtracts, the right side the others; ``<`` or ``<=`` stands
    between.
    """
    negative = [a for a in e.args if a.could_extract_minus_sign()]
    positive = [a for a in e.args if a not in negative]
    if not negative or not positive:
        return None
    constant = sum((a for a in e.args if a.is_Integer), sp.S.Zero)
    smaller = -sum((a for a in negative if not a.is_Integer), sp.S.Zero)
    larger = sum((a for a in positive if not a.is_Integer), sp.S.Zero)
    return (smaller, "<", larger) if larger != 0 and constant == -1 else (smaller, "<=", larger + constant)


def _positive_first(e: sp.Expr) -> list[sp.Expr]:
    return sorted(e.args, key=lambda a: (a.is_Integer, a.could_extract_minus_sign(), sp.default_sort_key(a)))


def _is_constant(e: sp.Expr) -> bool:
    """True for a number that a literal holds; integer functions of integers have forms of their own."""
    real = e.is_number and e.is_real and e.is_finite and not e.is_integer
    return bool(e.is_Rational or e.is_Float or real)


def is_scalar_part(part: sp.Basic) -> bool:
    """True if a scalar body can hold ``part``, whatever its arguments are."""
    if part.is_Atom:
        return (
            part.is_Symbol
            or part in (sp.pi, sp.E, sp.true, sp.false)
            or bool(part.is_Number and part.is_finite)
        )
    known = (
        sp.Add, sp.Mul, sp.Pow, sp.Piecewise, ExprCondPair, sp.And, sp.Or, sp.Not, sp.ITE, SymPyRelational,
    )  # fmt: skip
    size = isinstance(part, AppliedUndef) and part.is_integer
    return (
        size or isinstance(part, known) or type(part) in _SCALAR_FUNCTIONS or type(part) in _INTEGER_FUNCTIONS
    )


class ScalarFreezer:
    """Freezes scalar bodies.

    * ``integer``: freezes the index expressions in them.
    * ``lookup``: turns the symbol of an access or an accumulator into its IR node.
    * ``where``: names the place in error messages.
    """

    def __init__(
        self, integer: IntegerFreezer, lookup: Callable[[sp.Symbol], Expr | None], where: str
    ) -> None:
        self.integer, self.lookup, self.where = integer, lookup, where

    def __call__(self, e: sp.Expr) -> Expr:
        if _is_constant(e):
            return Number(repr(float(e)))
        if e.is_Symbol:
            found = self.lookup(e)
            return FromInteger(self.integer(e)) if found is None else found
        if e.is_integer and not any(self._is_real(s) for s in e.free_symbols):
            return FromInteger(self.integer(e))
        if e.is_Add:
            return Call("add", tuple(self(a) for a in _positive_first(e)))
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return self._power(e.base, e.exp)
        if isinstance(e, sp.Piecewise):
            return self._piecewise(list(e.args))
        if isinstance(e, scaled | product_rest):
            return self._of_number(e)
        if type(e) in _SCALAR_FUNCTIONS:
            return Call(_SCALAR_FUNCTIONS[type(e)], tuple(self(a) for a in e.args))
        raise IRError(f"{self.where}: the IR has no function {type(e).__name__} (in {e})")

    def _is_real(self, symbol: sp.Symbol) -> bool:
        return self.lookup(symbol) is not None

    def _product(self, e: sp.Expr) -> Expr:
        if e.could_extract_minus_sign():
            return Call("neg", (self(-e),))
        if any(isinstance(a, sp.log | log1p) for a in e.args):
            return self._logarithmic(list(e.args))
        upper, lower = _fraction(_one_number(e))
        numerator = self._factors(upper)
        return numerator if not lower else Call("div", (numerator, self._factors(lower)))

    def _logarithmic(self, factors: list[sp.Expr]) -> Expr:
        """A product with logarithms is 0 where another factor is: 0 log 0 = 0, ledger E27.

        Of several logarithms any may be the factor that is 0: log(y) log(1 + y) is 0 at y = 0.
        """
        logs = [a for a in factors if isinstance(a, sp.log | log1p)]
        last = logs[-1]
        others = self(sp.Mul(*(a for a in factors if a is not last)))
        name = "xlogy" if isinstance(last, sp.log) else "xlog1py"
        product = Call(name, (others, self(last.args[0])))
        if len(logs) == 1:
            return product
        end = Number("1.0") if isinstance(last, sp.log) else Number("0.0")
        return Select(Compare(self(last.args[0]), "==", end), Number("0.0"), product)

    def _factors(self, factors: list[sp.Expr]) -> Expr:
        if not factors:
            return Number("1.0")
        if len(factors) == 1:
            return self(factors[0])
        return Call("mul", tuple(self(f) for f in factors))

    def _of_number(self, e: sp.Expr) -> Expr:
        """A product by a number of any digits, and what its rounding takes in each precision."""
        (a, number), double = e.args, float(e.args[1])
        if isinstance(e, scaled):
            return Call("mul", (Number(repr(double)), self(a)))
        (single,) = struct.unpack("f", struct.pack("f", double))
        lost = [Number(repr(float(number - sp.Rational(near)))) for near in (single, double)]
        return Call("product_rest", (self(a), Number(repr(double)), *lost))

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> Expr:
        if base == sp.E:
            return Call("exp", (self(exponent),))
        if exponent.could_extract_minus_sign():
            return Call("div", (Number("1.0"), self(base**-exponent)))
        if exponent == sp.Rational(1, 2):
            return Call("sqrt", (self(base),))
        return Call("pow", (self(base), self(exponent)))

    def _piecewise(self, branches: list[tuple[sp.Expr, sp.Basic]]) -> Expr:
        (value, condition), rest = branches[0], branches[1:]
        if condition == True:  # noqa: E712 - SymPy's true
            return self(value)
        if not rest:
            raise IRError(f"{self.where}: a piecewise expression needs a last branch that always holds")
        return self._select(condition, self(value), self._piecewise(rest))

    def _select(self, condition: sp.Basic, yes: Expr, no: Expr) -> Expr:
        if condition in (sp.true, sp.false):
            return yes if condition == True else no  # noqa: E712 - SymPy's true
        if isinstance(condition, sp.ITE):
            test, first, second = condition.args
            return self._select(test, self._select(first, yes, no), self._select(second, yes, no))
        if isinstance(condition, sp.Not):
            return self._select(condition.args[0], no, yes)
        if isinstance(condition, sp.And):
            for part in sorted(condition.args, key=sp.default_sort_key):
                yes = self._select(part, yes, no)
            return yes
        if isinstance(condition, sp.Or):
            for part in sorted(condition.args, key=sp.default_sort_key):
                no = self._select(part, yes, no)
            return no
        if isinstance(condition, SymPyRelational) and type(condition) in _OPERATORS:
            return Select(
                Compare(self(condition.lhs), _OPERATORS[type(condition)], self(condition.rhs)), yes, no
            )
        raise IRError(f"{self.where}: the IR has no condition {condition}")


def _one_number(product: sp.Expr) -> sp.Expr:
    """The product with its irrational numbers, and the rational one beside them, as one number."""
    number, rest = product.as_independent(*product.free_symbols, as_Add=False)
    if number.is_Rational or number.is_Float or not number.is_real:
        return product
    return sp.Mul(number.evalf(20), rest, evaluate=False)


def _fraction(product: sp.Expr) -> tuple[list[sp.Expr], list[sp.Expr]]:
    """The factors of the numerator and of the denominator; of a number 1/q, a small q goes to the latter."""
    upper: list[sp.Expr] = []
    lower: list[sp.Expr] = []
    for factor in product.args:
        if factor.is_Pow and factor.exp.could_extract_minus_sign():
            lower.append(factor.base ** (-factor.exp))
        elif factor.is_Rational and not factor.is_Integer and abs(factor.p) == 1 and factor.q < 2**20:
            upper.extend([sp.Integer(factor.p)] if factor.p != 1 else [])
            lower.append(sp.Integer(factor.q))
        else:
            upper.append(factor)
    return upper, lower


def with_temporaries(e: sp.Expr) -> tuple[list[tuple[sp.Symbol, sp.Expr]], sp.Expr]:
    """Takes common subexpressions out of a scalar body.

    Returns them as pairs (symbol, value) in order, and the body that uses them.
    """
    costly = sum(1 for a in sp.preorder_traversal(e) if isinstance(a, sp.Function | sp.Piecewise))
    if costly < 2:
        return [], e
    symbols = (sp.Symbol(f"s{n}", real=True) for n in range(1000))
    replacements, (body,) = sp.cse([e], symbols=symbols, order="canonical")
    kept: list[tuple[sp.Symbol, sp.Expr]] = []
    conditions: dict[sp.Symbol, sp.Basic] = {}  # a condition is not a number, so it is put back in place
    for symbol, value in replacements:
        value = value.xreplace(conditions)
        if isinstance(value, Boolean):
            conditions[symbol] = value
        else:
            kept.append((symbol, value))
    return kept, body.xreplace(conditions)


def temporary_lookup(
    names: set[sp.Symbol], lookup: Callable[[sp.Symbol], Expr | None]
) -> Callable[[sp.Symbol], Expr | None]:
    """A lookup that knows the temporaries ``names`` besides what ``lookup`` knows."""
    return lambda symbol: Temporary(symbol.name) if symbol in names else lookup(symbol)


__all__ = ["Accumulator", "IntegerFreezer", "Load", "ScalarFreezer", "temporary_lookup", "with_temporaries"]

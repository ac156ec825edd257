"""Expressions and conditions as plain text, such as ``a // b`` and ``0 <= x < X``.

The positive terms of a sum come first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.printing.str import StrPrinter

from ..adjoint.solver import Relational
from ..symbols.integers import Modulo
from ..symbols.names import column, is_spelled

#: How the row variables of tables are written.
ROW = "c"


class PlainPrinter(StrPrinter):
    """Plain text of expressions in index functions, tables and sizes."""

    def _as_ordered_terms(self, expr: sp.Expr, order: str | None = None) -> list[sp.Expr]:
        return positive_first(super()._as_ordered_terms(expr, order=order))

    def _two(self, e: sp.Expr, operator: str) -> str:
        left, right = (self._print(a) if a.is_Atom else f"({self._print(a)})" for a in e.args)
        return f"({left} {operator} {right})"

    def _print_FloorDiv(self, e: sp.Expr) -> str:
        return self._two(e, "//")

    def _print_Modulo(self, e: sp.Expr) -> str:
        return self._two(e, "%")

    def _print_CeilDiv(self, e: sp.Expr) -> str:
        return f"ceil{self._two(e, '/')}"

    def _call(self, name: str, e: sp.Expr) -> str:
        return f"{name}({', '.join(self._print(a) for a in e.args)})"

    def _print_Gcd(self, e: sp.Expr) -> str:
        return self._call("gcd", e)

    def _print_Inverse(self, e: sp.Expr) -> str:
        return self._call("inverse", e)

    def _print_Largest(self, e: sp.Expr) -> str:
        return self._call("max", e)

    def _print_Smallest(self, e: sp.Expr) -> str:
        return self._call("min", e)

    def _print_Relational(self, e: sp.Expr) -> str:
        return f"{self._print(e.lhs)} {e.rel_op} {self._print(e.rhs)}"

    def _print_Piecewise(self, e: sp.Expr) -> str:
        *cases, (last, _) = e.args
        chosen = "".join(f"{self._print(value)} if {self._print(test)} else " for value, test in cases)
        return f"({chosen}{self._print(last)})"

    def _print_Symbol(self, e: sp.Symbol) -> str:
        return ROW if e.name.endswith("_row") and not is_spelled(e.name) else str(e.name)

    def _print_Function(self, e: sp.Expr) -> str:
        if isinstance(e, AppliedUndef):
            return f"{column(e.func.__name__)}({', '.join(self._print(a) for a in e.args)})"
        return str(super()._print_Function(e))


def positive_first(terms: Iterable[sp.Expr]) -> list[sp.Expr]:
    """The terms of a sum, those with a minus last."""
    return sorted(terms, key=lambda term: bool(term.could_extract_minus_sign()))


def plain(e: sp.Expr) -> str:
    """``e`` as text, without parentheses around all of it."""
    text = str(PlainPrinter().doprint(e))
    return text[1:-1] if _wrapped(text) else text


def _wrapped(text: str) -> bool:
    """Whether the first parenthesis closes at the end."""
    depth = 0
    for n, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if depth == 0:
            return n == len(text) - 1 and n > 0
    return False


Comparison = tuple[tuple[sp.Expr, ...], tuple[str, ...]]


def comparisons(conditions: Sequence[Relational]) -> list[Comparison]:
    """Conditions as terms with operators between them, ``0 <= x < X`` where two bound the same expression.

    The operator ``|`` says that its left term divides the right one.  No comparison is with a difference.
    """
    left, found = list(conditions), []
    while left:
        first = left.pop(0)
        upper = next((c for c in left if _bounds_together(first, c)), None)
        if upper is None:
            found.append(_comparison(first))
        else:
            left.remove(upper)
            extent = sp.expand(first.left + upper.left + 1)
            found.append(((sp.S.Zero, first.left, extent), ("<=", "<")))
    return found


def _bounds_together(low: Relational, high: Relational) -> bool:
    if not (low.op == high.op == ">=" and low.right == high.right == 0):
        return False
    extent = sp.expand(low.left + high.left + 1)
    return bool(extent.is_Symbol or isinstance(extent, AppliedUndef))


def _comparison(c: Relational) -> Comparison:
    if isinstance(c.left, Modulo) and c.op == "==" and c.right == 0:
        return (c.left.args[1], c.left.args[0]), ("|",)
    if c.op == ">=" and c.right == 0:
        terms = sp.Add.make_args(c.left)
        negative = [a for a in terms if a.could_extract_minus_sign()]
        positive = sp.Add(*(a for a in terms if a not in negative))
        strict = sp.Integer(-1) in negative
        rest = sp.Add(*(-a for a in negative if not (strict and a == -1)))
        return (rest, positive), ("<" if strict else "<=",)
    return (c.left, c.right), (c.op,)


def conditions_text(conditions: Sequence[Relational]) -> str:
    """All of ``conditions``, joined by "and"."""
    parts = []
    for terms, operators in comparisons(conditions):
        if operators == ("|",):
            parts.append(f"{plain(Modulo(terms[1], terms[0]))} == 0")
            continue
        text = plain(terms[0])
        for operator, term in zip(operators, terms[1:], strict=True):
            text += f" {operator} {plain(term)}"
        parts.append(text)
    return " and ".join(parts)

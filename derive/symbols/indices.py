"""Index variables, sizes and coordinate vectors of the definition language."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import sympy as sp

from .errors import DefinitionError
from .integers import CeilDiv, FloorDiv, Modulo

AxisKind = Literal["map", "coordinate", "window", "unit", "parameter"]


class Vector:
    """A tuple of integer expressions, one per coordinate, with elementwise arithmetic.

    ``k*x + d*u - p`` reads the same for one, two and three coordinates.
    """

    def __init__(self, entries: Iterable[sp.Expr | int]) -> None:
        self.entries = tuple(sp.sympify(e) for e in entries)

    def __iter__(self) -> Iterator[sp.Expr]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: object) -> sp.Expr | Vector:
        return self.entries[key] if isinstance(key, int) else self

    def _with(self, other: object, operation: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> Vector:
        if isinstance(other, Vector):
            if len(other) != len(self):
                raise DefinitionError(
                    f"vectors of {len(self)} and {len(other)} coordinates in one expression"
                )
            return Vector(operation(a, b) for a, b in zip(self.entries, other.entries, strict=True))
        return Vector(operation(a, sp.sympify(other)) for a in self.entries)

    def __add__(self, other: object) -> Vector:
        return self._with(other, lambda a, b: a + b)

    __radd__ = __add__

    def __sub__(self, other: object) -> Vector:
        return self._with(other, lambda a, b: a - b)

    def __rsub__(self, other: object) -> Vector:
        return self._with(other, lambda a, b: b - a)

    def __mul__(self, other: object) -> Vector:
        return self._with(other, lambda a, b: a * b)

    __rmul__ = __mul__

    def __neg__(self) -> Vector:
        return Vector(-a for a in self.entries)

    def __truediv__(self, other: object) -> Vector:
        raise DefinitionError(
            "indices and sizes are integers: // and ceildiv divide sizes, where=Eq(...) ties indices"
        )

    def __floordiv__(self, other: object) -> Vector:
        return self._with(other, lambda a, b: quotient(a, b))

    def __le__(self, other: object) -> tuple[sp.Basic, ...]:
        return self._compare(other, sp.Le)

    def __lt__(self, other: object) -> tuple[sp.Basic, ...]:
        return self._compare(other, sp.Lt)

    def __ge__(self, other: object) -> tuple[sp.Basic, ...]:
        return self._compare(other, sp.Ge)

    def __gt__(self, other: object) -> tuple[sp.Basic, ...]:
        return self._compare(other, sp.Gt)

    def _compare(
        self, other: object, relation: Callable[[sp.Expr, sp.Expr], sp.Basic]
    ) -> tuple[sp.Basic, ...]:
        others = other if isinstance(other, Vector) else [sp.sympify(other)] * len(self)
        if len(others) != len(self):
            raise DefinitionError(f"vectors of {len(self)} and {len(others)} coordinates in one condition")
        return tuple(relation(a, b) for a, b in zip(self, others, strict=True))

    def equals(self, other: object) -> tuple[sp.Basic, ...]:
        """One condition per coordinate, for ``where=``."""
        return self._compare(other, sp.Eq)

    def ceildiv(self, other: object) -> Vector:
        """Elementwise ceil(a / b)."""
        return self._with(other, lambda a, b: -quotient(-a, b))

    @property
    def product(self) -> sp.Expr:
        """The product of the entries: the number of points of a box with these sizes."""
        return sp.Mul(*self.entries)


class SizeTable(Vector):
    """Sizes that differ per map or per kernel (Remark 3): index them, ``M[c.q]``, before use."""

    def __init__(self, functions: Iterable[sp.Function], owner: str) -> None:
        self.functions = tuple(functions)
        self.owner = owner
        self.entries = ()

    def __len__(self) -> int:
        return len(self.functions)

    def __getitem__(self, key: object) -> Vector:
        (index,) = key if isinstance(key, tuple) else (key,)
        return Vector(f(index) for f in self.functions)

    def _with(self, other: object, operation: Callable[[sp.Expr, sp.Expr], sp.Expr]) -> Vector:
        raise DefinitionError(
            f"size {self.owner} differs from entry to entry: index it, for example {self.owner}[c.q]"
        )


def quotient(a: sp.Expr, b: sp.Expr) -> sp.Expr:
    """floor(a / b), kept in one piece."""
    return FloorDiv(a, b)


def size_expression(value: object) -> sp.Expr:
    """A size as the index algebra holds it.

    SymPy's floor and ceiling of quotients, and its remainders, become exact integer divisions.
    """
    e = sp.sympify(value).replace(sp.Mod, Modulo)
    e = e.replace(sp.floor, lambda a: FloorDiv(*a.as_numer_denom()))
    return e.replace(sp.ceiling, lambda a: CeilDiv(*a.as_numer_denom()))


@dataclass(frozen=True)
class AxisVariable:
    """An index variable: ``0 <= symbol < extent``."""

    symbol: sp.Symbol
    kind: AxisKind
    extent: sp.Expr


@dataclass(frozen=True)
class RowVariable:
    """A row of a relation."""

    symbol: sp.Symbol
    relation: str


@dataclass(frozen=True)
class SizeInfo:
    """How the runtime finds a size.

    * ``source``: where it comes from: the input's shape, a keyword, other sizes, or the rows of a relation.
    * ``axis``: of the input, which of its sizes.
    * ``keyword``, ``entry``, ``default``: what the user gives, which coordinate's entry of it, and what
      stands for nothing.
    * ``minimum``: no smaller size is accepted.
    * ``random``: the range that ``phiz verify`` draws from.
    * ``value``: the expression of a derived size.
    * ``table``: of a size that differs from entry to entry, the size that counts the entries.
    * ``index``: the variable of ``value`` that runs over the entries of the table.
    * ``smallest``: (relation, by, row): the minimum of ``value`` over the rows whose column ``by`` is the
      index.
    * ``relation``, ``column``: of a relation's size, the column that it bounds.
    """

    name: str
    source: Literal["input", "keyword", "derived", "relation"]
    axis: int | None = None
    keyword: str | None = None
    entry: int | None = None
    default: int | None = None
    minimum: int = 0
    random: tuple[int, int] | None = None
    value: sp.Expr | None = None
    table: str | None = None
    index: str | None = None
    smallest: tuple[str, str, str] | None = None
    relation: str | None = None
    column: str | None = None


@dataclass(frozen=True)
class RelationInfo:
    """A relation: rows of indices, one column per variable; ``columns`` maps a column to the size that
    bounds it.
    """

    name: str
    columns: tuple[tuple[str, str], ...]

"""Connections between maps: the paper's lists D_i, and the kernel that each connection uses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import sympy as sp
from sympy.core.function import AppliedUndef

from ..symbols.errors import DefinitionError
from ..symbols.indices import SizeInfo, Vector, size_expression
from .declarations import Declarations


@dataclass(frozen=True)
class Rows:
    """The rows of a relation, to sum over; ``rows.x`` is column x of the current row.

    ``names``: of columns in kernels.
    """

    symbol: sp.Symbol
    relation: str
    names: Mapping[str, str]

    @property
    def loops(self) -> tuple[sp.Symbol, ...]:
        """The index variables of a reduction over the rows."""
        return (self.symbol,)

    def __getattr__(self, column: str) -> sp.Expr:
        if column.startswith("_") or column == "constraints":
            raise AttributeError(column)
        if column not in self.names:
            raise DefinitionError(
                f"relation {self.relation} has no column {column}; its columns are {', '.join(self.names)}"
            )
        return sp.Function(f"{self.relation}_{self.names[column]}", integer=True, nonnegative=True)(
            self.symbol
        )


@dataclass(frozen=True)
class Connections:
    """The connections of a layer: map ``j`` feeds map ``i`` through kernel ``q``.

    ``Sum(..., c)`` sums over those of map i.

    Kinds:

    * ``full``: every j feeds every i; the kernel of a pair is (i, j).
    * ``own``: map i alone feeds map i; its kernel is i.
    * ``table``: rows (i, j, q) of a relation, in any number and order (D_i, Remarks 2 and 3, shared kernels).
    """

    declared: Declarations
    kind: Literal["full", "own", "table"]
    i: sp.Symbol
    j: sp.Expr
    q: tuple[sp.Expr, ...]
    loops: tuple[sp.Symbol, ...]
    constraints: tuple[sp.Expr, ...]
    kernel_count: str | None

    def smallest(self, sizes: Iterable[sp.Expr]) -> Vector:
        """The size on which every connection of map i is defined: the intersection over D_i (ledger D2).

        A map without connections has the size that the user gives as ``size=``.
        """
        sizes = tuple(size_expression(e) for e in sizes)
        if not any(value.atoms(AppliedUndef) for value in sizes):
            return Vector(sizes)
        entries = []
        for r, value in enumerate(sizes):
            size = self.declared.declare_size(
                SizeInfo(
                    f"X{r}",
                    "derived",
                    keyword="size",
                    entry=r,
                    value=value,
                    table="I",
                    index=self.i.name,
                    minimum=1,
                    smallest=("D", "i", str(self.loops[0])),
                )
            )
            entries.append(sp.Function(size.name, integer=True, positive=True)(self.i))
        return Vector(entries)

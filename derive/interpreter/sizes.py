"""Index expressions at many points at once, and the points that index variables run over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np
import sympy as sp
from sympy.core.function import AppliedUndef

from ..symbols import integers
from ..symbols.indices import AxisVariable, RowVariable

IntArray = np.ndarray[Any, np.dtype[np.int64]]


def _inverse(a: IntArray, m: IntArray) -> IntArray:
    """The inverse of a modulo m, 0 for m = 1."""
    pairs = np.broadcast(a, m)
    return np.array([0 if n == 1 else pow(int(v), -1, int(n)) for v, n in pairs]).reshape(pairs.shape)


_FUNCTIONS: Mapping[type, Callable[..., IntArray]] = {
    integers.FloorDiv: lambda a, b: a // b,
    integers.CeilDiv: lambda a, b: -(-a // b),
    integers.Modulo: lambda a, b: a % b,
    integers.Gcd: np.gcd,
    integers.Inverse: _inverse,
    integers.Largest: lambda *args: reduce(np.maximum, args),
    integers.Smallest: lambda *args: reduce(np.minimum, args),
    sp.Add: lambda *args: reduce(np.add, args),
    sp.Mul: lambda *args: reduce(np.multiply, args),
    sp.Pow: lambda a, b: a**b,
}


@dataclass(frozen=True)
class SizeValues:
    """The sizes of a layer.

    * ``sizes``: by name in kernels; a size that differs from entry to entry is a list.
    * ``relations``: the columns of every relation, as lists.
    """

    sizes: Mapping[str, int | Sequence[int]]
    relations: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)

    def integer(self, e: sp.Expr, points: Mapping[str, IntArray]) -> IntArray:
        """``e`` at every one of ``points``; what is read outside a table is its nearest entry."""
        e = sp.sympify(e)
        if e.is_Integer:
            return np.asarray(int(e))
        if e.is_Symbol:
            return points[e.name] if e.name in points else np.asarray(self.sizes[e.name])
        args = [self.integer(a, points) for a in e.args]
        if isinstance(e, AppliedUndef):
            table = np.asarray(self._table(e.func.__name__), np.int64)
            return table[np.clip(args[0], 0, len(table) - 1)] if len(table) else np.zeros_like(args[0])
        return _FUNCTIONS[type(e)](*args)

    def _table(self, name: str) -> Sequence[int]:
        if name in self.sizes:
            return self.sizes[name]  # type: ignore[return-value]
        found = ((f"{r}_{c}", rows) for r, columns in self.relations.items() for c, rows in columns.items())
        return dict(found)[name]

    def count(self, relation: str) -> int:
        """The number of rows of a relation."""
        return len(next(iter(self.relations[relation].values())))


@dataclass(frozen=True)
class Points:
    """Points in row-major order: the values of every variable, and the number of the point that each is one
    of.
    """

    values: Mapping[str, IntArray]
    origin: IntArray

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.origin)

    def over(self, variables: Iterable[AxisVariable | RowVariable], sizes: SizeValues) -> Points:
        """Every point with every value of ``variables``, the last one fastest; their origins are these
        points.
        """
        values, origin = dict(self.values), np.arange(self.count)
        for variable in variables:
            if isinstance(variable, RowVariable):
                extents = np.full(len(origin), sizes.count(variable.relation))
            else:
                extents = np.broadcast_to(sizes.integer(variable.extent, values), origin.shape)
            chosen = np.repeat(np.arange(len(origin)), extents)
            first = np.repeat(np.cumsum(extents) - extents, extents)
            values = {name: column[chosen] for name, column in values.items()}
            values[variable.symbol.name] = np.arange(len(chosen)) - first
            origin = origin[chosen]
        return Points(values, origin)

    def where(self, keep: np.ndarray) -> Points:
        """The points that ``keep`` holds for."""
        kept = np.broadcast_to(keep, self.origin.shape)
        return Points({name: column[kept] for name, column in self.values.items()}, self.origin[kept])


#: The one point of no variable.
ORIGIN = Points({}, np.zeros(1, np.int64))

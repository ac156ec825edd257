"""Random legal sizes of a definition: input shapes, keywords, connection tables, what follows from them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from random import Random

import numpy as np
import sympy as sp

from ..language.stages import Definition
from ..symbols.indices import RelationInfo, RowVariable, SizeInfo
from .definition import DefinitionValues
from .sizes import SizeValues

DRAWS = 200
#: More points than these take gigabytes with a few samples.
MOST_POINTS = 200_000


def drawn_sizes(definition: Definition, random: Random, most: int = 2000) -> SizeValues | None:
    """Sizes within the ranges that the definition gives, with at most ``most`` entries in every tensor.

    No derived size is below its minimum, and no access leaves its tensor.  None where no such draw was found.
    """
    for _ in range(DRAWS):
        sizes = _Drawing(definition, random).sizes()
        if sizes is None or _entries(definition, sizes) > most or _points(definition, sizes) > MOST_POINTS:
            continue
        if DefinitionValues(definition, sizes).reads_inside():
            return sizes
    return None


def _entries(definition: Definition, sizes: SizeValues) -> int:
    """The entries of the largest tensor, those of a ragged one as if all its entries were like the first."""
    counts = []
    for tensor in definition.tensors.values():
        zero = {axis.symbol.name: np.zeros(1, np.int64) for axis in tensor.axes}
        counts.append(math.prod(int(np.max(sizes.integer(axis.extent, zero))) for axis in tensor.axes))
    return max(counts, default=0)


def _points(definition: Definition, sizes: SizeValues) -> int:
    """The points that the largest reduction runs over, for all entries of its stage together."""
    counts = [0]
    for stage in definition.stages:
        for _, reduction in stage.reductions:
            count = 1
            variables = [*stage.axes, *(definition.variables[s] for s in reduction.variables)]
            zero = {variable.symbol.name: np.zeros(1, np.int64) for variable in variables}
            for variable in variables:
                if isinstance(variable, RowVariable):
                    count *= sizes.count(variable.relation)
                else:
                    count *= int(np.max(sizes.integer(variable.extent, zero)))
            counts.append(count)
    return max(counts)


class _Drawing:
    """One draw: what the user gives first, then connections, then what follows."""

    def __init__(self, definition: Definition, random: Random) -> None:
        self.definition, self.random = definition, random
        self.found: dict[str, int | Sequence[int]] = {}
        self.relations: dict[str, dict[str, Sequence[int]]] = {}

    def sizes(self) -> SizeValues | None:
        """All sizes; None where one is below its minimum."""
        infos = list(self.definition.sizes.values())
        given = [s for s in infos if s.source in ("input", "keyword")]
        self.found |= {s.name: self._between(s) for s in given if s.table is None}
        for relation in self.definition.relations.values():
            self._draw_rows(relation)
        self.found |= {s.name: self._table(s) for s in given if s.table is not None}
        for info in (s for s in infos if s.source == "derived"):
            self.found[info.name] = self._derived(info)
        return SizeValues(self.found, self.relations) if all(map(self._large_enough, infos)) else None

    def _table(self, info: SizeInfo) -> list[int]:
        count = self.found[str(info.table)]
        assert isinstance(count, int)
        return [self._between(info) for _ in range(count)]

    def _large_enough(self, info: SizeInfo) -> bool:
        return min(np.atleast_1d(self.found[info.name]), default=info.minimum) >= info.minimum

    def _between(self, info: SizeInfo) -> int:
        if info.default is not None and self.random.random() < 0.25:
            return info.default
        return self.random.randint(*(info.random or (info.minimum, info.minimum + 3)))

    def _draw_rows(self, relation: RelationInfo) -> None:
        """Some of the possible rows in any order; entries of a column without a size are numbered at will."""
        known = {column: self.found[size] for column, size in relation.columns if size in self.found}
        every = list(itertools.product(*(range(n) for n in known.values() if isinstance(n, int))))
        rows = self.random.sample(every, self.random.randint(min(1, len(every)), len(every)))
        columns = {column: [row[n] for row in rows] for n, column in enumerate(known)}
        for column, size in relation.columns:
            if column not in columns:
                columns[column] = [self.random.randrange(len(rows)) for _ in rows]
                self.found[size] = max(columns[column], default=-1) + 1
        self.relations[relation.name] = {column: columns[column] for column, _ in relation.columns}

    def _derived(self, info: SizeInfo) -> int | list[int]:
        sizes = SizeValues(self.found, self.relations)
        value = sp.sympify(info.value)
        if info.table is None:
            return int(sizes.integer(value, {}))
        count = self.found[info.table]
        assert isinstance(count, int)
        if info.smallest is None:
            return [
                int(v)
                for v in np.broadcast_to(sizes.integer(value, {str(info.index): np.arange(count)}), count)
            ]
        return [self._smallest(info, value, sizes, n) for n in range(count)]

    def _smallest(self, info: SizeInfo, value: sp.Expr, sizes: SizeValues, entry: int) -> int:
        """The least of ``value`` over the rows of ``entry``; 1 where it has none."""
        assert info.smallest is not None
        relation, by, row = info.smallest
        rows = np.array([n for n, key in enumerate(self.relations[relation][by]) if key == entry], np.int64)
        return int(np.min(sizes.integer(value, {row: rows}))) if len(rows) else 1

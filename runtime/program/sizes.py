"""Sizes of a layer, resolved from its input's shape, the user's keywords and its connections."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from ..errors import ManifestError, ShapeError
from ..manifest.expressions import expression
from ..manifest.records import LayerInfo, SizeInfo, TensorInfo
from .connections import ConnectionTable, connection_table
from .shape import LARGEST, Shape


@dataclass(frozen=True)
class Extent:
    """The resolved shape of a tensor without its sample axis; ``entries`` are the sizes of each ragged
    entry.
    """

    shape: tuple[int, ...]
    entries: tuple[tuple[int, ...], ...] | None
    units: int


@dataclass(frozen=True)
class Sizes:
    """Everything that a layer's kernels take besides tensors.

    ``values``: scalar sizes (int) and tables (1-D int64 arrays), with ``D_rows``, ``D_i``... and the offsets
    ``..._at``.
    """

    values: Mapping[str, Any]
    connection_tables: Mapping[str, ConnectionTable]
    tensors: Mapping[str, Extent]


def resolve(
    info: LayerInfo,
    label: str,
    shape: Shape,
    keywords: Mapping[str, Any],
    connections: Any = None,
    sharing: Any = None,
) -> Sizes:
    """Evaluate the sizes of ``info`` in their order; ShapeError naming the layer ``label`` where
    something does not fit.
    """
    return _Resolver(info, label, shape, keywords, connections, sharing).run()


class _Resolver:
    def __init__(
        self,
        info: LayerInfo,
        label: str,
        shape: Shape,
        keywords: Mapping[str, Any],
        connections: Any,
        sharing: Any,
    ) -> None:
        self.info, self.label, self.shape, self.keywords = info, label, shape, keywords
        self.connections, self.sharing = connections, sharing
        self.values: dict[str, Any] = {}
        self.connection_tables: dict[str, ConnectionTable] = {}
        self.by_name = {size.name: size for size in info.sizes}
        self.entries = _entries(info.sizes)

    def run(self) -> Sizes:
        for size in self.info.sizes:
            self._connect()
            self.values[size.name] = self._value(size)
            if size.table is not None:  # what a launch over ragged maps must cover
                self.values[f"{size.name}_max"] = int(np.max(self.values[size.name], initial=0))
            self._require(size)
            self._at_least(size)
        self._connect()
        self._check()
        tensors = {name: self._extent(tensor) for name, tensor in self.info.tensors.items()}
        for name, tensor in self.info.tensors.items():
            if tensor.ragged:
                units = [prod(entry) for entry in tensors[name].entries or ()]
                self.values[f"{tensor.layout}_at"] = np.concatenate(([0], np.cumsum(units, dtype=np.int64)))
        return Sizes(self.values, self.connection_tables, tensors)

    def _fail(self, reason: str) -> ShapeError:
        return ShapeError(f"{self.label}: {reason}")

    # ----------------------------------------------------------------------------------------------- one size
    def _value(self, size: SizeInfo) -> Any:
        match size.source:
            case "input":
                return self._from_input(size)
            case "keyword":
                return self._from_keyword(size)
            case "derived":
                return self._derived(size)
            case "relation" if size.relation in self.connection_tables:
                return self.connection_tables[size.relation].sizes[size.column]
        raise ManifestError(f"{self.info.name}: size {size.name} has no usable source; run: phiz generate")

    def _from_input(self, size: SizeInfo) -> Any:
        if size.axis == 0:
            return self.shape.count
        if not size.table:
            return self.shape.maps[0][size.axis - 1]
        return np.array([entry[size.axis - 1] for entry in self.shape.maps], dtype=np.int64)

    def _from_keyword(self, size: SizeInfo) -> Any:
        given = self.keywords.get(size.keyword)
        if given is None:
            given = self._default(size)
        count = self.entries[size.keyword]
        length = int(self.values[size.table]) if size.table else None
        try:
            values = _spread(given, size.entry, count, length)
        except (TypeError, ValueError, IndexError):
            raise self._fail(
                f"{size.keyword} = {given!r}, expected {_expected(size, count, length)}"
            ) from None
        return values

    def _default(self, size: SizeInfo) -> Any:
        if isinstance(size.default, str):
            return expression(size.default)(self.values)
        if size.default is not None:
            return size.default
        inferred = self._inferred(size)
        if inferred is None:
            raise self._fail(f"keyword {size.keyword!r} is missing")
        return inferred

    def _inferred(self, size: SizeInfo) -> int | None:
        """The number of output maps where only the connections say it."""
        for name, columns in self.info.relations.items():
            given = self._given(name)
            output, source = list(columns.values())[:2]
            if size.name != output or given is None or isinstance(given, Mapping):
                continue
            if given == "one-to-one":
                return self.values.get(source)
            if not isinstance(given, str):
                return len(given)
        return None

    def _derived(self, size: SizeInfo) -> Any:
        value = expression(size.value)
        if size.table is None:
            return value(self.values)
        count = int(self.values[size.table])
        return np.array([self._entry(size, n) for n in range(count)], dtype=np.int64)

    def _entry(self, size: SizeInfo, number: int) -> int:
        value = expression(size.value)
        environment = {**self.values, size.index: number} if size.index else self.values
        if size.smallest is None:
            return value(environment)
        rows = self.connection_tables[size.smallest.relation].rows(size.smallest.by, number)
        if not len(rows):
            return self._explicit(size, number)
        return min(value({**environment, size.smallest.row: int(row)}) for row in rows)

    def _explicit(self, size: SizeInfo, number: int) -> int:
        """The size of a map that no connection determines, from the keyword that gives it."""
        given = self.keywords.get(size.keyword)
        if given is None:
            raise self._fail(
                f"map {number} has no connections, so its size is not determined: give it with "
                f"{size.keyword}="
            )
        count = sum(other.keyword == size.keyword for other in self.info.sizes)
        try:
            return int(_spread(given, size.entry, count, None))
        except (TypeError, ValueError, IndexError):
            raise self._fail(f"{size.keyword} = {given!r}, expected {_expected(size, count, None)}") from None

    def _at_least(self, size: SizeInfo) -> None:
        least = 0 if size.minimum is None else size.minimum
        values = np.atleast_1d(self.values[size.name])
        large = np.flatnonzero(values > LARGEST)
        if large.size:
            what = size.keyword or f"size {self.info.shown(size.name)}"
            raise self._fail(f"{what} = {values[large[0]]}, expected at most {LARGEST}")
        wrong = np.flatnonzero(values < least)
        if not wrong.size:
            return
        which = f" of entry {int(wrong[0])}" if size.table else ""
        found = int(values[wrong[0]])
        if size.source == "derived":
            raise self._fail(
                f"size {self.info.shown(size.name)}{which} would be {found}, expected at least {least}: "
                f"{self._written(size.value)} with {self._read(size.value)}"
            )
        what = size.keyword or f"size {self.info.shown(size.name)}"
        raise self._fail(f"{what}{which} = {found}, expected at least {least}")

    def _written(self, value: str) -> str:
        """An expression with the names that the user gave."""
        return re.sub(r"\w+", lambda found: self.info.shown(found[0]), value)

    def _read(self, text: str) -> str:
        """The sizes in an expression with their values, and keywords where they are given by one."""
        names = sorted(expression(text).names & set(self.by_name))
        parts = []
        for name in names:
            keyword = self.by_name[name].keyword
            value = self.values[name]
            shown = value.tolist() if isinstance(value, np.ndarray) else value
            parts.append(f"{keyword + ' ' if keyword else ''}{self.info.shown(name)} = {shown}")
        return ", ".join(parts)

    # -------------------------------------------------------------------------------------- connection tables
    def _given(self, name: str) -> Any:
        return _of_table(self.connections, name, self.info)

    def _connect(self) -> None:
        """Build every connection table whose sizes are known by now."""
        for name, columns in self.info.relations.items():
            sizes = {column: self._column_size(name, column, size) for column, size in columns.items()}
            if name in self.connection_tables or any(size == -1 for size in sizes.values()):
                continue
            given = self._given(name)
            if given is None:
                raise self._fail(self._missing(name))
            shared = _of_table(self.sharing, name, self.info)
            try:
                table = connection_table(name, sizes, given, shared or "pair")
            except ShapeError as error:
                raise self._fail(str(error)) from None
            self.connection_tables[name] = table
            self.values[f"{name}_rows"] = table.count
            self.values.update({f"{name}_{column}": values for column, values in table.columns.items()})

    def _missing(self, name: str) -> str:
        """That connection table ``name`` was not given, and what to give."""
        columns = [self.info.shown(column) for column in self.info.relations[name]]
        lists = f"a list of {columns[1]} for each {columns[0]}" if len(columns) > 1 else "its columns"
        wanted = f"'full', 'one-to-one', {lists}, or a mapping of columns {', '.join(columns)}"
        if len(self.info.relations) > 1:
            return f"connections: table {self.info.shown(name)} is missing, expected {wanted}"
        return f"connections= is missing, expected {wanted}"

    def _column_size(self, relation: str, column: str, size: str) -> int | None:
        """The size of a column, None where the column itself decides it, -1 where it is not known yet."""
        info = self.by_name.get(size)
        if (
            info is not None
            and info.source == "relation"
            and (info.relation, info.column) == (relation, column)
        ):
            return None
        return int(self.values[size]) if size in self.values else -1

    def _require(self, size: SizeInfo) -> None:
        """Check the requirements that are decided by ``size`` and the sizes before it, this one last."""
        for condition, reason in self.info.requirements:
            needed = expression(condition)
            if size.name in needed.names and needed.names <= set(self.values) and not needed(self.values):
                raise self._fail(
                    f"{reason}: expected {self._written(condition)}, got {self._read(condition)}"
                )

    # ------------------------------------------------------------------------------------------------ results
    def _check(self) -> None:
        for condition, message in self.info.checks:
            if not expression(condition)(self.values):
                raise self._fail(message)

    def _extent(self, tensor: TensorInfo) -> Extent:
        if not tensor.ragged:
            shape = tuple(expression(size)(self.values) for size in tensor.shape)
            return Extent(shape, None, prod(shape))
        count = expression(tensor.shape[0])(self.values)
        entries = tuple(
            tuple(expression(size)({**self.values, "_": number}) for size in tensor.shape[1:])
            for number in range(count)
        )
        return Extent((count,), entries, sum(prod(entry) for entry in entries))


def _entries(sizes: Sequence[SizeInfo]) -> dict[str, int]:
    """Keyword -> how many entries (coordinates) it has; 0 where it is one number."""
    counts: dict[str, int] = {}
    for size in sizes:
        if size.source == "keyword":
            counts[size.keyword] = max(
                counts.get(size.keyword, 0), 0 if size.entry is None else size.entry + 1
            )
    return counts


def _of_table(value: Any, name: str, info: LayerInfo) -> Any:
    """What a user gave for connection table ``name``, by names in kernels.

    With several connection tables it is a mapping by their names.
    """
    own = {called: name for name, called in info.names.items()}

    def renamed(given: Any) -> Any:
        return (
            {own.get(key, key): entry for key, entry in given.items()}
            if isinstance(given, Mapping)
            else given
        )

    found = renamed(value)
    if isinstance(found, Mapping) and set(found) & set(info.relations):
        found = renamed(found.get(name))
    return found


def depth(value: Any) -> int:
    """0 for a number, 1 for a list of numbers, 2 for a list of lists."""
    if not isinstance(value, Sequence | np.ndarray) or isinstance(value, str):
        return 0
    return 1 + max((depth(entry) for entry in value), default=0)


def _spread(value: Any, entry: int | None, count: int, length: int | None) -> Any:
    """The number for coordinate ``entry``, or the table of ``length`` of them; ValueError where the form does
    not fit.

    A number serves every coordinate and every entry.  A list has one number per coordinate (or per table
    entry where the keyword has no coordinates), a list of lists one such list per table entry.
    """
    level = depth(value)
    per_entry = level == 2 or (
        level == 1 and length is not None and (entry is None or (count == 1 != len(value)))
    )
    if per_entry and length is not None:
        if len(value) != length:
            raise ValueError(value)
        return np.array([_spread(item, entry, count, None) for item in value], dtype=np.int64)
    if level == 0:
        single = operator.index(value)
    elif level == 1 and entry is not None and len(value) == count:
        single = operator.index(value[entry])
    else:
        raise ValueError(value)
    return single if length is None else np.full(length, single, dtype=np.int64)


def _expected(size: SizeInfo, count: int, length: int | None) -> str:
    forms = ["an integer"]
    if size.entry is not None:
        forms.append(f"a list of {count} (one per coordinate)")
    if length is not None:
        forms.append(f"a list of {length} (one per entry of {size.table})")
    return " or ".join(forms)

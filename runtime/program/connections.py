"""Connection tables: which map of a layer is connected to which, and through which parameters (the paper's
D_i and C_j).

It has integer columns, and one row per connection.  Rows keep the order in which they were given; no
row order is assumed, and any group of rows may be empty.  The transpose (C from D, Remark 4) is a grouping by
another column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..data.room import require_free
from ..errors import ShapeError

#: Bytes that a connection takes while a table is made: its columns, and its place in either grouping.
ROW = 48

IntArray = np.ndarray[Any, np.dtype[np.int64]]


class ConnectionTable:
    """Connections as integer columns of equal length.

    ``table.i`` is column i as an int array; ``table.rows("i", 3)`` are the numbers of the rows whose column i
    is 3, ascending; ``table.rows("", 0)`` are all rows.  ``sizes`` bounds each column: ``0 <= column <
    size``.  Raises ShapeError for columns of unequal length and for entries out of range.
    """

    def __init__(self, name: str, columns: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        self.name = name
        self.columns: dict[str, IntArray] = {c: _integers(name, c, values) for c, values in columns.items()}
        self.sizes = {c: int(sizes[c]) for c in self.columns}
        lengths = {c: len(values) for c, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ShapeError(f"relation {name}: columns have different lengths {lengths}")
        self.count = next(iter(lengths.values()), 0)
        for column, values in self.columns.items():
            _in_range(name, column, values, self.sizes[column])
        self._groups: dict[str, tuple[IntArray, IntArray]] = {}
        self._all = np.arange(self.count)

    def __getattr__(self, column: str) -> IntArray:
        try:
            return self.__dict__["columns"][column]
        except KeyError:
            raise AttributeError(f"relation has no column {column!r}") from None

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"ConnectionTable({self.name}: {self.count} rows of {', '.join(self.columns)})"

    def group(self, by: str) -> tuple[IntArray, IntArray]:
        """``(pointers, rows)``: rows ``rows[pointers[k]:pointers[k + 1]]`` have column ``by`` equal to k,
        ascending.

        ``pointers`` has ``sizes[by] + 1`` entries.
        """
        if by not in self._groups:
            values = self.columns[by]
            pointers = np.zeros(self.sizes[by] + 1, dtype=np.int64)
            np.cumsum(np.bincount(values, minlength=self.sizes[by]), out=pointers[1:])
            self._groups[by] = pointers, np.argsort(values, kind="stable")
        return self._groups[by]

    def rows(self, by: str, key: int) -> IntArray:
        """Numbers of the rows whose column ``by`` equals ``key``, ascending; all rows where ``by`` is
        empty.
        """
        if not by:
            return self._all
        pointers, rows = self.group(by)
        return rows[pointers[key] : pointers[key + 1]]


def _integers(name: str, column: str, values: Any) -> IntArray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ShapeError(
            f"relation {name}: column {column} must be a list of integers, has {array.ndim} axes"
        )
    if array.size and array.dtype.kind not in "iu":
        raise ShapeError(f"relation {name}: column {column} must hold integers, holds {array.dtype}")
    return array.astype(np.int64)


def _in_range(name: str, column: str, values: IntArray, size: int) -> None:
    wrong = np.flatnonzero((values < 0) | (values >= size))
    if wrong.size:
        row = int(wrong[0])
        raise ShapeError(
            f"relation {name}: connection {row} has {column} = {int(values[row])}, expected 0 <= {column} "
            f"< {size}"
        )


def connection_table(
    name: str,
    columns: Mapping[str, int | None],
    connections: Any,
    sharing: Any = "pair",
) -> ConnectionTable:
    """A connection table from what a user writes.

    ``columns`` maps column -> size in the order (output, input[, parameter id]); a size of None is one more
    than the column's largest entry.  ``connections`` is ``"full"``, ``"one-to-one"``, a list with the list
    D_i of inputs for every output i, or a mapping column -> list for explicit rows (the parameter column may
    be left to ``sharing``).  ``sharing`` gives the parameter ids: ``"pair"`` one per connection, ``"map"`` id
    = i (Remark 2), or a list with one id per connection (flat, or nested like D_i).  Raises ShapeError.
    """
    names = list(columns)
    explicit = isinstance(connections, Mapping)
    given = _explicit(name, names, connections) if explicit else _listed(name, columns, connections)
    for column in names[len(given) :]:
        given[column] = _shared(name, column, given[names[0]], sharing)
    sizes = {c: _size(columns[c], given[c]) for c in names}
    return ConnectionTable(name, given, sizes)


def _explicit(name: str, names: Sequence[str], connections: Mapping[str, Any]) -> dict[str, Any]:
    unknown = sorted(set(connections) - set(names))
    if unknown:
        raise ShapeError(f"relation {name}: unknown column {unknown[0]!r}, expected {', '.join(names)}")
    for required in names[:2]:
        if required not in connections:
            raise ShapeError(f"relation {name}: column {required!r} is missing, expected {', '.join(names)}")
    return {c: connections[c] for c in names if c in connections}


def _listed(name: str, columns: Mapping[str, int | None], connections: Any) -> dict[str, Any]:
    names = list(columns)
    outputs, inputs = columns[names[0]], columns[names[1]]
    if isinstance(connections, str):
        return dict(zip(names[:2], _named(name, outputs, inputs, connections), strict=True))
    if not isinstance(connections, list | tuple | np.ndarray):
        raise ShapeError(
            f"relation {name}: connections {connections!r}, expected 'full', 'one-to-one' or lists"
        )
    lists = list(connections)
    if outputs is not None and len(lists) != outputs:
        raise ShapeError(
            f"relation {name}: {len(lists)} lists of connections, expected {outputs}, one per output map"
        )
    for number, entry in enumerate(lists):
        if np.ndim(entry) != 1:
            raise ShapeError(
                f"relation {name}: connections of output map {number} must be a list, got {entry!r}"
            )
    firsts = np.repeat(np.arange(len(lists)), [len(entry) for entry in lists])
    seconds = [j for entry in lists for j in entry]
    return {names[0]: firsts, names[1]: np.asarray(seconds) if seconds else np.zeros(0, dtype=np.int64)}


def _named(name: str, outputs: int | None, inputs: int | None, connections: str) -> tuple[IntArray, IntArray]:
    if outputs is None or inputs is None:
        raise ShapeError(f"relation {name}: {connections!r} needs the number of output and input maps")
    if connections == "full":
        require_free(f"relation {name}: {outputs} x {inputs} connections", outputs * inputs * ROW)
        return np.repeat(np.arange(outputs), inputs), np.tile(np.arange(inputs), outputs)
    if connections != "one-to-one":
        raise ShapeError(
            f"relation {name}: connections {connections!r}, expected 'full', 'one-to-one' or lists"
        )
    if outputs != inputs:
        raise ShapeError(
            f"relation {name}: 'one-to-one' needs as many output as input maps, got {outputs} and {inputs}"
        )
    return np.arange(outputs), np.arange(inputs)


def _shared(name: str, column: str, outputs: Any, sharing: Any) -> Any:
    if isinstance(sharing, str):
        if sharing == "pair":
            return np.arange(len(outputs))
        if sharing == "map":
            return outputs
        raise ShapeError(
            f"relation {name}: sharing {sharing!r}, expected 'pair', 'map' or one {column} per connection"
        )
    if not isinstance(sharing, list | tuple | np.ndarray):
        raise ShapeError(
            f"relation {name}: sharing {sharing!r}, expected 'pair', 'map' or one {column} per connection"
        )
    entries = list(sharing)
    flat = [q for entry in entries for q in entry] if entries and np.ndim(entries[0]) else entries
    if len(flat) != len(outputs):
        raise ShapeError(
            f"relation {name}: sharing gives {len(flat)} ids, expected {len(outputs)}, one per connection"
        )
    return np.asarray(flat) if flat else np.zeros(0, dtype=np.int64)


def _size(size: int | None, values: Any) -> int:
    if size is not None:
        return size
    return int(np.max(values)) + 1 if len(values) else 0

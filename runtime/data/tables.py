"""Tables of samples from CSV and NPZ files.

A user names the column or array of the targets; every refusal names a place in the file.

Nothing in a file is executed: an NPZ file is read without pickle, so an array of objects is refused.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..files import open_regular, read_regular, reason
from .room import MOST_DEFLATED, require_room

log = logging.getLogger(__name__)

TARGET_COLUMNS = ("target", "label", "class", "y")
INPUT_ARRAYS = ("inputs", "x", "data", "images", "features")
TARGET_ARRAYS = ("targets", "y", "labels", "target", "label")
_DELIMITERS = ",;\t"
_MISSING = ("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", "--", ".")
"""Cells, in lower case, that stand for a value that is not there, and so are no names."""
_NPY_VERSIONS = {1: 2, 2: 4, 3: 4}
"""Bytes of a header's length, by version of NumPy's format."""
_LONGEST_HEADER = 10_000
_NPZ_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    ValueError,
    KeyError,
    TypeError,
    RuntimeError,  # an encrypted member; also NotImplementedError, an unknown compression
    OverflowError,
    MemoryError,
    SyntaxError,
    tokenize.TokenError,
)


@dataclass(frozen=True)
class Table:
    """What a file holds, not yet a data set.

    inputs: `(N, ...)` numbers.
    targets: `(N,)` or `(N, k)` numbers, or `(N,)` text.
    names: of the columns of inputs (empty for arrays).
    target: name of the target column or array.
    header: False where the columns are only numbered.
    array: name of the array of inputs, empty for a table.
    """

    inputs: npt.NDArray
    targets: npt.NDArray
    names: tuple[str, ...]
    target: str
    header: bool = True
    array: str = ""


@dataclass(frozen=True)
class _Row:
    cells: list[str]
    number: int  # of the sample, from 1
    line: int  # in the file, from 1


def read_csv(path: str | os.PathLike[str], target: str | None = None) -> Table:
    """One sample a row, separated by comma, semicolon or tab (the one that the first line has most of),
    UTF-8.

    The first row is a header if none of its cells is a number; or if one is text above a column of numbers
    alone (years beside a name); or if its numbers are distinct integers, none above another integer (years
    above measurements).  Without a header the columns are named "1", "2", ....  `target` names the target
    column; by default it is the only one named target, label, class or y, else the last.  The targets are
    text where no cell of that column is a number, numbers otherwise.

    Raises: DataError naming row, line and column for a cell that is empty, not a number, NaN or infinite, for
    a row of another length, for an unknown target, and for a file that is unreadable, not text, or without
    samples.
    """
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path}: expected a table of numbers, got an empty file")
    header = _has_header(rows)
    names, rows = (
        _split_header(path, rows)
        if header
        else ([str(index + 1) for index in range(len(rows[0].cells))], rows)
    )
    if not rows:
        raise DataError(f"{path}: expected at least one sample, got a header and 0 rows")
    if len(names) < 2:
        raise DataError(f"{path}: expected at least two columns, inputs and a target, got {len(names)}")
    column = _target_column(path, names, target)
    features = [index for index in range(len(names)) if index != column]
    inputs = np.empty((len(rows), len(features)))
    for sample, row in enumerate(rows):
        if len(row.cells) != len(names):
            raise DataError(
                f"{path}: row {row.number} (line {row.line}): expected {len(names)} cells, got "
                f"{len(row.cells)}" + (": the file may be truncated" if sample == len(rows) - 1 else "")
            )
        inputs[sample] = [_number(path, row, index, names) for index in features]
    targets = _target_values(path, rows, column, names)
    return Table(inputs, targets, tuple(names[index] for index in features), names[column], header)


def _rows(path: str | os.PathLike[str]) -> Iterator[_Row]:
    """The rows that are not blank, by number.

    The header, if there is one, counts as row 0 once it is known to be one.
    """
    try:
        text = read_regular(path).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: expected a readable CSV file in UTF-8, got: {reason(error)}") from error
    if "\0" in text:
        raise DataError(f"{path}: expected a CSV file, got binary data (a zero byte at {text.index(chr(0))})")
    if text and not text.endswith(("\n", "\r")):
        log.warning("%s: the last line does not end; if the file was cut, its last number may be too", path)
    delimiter = max(_DELIMITERS, key=text.partition("\n")[0].count)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True
    )
    number = 0
    try:
        for cells in reader:
            if len(cells) > 1 or any(cell.strip() for cell in cells):
                number += 1
                yield _Row([cell.strip() for cell in cells], number, reader.line_num)
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: expected CSV, got: {reason(error)}") from error


def _has_header(rows: list[_Row]) -> bool:
    first, below = rows[0].cells, rows[1:]
    numbers = [index for index, cell in enumerate(first) if _is_number(cell)]
    if not numbers:
        return True
    columns = [[row.cells[index] for row in below if index < len(row.cells)] for index in range(len(first))]
    names = [
        index for index, cell in enumerate(first) if not _is_number(cell) and cell.lower() not in _MISSING
    ]
    return _above_numbers([columns[index] for index in names]) or (
        bool(below) and _whole_above_others([(first[index], columns[index]) for index in numbers])
    )


def _above_numbers(columns: list[list[str]]) -> bool:
    """Whether one of the columns that begin with text goes on with numbers alone."""
    return any(column and all(map(_is_number, column)) for column in columns)


def _whole_above_others(columns: list[tuple[str, list[str]]]) -> bool:
    """Whether the first numbers of the columns are whole and distinct, and no other is whole: years, say."""
    if not all(_is_whole(first) for first, _ in columns):
        return False
    distinct = len({int(first) for first, _ in columns}) == len(columns)
    return distinct and not any(_is_whole(cell) for _, rest in columns for cell in rest)


def _split_header(path: str | os.PathLike[str], rows: list[_Row]) -> tuple[list[str], list[_Row]]:
    first = rows[0].cells
    if "" in first:
        raise DataError(
            f"{path}: column {first.index('') + 1} has no name in the header (row numbers that were "
            "saved too?): "
            "name it or remove it"
        )
    return first, [_Row(row.cells, row.number - 1, row.line) for row in rows[1:]]


def _target_column(path: str | os.PathLike[str], names: list[str], target: str | None) -> int:
    if target is None:
        usual = [index for index, name in enumerate(names) if name.lower() in TARGET_COLUMNS]
        return usual[0] if len(usual) == 1 else len(names) - 1
    if names.count(target) == 1:
        return names.index(target)
    problem = (
        "more than one column has this name" if target in names else f"the columns are {_listing(names)}"
    )
    raise DataError(f"{path}: expected a target column {target!r}, but {problem}")


def _target_values(
    path: str | os.PathLike[str], rows: list[_Row], column: int, names: list[str]
) -> npt.NDArray:
    cells = [row.cells[column] for row in rows]
    if any(_is_number(cell) for cell in cells):
        return np.array([_number(path, row, column, names) for row in rows])
    if "" in cells:
        row = rows[cells.index("")]
        raise DataError(f"{_place(path, row, column, names)}: expected a target, got an empty cell")
    return np.array(cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # Python reads 1_0 as 10, no table means that


def _number(path: str | os.PathLike[str], row: _Row, column: int, names: list[str]) -> float:
    cell = row.cells[column]
    if not _is_number(cell):
        got = repr(cell[:40]) if cell else "an empty cell"
        raise DataError(f"{_place(path, row, column, names)}: expected a number, got {got}")
    value = float(cell)
    if not math.isfinite(value):
        raise DataError(f"{_place(path, row, column, names)}: expected a finite number, got {cell!r}")
    if abs(value) >= 2**53 and _is_whole(cell) and int(cell) != int(value):
        raise DataError(
            f"{_place(path, row, column, names)}: expected a whole number that float64 holds exactly, got "
            f"{cell!r}: "
            "subtract an offset first"
        )
    return value


def _is_whole(cell: str) -> bool:
    """Tell whether a cell is a plain integer: digits, perhaps with a sign."""
    return cell.lstrip("+-").isdecimal() and len(cell.lstrip("+-")) >= len(cell) - 1


def _place(path: str | os.PathLike[str], row: _Row, column: int, names: list[str]) -> str:
    return f"{path}: row {row.number} (line {row.line}), column {names[column]!r}"


def read_npz(path: str | os.PathLike[str], target: str | None = None, part: str | None = None) -> Table:
    """Inputs and targets of an NPZ file, as stored (names are compared without case).

    The inputs are the array named inputs, x, data, images or features; the targets the one named `target`, or
    targets, y, labels, target or label.  With `part` ("train" or "test") the names end in `_train` or
    `_test`; without it they may end in `_train`.  An array of floats must be finite; the first sample and
    index that are not are named.

    Raises: DataError for a file that is unreadable, damaged or not NPZ, for a missing array (those that are
    there are listed), for pickled objects, for counts that differ, and for 0 samples.
    """
    with _archive(path) as archive:
        return _from_archive(path, archive, target, part)


def npz_has_part(path: str | os.PathLike[str], part: str) -> bool:
    """Whether an NPZ file names inputs of this part, such as `x_test`.  Raises: DataError as `read_npz`."""
    with _archive(path) as archive:
        return any(f"{name}_{part}" in [key.lower() for key in archive.files] for name in INPUT_ARRAYS)


@contextmanager
def _archive(path: str | os.PathLike[str]) -> Iterator[np.lib.npyio.NpzFile]:
    """An open archive; whatever reading it raises, then or inside the block, is a DataError with one line."""
    try:
        with open_regular(path) as stream:  # opened here, because np.load leaves a damaged file open
            if not zipfile.is_zipfile(stream):
                raise DataError(
                    f"{path}: expected an NPZ file (a ZIP archive of arrays), got another or a truncated file"
                )
            stream.seek(0)
            with np.load(stream, allow_pickle=False) as archive:
                yield archive
    except _NPZ_ERRORS as error:
        raise DataError(f"{path}: expected a readable NPZ file, got: {reason(error)}") from error


def _from_archive(
    path: str | os.PathLike[str], archive: np.lib.npyio.NpzFile, target: str | None, part: str | None
) -> Table:
    endings = (f"_{part}",) if part else ("", "_train")
    inputs_name = _array_name(path, archive.files, INPUT_ARRAYS, endings, "inputs")
    if target is not None and part is not None:
        target = target.removesuffix("_train").removesuffix("_test")
    wanted = TARGET_ARRAYS if target is None else (target,)
    targets_name = _array_name(path, archive.files, wanted, endings, "targets")
    inputs, targets = (_member(path, archive, name) for name in (inputs_name, targets_name))
    if inputs.ndim == 0 or targets.ndim == 0:
        raise DataError(
            f"{path}: expected arrays with one row a sample, got {inputs.shape} and {targets.shape}"
        )
    if len(inputs) != len(targets):
        raise DataError(
            f"{path}: expected as many rows in {targets_name!r} as in {inputs_name!r}, got {len(targets)} "
            f"and {len(inputs)}"
        )
    if len(inputs) == 0:
        raise DataError(f"{path}: expected at least one sample, got 0")
    for name, array in ((inputs_name, inputs), (targets_name, targets)):
        _check_array(f"{path}: array {name!r}", array, text=name == targets_name)
    return Table(inputs, targets, (), targets_name, array=inputs_name)


def _member(path: str | os.PathLike[str], archive: np.lib.npyio.NpzFile, name: str) -> npt.NDArray:
    """Read one array behind its header: neither a long header nor more data than it declares is
    decompressed.
    """
    members = archive.zip
    assert members is not None  # it is open
    info = members.getinfo(name if name in members.namelist() else f"{name}.npy")
    place = f"{path}: array {name!r}"
    with members.open(info) as stream:
        start = stream.read(12)
        if start[:6] != b"\x93NUMPY" or len(start) < 12 or start[6] not in _NPY_VERSIONS:
            raise DataError(f"{place}: expected an array in NumPy's format, got another member")
        width = _NPY_VERSIONS[start[6]]
        length = int.from_bytes(start[8 : 8 + width], "little")
        if length > _LONGEST_HEADER:
            raise DataError(f"{place}: expected a header of at most {_LONGEST_HEADER} bytes, got {length}")
        header = io.BytesIO(start + stream.read(8 + width + length - 12))
    declared = _declared(header)
    if 8 + width + length + declared != info.file_size:
        raise DataError(
            f"{place}: expected {declared} bytes after the header, as it declares, got "
            f"{info.file_size - 8 - width - length}"
        )
    most = (
        info.compress_size * MOST_DEFLATED if info.compress_type == zipfile.ZIP_DEFLATED else info.file_size
    )
    require_room(place, declared, most)
    return np.asarray(archive[name])


def _declared(header: IO[bytes]) -> int:
    """Count the bytes of data that the header of an array declares."""
    version = np.lib.format.read_magic(header)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(header)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(header)
    if dtype.hasobject:
        raise ValueError("Object arrays, which only pickle could read")
    return math.prod(shape) * dtype.itemsize


def _array_name(
    path: str | os.PathLike[str],
    there: list[str],
    wanted: tuple[str, ...],
    endings: tuple[str, ...],
    role: str,
) -> str:
    by_lower = {name.lower(): name for name in there}
    for ending in endings:
        for name in wanted:
            if name.lower() + ending in by_lower:
                return by_lower[name.lower() + ending]
    names = ", ".join(f"{name}{endings[0]}" for name in wanted)
    raise DataError(f"{path}: expected {role} in an array named {names}; the arrays are {_listing(there)}")


def _check_array(place: str, array: npt.NDArray, text: bool) -> None:
    if array.dtype.kind not in ("iufbU" if text else "iufb"):
        raise DataError(f"{place}: expected numbers, got dtype {array.dtype}")
    if array.dtype.kind == "f":
        check_finite(array, place)


def check_finite(array: npt.NDArray, place: str) -> None:
    """Raises: DataError naming sample and index of the first NaN or infinity of a sample-first array."""
    bad = ~np.isfinite(array)
    if bad.any():
        index = np.unravel_index(int(np.argmax(bad)), array.shape)
        at = f"sample {index[0]}" + (f", column {index[1]}" if array.ndim == 2 else "")
        at += f", index {tuple(int(i) for i in index[1:])}" if array.ndim > 2 else ""
        raise DataError(f"{place}: expected finite numbers, got {array[index]} at {at}")


def _listing(names: list[str]) -> str:
    shown = ", ".join(names[:12])
    return f"{shown}, … ({len(names)} in all)" if len(names) > 12 else shown or "none"

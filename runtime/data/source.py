"""Records what a data set was read from: columns, target, and a digest.

The digest tells whether it is still the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_PIECE = 1 << 20
"""Numbers that are hashed at a time."""
_NAMES = 6
"""Names that a line lists before it says how many there are."""


@dataclass(frozen=True)
class Source:
    """Describes a whole source as read: nothing was drawn, scaled or cast yet.

    samples: how many.
    digest: of all inputs and targets in the order of the samples, which the parts are
    drawn by; the same in another dtype of the run, and for a table with its named columns in another order.
    columns: names of the inputs of a table, empty for arrays.
    target: name of the target column or array, empty for arrays in memory.
    header: False where a table gives no names and its columns are numbered.
    array: name of an NPZ file's array of inputs.
    """

    samples: int
    digest: str
    columns: tuple[str, ...] = ()
    target: str = ""
    header: bool = True
    array: str = ""


def digest_of_table(names: Sequence[str], inputs: npt.NDArray, targets: npt.NDArray) -> str:
    """Digest named columns `(N, features)` with targets `(N, ...)`; columns may change places."""
    columns = sorted((name, _hash(inputs[:, index])) for index, name in enumerate(names))
    return _joined(columns, _hash(targets))


def digest_of_arrays(inputs: npt.NDArray, targets: npt.NDArray) -> str:
    """Digest inputs `(N, ...)` with targets `(N, ...)`."""
    return _joined(list(inputs.shape), str(inputs.dtype), _hash(inputs), _hash(targets))


def digest_of_parts(digests: Sequence[str]) -> str:
    """Digest a source that comes in parts of its own, such as MNIST."""
    return _joined(*digests)


def _joined(*pieces: object) -> str:
    return hashlib.blake2b(json.dumps(pieces).encode(), digest_size=16).hexdigest()


def _hash(values: npt.NDArray) -> str:
    """Digest values in row-major order, piece by piece: a copy of a large array would double the memory."""
    digest = hashlib.blake2b(json.dumps(list(values.shape)).encode(), digest_size=16)
    step = max(1, _PIECE // max(1, values[:1].size))
    for start in range(0, len(values), step):
        part = values[start : start + step]
        if part.dtype.kind == "U":
            digest.update(json.dumps(part.tolist()).encode())
        else:
            digest.update(np.ascontiguousarray(part).view(np.uint8).data)
    return digest.hexdigest()


def describe(
    place: str, source: Source, sample_shape: Sequence[int], classes: Sequence[str], quantities: int
) -> str:  # fmt: skip
    """Say in one line what was read: samples, columns, target and task.

    classes: of a classification.
    quantities: targets of a sample of a regression.
    """
    if not source.header:
        inputs = f"no header, {len(source.columns)} input columns"
    elif source.columns:
        inputs = f"{len(source.columns)} input columns ({listing(source.columns)})"
    else:
        inputs = f"inputs {tuple(sample_shape)}" + (
            f" in array {shown(source.array)}" if source.array else ""
        )
    kind = "array " if source.array else "" if source.header else "column "
    target = f", target {kind}{shown(source.target)}" if source.target else ""
    task = (
        f"classification, {len(classes)} classes ({listing(classes)})" if classes else _quantities(quantities)
    )
    return f"{place}: {source.samples} samples, {inputs}{target}: {task}"


def _quantities(count: int) -> str:
    return "regression, 1 quantity" if count == 1 else f"regression, {count} quantities"


def listing(names: Sequence[str], most: int = _NAMES) -> str:
    """List the first names, and say that there are more."""
    return ", ".join(shown(name) for name in names[:most]) + (", …" if len(names) > most else "")


def shown(name: str) -> str:
    """Write a name as a line can hold it."""
    short = name if len(name) <= 40 else name[:39] + "…"
    return short if short.isprintable() else repr(short)

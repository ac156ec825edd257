"""Reads what a checkpoint says of the data of its training, and tells how other data differ."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np

from ..data.datasets import BUILT_IN, Dataset, Task
from ..data.source import Source, listing, shown
from ..errors import CheckpointError

SEEDS = 2**32
"""Seeds are below this: what scikit-learn's stratified draw takes."""
_SHORT = 12


@dataclass(frozen=True)
class TrainedOn:
    """Describes the data of a training run, from its file.

    source: name or path, None where the file does not say.
    asked: the target that was asked for.
    read: what was there, None in files of older versions, which cannot be compared.
    seed, test, validation: what the parts were drawn with.
    """

    source: str | None
    task: Task
    classes: tuple[str, ...]
    asked: str | None
    seed: int
    test: float
    validation: float
    read: Source | None

    @classmethod
    def of(cls, file: str | os.PathLike[str], record: Mapping[str, Any]) -> TrainedOn:
        """Check the entries of ``training_file.Saved.data``.  Raises: CheckpointError."""
        try:
            if record["task"] not in get_args(Task):
                raise ValueError(f"task {record['task']!r}")
            source, asked = record.get("source"), record.get("target")
            return cls(
                None if source is None else str(source),
                record["task"],
                tuple(str(name) for name in record["classes"]),
                None if asked is None else str(asked),
                _seed(record.get("seed", 0)),
                float(record.get("test", 0.25)),
                float(record.get("validation", 0.0)),
                source_of(record),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise CheckpointError(
                f"{file}: expected a description of the data, got none that is whole ({error})"
            ) from None

    def is_at(self, source: str) -> bool:
        """Tell whether ``source`` is the name or path that was trained on."""
        if self.source is None or source == self.source:
            return source == self.source
        return self.source not in BUILT_IN and os.path.abspath(source) == os.path.abspath(self.source)

    def target_for(self, given: str | None) -> str | None:
        """Choose the target column or array: as given, as asked for then, or by the name found then."""
        if given is not None or self.asked is not None:
            return self.asked if given is None else given
        named = (
            self.read is not None and self.read.columns and self.read.header and self.source not in BUILT_IN
        )
        return self.read.target if named and self.read is not None else None

    def source_to_open(self, file: str | os.PathLike[str]) -> str:
        """Give the built-in data set that was trained on.

        Raises: CheckpointError for a path, with what to type: a file of weights does not choose what is
        opened.
        """
        if self.source is None:
            raise CheckpointError(f"{file}: does not say what it was trained on, name the data")
        if self.source not in BUILT_IN:
            quoted = shlex.quote(self.source) if self.source.isprintable() else "PATH"
            raise CheckpointError(
                f"{file}: was trained on a file or folder, and a path in a file of weights is not opened "
                "unasked, so name it: "
                f"phiz evaluate {shlex.quote(os.fspath(file))} --data {quoted}"
            )
        return self.source


def _seed(value: Any) -> int:
    seed = int(value)
    if not 0 <= seed < SEEDS:
        raise ValueError(f"seed {seed}")
    return seed


def record_of(data: Dataset) -> dict[str, Any]:
    """Write as JSON entries, for ``source_of``, what ``data`` was read from."""
    return {} if data.source is None else {"read": asdict(data.source)}


def source_of(record: Mapping[str, Any]) -> Source | None:
    """Read the source that ``record_of`` wrote, or None.

    Raises: KeyError, TypeError, ValueError where it is malformed.
    """
    read = record.get("read")
    if read is None:
        return None
    columns = read["columns"]
    if not isinstance(columns, list) or not isinstance(read["header"], bool):
        raise TypeError("columns")
    names = tuple(str(name) for name in columns)
    return Source(
        int(read["samples"]),
        str(read["digest"]),
        names,
        str(read["target"]),
        read["header"],
        str(read["array"]),
    )


def differences(then: Source, classes: Sequence[str], now: Dataset) -> str:
    """Say what ``now`` has other than the source ``then`` with its ``classes``; empty where nothing
    differs.
    """
    source = now.source
    if source is None:
        return ""
    found = []
    if source.samples != then.samples:
        found.append(f"samples were {then.samples}, now {source.samples}")
    if source.columns != then.columns:
        found.append(
            f"columns were {listing(then.columns) or 'none'}, now {listing(source.columns) or 'none'}"
        )
    if source.target != then.target:
        found.append(f"target was {shown(then.target) or 'none'}, now {shown(source.target) or 'none'}")
    found += _class_differences(tuple(classes), now)
    if source.digest != then.digest:
        found.append(f"digest was {then.digest[:_SHORT]}, now {source.digest[:_SHORT]}")
    return "; ".join(found)


def _class_differences(classes: tuple[str, ...], now: Dataset) -> list[str]:
    if now.classes != classes:
        return [f"classes were {listing(classes) or 'none'}, now {listing(now.classes) or 'none'}"]
    if now.labels is None or now.source is None or len(now) != now.source.samples:
        return []
    absent = sorted(set(range(len(classes))) - set(np.unique(now.labels).tolist()))
    return [f"no samples of {listing([classes[label] for label in absent])}"] if absent else []

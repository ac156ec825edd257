"""The record of a training run, epoch by epoch, and its JSON file."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..errors import DataError
from ..files import read_regular, reason, write_atomically

FORMAT = "phiz history"
VERSION = 1
_WHOLE = ("number", "evaluations")
_REQUIRED = (*_WHOLE, "loss", "seconds")


@dataclass(frozen=True)
class Epoch:
    """One epoch, or one iteration of an optimizer that uses all samples.

    number: from 1; 0 for the start.
    loss, validation_loss: means over samples.
    accuracy, validation_accuracy: in [0, 1], None for a regression.
    seconds, evaluations: wall time and evaluations of value and gradient since the start of the run (a
    resumed run continues the count).
    rate: learning rate or step length.
    """

    number: int
    loss: float
    accuracy: float | None = None
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float = 0.0
    evaluations: int = 0
    rate: float | None = None


@dataclass(frozen=True)
class TrainingHistory:
    """All epochs of a run in order.

    about: free text entries (network, data, optimizer, backend, dtype, seed).
    unit: what one entry is, "epoch" or "iteration".
    stopped: why the run ended, "" while it runs.
    """

    epochs: tuple[Epoch, ...] = ()
    about: dict[str, str] = field(default_factory=dict)
    unit: str = "epoch"
    stopped: str = ""

    def append(self, epoch: Epoch) -> TrainingHistory:
        """A history with one more epoch.  Raises: ValueError unless its number is above the last one's."""
        if self.epochs and epoch.number <= self.epochs[-1].number:
            raise ValueError(f"expected an epoch after {self.epochs[-1].number}, got {epoch.number}")
        return replace(self, epochs=(*self.epochs, epoch))

    def best(self) -> Epoch | None:
        """The first epoch of lowest validation loss (of loss, where there is no validation); None if
        none is finite.
        """
        finite = [epoch for epoch in self.epochs if math.isfinite(_measure(epoch))]
        return min(finite, key=_measure, default=None)


def _measure(epoch: Epoch) -> float:
    return epoch.loss if epoch.validation_loss is None else epoch.validation_loss


def save(history: TrainingHistory, path: str | os.PathLike[str]) -> None:
    """Write `history` as JSON, atomically; NaN and infinities become the strings "nan", "inf", "-inf".

    The same history gives the same bytes.  Raises: PhizError when the file cannot be written.
    """
    document = {"format": FORMAT, "version": VERSION, **asdict(history)}
    document["about"] = {str(name): str(text) for name, text in history.about.items()}
    document["epochs"] = [
        {name: _to_json(name, value) for name, value in asdict(epoch).items()} for epoch in history.epochs
    ]
    write_atomically(path, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())


def load(path: str | os.PathLike[str]) -> TrainingHistory:
    """The history that `save` wrote, equal to it.

    Raises: DataError when the file is unreadable, is not JSON, or is not a history of this version.
    """
    try:
        document = json.loads(read_regular(path))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: expected the JSON of a training history, got: {reason(error)}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise DataError(f"{path}: expected a training history that phiz saved, got other JSON")
    if document.get("version") != VERSION:
        raise DataError(f"{path}: expected history version {VERSION}, got {document.get('version')!r}")
    about, epochs = document.get("about"), document.get("epochs")
    unit, stopped = document.get("unit"), document.get("stopped")
    if not isinstance(about, dict) or not isinstance(unit, str) or not isinstance(stopped, str):
        raise DataError(f"{path}: expected 'about', 'unit' and 'stopped' in the history, got another layout")
    if not isinstance(epochs, list):
        raise DataError(f"{path}: expected a list of epochs, got {type(epochs).__name__}")
    history = TrainingHistory((), {str(name): str(text) for name, text in about.items()}, unit, stopped)
    return replace(history, epochs=tuple(_epoch(entry, index, path) for index, entry in enumerate(epochs)))


def _epoch(entry: Any, index: int, path: str | os.PathLike[str]) -> Epoch:
    names = [entry_field.name for entry_field in fields(Epoch)]
    if not isinstance(entry, dict) or sorted(entry) != sorted(names):
        raise DataError(f"{path}: epoch {index}: expected the entries {', '.join(names)}")
    values = {}
    for name, value in entry.items():
        try:
            values[name] = _from_json(name, value)
        except (TypeError, ValueError, OverflowError) as error:
            raise DataError(f"{path}: epoch {index}: expected a number in {name!r}, got {value!r}") from error
    return Epoch(**values)


def _to_json(name: str, value: Any) -> float | int | str | None:
    if value is None:
        return None
    if name in _WHOLE:
        return int(value)  # NumPy scalars become Python's here and below
    number = float(value)
    return number if math.isfinite(number) else str(number)


def _from_json(name: str, value: Any) -> Any:
    if value is None and name not in _REQUIRED:
        return None
    if value in ("nan", "inf", "-inf") and name not in _WHOLE:
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int if name in _WHOLE else (int, float)):
        raise TypeError(name)
    return value if name in _WHOLE else float(value)

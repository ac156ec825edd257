"""The one file of a training run: the best parameters, and all that going on with the run needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.datasets import Dataset
from ..data.scaling import Scaling
from ..errors import CheckpointError
from ..network.network import Network
from ..schema.check import checked
from . import checkpoint, trained_on
from .history import Epoch, TrainingHistory

_STATE = "state."


@dataclass(frozen=True, eq=False)
class Saved:
    """A run as it was saved.

    parameters: the best so far.
    state: the optimizer's snapshot.
    history: its epochs.
    early_stop: ``EarlyStop.state``.
    settings: ``Settings.record``.
    data: what the samples were (``describe_data``).
    scaling: of the samples.
    """

    parameters: npt.NDArray[Any]
    state: Mapping[str, Any]
    history: TrainingHistory
    early_stop: Mapping[str, Any]
    settings: Mapping[str, Any]
    data: Mapping[str, Any] = field(default_factory=dict)
    scaling: Scaling | None = None


def describe_data(training: Dataset) -> dict[str, Any]:
    """Say what must be the same for a run to go on.

    This is the source as read, and the training samples in order.
    """
    digest = hashlib.blake2b(digest_size=16)
    for array in (training.inputs, training.targets):
        digest.update(str(array.shape).encode() + str(array.dtype).encode())
        digest.update(np.ascontiguousarray(array).data)
    described = {
        "name": training.name,
        "task": training.task,
        "classes": list(training.classes),
        "digest": digest.hexdigest(),
    }
    return described | trained_on.record_of(training)


def save(path: str | os.PathLike[str], network: Network, run: Saved) -> None:
    """Write ``run`` whole or not at all.  Raises: CheckpointError."""
    arrays = {_STATE + name: value for name, value in run.state.items() if isinstance(value, np.ndarray)}
    scalars = {name: _plain(value) for name, value in run.state.items() if not isinstance(value, np.ndarray)}
    if run.scaling is not None:
        arrays |= run.scaling.arrays()
    training = {
        "state": scalars,
        "history": {**asdict(run.history), "epochs": [asdict(epoch) for epoch in run.history.epochs]},
        "early_stop": dict(run.early_stop),
        "settings": dict(run.settings),
        "data": dict(run.data),
    }
    checkpoint.save(path, run.parameters, network.architecture(), network.digests, arrays, training)


def load(path: str | os.PathLike[str]) -> tuple[checkpoint.Checkpoint, Saved]:
    """The checkpoint, and the run that it holds.

    Raises: CheckpointError for a damaged file or one without a run.
    """
    from ..schema.training_record import TrainingRecord

    file = checkpoint.load(path)
    found = checked(file.training, TrainingRecord, f"{path}: training", CheckpointError)
    state = {
        name.removeprefix(_STATE): array for name, array in file.arrays.items() if name.startswith(_STATE)
    }
    then = found.history
    epochs = tuple(
        Epoch(**{name: getattr(epoch, name) for name in epoch.__struct_fields__}) for epoch in then.epochs
    )
    saved = Saved(
        file.parameters,
        {**state, **found.state},
        TrainingHistory(epochs, then.about, then.unit, then.stopped),
        found.early_stop,
        found.settings,
        file.training["data"],
        Scaling.from_arrays(file.arrays),
    )
    return file, saved


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value

"""A data set in front of a network: kept on the device where it is small enough, and scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.datasets import Dataset
from ..data.scaling import Scaling
from ..errors import NotFiniteError, ShapeError
from ..network.network import Network

RESIDENT_BYTES = 256 * 2**20
"""Data sets up to this size stay on the device between evaluations; larger ones are sent micro-batch by
micro-batch.
"""


@dataclass(frozen=True)
class Score:
    """How well parameters do on some samples.

    loss: mean error per sample, without regularisation.
    accuracy: share of samples whose largest output is their class, None for a regression.
    deviation: root mean square error in the units of the source, None for a classification.
    """

    loss: float
    accuracy: float | None = None
    deviation: float | None = None
    samples: int = 0


class EvaluationSet:
    """Holds samples of ``data`` for ``network``, in its dtype.

    Raises: ShapeError, DataError where they do not fit it.
    """

    def __init__(self, network: Network, data: Dataset, scaling: Scaling | None = None) -> None:
        units = network.output_shape.units
        if data.targets.shape[1] != units:
            what = "classes" if data.task == "classification" else "targets"
            raise ShapeError(
                f"{data.name}: {data.targets.shape[1]} {what}, but the network has {units} outputs"
            )
        self.network, self.data, self.scaling = network, data.cast(network.dtype), scaling

    def __len__(self) -> int:
        return len(self.data)

    @cached_property
    def samples(self) -> tuple[Any, ...]:
        """Arguments after the parameters for the network's functions: placed samples, or arrays."""
        if self.data.inputs.nbytes + self.data.targets.nbytes > RESIDENT_BYTES:
            return self.data.inputs, self.data.targets
        return (self.network.place(self.data.inputs, self.data.targets),)

    def score(self, parameters: npt.NDArray[Any]) -> Score:
        """One forward pass.

        Raises: NotFiniteError naming the layer where a NaN or an infinity first appears.
        """
        with np.errstate(all="ignore"):
            outputs, losses = self.network.outputs_and_losses(parameters, *self.samples)
        loss = float(np.mean(losses, dtype=np.float64))
        if not np.isfinite(loss):
            raise NotFiniteError(self.blame(parameters, "the loss"))
        outputs = outputs.reshape(len(outputs), -1)
        if self.data.labels is not None:
            right = float(np.mean(outputs.argmax(axis=1) == self.data.labels))
            return Score(loss, accuracy=right, samples=len(self))
        restore = (
            (lambda values: values.astype(np.float64))
            if self.scaling is None
            else self.scaling.restore_targets
        )
        errors = restore(outputs) - restore(self.data.targets)
        return Score(loss, deviation=float(np.sqrt(np.mean(errors**2))), samples=len(self))

    def blame(self, parameters: npt.NDArray[Any], what: str) -> str:
        """Where a NaN or an infinity first appears at ``parameters``; ``what`` was seen not to be finite."""
        with np.errstate(all="ignore"):
            found = self.network.first_nonfinite(parameters, *self.samples)
        return f"{what} is not finite" if found is None else str(found)

"""Standardisation of tables: each feature to mean 0 and deviation 1, by statistics of the training
samples alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .datasets import Dataset


@dataclass(frozen=True, eq=False)
class Scaling:
    """Means and deviations, float64: of the features `(f,)`, and of the targets `(k,)` of a regression (else
    None).

    A column that is constant in the training samples has deviation 1, so it becomes 0 and not NaN.
    """

    mean: npt.NDArray[np.float64]
    deviation: npt.NDArray[np.float64]
    target_mean: npt.NDArray[np.float64] | None = None
    target_deviation: npt.NDArray[np.float64] | None = None

    @classmethod
    def of(cls, training: Dataset) -> Scaling:
        """The statistics of tabular training samples.  Raises: DataError when the samples are not a table."""
        if not training.tabular:
            raise DataError(
                f"{training.name}: expected a table (N, features), got shape {training.inputs.shape}"
            )
        features = _statistics(training.inputs, f"{training.name}: inputs")
        if training.task == "classification":
            return cls(*features)
        return cls(*features, *_statistics(training.targets, f"{training.name}: targets"))

    def apply(self, data: Dataset) -> Dataset:
        """Bring `data` into standard units, computed in float64 and then cast to the run's dtype.

        Raises: DataError when it has another number of features or targets, or a number that overflows in
        that dtype.
        """
        dtype = data.inputs.dtype if data.dtype is None else data.dtype
        inputs = _standardise(data.inputs, self.mean, self.deviation, f"{data.name}: inputs")
        if self.target_mean is None or self.target_deviation is None:
            return replace(data, inputs=inputs, targets=data.targets.astype(np.float64), dtype=dtype).cast()
        targets = _standardise(data.targets, self.target_mean, self.target_deviation, f"{data.name}: targets")
        return replace(data, inputs=inputs, targets=targets, dtype=dtype).cast()

    def restore_targets(self, outputs: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Bring outputs `(N, k)` of a network trained on standardised targets into the units of the
        source, in float64.
        """
        if self.target_mean is None or self.target_deviation is None:
            return outputs.astype(np.float64)
        return outputs.astype(np.float64) * self.target_deviation + self.target_mean

    def arrays(self) -> dict[str, npt.NDArray[np.float64]]:
        """The statistics by name, as a checkpoint stores them; `from_arrays` reads them back."""
        named = {f"scaling.{name}": getattr(self, name) for name in self.__dataclass_fields__}
        return {name: array for name, array in named.items() if array is not None}

    @classmethod
    def from_arrays(cls, arrays: dict[str, npt.NDArray]) -> Scaling | None:
        """The scaling that `arrays` wrote among other arrays, or None when there is none."""
        found = {name: arrays.get(f"scaling.{name}") for name in cls.__dataclass_fields__}
        mean, deviation = found["mean"], found["deviation"]
        if mean is None or deviation is None:
            return None
        return cls(mean, deviation, found["target_mean"], found["target_deviation"])


def _statistics(
    columns: npt.NDArray[np.floating], place: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    values = columns.astype(np.float64, copy=False)
    constant = (values == values[0]).all(
        axis=0
    )  # exact: a deviation by rounding alone is not one to divide by
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.where(constant, values[0], values.mean(axis=0))
        deviation = np.where(constant, 1.0, values.std(axis=0))
    wrong = ~(np.isfinite(mean) & np.isfinite(deviation))
    if wrong.any():
        column = int(np.argmax(wrong))
        raise DataError(
            f"{place}: expected numbers whose squares float64 can hold, got "
            f"{np.abs(values[:, column]).max()} in column {column}"
        )
    return mean, deviation


def _standardise(
    values: npt.NDArray[np.floating],
    mean: npt.NDArray[np.float64],
    deviation: npt.NDArray[np.float64],
    place: str,
) -> npt.NDArray[np.float64]:
    if values.shape[1:] != mean.shape:
        raise DataError(f"{place}: expected {mean.size} columns as in training, got {values.shape[1:]}")
    standard: npt.NDArray[np.float64] = (values.astype(np.float64, copy=False) - mean) / deviation
    return standard

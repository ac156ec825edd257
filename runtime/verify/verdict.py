"""What verification found: one row per comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..backend import Array

#: Relative error against central differences in float64.
DIFFERENCES = 1e-6
#: Relative error of <delta, J v> against <J^T delta, v>.
ADJOINT = 1e-7
#: Least order at which a Taylor remainder may vanish.
ORDER = 1.5
#: Relative error of a fused kernel against the kernels that it replaces, in float64.
FUSED = 1e-9
#: Relative error of OpenCL against NumPy.
BACKENDS = {"float64": 1e-11, "float32": 1e-4}
#: How the kernels for samples that lie one after the other are named beside "opencl".
SAMPLE_OUTER = "opencl-rows"


@dataclass(frozen=True)
class CheckRow:
    """One comparison, its worst entry, and whether it holds.

    ``check``: differences, taylor, adjoint, backends, fused or error.  ``value`` is what the kernels gave and
    ``reference`` what it is held against, at ``index`` of ``tensor`` (the entry, then the sample where there
    are samples).  ``error`` is compared with ``tolerance``; for taylor both are orders, and the order must
    reach the tolerance.  ``step`` is that of the differences, 0 where there is none.  ``note`` says what
    numbers cannot.
    """

    check: str
    layer: str
    configuration: str
    backend: str
    dtype: str
    kernel: str
    tensor: str
    index: tuple[int, ...]
    value: float
    reference: float
    error: float
    step: float
    tolerance: float
    passed: bool
    note: str = ""

    @property
    def verdict(self) -> str:
        """ok or FAIL."""
        return "ok" if self.passed else "FAIL"

    @property
    def strain(self) -> float:
        """How near to failing: above 1 it fails."""
        if not np.isfinite(self.error):
            return 0.0 if self.passed else float("inf")
        return (
            self.tolerance / max(self.error, 1e-300)
            if self.check == "taylor"
            else self.error / self.tolerance
        )

    def noted(self, note: str) -> CheckRow:
        """The row with ``note``, where there is one."""
        return replace(self, note=note) if note else self

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; numbers that JSON cannot hold become text."""
        record = {**asdict(self), "index": list(self.index), "verdict": self.verdict}
        return {
            key: str(value) if isinstance(value, float) and not np.isfinite(value) else value
            for key, value in record.items()
        }


@dataclass(frozen=True)
class Report:
    """All rows of a verification."""

    rows: tuple[CheckRow, ...]
    seed: int
    seconds: float

    @property
    def failures(self) -> tuple[CheckRow, ...]:
        """The rows that do not hold."""
        return tuple(row for row in self.rows if not row.passed)

    @property
    def passed(self) -> bool:
        """True where something was compared and all of it holds."""
        return bool(self.rows) and not self.failures

    def worst(self) -> list[tuple[CheckRow, int]]:
        """The worst row of every layer, backend and check, and how many rows there are."""
        groups: dict[tuple[str, str, str], list[CheckRow]] = {}
        for row in self.rows:
            groups.setdefault((row.layer, row.backend, row.check), []).append(row)
        return [(max(rows, key=lambda row: row.strain), len(rows)) for rows in groups.values()]

    def to_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {
            "passed": self.passed,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "comparisons": len(self.rows),
            "failures": len(self.failures),
            "rows": [row.to_dict() for row in self.rows],
        }


@dataclass(frozen=True)
class RowLabels:
    """What rows are about."""

    layer: str
    configuration: str
    backend: str
    dtype: str

    @property
    def _labels(self) -> tuple[str, str, str, str]:
        return self.layer, self.configuration, self.backend, self.dtype

    def row(
        self,
        check: str,
        kernel: str,
        tensor: str,
        values: Array,
        references: Array,
        errors: Array,
        tolerance: float,
        steps: Array | float = 0.0,
    ) -> CheckRow:
        """A row of ``values`` held against ``references`` entry by entry; an empty tensor agrees."""
        if not errors.size:
            return CheckRow(
                check, *self._labels, kernel, tensor, (), 0.0, 0.0, 0.0, 0.0, tolerance, True, "empty"
            )
        index = tuple(int(n) for n in np.unravel_index(int(np.argmax(errors)), errors.shape))
        value, reference, error = float(values[index]), float(references[index]), float(errors[index])
        step = float(np.broadcast_to(steps, errors.shape)[index])
        passed = error <= tolerance
        return CheckRow(
            check, *self._labels, kernel, tensor, index, value, reference, error, step, tolerance, passed
        )

    def order(self, kernel: str, tensor: str, order: float) -> CheckRow:
        """A row for a Taylor remainder that vanishes with ``order``."""
        note = "no remainder above rounding: linear" if np.isinf(order) else ""
        return CheckRow(
            "taylor", *self._labels, kernel, tensor, (), order, 2.0, order, 0.0, ORDER, order >= ORDER, note
        )

    def error(self, kernel: str, tensor: str, message: str) -> CheckRow:
        """A row for a kernel that could not be run."""
        nan = float("nan")
        return CheckRow(
            "error", *self._labels, kernel, tensor, (), nan, nan, float("inf"), 0.0, 0.0, False, message
        )


def relative(values: Array, references: Array, floor: float = 0.0) -> Array:
    """Errors of ``values`` relative to the largest reference; absolute where the references are all 0.

    Infinite where a value is no number and the reference is.
    """
    values, references = np.asarray(values, np.float64), np.asarray(references, np.float64)
    scale = max(float(np.max(np.abs(references), initial=0.0)), floor)
    with np.errstate(invalid="ignore"):
        errors = np.abs(values - references) / (scale if scale > 0 else 1.0)
    return np.where(np.isnan(errors), np.inf, errors)


def concatenated(reports: Sequence[Sequence[CheckRow]]) -> tuple[CheckRow, ...]:
    """The rows of several checks, in order."""
    return tuple(row for rows in reports for row in rows)

"""Whether two peers computed the same: checked before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..cases.problem import Array

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Agreement:
    """What results are compared with: those expected, the parts of the gradient, and how far they may be."""

    expected: Mapping[str, Array]
    pieces: Sequence[slice]
    tolerance: float = TOLERANCE

    def difference(self, results: Mapping[str, Array]) -> tuple[float, str]:
        """How far ``results`` are, and where."""
        return difference(self.expected, results, self.pieces)


def difference(
    ours: Mapping[str, Array], theirs: Mapping[str, Array], pieces: Sequence[slice]
) -> tuple[float, str]:
    """The largest relative difference, and where it is.

    Arrays are compared over their largest entry; "gradient" piece by piece (one per parameter), so that a
    small parameter's gradient counts as much as a large one's.  Arrays that are missing, of another shape or
    not finite differ by infinity.
    """
    worst = (0.0, "")
    for name, ours_array in ours.items():
        mine, other = np.asarray(ours_array, np.float64), theirs.get(name)
        if other is None or np.shape(other) != mine.shape:
            return float(
                "inf"
            ), f"{name}: expected shape {mine.shape}, got {None if other is None else np.shape(other)}"
        other = np.asarray(other, np.float64)
        parts = pieces if name == "gradient" else [slice(None)]
        for number, part in enumerate(parts):
            found = _relative(mine[part], other[part])
            where = f"{name} of parameter {number}" if name == "gradient" else name
            worst = (found, where) if found > worst[0] else worst
    return worst


def _relative(a: Array, b: Array) -> float:
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return float("inf")
    gap, size = float(np.abs(a - b).max(initial=0.0)), float(np.abs(b).max(initial=0.0))
    return gap / size if size else (0.0 if gap == 0 else float("inf"))

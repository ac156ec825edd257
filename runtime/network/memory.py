"""The least memory that a network needs, known from its sizes before any of it is taken."""

from __future__ import annotations

import numpy as np

from ..data.room import require_free
from ..program.program import Program

#: Of parameters: float64 draws, the same joined, the vector, its gradient.
DRAWN, KEPT = 2, 2


def require_memory(program: Program, dtype: str) -> None:
    """Refuse a network whose parameters, with a gradient and one sample, do not fit into what is free.

    Raises ShapeError with both figures, and the layer that has the most parameters.
    """
    size = np.dtype(dtype).itemsize
    needed = program.parameter_count * (8 * DRAWN + size * KEPT) + program.units_per_sample * size
    counts = {layer.label: sum(units for _, units in layer.parameters) for layer in program.layers}
    most = max(counts, key=lambda label: counts[label])
    what = f"{program.parameter_count:,} parameters ({counts[most]:,} in {most})"
    require_free(f"network of {what} and {program.units_per_sample:,} numbers per sample", needed)

"""Jacobian of a network's outputs, through the derived per-sample gradient kernels.

Row k is the backward pass with delta_Z = phi'(Z) e_k in the last layer: dy_k/dz on the unit k, 0 elsewhere.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backend import Executor, Pending, Request
from ..program.program import Program
from ..reference.backend import activation_function
from .batch import Batch

Floats = npt.NDArray[Any]


def jacobian_chunks(
    program: Program, executor: Executor, parameters: Floats, batch: Batch, chunk: int
) -> Iterator[tuple[Floats, Floats]]:
    """Residuals and Jacobian rows of ``chunk`` samples at a time, see ``Network.jacobian_chunks``."""
    last = program.layers[-1]
    units = last.output.units
    for _, part in batch.cut(chunk):
        executor.set_parameters(parameters)
        resident = executor.upload(part.inputs, part.targets, None, slot=0)
        outputs = executor.start(resident, Request(outputs=True, keep=True)).result().outputs
        assert outputs is not None and part.targets is not None
        source = executor.derivative_source(resident)
        slope = np.ones_like(source)
        if not last.linear:
            slope = activation_function(last.activation.folder, f"dphi_{last.activation.function}")(source)
        rows = np.empty((len(part), units, program.parameter_count), batch.inputs.dtype)
        delta = np.zeros_like(slope)
        pending: deque[tuple[int, Pending]] = deque()
        for unit in range(units):
            delta[unit] = slope[unit]
            pending.append((unit, executor.seeded(resident, delta, Request(gradients="sample"))))
            delta[unit] = 0
            if (
                len(pending) == 2 or unit == units - 1
            ):  # the device works on one row while the last one is transposed
                _drain(pending, rows, 1 if unit < units - 1 else 0)
        yield (outputs - part.targets).reshape(-1), rows.reshape(-1, program.parameter_count)


def _drain(pending: deque[tuple[int, Pending]], rows: Floats, left: int) -> None:
    while len(pending) > left:
        unit, ready = pending.popleft()
        ready.result(rows[:, unit])

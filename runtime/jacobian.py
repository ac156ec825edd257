"""Jacobian of a network's outputs, through the derived per-sample gradient kernels.

Row k is the backward pass with delta_Z = phi'(Z) e_k in the last layer: dy_k/dz on the unit k, 0 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .backend import Request
from .backend_numpy import activation_function
from .batch import Batch

if TYPE_CHECKING:
    from .network import Network

Floats = npt.NDArray[Any]


def jacobian_chunks(network: Network, parameters: Floats, batch: Batch, chunk: int) -> Iterator[tuple[Floats, Floats]]:
    """See ``Network.jacobian_chunks``."""
    executor = network.executor(min(chunk, len(batch)), with_rows=True)
    last = network.layers[-1]
    units = network.output_shape.units
    for _, part in batch.cut(chunk):
        executor.set_parameters(parameters)
        resident = executor.upload(part.inputs, part.targets, None, slot=0)
        outputs = executor.start(resident, Request(outputs=True)).result().outputs
        assert outputs is not None and part.targets is not None
        source = executor.derivative_source(resident)
        slope = np.ones_like(source)
        if not last.linear:
            slope = activation_function(last.activation.folder, f"dphi_{last.activation.name}")(source)
        rows = np.empty((len(part), units, network.parameter_count), network.dtype)
        delta = np.zeros_like(slope)
        for unit in range(units):
            delta[unit] = slope[unit]
            rows[:, unit] = executor.seeded(resident, delta, Request(gradients="sample")).result().sample_gradients
            delta[unit] = 0
        yield (outputs - part.targets).reshape(-1), rows.reshape(-1, network.parameter_count)

"""Rows for Levenberg-Marquardt under every loss: J^T r is the exact gradient, J^T J the Gauss-Newton matrix.

With residuals y - t and rows dy, each output is scaled by the root of the loss's weight at y:

| loss | weight | J^T J |
|---|---|---|
| mse | 1 | Gauss-Newton of 1/2 ||y - t||^2 (equations 104-109) |
| ce after a softmax | 1/y | dA^T (diag y - y y^T) dA: sum y = 1 makes sum dy = 0, so J^T r = -sum t dy / y |
| binary_ce | 1/(y (1 - y)) | the Fisher matrix; r dy = (y - t) dy / (y (1 - y)) |
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import PhizError
from ..network.network import Network

Floats = npt.NDArray[Any]


def whitened(
    network: Network, parameters: Floats, inputs: Any, targets: Any
) -> Iterator[tuple[Floats, Floats]]:
    """Chunks of residuals ``(m,)`` and rows ``(m, n)``, in the samples' order.

    Targets of a softmax must sum to 1 per sample for J^T r to be the gradient.  Raises: PhizError for another
    loss.
    """
    weight = _weight(network)
    wanted = np.asarray(targets, network.dtype).reshape(len(targets), -1)
    start = 0
    for residual, rows in network.jacobian_chunks(parameters, inputs, targets):
        if weight is None:
            yield residual, rows
            continue
        part = wanted.reshape(-1)[start : start + residual.size]
        start += residual.size
        root = np.sqrt(weight(residual + part)).astype(rows.dtype)
        yield residual * root, rows * root[:, None]


def _weight(network: Network) -> Any:
    name = network.loss.name
    if name == "mse":
        return None
    if name == "ce" and network.program.head is not None:
        return lambda y: 1.0 / np.maximum(y, np.finfo(y.dtype).tiny)
    if name == "binary_ce":
        return lambda y: 1.0 / np.maximum(y * (1 - y), np.finfo(y.dtype).tiny)
    raise PhizError(
        f"lm: expected the loss mse, binary_ce, or ce after a softmax layer, the network has {name}"
    )

"""The files beside the weights: the history, its loss curve, and the filters of the first layer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import PhizError
from ..files import as_path, reason
from ..network.network import Network
from . import history as histories
from . import plots
from .history import TrainingHistory

WEIGHTS, HISTORY, LOSS, FILTERS = "weights.safetensors", "history.json", "loss.png", "filters.png"


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made if need be and proved writable before hours are spent.  Raises: PhizError."""
    path = as_path(folder, "out")
    probe = path / f".writable.{os.getpid()}.tmp"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except (OSError, ValueError) as error:
        raise PhizError(f"{folder}: expected a folder that can be written, got: {reason(error)}") from error
    return path


def write(folder: Path, network: Network, history: TrainingHistory) -> list[Path]:
    """History and pictures of a run; the paths of what was written (no filters where no layer has any)."""
    written = [folder / HISTORY, folder / LOSS]
    histories.save(history, written[0])
    plots.loss_curve(history, written[1])
    weights = first_filters(network)
    if weights is not None:
        plots.filters(weights, folder / FILTERS)
        written.append(folder / FILTERS)
    return written


def first_filters(network: Network) -> npt.NDArray[Any] | None:
    """The weights of the first layer that has any, as ``plots.filters`` draws them: ``(I, J, h, w)`` or ``(I,
    n)``.

    The weights of a layer that takes images flattened get the image's shape.  None where no parameter is a
    filter: kernels of different sizes, or one number per map.
    """
    for piece in network.slices:
        layer = network.layers[piece.layer]
        values = network.parameter(piece.layer, piece.name)
        if isinstance(values, list):
            return None
        rank = layer.input.rank
        if rank and values.ndim == rank + 1:  # kernels by number, as a table of connections shares them
            return np.expand_dims(values, 1)
        if rank and values.ndim == rank + 2:
            return values
        if not rank and values.ndim == 2:
            below = layer.below
            return values.reshape(len(values), *below.axes) if below.rank and below.uniform else values
    return None

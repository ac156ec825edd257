"""Refuses layers with a maximum over no value, which has no value itself."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from ..errors import ShapeError
from ..manifest.records import KernelInfo
from ..program.layer import Layer
from ..program.sizes import Extent
from .backend import keyword_only


def check_maxima(layer: Layer) -> None:
    """Raise ShapeError, naming layer and place, where a clipped window holds nothing.

    Which points of a window count depends on sizes alone, so one sample of zeros shows all places.
    """
    for kernel in layer.info.kernels:
        if kernel.cut and kernel.position is not None:
            for positions in _positions(layer, kernel):
                _refuse_empty(layer, kernel, positions)


def _refuse_empty(layer: Layer, kernel: KernelInfo, positions: np.ndarray[Any, Any]) -> None:
    empty = np.argwhere(positions < 0)
    if len(empty):
        where = f"{layer.info.shown(kernel.target)}{empty[0].tolist()}"
        raise ShapeError(
            f"{layer.label}: the maximum {where} is over no value; "
            "let every window overlap its map, or read zeros outside with .padded"
        )


def _positions(layer: Layer, kernel: KernelInfo) -> list[np.ndarray[Any, Any]]:
    """The stored maximisers of one sample, of every ragged entry apart; -1 where there is none."""
    function = getattr(layer.info.folder.module(f"numpy/{layer.info.file}.py"), kernel.name)
    tensors = layer.info.tensors
    arguments = [_zeros(layer.tensors[name], tensors[name].samples) for name in kernel.arguments]
    keywords: dict[str, Any] = {name: layer.sizes[name] for name in kernel.sizes}
    keywords |= {name: layer.connection_tables[name] for name in kernel.relations}
    extra = {"samples": 1, "dtype": np.dtype(np.float64)}
    keywords |= {name: value for name, value in extra.items() if name in keyword_only(function)}
    with np.errstate(all="ignore"):
        _, positions = function(*arguments, **keywords)
    return [p[..., 0] for p in (positions if isinstance(positions, list) else [positions])]


def _zeros(extent: Extent, samples: bool) -> Any:
    tail = (1,) if samples else ()
    if extent.entries is None:
        return np.zeros(extent.shape + tail)
    return [np.zeros((prod(entry),)).reshape(entry + tail) for entry in extent.entries]

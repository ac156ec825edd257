"""Layers connected one after the other, under a loss whose range fits."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import PhizError, ShapeError
from ..manifest.records import LossInfo, Manifest
from ..program.layer import Layer, LayerSpec, instantiate
from ..program.shape import Shape
from .batch import interval


def connect(manifest: Manifest, specs: Sequence[LayerSpec], shape: Shape) -> tuple[Layer, ...]:
    """The layers of ``specs``, the first on an input of ``shape``, each further one on the output below it.

    Raises ShapeError naming a layer that does not fit what is below it.
    """
    if not isinstance(specs, list | tuple):
        raise ShapeError(f"layers: expected a list of layers, got {type(specs).__name__}")
    if not specs:
        raise ShapeError("a network needs at least one layer")
    layers: list[Layer] = []
    for spec in specs:
        layers.append(instantiate(manifest, spec, len(layers), layers[-1].output if layers else shape))
    return tuple(layers)


def check_loss_range(last: Layer, loss: LossInfo) -> None:
    """PhizError where the last layer can give what the loss does not admit (ce wants positive outputs)."""
    found = last.info.range if last.linear else last.activation.range
    for inside, bound, sign in zip(found, loss.outputs, (1, -1), strict=True):
        if bound is not None and (inside is None or sign * inside < sign * bound):
            raise PhizError(
                f"{last.label}: loss {loss.name} admits outputs in {interval(*loss.outputs)}, "
                f"activation {last.activation.name} gives {interval(*found)}"
            )

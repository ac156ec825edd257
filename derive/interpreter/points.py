"""Values of a definition's tensors at which it is tried: ordinary ones, ties and zeros, saturated ones."""

from __future__ import annotations

import numpy as np

from ..language.stages import Definition
from .definition import DefinitionValues
from .scalars import Array
from .sizes import SizeValues

#: Halves and small integers meet in zeros and ties, and both precisions hold their sums and products exactly.
TIES = (-2.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0, 2.0)
FAR = (*TIES, -20.0, 20.0)
KINDS = ("ordinary", "tied", "saturated")


def drawn_values(kind: str, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Random values of one of ``KINDS``, the same in both precisions."""
    if kind == "ordinary":
        return generator.normal(size=shape).astype(np.float32).astype(np.float64)
    return generator.choice(np.array(TIES if kind == "tied" else FAR), size=shape)


def drawn_tensors(
    definition: Definition, sizes: SizeValues, samples: int, kind: str, generator: np.random.Generator
) -> dict[str, Array]:
    """Input, parameters, the output's delta, and ``dphi``, phi' of the layer below."""
    values = DefinitionValues(definition, sizes)
    found = {}
    for tensor in (definition.input, *definition.parameters):
        shape = (values.units(tensor), *((samples,) if tensor.samples else ()))
        found[tensor.name] = drawn_values(kind, shape, generator)
    outputs = values.units(definition.tensors["Z"])
    found["delta_Z"] = drawn_values("ordinary", (outputs, samples), generator)
    found["dphi"] = drawn_values("ordinary", found[definition.input.name].shape, generator)
    return found

"""Where a NaN or an infinity first appears in a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend import Request
from ..data.numbers import as_numbers
from .batch import Placed

if TYPE_CHECKING:
    from .network import Network


@dataclass(frozen=True)
class NotFinite:
    """The first tensor that holds a NaN or an infinity; ``str`` says it in one line.

    ``role``: parameter, forward, loss, delta or gradient.  ``sample`` counts over all samples, None for parameters and
    their gradients; ``unit`` is the flat number of the entry in its tensor.
    """

    layer: int
    label: str
    tensor: str
    role: str
    sample: int | None
    unit: int
    value: float

    def __str__(self) -> str:
        sample = "" if self.sample is None else f"sample {self.sample}, "
        return f"{self.label}: {self.role} {self.tensor} is {self.value} at {sample}entry {self.unit}"


def first_nonfinite(network: Network, parameters: Any, inputs: Any, targets: Any, weights: Any) -> NotFinite | None:
    """See ``Network.first_nonfinite``.  Inputs are checked, parameters may hold anything."""
    values = as_numbers(parameters, network.dtype, "parameters")
    found = network.nonfinite_parameter(values)
    if found is not None:
        return found
    batch = network._host(network._samples(inputs, targets, weights, targets is not None or isinstance(inputs, Placed)))
    with_loss = batch.targets is not None
    request = Request(losses=with_loss, gradients="sum" if with_loss else "none")
    size = network.part_length(len(batch))
    executor = network.executor(size)
    executor.set_parameters(values)
    for part, cut in batch.cut(size):
        resident = executor.upload(cut.inputs, cut.targets, cut.weights, slot=0)
        for step, array in executor.trace(resident, request):
            wrong = np.argwhere(~np.isfinite(array))
            if not wrong.size:
                continue
            place = tuple(int(n) for n in wrong[0])
            label = network.program.units[step.unit].label
            sample = part.start + place[1] if len(place) > 1 else None
            return NotFinite(step.unit, label, step.kernel.output, step.kernel.role, sample, place[0], float(array[place]))
    return None

"""Where a NaN or an infinity first appears in a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..backend import Array, Executor, Request
from ..program.program import Program, Slice
from .batch import Batch


@dataclass(frozen=True)
class NotFinite:
    """The first tensor that holds a NaN or an infinity; ``str`` says it in one line.

    ``role``: parameter, forward, loss, delta or gradient.  ``sample`` counts over all samples, None for
    parameters and their gradients; ``unit`` is the flat number of the entry in its tensor.
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


def nonfinite_parameter(slices: Sequence[Slice], values: Array) -> NotFinite | None:
    """The first number of the flat vector ``values`` that is NaN or infinite, by the parameter that it
    belongs to.
    """
    wrong = np.flatnonzero(~np.isfinite(values))
    if not wrong.size:
        return None
    position = int(wrong[0])
    piece = next(piece for piece in slices if piece.offset <= position < piece.stop)
    return NotFinite(
        piece.layer,
        piece.label,
        piece.name,
        "parameter",
        None,
        position - piece.offset,
        float(values[position]),
    )


def first_nonfinite(
    program: Program, executor: Executor, parameters: Array, batch: Batch, size: int
) -> NotFinite | None:
    """The first tensor of a pass over ``batch`` that is not finite.

    It is looked for kernel by kernel, ``size`` samples at a time.

    Without targets the forward pass alone is looked through.
    """
    with_loss = batch.targets is not None
    request = Request(losses=with_loss, gradients="sum" if with_loss else "none")
    executor.set_parameters(parameters)
    for part, cut in batch.cut(size):
        resident = executor.upload(cut.inputs, cut.targets, cut.weights, slot=0)
        for step, array in executor.trace(resident, request):
            wrong = np.argwhere(~np.isfinite(array))
            if not wrong.size:
                continue
            place = tuple(int(n) for n in wrong[0])
            label = program.units[step.unit].label
            sample = part.start + place[1] if len(place) > 1 else None
            return NotFinite(
                step.unit, label, step.kernel.output, step.kernel.role, sample, place[0], float(array[place])
            )
    return None

"""The launches of one kernel.

They are the kernel itself, share by share, and the addition of its partial sums.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyopencl as cl

from ...manifest.records import KernelInfo
from ...program.program import Step
from ..device.programs import Binding, build
from ..plan.constant_launches import Share, TensorSlice
from ..plan.kernel_plan import KernelPlan

Size = tuple[int, ...]

#: Stands for the memory of partial sums, ``[partial sum, unit]``.
PARTIAL_SUMS = -1


def partial_sums_key(step: Step) -> str:
    """The key of the partial sums of a step's sum over the samples."""
    return f"parts:{step.writes.key}"


@dataclass(frozen=True)
class KernelCall:
    """One launch of the function ``name``.

    ``tensors``: for each pointer, its number in the calling order of the kernel, or ``PARTIAL_SUMS``.
    ``size``: the global size, expressions in sizes, chosen macros and ``vectors``.
    ``counts``: whether index tables and numbers of vectors follow.
    ``numbers``: what comes last.
    ``share``: of the output maps, None for all of them.
    ``slices``: what it reads of tensors.
    ``copies``: whether items of a group may differ in the samples only.
    """

    name: str
    tensors: tuple[int, ...]
    size: tuple[str, ...]
    counts: bool = True
    numbers: tuple[int, ...] = ()
    share: Share | None = None
    slices: Mapping[int, TensorSlice] = field(default_factory=dict)
    copies: bool = False

    def work(self, binding: Binding, vectors: int) -> tuple[Size, Size | None]:
        """The global size over ``vectors`` vectors, and the global offset."""
        size, share = binding.global_size(self.size, vectors), self.share
        if share is None:
            return size, None
        inner = size[share.dimension] // share.places  # maps are outermost
        own, offset = list(size), [0] * len(size)
        own[share.dimension], offset[share.dimension] = (share.end - share.begin) * inner, share.begin * inner
        return tuple(own), tuple(offset)


def calls(kernel: KernelInfo, plan: KernelPlan, tensors: int, units: int) -> tuple[KernelCall, ...]:
    """The launches of ``kernel``, which takes so many ``tensors`` and writes ``units`` numbers, in order."""
    output = len(kernel.arguments)
    order = tuple(PARTIAL_SUMS if plan.partial_sums > 1 and n == output else n for n in range(tensors))
    sliced = kernel.constant.sliced if kernel.constant else {}
    found = []
    for share in plan.shares:
        slices = share.slices if share else {}
        numbers = tuple(slices[name].first if name in slices else 0 for name in sliced)
        own = {kernel.arguments.index(name): part for name, part in slices.items()}
        found.append(
            KernelCall(kernel.name, order, kernel.global_size, True, numbers, share, own, plan.copies)
        )
    if plan.partial_sums > 1:
        found.append(
            KernelCall(
                "add_partial_sums",
                (PARTIAL_SUMS, output),
                (str(units),),
                counts=False,
                numbers=(plan.partial_sums,),
            )
        )
    return tuple(found)


def set_number(kernel: cl.Kernel, position: int, number: int) -> None:
    """Set an ``int`` argument; PyOpenCL's own way there takes as long as several launches."""
    getattr(kernel, "_set_arg_buf", kernel.set_arg)(position, np.int32(number))


@dataclass(frozen=True)
class Bound:
    """A built kernel with the arguments of ``call`` set, but for those in ``moving``: (position, number of
    the tensor).

    ``last``: the position of the number of vectors in use, which is not set either; None where it takes none.
    ``kept``: memory that must live as long.
    """

    call: KernelCall
    kernel: cl.Kernel
    moving: tuple[tuple[int, int], ...]
    last: int | None
    kept: tuple[Any, ...]


def bound(
    call: KernelCall,
    binding: Binding,
    device: Any,
    tensor: Callable[[int, TensorSlice | None], Any],
    index: Any,
    lanes: int,
) -> Bound:
    """``call`` with its arguments set.

    ``tensor(n, slice)``: the memory of tensor ``n``, None where it is still to come.
    ``index``: index tables, None where it reads none.
    ``lanes``: samples of a block.

    Raises DeviceError where the text does not build.
    """
    kernel = cl.Kernel(build(binding, device, call.name), call.name)
    moving, kept = [], []
    for position, number in enumerate(call.tensors):
        memory = tensor(number, call.slices.get(number))
        if memory is None:
            moving.append((position, number))
        else:
            kernel.set_arg(position, memory)
            kept.append(memory)
    position, last = len(call.tensors), None
    if call.counts:
        if index is not None:
            kernel.set_arg(position, index)
            position += 1
        last = position
        set_number(kernel, last + 1, lanes // binding.width)
        position += 2
    for number in call.numbers:
        set_number(kernel, position, number)
        position += 1
    return Bound(call, kernel, tuple(moving), last, tuple(kept))

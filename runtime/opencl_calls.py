"""From one kernel and its plan to launches: the kernel itself, and the addition of the parts of its sum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyopencl as cl

from .manifest import KernelInfo
from .opencl_plan import KernelPlan
from .opencl_program import Binding, build

Size = tuple[int, ...]

#: Stands for the memory that holds the parts of a sum, ``[part, unit]``.
PARTS = -1


@dataclass(frozen=True)
class Call:
    """One launch of the function ``name``.

    ``tensors``: for each pointer, its number in the calling order of the kernel, or ``PARTS``.  ``size``: the global size,
    expressions in sizes, chosen macros and ``vectors``.  ``counts``: whether index tables and numbers of vectors follow.
    ``numbers``: what comes last.
    """

    name: str
    tensors: tuple[int, ...]
    size: tuple[str, ...]
    counts: bool = True
    numbers: tuple[int, ...] = ()

    def work(self, binding: Binding, vectors: int) -> Size:
        """The global size over ``vectors`` vectors."""
        return binding.global_size(self.size, vectors)


def calls(kernel: KernelInfo, plan: KernelPlan, tensors: int, units: int) -> tuple[Call, ...]:
    """The launches of ``kernel``, which takes so many ``tensors`` and writes ``units`` numbers, in order."""
    order = tuple(range(tensors))
    if plan.parts == 1:
        return (Call(kernel.name, order, kernel.global_size),)
    output = len(kernel.arguments)
    first = Call(kernel.name, tuple(PARTS if n == output else n for n in order), kernel.global_size)
    return first, Call("add_parts", (PARTS, output), (str(units),), counts=False, numbers=(plan.parts,))


def set_number(kernel: cl.Kernel, position: int, number: int) -> None:
    """Set an ``int`` argument; PyOpenCL's own way there takes as long as several launches."""
    getattr(kernel, "_set_arg_buf", kernel.set_arg)(position, np.int32(number))


@dataclass(frozen=True)
class Bound:
    """A built kernel with the arguments of ``call`` set, but for those in ``moving``: (position, number of the tensor).

    ``last``: the position of the number of vectors in use, which is not set either; None where it takes none.
    """

    call: Call
    kernel: cl.Kernel
    moving: tuple[tuple[int, int], ...]
    last: int | None


def bound(call: Call, binding: Binding, device: Any, tensor: Callable[[int], Any], index: Any, lanes: int) -> Bound:
    """``call`` with its arguments set.

    ``tensor(n)``: the memory of tensor ``n``, None where it is still to come.  ``index``: index tables, None where it reads none.
    ``lanes``: samples of a block.  DeviceError where the text does not build.
    """
    kernel = cl.Kernel(build(binding, device), call.name)
    moving = []
    for position, number in enumerate(call.tensors):
        memory = tensor(number)
        if memory is None:
            moving.append((position, number))
        else:
            kernel.set_arg(position, memory)
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
    return Bound(call, kernel, tuple(moving), last)

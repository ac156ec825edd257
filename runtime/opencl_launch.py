"""Launches: a kernel with its arguments set, and the local size it runs with."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import pyopencl as cl

from .opencl_program import Binding
from .program import Step


def work_group(size: tuple[int, ...]) -> tuple[int, ...]:
    """The local size of a launch on a CPU: up to 64 work items, sample vectors first, in at least 16 groups.

    A work group costs about as much as a small work item, so tiles share one too.

    PoCL compiles a kernel anew for every local size.  Left to itself it picks one that depends on the exact number of
    samples, so that the last, smaller batch of an epoch costs seconds.
    """
    if 0 in size:
        return size
    group = [next(n for n in (16, 4, 1) if size[0] % n == 0)]
    for extent in size[1:]:
        room, groups = 64 // prod(group), prod(size) // prod(group)
        group.append(max(n for n in range(1, room + 1) if extent % n == 0 and (n == 1 or groups // n >= 16)))
    return tuple(group)


class Launch:
    """One kernel with its arguments set; re-set only what changes between micro-batches.

    ``batch`` are the positions of the arguments that come with a micro-batch, and their keys; ``last`` is the position of the
    number of sample vectors.  ``grouped``: with a local size of its own choice (CPU), else the driver's.
    """

    def __init__(
        self, kernel: cl.Kernel, binding: Binding, step: Step, batch: list[tuple[int, str]], last: int, grouped: bool
    ) -> None:
        self.kernel, self.binding, self.step = kernel, binding, step
        self.batch, self.last, self.grouped = batch, last, grouped
        self.resident: Any = None
        self.vectors = -1
        self.size: tuple[int, ...] = ()
        self.group: tuple[int, ...] | None = None
        self._sizes: dict[int, tuple[tuple[int, ...], tuple[int, ...] | None]] = {}

    def fit(self, resident: Any) -> None:
        """Point the kernel at ``resident``, an ``OpenCLResident``."""
        self.resident = resident
        for position, key in self.batch:
            self.kernel.set_arg(position, resident.buffers[key])
        if resident.vectors != self.vectors:
            self.vectors = resident.vectors
            self.kernel.set_arg(self.last, np.int32(self.vectors))
            if self.vectors not in self._sizes:
                size = self.binding.global_size(self.step.kernel.global_size, self.vectors)
                self._sizes[self.vectors] = size, work_group(size) if self.grouped else None
            self.size, self.group = self._sizes[self.vectors]

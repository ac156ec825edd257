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


def local_size(size: tuple[int, ...], wanted: tuple[int, ...] | None, grouped: bool) -> tuple[int, ...] | None:
    """``wanted`` where it divides ``size``; else a work group of our own where ``grouped``, or None for the driver's."""
    if wanted is not None and 0 not in size and all(n % k == 0 for n, k in zip(size, wanted, strict=True)):
        return wanted
    return work_group(size) if grouped else None


class Launch:
    """One kernel with its arguments set; re-set only what changes between micro-batches.

    ``batch`` are the positions of the arguments that come with a micro-batch, and their keys; ``last`` is the position of the
    number of sample vectors.  ``group``: the local size of the kernel's schedule, taken where it divides the global size.
    ``grouped``: else with a local size of its own choice (CPU), or the driver's.
    """

    def __init__(
        self,
        kernel: cl.Kernel,
        binding: Binding,
        step: Step,
        batch: list[tuple[int, str]],
        last: int,
        group: tuple[int, ...] | None,
        grouped: bool,
    ) -> None:
        self.kernel, self.binding, self.step = kernel, binding, step
        self.batch, self.last, self.wanted, self.grouped = batch, last, group, grouped
        self.resident: Any = None
        self.used = -1
        self.size: tuple[int, ...] = ()
        self.group: tuple[int, ...] | None = None
        self._sizes: dict[int, tuple[tuple[int, ...], tuple[int, ...] | None]] = {}

    def fit(self, resident: Any) -> None:
        """Point the kernel at ``resident``, an ``OpenCLResident``."""
        self.resident = resident
        for position, key in self.batch:
            self.kernel.set_arg(position, resident.buffers[key])
        if resident.used != self.used:
            self.used = resident.used
            vectors = self.used // self.binding.width
            self.kernel.set_arg(self.last, np.int32(vectors))
            if vectors not in self._sizes:
                size = self.binding.global_size(self.step.kernel.global_size, vectors)
                self._sizes[vectors] = size, local_size(size, self.wanted, self.grouped)
            self.size, self.group = self._sizes[vectors]

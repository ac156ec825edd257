"""Convolutions over maps on a rig: the kernels of ``kernels/convolution.cl``, checked against brute force."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyopencl as cl

from ....runtime.errors import PhizError
from ....runtime.opencl.plan.constant_memory import ConstantPlan, constant_plan
from ....runtime.tuner.space.local_size import LocalSize, LocalSizeProblem, optimal_local_size
from .device import Array, Loaded, Queue, Repeat, Rig, Size, round_up

#: Largest error over the largest number that is expected.
TOLERANCE = 1e-5
#: Numbers behind the last map that the widest vector may read.
ROOM = 16
#: A work group for any image.
GROUP = (32, 4)


class WrongError(PhizError):
    """A kernel whose numbers are not those of brute force."""


def compare(name: str, values: Array, expected: Array) -> None:
    """WrongError where ``values`` are not ``expected``, with the worst entry."""
    errors = np.abs(values - expected) / max(1e-30, float(np.abs(expected).max()))
    errors[~np.isfinite(errors)] = np.inf
    worst = np.unravel_index(int(np.argmax(errors)), errors.shape)
    if errors[worst] > TOLERANCE:
        place = [int(n) for n in worst]
        raise WrongError(
            f"{name}: output {place} is {values[worst]:.7g}, brute force gives {expected[worst]:.7g}"
        )


def brute_force(maps: Array, filters: Array) -> Array:
    """Equation 60 in float64, not summed over j.

    Maps (J, H, W) and filters (I, J, F, F) give (I, J, H - F + 1, W - F + 1).
    """
    inputs, height, width = maps.shape
    taps = filters.shape[-1]
    found = np.zeros((len(filters), inputs, height - taps + 1, width - taps + 1))
    for v, u in np.ndindex(taps, taps):
        seen = maps[:, v : v + found.shape[2], u : u + found.shape[3]].astype(np.float64)
        found += seen[None] * filters[:, :, v, u, None, None]
    return found


@dataclass(frozen=True)
class Scheme:
    """Launches that compute one output, and what it must be."""

    name: str
    queued: tuple[Queue, ...]
    out: Any
    expected: Array

    def checked(self, rig: Rig) -> Repeat:
        """What runs it; its numbers are right, or WrongError."""
        run = rig.repeat(*self.queued)
        run(1)
        compare(self.name, rig.get(self.out, self.expected.shape), self.expected)
        return run


class Convolution:
    """``outputs`` maps from ``inputs`` maps of ``height`` x ``width`` by filters of ``taps`` x ``taps``,
    seeded.

    single: output map z comes from input map z alone, so that both counts are equal.
    space: where the filters lie.
    """

    def __init__(
        self,
        rig: Rig,
        inputs: int,
        outputs: int,
        height: int,
        width: int,
        taps: int,
        single: bool = False,
        space: str = "__global",
    ) -> None:
        self.rig, self.inputs, self.outputs, self.single, self.space = rig, inputs, outputs, single, space
        self.height, self.width, self.taps = height, width, taps
        random = np.random.default_rng([inputs, outputs, height, width, taps])
        self.maps = random.normal(size=(inputs, height, width)).astype(np.float32)
        self.filters = random.normal(size=(outputs, 1 if single else inputs, taps, taps)).astype(np.float32)
        self.shape = (outputs, height - taps + 1, width - taps + 1)
        self.source = rig.put(self.maps, ROOM)
        self.weights = rig.put(self.filters)

    @cached_property
    def pairs(self) -> Array:
        """What every pair of maps gives, (I, J, y, x)."""
        if self.single:
            return np.stack(
                [brute_force(m[None], f[None])[0] for m, f in zip(self.maps, self.filters, strict=True)]
            )
        return brute_force(self.maps, self.filters)

    @cached_property
    def expected(self) -> Array:
        """The right outputs, (I, y, x)."""
        summed: Array = self.pairs.sum(axis=1)
        return summed

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all outputs."""
        return self.filters.size * self.shape[1] * self.shape[2]

    def _size(self, group: Sequence[int], maps: int, vector: int = 1) -> Size:
        return round_up(-(-self.shape[2] // vector), group[0]), round_up(self.shape[1], group[1]), maps

    def _kernel(
        self, name: str, *arguments: Any, out: Any, weights: Any = None, **macros: int | str
    ) -> Loaded:
        given = (
            self.source,
            self.weights if weights is None else weights,
            out,
            self.height,
            self.width,
            *arguments,
        )
        return self.rig.kernel("convolution", name, *given, F=self.taps, FILTERS=self.space, **macros)

    # ---------------------------------------------------------------------------------- map by map ("single")
    def each(self, group: Sequence[int] | None = GROUP, unroll: int = -1) -> Scheme:
        """One launch, one work item per output.  Without ``group`` the driver chooses."""
        out = self.rig.empty(self.shape)
        kernel = self._kernel("each", 0, out=out, UNROLL=unroll)
        size, local = self._size(group or (1, 1), self.outputs), None if group is None else (*group, 1)
        return Scheme(f"each {group}", (self.rig.launch(kernel, size, local),), out, self.expected)

    def each_by_map(self, group: Sequence[int] = GROUP) -> Scheme:
        """One launch per map."""
        return self._by_number("each", self.outputs, self.shape, self.expected, group, UNROLL=-1)

    def each_vector(self, vector: int, group: Sequence[int] = GROUP) -> Scheme:
        """One launch, ``vector`` neighbouring outputs per work item."""
        out = self.rig.empty(self.shape)
        kernel = self._kernel("each_vector", out=out, V=vector)
        launch = self.rig.launch(kernel, self._size(group, self.outputs, vector), (*group, 1))
        return Scheme(f"vectors of {vector}", (launch,), out, self.expected)

    def tiled(self, group: Sequence[int]) -> Scheme:
        """One launch, each work group's inputs in local memory."""
        out = self.rig.empty(self.shape)
        tile = cl.LocalMemory(4 * (group[0] + self.taps - 1) * (group[1] + self.taps - 1))
        kernel = self._kernel("tiled", tile, out=out)
        launch = self.rig.launch(kernel, self._size(group, self.outputs), (*group, 1))
        return Scheme(f"local memory {tuple(group)}", (launch,), out, self.expected)

    def best_local(self, max_padding: int = 10) -> tuple[LocalSize, LocalSizeProblem]:
        """Algorithm 4 for ``tiled`` on the rig's device, and its problem.

        What the kernel itself uses of local memory is asked before an argument is set (ledger I10-LIMITS).
        """
        device = self.rig.device
        kernel = self.rig.built("convolution", "tiled", F=self.taps, FILTERS=self.space)
        used = kernel.get_work_group_info(cl.kernel_work_group_info.LOCAL_MEM_SIZE, device.handle)
        largest = kernel.get_work_group_info(cl.kernel_work_group_info.WORK_GROUP_SIZE, device.handle)
        most = device.max_work_item_sizes
        problem = LocalSizeProblem(
            (self.width, self.height),
            (self.taps, self.taps),
            self.outputs,
            int(device.max_compute_units),
            int(largest),
            max(0, int(device.local_mem_size) - int(used)),
            (int(most[0]), int(most[1])),
            max_padding,
        )
        return optimal_local_size(problem), problem

    # ------------------------------------------------------------------------------- fully connected ("full")
    def full(self, group: Sequence[int] = GROUP) -> Scheme:
        """One launch over all output maps, each summed over all input maps."""
        return self._full([range(self.outputs)], group)

    def full_by_map(self, group: Sequence[int] = GROUP) -> Scheme:
        """One launch per output map, each summed over all input maps."""
        return self._full([range(i, i + 1) for i in range(self.outputs)], group)

    def full_split(self, plan: ConstantPlan, group: Sequence[int] = GROUP) -> Scheme:
        """The launches of ``plan``."""
        return self._full(plan.launches, group)

    def constant_plan(self, limit: int) -> ConstantPlan:
        """The launches whose filters fit into ``limit`` bytes."""
        return constant_plan([self.filters[0].size] * self.outputs, limit)

    def _full(self, launches: Sequence[range], group: Sequence[int]) -> Scheme:
        """The filters of each launch lie in a buffer of their own."""
        out = self.rig.empty(self.shape)
        queued = []
        for maps in launches:
            piece = self.rig.put(self.filters[maps.start : maps.stop])
            kernel = self._kernel("full", maps.start, self.inputs, out=out, weights=piece)
            queued.append(self.rig.launch(kernel, self._size(group, len(maps)), (*group, 1)))
        return Scheme(f"full in {len(launches)} launches", tuple(queued), out, self.expected)

    def pairs_added(self, group: Sequence[int] = GROUP) -> Scheme:
        """One launch per pair of maps; they add up."""
        pairs = self.inputs * self.outputs
        return self._by_number("pair_added", pairs, self.shape, self.expected, group, self.inputs)

    def pairs_apart(self, group: Sequence[int] = GROUP) -> Scheme:
        """One launch per pair of maps, nothing summed: as the paper timed it."""
        return self._by_number(
            "pair_apart", self.inputs * self.outputs, self.pairs.shape, self.pairs, group, self.inputs
        )

    def _by_number(
        self,
        name: str,
        count: int,
        shape: Sequence[int],
        expected: Array,
        group: Sequence[int],
        *more: int,
        **macros: int,
    ) -> Scheme:
        """``count`` launches, each told which one it is."""
        out, size = self.rig.empty(shape), self._size(group, 1)
        kernels = [self._kernel(name, number, *more, out=out, **macros) for number in range(count)]
        return Scheme(
            name, tuple(self.rig.launch(kernel, size, (*group, 1)) for kernel in kernels), out, expected
        )

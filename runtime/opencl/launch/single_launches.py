"""A launch for every kernel.

This is for devices where nothing is gained by putting several into one, and for kernels without item
functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyopencl as cl

from ...program.flat_vectors import Parts
from ...program.memory_plan import MemoryLayout, Use, plan_memory
from ...program.program import Step
from ..device import device as devices
from ..plan.constant_launches import TensorSlice
from ..plan.plan import Plan
from .block_layout import BlockLayout
from .calls import PARTIAL_SUMS, bound, calls, partial_sums_key
from .compose import Offsets
from .launch import Launch, Sizes
from .memory import OpenCLResident, Region


@dataclass(frozen=True)
class SingleLaunches:
    """A launcher that runs every kernel by itself, as ``plan`` has it."""

    plan: Plan
    sample_outer: bool = False
    offsets: bool = False

    def room(self, samples: int) -> int:
        """What the plan was made for."""
        return self.plan.capacity

    def layout(self, capacity: int) -> BlockLayout:
        """All samples in a single block."""
        return BlockLayout(capacity, capacity)

    def whole(self, samples: int) -> int:
        """``samples`` rounded up to whole vectors."""
        return self.plan.padded(samples)

    def partial_sums(self, step: Step) -> int:
        """How many partial sums the step's sum over the samples is taken in."""
        return self.plan.kernels[step.unit, step.kernel.name].partial_sums

    def scratch(
        self, steps: Sequence[Step], counts: Mapping[str, int], align: int, apart: bool = False
    ) -> MemoryLayout:
        """Tensors may overlap that no step has both alive."""
        return plan_memory([self._use(step) for step in steps], counts, align)

    def _use(self, step: Step) -> Use:
        """What a step reads and writes, its partial sums among it."""
        split = (partial_sums_key(step),) if self.partial_sums(step) > 1 else ()
        return Use(step.use.reads, (*step.use.writes, *split))

    def compose(
        self, steps: Sequence[Step], device: Any, vectors: Parts, offsets: Offsets, apart: bool = False
    ) -> LaunchList:  # fmt: skip
        """The launches of ``steps``, none of which is shared."""
        return LaunchList(steps, self.plan, device)


class LaunchList:
    """The launches of one kind of pass, step by step.

    Arguments are set again only where they changed since the last pass.
    """

    repeats = False

    def __init__(self, steps: Sequence[Step], plan: Plan, device: Any) -> None:
        self._of, self._plan, self._device = tuple(steps), plan, device
        self.steps: tuple[tuple[Launch, ...], ...] = ()
        self._moving: list[tuple[cl.Kernel, int, str]] = []
        self._keys: set[str] = set()
        self._regions: tuple[Region, ...] = ()
        self._used = -1
        self._sizes: dict[int, list[list[tuple[cl.Kernel, Sizes]]]] = {}
        self._ready: list[list[tuple[cl.Kernel, Sizes]]] = []

    @property
    def launches(self) -> list[Launch]:
        """All of them, in order."""
        return [one for launches in self.steps for one in launches]

    def bind(self, where: Mapping[str, Region], index: Mapping[int, Any]) -> None:
        """Build the kernels and set the arguments that stay: tensors in ``where``, and each unit's
        index tables.
        """
        self.steps = tuple(tuple(self._launches(step, where, index)) for step in self._of)
        self._moving = [(one.kernel, position, key) for one in self.launches for position, key in one.moving]
        self._keys = {key for _, _, key in self._moving}

    def _launches(self, step: Step, where: Mapping[str, Region], index: Mapping[int, Any]) -> list[Launch]:
        plan, binding = (
            self._plan.kernels[step.unit, step.kernel.name],
            self._plan.binding(step.unit, step.kernel.name),
        )
        keys = {**dict(enumerate(step.keys)), PARTIAL_SUMS: partial_sums_key(step)}

        def tensor(number: int, part: TensorSlice | None) -> Any:
            key = keys[number]
            if key not in where:
                return None
            return where[key].part(key, part.first, part.count) if part else where[key].argument(key)

        tables = index[step.unit] if step.kernel.index else None
        found = []
        for call in calls(step.kernel, plan, len(step.keys), step.writes.extent.units):
            one = bound(call, binding, self._device, tensor, tables, self._plan.capacity)
            moving = tuple((position, keys[number]) for position, number in one.moving)
            wanted = plan.group if call.counts else None
            found.append(Launch(one, binding, moving, wanted, devices.kind(self._device) == "cpu"))
        return found

    def fit(self, regions: tuple[Region, ...], resident: OpenCLResident) -> None:
        """Compute on ``resident``, with the moving arguments that ``regions`` hold between them."""
        if resident.used != self._used:
            self._resize(resident.used)
        if regions != self._regions:
            given = {
                key: region.argument(key)
                for region in regions
                for key in region.layout.offsets
                if key in self._keys
            }
            for kernel, position, key in self._moving:
                kernel.set_arg(position, given[key])
            self._regions = regions

    def _resize(self, used: int) -> None:
        if used not in self._sizes:
            sizes = [[(one.kernel, one.sizes(used)) for one in launches] for launches in self.steps]
            self._sizes[used] = [[entry for entry in step if 0 not in entry[1][0]] for step in sizes]
        for one in self.launches:
            one.use(used)
        self._used, self._ready = used, self._sizes[used]

    def run(self, queue: cl.CommandQueue) -> Any:
        """Queue them all without waiting; the event of the last, None where there is nothing to do."""
        event = None
        for number in range(len(self._ready)):
            event = self.launch(number, queue) or event
        return event

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queue those of one step, ``times`` times; the event of the last."""
        events = [event for _ in range(times) for event in self.events(number, queue)]
        return events[-1] if events else None

    def events(self, number: int, queue: cl.CommandQueue, times: int = 1) -> list[Any]:
        """Queue those of one step, once whatever ``times``; the event of each."""
        return [cl.enqueue_nd_range_kernel(queue, kernel, *sizes) for kernel, sizes in self._ready[number]]

"""Grouped passes, for devices of many work items: few launches, and work groups that share what they load.

There a launch costs the host as long as a small kernel takes, and a kernel with few work items leaves most of
the device idle.  So a pass is composed of these launches:

* steps over samples that have much to do, one each: a work item computes one item, neighbours the same
  samples (or neighbouring ones) at the next tile of the axis that no bound depends on;
* steps over samples with little to do, several after one another: a work group takes a stretch of samples
  through them;
* sums over samples that need no wait for one another, side by side: a work group of each is one reduction
  group, or several;
* where there are partial sums, one that adds them up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import pyopencl as cl

from ...manifest.expressions import expression
from ...manifest.records import KernelInfo
from ...program.flat_vectors import Parts
from ...program.memory_plan import MemoryLayout, Use, plan_memory
from ...program.pass_stages import pass_stages
from ...program.program import Step, Unit
from ..plan.config import KernelConfig, KernelConfigs
from ..plan.kernel_plan import KernelPlan
from ..plan.plan import Plan
from .block_layout import BlockLayout
from .calls import partial_sums_key
from .compose import ComposedPass, Offsets, Queued, has_items, program_text
from .grouped_text import STRETCH, TOGETHER, LaunchGroup, Writer, planned, prefix
from .memory import OpenCLResident

#: Microseconds of a launch, and of one step of a reduction in a group that has a multiprocessor to itself
#: (measured on an H200).
LAUNCH, STEP = 5.0, 0.025


@dataclass(frozen=True)
class Grouping:
    """How passes are grouped, as ``plan`` has it for all samples of a pass."""

    plan: Plan
    sample_outer: bool = False
    offsets: bool = True

    def room(self, samples: int) -> int:
        """What the plan was made for."""
        return self.plan.capacity

    def layout(self, capacity: int) -> BlockLayout:
        """All samples in a single block."""
        return BlockLayout(capacity, capacity)

    def whole(self, samples: int) -> int:
        """``samples`` and those that are computed beside them."""
        return self.plan.padded(samples)

    def kernel(self, step: Step) -> KernelPlan:
        """The plan of a step's kernel."""
        return planned(self.plan, step)

    def partial_sums(self, step: Step) -> int:
        """How many partial sums the step's sum over the samples is taken in."""
        return self.kernel(step).partial_sums

    def scratch(
        self, steps: Sequence[Step], counts: Mapping[str, int], align: int, apart: bool = False
    ) -> MemoryLayout:
        """Offsets of tensors, which may overlap where no launch has both alive.

        At any time the groups of a launch are at different ones of its steps.
        """
        uses = []
        for launch in _apart(self, steps) if apart else _launches(self, steps):
            split = [partial_sums_key(step) for step in launch.steps if self.partial_sums(step) > 1]
            reads = [key for step in launch.steps for key in step.use.reads]
            writes = [key for step in launch.steps for key in step.use.writes]
            uses.append(Use(tuple(dict.fromkeys(reads)), tuple(dict.fromkeys([*writes, *split]))))
        return plan_memory(uses, counts, align)

    def compose(
        self, steps: Sequence[Step], device: Any, vectors: Parts, offsets: Offsets, apart: bool = False
    ) -> GroupedPass:
        """The pass of ``steps``; see ``GroupedPass``."""
        return GroupedPass(steps, self, device, vectors, offsets, apart)


@dataclass(frozen=True)
class InGroups:
    """``configs`` for kernels of grouped passes: work groups, constant and local memory are not theirs
    to choose.
    """

    configs: KernelConfigs

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """What is left of the configuration."""
        return replace(
            self.configs.find(unit, kernel, dtype, samples), group=None, constant=False, local=None
        )


def groupable(grouping: Grouping, kernels: Iterable[tuple[int, str]] | None = None) -> bool:
    """Whether every kernel (unit, name) has an item function; without names, all kernels."""
    return all(
        has_items(grouping.plan, *pair) for pair in (grouping.plan.kernels if kernels is None else kernels)
    )


class GroupedPass(ComposedPass):
    """The launches of one kind of pass.  ``apart``: no two steps share one."""

    def __init__(
        self,
        steps: Sequence[Step],
        grouping: Grouping,
        device: Any,
        vectors: Parts,
        offsets: Offsets,
        apart: bool = False,
    ) -> None:
        self.launch_groups = list(_apart(grouping, steps) if apart else _launches(grouping, steps))
        self.writers = [
            Writer(grouping.plan, n, group, vectors, offsets) for n, group in enumerate(self.launch_groups)
        ]
        text = program_text(
            _units(grouping, self.launch_groups), False, [writer.text() for writer in self.writers]
        )
        names = [writer.names for writer in self.writers]
        super().__init__(
            [group.steps for group in self.launch_groups], names, text, grouping.plan.dtype, device
        )
        self._ready: list[list[Queued]] = []

    def resize(self, resident: OpenCLResident) -> None:
        """Global and local sizes for the samples of ``resident``."""
        self._ready = [
            [] for _ in range(1 + max((launch_group.turn for launch_group in self.launch_groups), default=-1))
        ]
        for number, (launch_group, writer) in enumerate(zip(self.launch_groups, self.writers, strict=True)):
            self.set_last(number, resident.used)
            size, group = writer.sizes(resident.used)
            if 0 not in size:
                self._ready[launch_group.turn].append((self.kernels[number], size, group))

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queue the launches of one turn ``times`` times; the event of the last."""
        events = [event for _ in range(times) for event in self.events(number, queue)]
        return events[-1] if events else None

    def events(self, number: int, queue: cl.CommandQueue, times: int = 1) -> list[Any]:
        """Queue the launches of one turn; the event of each."""
        return [cl.enqueue_nd_range_kernel(queue, *entry) for entry in self._ready[number]]


# ------------------------------------------------------------------------------------------- what is launched
def _apart(grouping: Grouping, steps: Sequence[Step]) -> Iterator[LaunchGroup]:
    for number, step in enumerate(steps):
        yield from (
            _sums(grouping, [step], number)
            if not step.writes.samples
            else [LaunchGroup("single", (step,), number)]
        )


def _launches(grouping: Grouping, steps: Sequence[Step]) -> Iterator[LaunchGroup]:
    number = 0
    for stage in pass_stages(steps):
        found = (
            _sums(grouping, stage.steps, number)
            if stage.kind == "sums"
            else _stretches(grouping, stage.steps, number)
        )
        for launch_group in found:
            yield launch_group
            number = launch_group.turn + 1


def _sums(grouping: Grouping, steps: Sequence[Step], number: int) -> Iterator[LaunchGroup]:
    """All of them side by side; then what adds up partial sums."""
    yield LaunchGroup("sums", tuple(steps), number)
    split = tuple(step for step in steps if grouping.partial_sums(step) > 1)
    if split:
        yield LaunchGroup("parts", split, number)


def _stretches(grouping: Grouping, steps: Sequence[Step], number: int) -> Iterator[LaunchGroup]:
    """Launches of steps in order, as few as are worth it.

    Steps share a launch where a group is through with them sooner than another launch has begun.
    """
    together: list[Step] = []
    for step in [*steps, None]:
        if step is not None and _short(grouping, step):
            together.append(step)
            continue
        if together:
            yield LaunchGroup("stretch" if len(together) > 1 else "single", tuple(together), number)
            number, together = number + 1, []
        if step is not None:
            yield LaunchGroup("single", (step,), number)
            number += 1


def _short(grouping: Grouping, step: Step) -> bool:
    """Whether a group is through with its stretch of a step sooner than another launch has begun."""
    plan, binding = grouping.kernel(step), grouping.plan.binding(step.unit, step.kernel.name)
    if STRETCH % plan.step:
        return False
    items = prod(binding.global_size(step.kernel.global_size, STRETCH // plan.width))
    work = max(1, int(expression(step.kernel.work)(grouping.plan.units[step.unit].sizes))) * plan.sample_tile
    return -(-items // TOGETHER) * (work + 4) * STEP < LAUNCH


def _units(grouping: Grouping, launch_groups: Iterable[LaunchGroup]) -> dict[str, Any]:
    steps = {
        prefix(grouping.plan, step): step for launch_group in launch_groups for step in launch_group.steps
    }
    return {
        prefix: grouping.plan.binding(step.unit, step.kernel.name) for prefix, step in sorted(steps.items())
    }

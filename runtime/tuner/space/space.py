"""The legal schedules of one kernel at its sizes on one device: every tunable that its manifest lists, and their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import lcm, prod
from typing import Any

import numpy as np

from ...manifest.records import KernelInfo
from ...opencl.plan.constant_launches import constant_launches
from ...opencl.plan.cpu_cost_model import MOST_PLACES, sample_widths, splits
from ...opencl.plan.kernel_plan import MOST_UNROLLED, KernelPlan, plan_kernel
from ...opencl.plan.kernel_problem import global_size, tile_extents
from ...opencl.plan.local_copies import no_local_copy
from ...opencl.plan.parts import MOST_TEAM
from ...opencl.plan.schedule import DEFAULT, Schedule
from ...program.program import Unit
from . import local_sizes, predicted
from .local_sizes import Image
from .traits import Traits

#: Work items of a group that every CPU driver was seen to take.
USUAL_GROUP = 64
#: Work groups that are tried beside one choice of tiles.
MOST_GROUPS = 5
#: Rounds of an innermost loop that are tried as one; 0 is the compiler's choice.
UNROLLED = (0, 2, 4, 8)
#: Work items that share a sum; 1 keeps it to one.
TEAMS = tuple(1 << n for n in range(1, MOST_TEAM.bit_length()))
#: Rounds that are copied to local memory at a time; 0 copies nothing.
COPIED = (0, 1, 4, 16, 64)


@dataclass(frozen=True)
class Space:
    """The schedules of ``kernel`` for passes of ``samples`` samples in ``dtype``.

    ``image``: what Algorithm 4 sees of it, None where it does not apply.
    """

    unit: Unit
    kernel: KernelInfo
    dtype: str
    samples: int
    device: Traits
    image: Image | None = None

    def plan(self, schedule: Schedule) -> KernelPlan:
        """The schedule in numbers."""
        along = self.device.width if self.unit.is_rows else 0
        return plan_kernel(
            self.unit, self.kernel, schedule, self.width, self.samples, self.device.machine, along, self.itemsize
        )

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def width(self) -> int:
        """Samples per vector by default: none has lanes in rows."""
        return 1 if self.unit.is_rows else self.device.width

    @property
    def widths(self) -> tuple[int, ...]:
        """Every legal number of samples per vector."""
        return (1,) if self.unit.is_rows else self.device.widths

    def lanes(self, width: int) -> int:
        """Of a vector, where samples have ``width``."""
        return self.device.width if self.unit.is_rows else width

    @cached_property
    def default(self) -> KernelPlan:
        """The default in numbers."""
        return self.plan(DEFAULT)

    def vectors(self, width: int) -> int:
        """Vectors in use of ``width`` samples."""
        lanes = lcm(width, self.width)
        return -(-self.samples // lanes) * lanes // width

    def global_size(self, plan: KernelPlan) -> tuple[int, ...]:
        """Work items of a launch."""
        vectors, lanes = self.vectors(plan.width), self.lanes(plan.width)
        return global_size(self.unit, self.kernel, plan.tiles, vectors, lanes, plan.parts, plan.team)

    def places(self, tiles: Mapping[str, int]) -> int:
        """Accumulators in registers: of a strip those of one place."""
        strip = self.kernel.strip
        return prod(size for macro, size in tiles.items() if strip is None or macro != strip.macro)

    def illegal(self, schedule: Schedule) -> str:
        """Why the schedule is not legal; "" where it is."""
        reason = self._illegal_tiles(schedule)
        if reason:
            return reason
        plan = self.plan(schedule)
        if self.places(plan.tiles) > MOST_PLACES:
            return f"{self.places(plan.tiles)} accumulators, expected at most {MOST_PLACES}"
        return (
            self._illegal_team(schedule, plan)
            or self._illegal_group(schedule, plan)
            or self._illegal_parts(schedule, plan)
            or self._illegal_unroll(schedule)
            or self._illegal_constant(schedule)
            or self._illegal_local(schedule)
        )

    def _illegal_tiles(self, schedule: Schedule) -> str:
        width = schedule.width or self.width
        if width not in self.widths:
            return f"width {width}, expected one of {', '.join(map(str, self.widths))}"
        extents = tile_extents(self.unit, self.kernel, -(-self.samples // width), self.lanes(width))
        for macro, size in schedule.tiles.items():
            if macro not in extents:
                return f"{self.kernel.name} has no tile {macro}"
            if not 1 <= size <= max(1, extents[macro]):
                return f"{macro} = {size}, expected 1 to {extents[macro]}"
        return ""

    def _illegal_group(self, schedule: Schedule, plan: KernelPlan) -> str:
        items = self.global_size(plan)
        if schedule.across is not None and (schedule.across not in (0, 1) or not self.device.grouped):
            return f"across = {schedule.across}, expected 0 or 1, and a grouped pass"
        if schedule.group is not None and self.device.composed:
            return "a kernel of a composed pass has no work group"
        if schedule.group is not None and not local_sizes.fits(schedule.group, items, self.device):
            return f"group {schedule.group} does not fit the work items {items}, groups of up to {self.device.work_group}"
        return ""

    def _illegal_parts(self, schedule: Schedule, plan: KernelPlan) -> str:
        if schedule.parts is None:
            return ""
        if self.device.fused:
            return "a kernel of a fused pass takes its sum in one part"
        if not self.kernel.parts:
            return f"{self.kernel.name} has no sum that can be taken in parts"
        if not 1 <= schedule.parts <= self.most_parts(plan):
            return f"{schedule.parts} parts, expected 1 to {self.most_parts(plan)}"
        return ""

    def most_parts(self, plan: KernelPlan) -> int:
        """Parts of a sum that have at least a vector for each item of a team, or for one item."""
        vectors = -(-self.samples // plan.width)
        return -(-vectors * plan.split // max(1, plan.team))

    def _illegal_team(self, schedule: Schedule, plan: KernelPlan) -> str:
        if plan.team and schedule.group is not None:
            return "a team is a work group of its own"
        if schedule.split is not None and (not self.kernel.split or schedule.split != plan.split):
            return f"{schedule.split} runs, expected a power of two up to the team's {plan.team} and to the rounds of its loop"
        return "" if schedule.team is None else self._illegal_team_of(schedule.team, plan)

    def _illegal_team_of(self, items: int, plan: KernelPlan) -> str:
        if self.device.fused:
            return "a kernel of a fused pass has a sum to itself"
        if not self.kernel.team:
            return f"{self.kernel.name} has no sum that work items could share"
        if items not in (1, *TEAMS) or items > self.device.work_group:
            return f"a team of {items}, expected a power of two up to {min(self.device.work_group, TEAMS[-1])}"
        if items != max(1, plan.team):
            return f"a team of {items} needs more local memory than the {self.device.machine.local} bytes of a group"
        return ""

    def _illegal_unroll(self, schedule: Schedule) -> str:
        if schedule.unroll is None:
            return ""
        if self.device.fused and self.kernel.role == "gradient":
            return "a sum of a fused pass has its block's vectors unrolled"
        if not self.kernel.unroll:
            return f"{self.kernel.name} has no loop to unroll"
        if not 1 <= schedule.unroll <= MOST_UNROLLED:
            return f"unrolled {schedule.unroll} times, expected 1 to {MOST_UNROLLED}"
        return ""

    def _illegal_constant(self, schedule: Schedule) -> str:
        if not schedule.constant:
            return ""
        if self.device.composed:
            return "a kernel of a composed pass reads its parameters from global memory"
        tiles = self.plan(schedule).tiles
        return constant_launches(self.unit, self.kernel, tiles, self.device.machine, self.itemsize)[1]

    def _illegal_local(self, schedule: Schedule) -> str:
        if schedule.local is None:
            return ""
        if self.device.composed:
            return "a kernel of a composed pass has no work group that could copy"
        if (schedule.unroll or 1) > 1:
            return "a loop that copies has barriers, and is not unrolled"
        tiles = self.plan(schedule).tiles
        return no_local_copy(self.unit, self.kernel, schedule, tiles, self.device.machine, self.itemsize)

    def unproven(self, schedule: Schedule) -> str:
        """Why the schedule could take its process along, so that a child tries it first; "" where it is known to be safe."""
        if self.device.kind != "gpu":
            reason = self._unproven_on_a_cpu(schedule)
            if reason:
                return reason
        if schedule.unroll is not None and not self.device.composed:
            return "a loop unrolled otherwise than the compiler likes"
        if schedule.constant:
            return "parameters in constant memory"
        if schedule.local is not None:
            return "parameters in local memory, with barriers"
        if schedule.team is not None and self.device.kind != "gpu":
            return "a team, with barriers"
        return ""

    def _unproven_on_a_cpu(self, schedule: Schedule) -> str:
        if (schedule.width or self.width) > self.width:
            return f"vectors of {schedule.width}, wider than the device's {self.width}"
        if schedule.group is not None and prod(schedule.group) > USUAL_GROUP:
            return f"a work group of {prod(schedule.group)}"
        return ""

    # ------------------------------------------------------------------------------------------------- the tunables
    def tile_values(self, macro: str, width: int) -> tuple[int, ...]:
        """Even splits of the tile's extent; over the samples few widths, so that one capacity serves all kernels."""
        extent = tile_extents(self.unit, self.kernel, -(-self.samples // width), self.lanes(width))[macro]
        if self.kernel.tiles[macro].extent is not None:
            return tuple(splits(extent))
        return tuple(sample_widths(extent))

    @cached_property
    def start(self) -> int:
        """Algorithm 4's number of neighbouring work items."""
        return local_sizes.neighbours_of(self.image, self.device, self.itemsize)

    def groups(self, schedule: Schedule) -> list[tuple[int, ...]]:
        """Work groups for the tiles and width of ``schedule``."""
        if self.device.composed:
            return []
        return local_sizes.groups(self.global_size(self.plan(schedule)), self.device, self.start)

    def schedule(self, tiles: Mapping[str, int], width: int | None = None, group: tuple[int, ...] | None = None) -> Schedule:
        """With every tile spelled out, so that later defaults do not change it; the device's own width is left out."""
        own = width or self.width
        sizes = self.plan(Schedule(dict(tiles), own)).tiles
        return Schedule(dict(sizes), None if own == self.width else own, group)

    def tilings(self, width: int | None = None) -> list[Schedule]:
        """Every combination of tile sizes, by predicted cost."""
        own = width or self.width
        macros = list(self.kernel.tiles)
        values = [self.tile_values(macro, own) for macro in macros]
        found = [dict(zip(macros, sizes, strict=True)) for sizes in product(*values)]
        found = [tiles for tiles in found if self.places(tiles) <= MOST_PLACES]
        found.sort(key=lambda tiles: predicted.cost(self.unit, self.kernel, tiles, own, self.samples, self.device))
        return [self.schedule(tiles, own) for tiles in found]

    def part_values(self, plan: KernelPlan) -> tuple[int, ...]:
        """Parts to try: powers of two, until there are four times the work items that keep the device busy."""
        if not self.kernel.parts or self.device.fused:
            return (1,)
        items = prod(self.global_size(replace(plan, parts=1)))
        room = min(self.most_parts(plan), 4 * self.device.machine.work_items // max(1, items))
        return tuple(1 << n for n in range(max(1, room.bit_length())))

    def neighbours(self, schedule: Schedule) -> Iterator[Schedule]:
        """Schedules that differ in one tunable: the next tile sizes, the next widths, every work group, the next of each choice."""
        for found in self._around(schedule):
            if not self.illegal(found):
                yield found

    def _around(self, schedule: Schedule) -> Iterator[Schedule]:
        plan = self.plan(schedule)
        same = _with_choices(self.schedule(plan.tiles, plan.width, schedule.group), schedule)
        yield from self._other_shapes(schedule, plan)
        yield from self._other_sums(same, plan)
        yield from self._other_loops(same, plan)
        if self.device.kind == "gpu" and not self.device.composed:
            yield from self._other_memory(same, schedule)

    def _other_shapes(self, schedule: Schedule, plan: KernelPlan) -> Iterator[Schedule]:
        """The next sizes of each tile, the next widths, and every work group."""
        width, tiles = plan.width, plan.tiles
        for macro in self.kernel.tiles:
            for size in _beside(self.tile_values(macro, width), tiles[macro]):
                yield _with_choices(self.schedule({**tiles, macro: size}, width), schedule)
        for other in _beside(self.widths, width):
            yield _with_choices(self.schedule(tiles, other), schedule)
        for group in self.groups(schedule)[:MOST_GROUPS]:
            if group != schedule.group:
                yield _with_choices(self.schedule(tiles, width, group), schedule)

    def _other_sums(self, same: Schedule, plan: KernelPlan) -> Iterator[Schedule]:
        """The next numbers of parts, of items that share one, and of runs that these share out."""
        for parts in _beside(self.part_values(plan), plan.parts):
            yield replace(same, parts=parts, group=None)
        if self.kernel.team and self.device.kind == "gpu" and not self.device.fused:
            for team in _beside((1, *TEAMS), max(1, plan.team)):
                yield replace(same, team=team, split=None, group=None)
            for split in _beside((1, *TEAMS), plan.split):
                yield replace(same, team=plan.team or None, split=split, group=None)

    def _other_loops(self, same: Schedule, plan: KernelPlan) -> Iterator[Schedule]:
        """Neighbours that differ in another axis, and the next numbers of rounds that are unrolled."""
        if self.device.grouped and self.kernel.role != "gradient":
            yield replace(same, across=0 if plan.across else 1)
        if self.kernel.unroll:
            for rounds in _beside(UNROLLED, same.unroll or 0):
                yield replace(same, unroll=rounds or None)

    def _other_memory(self, same: Schedule, schedule: Schedule) -> Iterator[Schedule]:
        """Parameters in constant memory, or copied to local memory."""
        if self.kernel.constant:
            yield replace(same, constant=not same.constant)
        if self.kernel.local:
            along = next((g for g in self.groups(schedule) if g[0] > 1 and set(g[1:]) == {1}), None)
            for rounds in _beside(COPIED, same.local or 0):
                yield replace(same, local=rounds or None, group=schedule.group if same.local else along)

    def drawn(self, generator: np.random.Generator) -> Schedule:
        """A random legal schedule."""
        while True:
            width = int(generator.choice(self.widths))
            tiles = {macro: int(generator.choice(self.tile_values(macro, width))) for macro in self.kernel.tiles}
            schedule = self._drawn_choices(self.schedule(tiles, width), generator)
            groups: list[Any] = [None, *self.groups(schedule)]
            schedule = replace(schedule, group=groups[int(generator.integers(len(groups)))])
            schedule = self._drawn_local(schedule, generator)
            if not self.illegal(schedule):
                return schedule

    def _drawn_local(self, schedule: Schedule, generator: np.random.Generator) -> Schedule:
        copying = replace(schedule, local=int(generator.integers(1, 6)), group=(self.global_size(self.plan(schedule))[0], 1, 1))
        return copying if generator.integers(2) and not self.illegal(copying) else schedule

    def _drawn_choices(self, schedule: Schedule, generator: np.random.Generator) -> Schedule:
        """With any legal value of what is no tile, width or group, whether it is worth a trial or not."""
        if self.kernel.parts and not self.device.fused:
            teamed = replace(schedule, team=(None, 1, *TEAMS)[int(generator.integers(len(TEAMS) + 2))])
            schedule = schedule if self.illegal(teamed) else teamed
            split = replace(schedule, split=(1, *TEAMS)[int(generator.integers(5))])
            schedule = schedule if self.illegal(split) else split
            most = self.most_parts(self.plan(schedule))
            parts = [None, *(n for n in (1, 2, 3, 4, 7, 16, most) if n <= most)]
            schedule = replace(schedule, parts=parts[int(generator.integers(len(parts)))])
        if self.device.grouped:
            schedule = replace(schedule, across=(None, 0, 1)[int(generator.integers(3))])
        unrolled = replace(schedule, unroll=(None, 1, 2, 3, 4, 8)[int(generator.integers(6))])
        schedule = schedule if self.illegal(unrolled) else unrolled
        if generator.integers(2) and not self.illegal(replace(schedule, constant=True)):
            schedule = replace(schedule, constant=True)
        return schedule


def _with_choices(schedule: Schedule, other: Schedule) -> Schedule:
    """``schedule`` with what ``other`` chose besides tiles, width and group; a group that copies stays together."""
    group = other.group if schedule.group is None and other.local is not None else schedule.group
    return replace(other, tiles=schedule.tiles, width=schedule.width, group=group)


def legal(unit: Unit, kernel: KernelInfo, schedule: Schedule, device: Traits, dtype: str = "float32", samples: int = 1) -> bool:
    """Whether ``kernel`` may run with ``schedule`` on ``device``."""
    return not Space(unit, kernel, dtype, samples, device).illegal(schedule)


def _beside(values: tuple[int, ...], value: int) -> list[int]:
    """The next smaller and the next larger of ascending ``values``."""
    below, above = [v for v in values if v < value], [v for v in values if v > value]
    return [*below[-1:], *above[:1]]

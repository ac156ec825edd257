"""The legal configurations of one kernel at its sizes on one device.

There are as many tunables as its manifest lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from math import lcm, prod
from typing import Any

import numpy as np

from ...manifest.records import KernelInfo
from ...opencl.plan.config import DEFAULT, KernelConfig
from ...opencl.plan.constant_launches import constant_launches
from ...opencl.plan.cpu_cost_model import MOST_PLACES, sample_widths, splits
from ...opencl.plan.kernel_plan import MOST_UNROLLED, KernelPlan, plan_kernel
from ...opencl.plan.kernel_problem import global_size, tile_extents
from ...opencl.plan.local_copies import no_local_copy
from ...opencl.plan.partial_sums import MOST_REDUCTION_GROUP
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
REDUCTION_GROUPS = tuple(1 << n for n in range(1, MOST_REDUCTION_GROUP.bit_length()))
#: Rounds that are copied to local memory at a time; 0 copies nothing.
COPIED = (0, 1, 4, 16, 64)


@dataclass(frozen=True)
class Space:
    """The configurations of ``kernel`` for passes of ``samples`` samples in ``dtype``.

    ``image``: what Algorithm 4 sees of it, None where it does not apply.
    """

    unit: Unit
    kernel: KernelInfo
    dtype: str
    samples: int
    device: Traits
    image: Image | None = None

    def plan(self, config: KernelConfig) -> KernelPlan:
        """The configuration in numbers."""
        along = self.device.width if self.unit.is_sample_outer else 0
        return plan_kernel(
            self.unit,
            self.kernel,
            config,
            self.width,
            self.samples,
            self.device.machine,
            along,
            self.itemsize,
        )

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def width(self) -> int:
        """Samples per vector by default: 1 where samples are outer."""
        return 1 if self.unit.is_sample_outer else self.device.width

    @property
    def widths(self) -> tuple[int, ...]:
        """Every legal number of samples per vector."""
        return (1,) if self.unit.is_sample_outer else self.device.widths

    def lanes(self, width: int) -> int:
        """The lanes of a vector, where samples have ``width``."""
        return self.device.width if self.unit.is_sample_outer else width

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
        return global_size(
            self.unit, self.kernel, plan.tiles, vectors, lanes, plan.partial_sums, plan.reduction_group
        )

    def places(self, tiles: Mapping[str, int]) -> int:
        """Accumulators in registers: of a cache tile those of one place."""
        cache_tile = self.kernel.cache_tile
        return prod(size for macro, size in tiles.items() if cache_tile is None or macro != cache_tile.macro)

    def illegal(self, config: KernelConfig) -> str:
        """Why the configuration is not legal; "" where it is."""
        reason = self._illegal_tiles(config)
        if reason:
            return reason
        plan = self.plan(config)
        if self.places(plan.tiles) > MOST_PLACES:
            return f"{self.places(plan.tiles)} accumulators, expected at most {MOST_PLACES}"
        return (
            self._illegal_reduction_group(config, plan)
            or self._illegal_group(config, plan)
            or self._illegal_partial_sums(config, plan)
            or self._illegal_unroll(config)
            or self._illegal_constant(config)
            or self._illegal_local(config)
        )

    def _illegal_tiles(self, config: KernelConfig) -> str:
        width = config.width or self.width
        if width not in self.widths:
            return f"width {width}, expected one of {', '.join(map(str, self.widths))}"
        extents = tile_extents(self.unit, self.kernel, -(-self.samples // width), self.lanes(width))
        for macro, size in config.tiles.items():
            if macro not in extents:
                return f"{self.kernel.name} has no tile {macro}"
            if not 1 <= size <= max(1, extents[macro]):
                return f"{macro} = {size}, expected 1 to {extents[macro]}"
        return ""

    def _illegal_group(self, config: KernelConfig, plan: KernelPlan) -> str:
        items = self.global_size(plan)
        if config.across is not None and (config.across not in (0, 1) or not self.device.grouped):
            return f"across = {config.across}, expected 0 or 1, and a grouped pass"
        if config.group is not None and self.device.composed:
            return "a kernel of a composed pass has no work group"
        if config.group is not None and not local_sizes.fits(config.group, items, self.device):
            return (
                f"group {config.group} does not fit the work items {items}, groups of up to "
                f"{self.device.work_group}"
            )
        return ""

    def _illegal_partial_sums(self, config: KernelConfig, plan: KernelPlan) -> str:
        if config.partial_sums is None:
            return ""
        if self.device.fused:
            return "a kernel of a fused pass takes its sum in one part"
        if not self.kernel.partial_sums:
            return f"{self.kernel.name} has no sum that can be taken in parts"
        if not 1 <= config.partial_sums <= self.most_partial_sums(plan):
            return f"{config.partial_sums} parts, expected 1 to {self.most_partial_sums(plan)}"
        return ""

    def most_partial_sums(self, plan: KernelPlan) -> int:
        """Partial sums that have at least a vector for each item of a reduction group, or for one item."""
        vectors = -(-self.samples // plan.width)
        return -(-vectors * plan.loop_split // max(1, plan.reduction_group))

    def _illegal_reduction_group(self, config: KernelConfig, plan: KernelPlan) -> str:
        if plan.reduction_group and config.group is not None:
            return "a team is a work group of its own"
        if config.loop_split is not None and (
            not self.kernel.loop_split or config.loop_split != plan.loop_split
        ):
            most = f"the team's {plan.reduction_group} and to the rounds of its loop"
            return f"{config.loop_split} runs, expected a power of two up to {most}"
        return (
            ""
            if config.reduction_group is None
            else self._illegal_reduction_group_of(config.reduction_group, plan)
        )

    def _illegal_reduction_group_of(self, items: int, plan: KernelPlan) -> str:
        if self.device.fused:
            return "a kernel of a fused pass has a sum to itself"
        if not self.kernel.reduction_group:
            return f"{self.kernel.name} has no sum that work items could share"
        if items not in (1, *REDUCTION_GROUPS) or items > self.device.work_group:
            return (
                f"a team of {items}, expected a power of two up to "
                f"{min(self.device.work_group, REDUCTION_GROUPS[-1])}"
            )
        if items != max(1, plan.reduction_group):
            return (
                f"a team of {items} needs more local memory than the {self.device.machine.local} bytes "
                "of a group"
            )
        return ""

    def _illegal_unroll(self, config: KernelConfig) -> str:
        if config.unroll is None:
            return ""
        if self.device.fused and self.kernel.role == "gradient":
            return "a sum of a fused pass has its block's vectors unrolled"
        if not self.kernel.unroll:
            return f"{self.kernel.name} has no loop to unroll"
        if not 1 <= config.unroll <= MOST_UNROLLED:
            return f"unrolled {config.unroll} times, expected 1 to {MOST_UNROLLED}"
        return ""

    def _illegal_constant(self, config: KernelConfig) -> str:
        if not config.constant:
            return ""
        if self.device.composed:
            return "a kernel of a composed pass reads its parameters from global memory"
        tiles = self.plan(config).tiles
        return constant_launches(self.unit, self.kernel, tiles, self.device.machine, self.itemsize)[1]

    def _illegal_local(self, config: KernelConfig) -> str:
        if config.local is None:
            return ""
        if self.device.composed:
            return "a kernel of a composed pass has no work group that could copy"
        if (config.unroll or 1) > 1:
            return "a loop that copies has barriers, and is not unrolled"
        tiles = self.plan(config).tiles
        return no_local_copy(self.unit, self.kernel, config, tiles, self.device.machine, self.itemsize)

    def unproven(self, config: KernelConfig) -> str:
        """Why the configuration could take its process along; "" where it is known to be safe.

        A child process tries such a configuration first.
        """
        if self.device.kind != "gpu":
            reason = self._unproven_on_a_cpu(config)
            if reason:
                return reason
        if config.unroll is not None and not self.device.composed:
            return "a loop unrolled otherwise than the compiler likes"
        if config.constant:
            return "parameters in constant memory"
        if config.local is not None:
            return "parameters in local memory, with barriers"
        if config.reduction_group is not None and self.device.kind != "gpu":
            return "a team, with barriers"
        return ""

    def _unproven_on_a_cpu(self, config: KernelConfig) -> str:
        if (config.width or self.width) > self.width:
            return f"vectors of {config.width}, wider than the device's {self.width}"
        if config.group is not None and prod(config.group) > USUAL_GROUP:
            return f"a work group of {prod(config.group)}"
        return ""

    # ------------------------------------------------------------------------------------------- the tunables
    def tile_values(self, macro: str, width: int) -> tuple[int, ...]:
        """Even splits of the tile's extent; over the samples few widths, so that one capacity serves
        all kernels.
        """
        extent = tile_extents(self.unit, self.kernel, -(-self.samples // width), self.lanes(width))[macro]
        if self.kernel.tiles[macro].extent is not None:
            return tuple(splits(extent))
        return tuple(sample_widths(extent))

    @cached_property
    def start(self) -> int:
        """Algorithm 4's number of neighbouring work items."""
        return local_sizes.neighbours_of(self.image, self.device, self.itemsize)

    def groups(self, config: KernelConfig) -> list[tuple[int, ...]]:
        """Work groups for the tiles and width of ``config``."""
        if self.device.composed:
            return []
        return local_sizes.groups(self.global_size(self.plan(config)), self.device, self.start)

    def config(
        self, tiles: Mapping[str, int], width: int | None = None, group: tuple[int, ...] | None = None
    ) -> KernelConfig:
        """A configuration with every tile spelled out, so that later defaults do not change it.

        The device's own width is left out.
        """
        own = width or self.width
        sizes = self.plan(KernelConfig(dict(tiles), own)).tiles
        return KernelConfig(dict(sizes), None if own == self.width else own, group)

    def tilings(self, width: int | None = None) -> list[KernelConfig]:
        """Every combination of tile sizes, by predicted cost."""
        own = width or self.width
        macros = list(self.kernel.tiles)
        values = [self.tile_values(macro, own) for macro in macros]
        found = [dict(zip(macros, sizes, strict=True)) for sizes in product(*values)]
        found = [tiles for tiles in found if self.places(tiles) <= MOST_PLACES]
        found.sort(
            key=lambda tiles: predicted.cost(self.unit, self.kernel, tiles, own, self.samples, self.device)
        )
        return [self.config(tiles, own) for tiles in found]

    def partial_sum_values(self, plan: KernelPlan) -> tuple[int, ...]:
        """Parts to try: powers of two, until there are four times the work items that keep the device
        busy.
        """
        if not self.kernel.partial_sums or self.device.fused:
            return (1,)
        items = prod(self.global_size(replace(plan, partial_sums=1)))
        room = min(self.most_partial_sums(plan), 4 * self.device.machine.work_items // max(1, items))
        return tuple(1 << n for n in range(max(1, room.bit_length())))

    def neighbours(self, config: KernelConfig) -> Iterator[KernelConfig]:
        """The legal configurations that differ in one tunable.

        These are the next sizes of each tile, the next widths, every work group, and the next value of each
        choice.
        """
        for found in self._around(config):
            if not self.illegal(found):
                yield found

    def _around(self, config: KernelConfig) -> Iterator[KernelConfig]:
        plan = self.plan(config)
        same = _with_choices(self.config(plan.tiles, plan.width, config.group), config)
        yield from self._other_shapes(config, plan)
        yield from self._other_sums(same, plan)
        yield from self._other_loops(same, plan)
        if self.device.kind == "gpu" and not self.device.composed:
            yield from self._other_memory(same, config)

    def _other_shapes(self, config: KernelConfig, plan: KernelPlan) -> Iterator[KernelConfig]:
        """The next sizes of each tile, the next widths, and every work group."""
        width, tiles = plan.width, plan.tiles
        for macro in self.kernel.tiles:
            for size in _beside(self.tile_values(macro, width), tiles[macro]):
                yield _with_choices(self.config({**tiles, macro: size}, width), config)
        for other in _beside(self.widths, width):
            yield _with_choices(self.config(tiles, other), config)
        for group in self.groups(config)[:MOST_GROUPS]:
            if group != config.group:
                yield _with_choices(self.config(tiles, width, group), config)

    def _other_sums(self, same: KernelConfig, plan: KernelPlan) -> Iterator[KernelConfig]:
        """The next numbers of partial sums, of items that share one, and of runs that these share out."""
        for partial_sums in _beside(self.partial_sum_values(plan), plan.partial_sums):
            yield replace(same, partial_sums=partial_sums, group=None)
        if self.kernel.reduction_group and self.device.kind == "gpu" and not self.device.fused:
            for reduction_group in _beside((1, *REDUCTION_GROUPS), max(1, plan.reduction_group)):
                yield replace(same, reduction_group=reduction_group, loop_split=None, group=None)
            for loop_split in _beside((1, *REDUCTION_GROUPS), plan.loop_split):
                yield replace(
                    same, reduction_group=plan.reduction_group or None, loop_split=loop_split, group=None
                )

    def _other_loops(self, same: KernelConfig, plan: KernelPlan) -> Iterator[KernelConfig]:
        """Neighbours that differ in another axis, and the next numbers of rounds that are unrolled."""
        if self.device.grouped and self.kernel.role != "gradient":
            yield replace(same, across=0 if plan.across else 1)
        if self.kernel.unroll:
            for rounds in _beside(UNROLLED, same.unroll or 0):
                yield replace(same, unroll=rounds or None)

    def _other_memory(self, same: KernelConfig, config: KernelConfig) -> Iterator[KernelConfig]:
        """Parameters in constant memory, or copied to local memory."""
        if self.kernel.constant:
            yield replace(same, constant=not same.constant)
        if self.kernel.local:
            along = next((g for g in self.groups(config) if g[0] > 1 and set(g[1:]) == {1}), None)
            for rounds in _beside(COPIED, same.local or 0):
                yield replace(same, local=rounds or None, group=config.group if same.local else along)

    def drawn(self, generator: np.random.Generator) -> KernelConfig:
        """A random legal configuration."""
        while True:
            width = int(generator.choice(self.widths))
            tiles = {
                macro: int(generator.choice(self.tile_values(macro, width))) for macro in self.kernel.tiles
            }
            config = self._drawn_choices(self.config(tiles, width), generator)
            groups: list[Any] = [None, *self.groups(config)]
            config = replace(config, group=groups[int(generator.integers(len(groups)))])
            config = self._drawn_local(config, generator)
            if not self.illegal(config):
                return config

    def _drawn_local(self, config: KernelConfig, generator: np.random.Generator) -> KernelConfig:
        copying = replace(
            config, local=int(generator.integers(1, 6)), group=(self.global_size(self.plan(config))[0], 1, 1)
        )
        return copying if generator.integers(2) and not self.illegal(copying) else config

    def _drawn_choices(self, config: KernelConfig, generator: np.random.Generator) -> KernelConfig:
        """``config`` with any legal value of what is no tile, width or group, worth a trial or not."""
        if self.kernel.partial_sums and not self.device.fused:
            shared = replace(
                config,
                reduction_group=(None, 1, *REDUCTION_GROUPS)[
                    int(generator.integers(len(REDUCTION_GROUPS) + 2))
                ],
            )
            config = config if self.illegal(shared) else shared
            loop_split = replace(config, loop_split=(1, *REDUCTION_GROUPS)[int(generator.integers(5))])
            config = config if self.illegal(loop_split) else loop_split
            most = self.most_partial_sums(self.plan(config))
            partial_sums = [None, *(n for n in (1, 2, 3, 4, 7, 16, most) if n <= most)]
            config = replace(config, partial_sums=partial_sums[int(generator.integers(len(partial_sums)))])
        if self.device.grouped:
            config = replace(config, across=(None, 0, 1)[int(generator.integers(3))])
        unrolled = replace(config, unroll=(None, 1, 2, 3, 4, 8)[int(generator.integers(6))])
        config = config if self.illegal(unrolled) else unrolled
        if generator.integers(2) and not self.illegal(replace(config, constant=True)):
            config = replace(config, constant=True)
        return config


def _with_choices(config: KernelConfig, other: KernelConfig) -> KernelConfig:
    """``config`` with what ``other`` chose besides tiles, width and group; a group that copies stays
    together.
    """
    group = other.group if config.group is None and other.local is not None else config.group
    return replace(other, tiles=config.tiles, width=config.width, group=group)


def legal(
    unit: Unit,
    kernel: KernelInfo,
    config: KernelConfig,
    device: Traits,
    dtype: str = "float32",
    samples: int = 1,
) -> bool:
    """Whether ``kernel`` may run with ``config`` on ``device``."""
    return not Space(unit, kernel, dtype, samples, device).illegal(config)


def _beside(values: tuple[int, ...], value: int) -> list[int]:
    """The next smaller and the next larger of ascending ``values``."""
    below, above = [v for v in values if v < value], [v for v in values if v > value]
    return [*below[-1:], *above[:1]]

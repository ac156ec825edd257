"""Plans how one kernel runs; the cost models choose what its configuration leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod

from ...manifest.records import KernelInfo
from ...powers import power_below
from ...program.program import Unit
from ..device.machine import Machine
from . import gpu_cost_model
from .config import KernelConfig
from .constant_launches import Share, constant_launches
from .cpu_cost_model import TileProblem, best_tile, cycles
from .gpu_cost_model import Choice
from .kernel_problem import at_work, global_size, gpu_choice, kernel_problem, loop_split_rounds, tile_extents
from .local_copies import no_local_copy
from .partial_sums import MANY, default_partial_sums, most_partial_sums, reduction_group_numbers

#: The most iterations of an innermost loop that are unrolled into one.
MOST_UNROLLED = 16


@dataclass(frozen=True)
class KernelPlan:
    """How one kernel runs, in numbers.

    ``width``: samples per vector.
    ``tiles``: the size of every tile, by macro.
    ``group``: the local size; None leaves it to the rule of ``launch.launch``.
    ``sample_tile``: the number of vectors of samples in a tile.
    ``cycles``: predicted cycles for one vector of places and one step of their reduction.
    ``partial_sums``: the number of partial sums over the samples, which are added up later.
    ``reduction_group``: the number of work items that share a sum; 0 if each computes its own.
    ``loop_split``: into how many parts a reduction group splits its outermost loops.
    ``across``: whether neighbours differ in axes without tiles.
    ``macros``: the macros that the text is built with, tiles included.
    ``shares``: the output maps of each launch; None is a launch over all of them.
    ``copies``: whether groups copy parameters, so that their work items must differ in samples only.
    """

    width: int
    tiles: Mapping[str, int]
    group: tuple[int, ...] | None
    sample_tile: int
    cycles: float
    partial_sums: int = 1
    reduction_group: int = 0
    loop_split: int = 1
    across: bool = False
    macros: Mapping[str, int | str] = field(default_factory=dict)
    shares: tuple[Share | None, ...] = (None,)
    copies: bool = False

    @property
    def step(self) -> int:
        """What the number of samples in use must be a multiple of."""
        return self.width * self.sample_tile


def plan_kernel(
    unit: Unit,
    kernel: KernelInfo,
    config: KernelConfig,
    width: int,
    samples: int,
    machine: Machine,
    lanes: int = 0,
    itemsize: int = 4,
) -> KernelPlan:
    """Plans a kernel with ``config`` for passes of up to ``samples`` samples.

    ``width``: the device's samples per vector.
    ``lanes``: the lanes of a vector if they go along units (then ``width`` is 1); 0 if they are samples.
    ``itemsize``: the bytes of a number.

    The default replaces what does not fit the device.
    """
    own = width if lanes else config.width or width
    return _Planning(unit, kernel, config, machine, own, -(-samples // own), lanes or own, itemsize).plan()


@dataclass(frozen=True)
class _Planning:
    """One kernel whose plan is being made: ``vectors`` vectors of ``width`` samples, with ``lanes``
    lanes each.
    """

    unit: Unit
    kernel: KernelInfo
    config: KernelConfig
    machine: Machine
    width: int
    vectors: int
    lanes: int
    itemsize: int

    @property
    def many(self) -> bool:
        """Whether the device has work items by the hundred, as a GPU has."""
        return self.machine.work_items >= MANY

    def plan(self) -> KernelPlan:
        """Makes every choice, each after those that it depends on."""
        kernel, config = self.kernel, self.config
        problem = self.problem()
        best = self.choose_by_cost(problem)
        tiles = self.choose_tiles(best)
        partial_sums, reduction_group, loop_split = self.choose_sum(best, tiles)
        shares = self.choose_shares(tiles)
        copies = self.choose_copies(tiles)
        macros: dict[str, int | str] = {**tiles, **self.sum_macros(partial_sums, reduction_group, loop_split)}
        macros |= {**self.constant_macros(shares), **self.loop_macros(copies)}
        sample_tile = next((tiles[macro] for macro, info in kernel.tiles.items() if info.extent is None), 1)
        return KernelPlan(
            width=self.width,
            tiles=tiles,
            group=(reduction_group, 1, 1) if reduction_group else config.group,
            sample_tile=sample_tile,
            cycles=cycles(problem, tuple(tiles.values()), self.machine),
            partial_sums=partial_sums,
            reduction_group=reduction_group,
            loop_split=loop_split,
            across=self.choose_across(sample_tile),
            macros=macros,
            shares=shares or (None,),
            copies=copies,
        )

    def problem(self) -> TileProblem:
        """The problem that the tiles are chosen for."""
        spare = 1 if self.many else most_partial_sums(self.vectors, self.machine.work_items)
        return kernel_problem(self.unit, self.kernel, self.vectors, self.lanes, spare)

    def choose_by_cost(self, problem: TileProblem) -> Choice:
        """The cheapest choice by the cost model of the device."""
        if not self.many:
            return Choice(best_tile(problem, at_work(self.kernel, self.machine)))
        return gpu_choice(
            self.unit, self.kernel, problem, self.machine, self.width, self.vectors, self.itemsize
        )[0]

    def choose_tiles(self, best: Choice) -> dict[str, int]:
        """The tiles of the configuration, cut to the extent of their axes; others are those of ``best``."""
        extents = tile_extents(self.unit, self.kernel, self.vectors, self.lanes)
        tiles = dict(zip(extents, best.tile, strict=True))
        return tiles | {
            m: max(1, min(size, extents[m])) for m, size in self.config.tiles.items() if m in tiles
        }

    def choose_sum(self, best: Choice, tiles: Mapping[str, int]) -> tuple[int, int, int]:
        """The number of partial sums, the size of a reduction group, and the runs of its loops."""
        if not self.kernel.partial_sums:
            return 1, 0, 1
        config, many = self.config, self.many
        reduction_group = self.fitting_reduction_group(config.reduction_group or best.reduction_group, tiles)
        items = prod(
            global_size(
                self.unit, self.kernel, tiles, self.vectors, self.lanes, reduction_group=reduction_group
            )
        )
        loop_split = self.fitting_loop_split(config.loop_split or best.loop_split, reduction_group)
        rounds = -(-self.vectors * loop_split // max(1, reduction_group))
        usual = (
            best.partial_sums
            if many and reduction_group == best.reduction_group
            else default_partial_sums(items, rounds, self.machine.work_items)
        )
        return max(1, min(config.partial_sums or usual, rounds)), reduction_group, loop_split

    def fitting_reduction_group(self, wanted: int, tiles: Mapping[str, int]) -> int:
        """Work items that share a sum, whose sums fit local memory; 0 for no reduction group."""
        reduction_group = power_below(wanted) if self.kernel.reduction_group and wanted else 0
        while (
            reduction_group > 1
            and reduction_group_numbers(prod(tiles.values()), reduction_group) * self.itemsize
            > self.machine.local
        ):
            reduction_group //= 2
        return reduction_group if reduction_group > 1 else 0

    def fitting_loop_split(self, wanted: int, reduction_group: int) -> int:
        """The loop split of a reduction group: at most its work items, and at most the loop's iterations."""
        return max(
            1,
            min(power_below(wanted), reduction_group, power_below(loop_split_rounds(self.unit, self.kernel))),
        )

    def choose_shares(self, tiles: Mapping[str, int]) -> tuple[Share | None, ...]:
        """The launches that read parameters from constant memory; none where they stay in global memory."""
        if not self.config.constant:
            return ()
        return constant_launches(self.unit, self.kernel, tiles, self.machine, self.itemsize)[0]

    def choose_copies(self, tiles: Mapping[str, int]) -> bool:
        """Whether groups copy parameters to local memory."""
        if self.config.local is None:
            return False
        return not no_local_copy(self.unit, self.kernel, self.config, tiles, self.machine, self.itemsize)

    def choose_across(self, sample_tile: int) -> bool:
        """Whether neighbours differ in axes without tiles.

        If a warp is filled by the samples, the next work items may read other inputs with the same
        parameters.
        """
        if self.config.across is not None:
            return bool(self.config.across)
        return -(-self.vectors // sample_tile) >= gpu_cost_model.WARP

    def sum_macros(self, partial_sums: int, reduction_group: int, loop_split: int) -> dict[str, int]:
        """The macros for how a sum over samples is split."""
        kernel = self.kernel
        macros = (
            {kernel.partial_sums: partial_sums, kernel.reduction_group: reduction_group}
            if kernel.partial_sums
            else {}
        )
        return macros | ({kernel.loop_split.macro: loop_split} if kernel.loop_split else {})

    def constant_macros(self, shares: tuple[Share | None, ...]) -> dict[str, int | str]:
        """The macros for the parameters' address space, and for whether launches are given slices of them."""
        found = self.kernel.constant
        if found is None:
            return {}
        macros: dict[str, int | str] = {found.macro: "__constant" if shares else "__global"}
        return macros | (
            {found.slicing: int(any(share is not None for share in shares))} if found.slicing else {}
        )

    def loop_macros(self, copies: bool) -> dict[str, int]:
        """The macros for unrolled loops, for packed parameters, and for the iterations that a group copies.

        A loop that copies is not unrolled, because it has barriers and compilers fail on repeated ones.
        """
        kernel, config = self.kernel, self.config
        macros = (
            {kernel.unroll: 0 if copies else min(config.unroll or 0, MOST_UNROLLED)} if kernel.unroll else {}
        )
        macros |= {kernel.packed.macro: int(config.packed)} if kernel.packed else {}
        return macros | ({kernel.local.macro: (config.local or 0) if copies else 0} if kernel.local else {})

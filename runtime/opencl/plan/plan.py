"""From the schedules of a network's kernels to numbers: vector widths, tile sizes, and how many samples a pass is padded to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from math import lcm, prod

import numpy as np

from ...manifest.expressions import expression
from ...manifest.records import KernelInfo
from ...powers import power_below
from ...program.program import Unit
from ..device.machine import Machine
from ..device.programs import Binding
from . import gpu_cost_model
from .constant_launches import Share, constant_launches
from .cpu_cost_model import MOST_VECTORS, TileProblem, best_tile, cycles, tile_problem
from .gpu_cost_model import Choice, Sum
from .local_copies import no_local_copy
from .parts import MANY, default_parts, most_parts, team_numbers
from .schedule import Schedule, Schedules

#: Bytes of a number, as far as caches are counted.
SINGLE = 4
#: Rounds of an innermost loop that may be unrolled into one.
MOST_UNROLLED = 16


@dataclass(frozen=True)
class KernelPlan:
    """One kernel's samples per vector, the size of every tile, and its local size (None: the rule of ``launch.launch``).

    ``cycles``: predicted for one vector of places and one step of their reduction.  ``parts``: of its sum over the samples;
    ``team``: work items that share a part, 0 where each has one to itself; ``split``: runs of its loops that they share out.
    ``across``: whether neighbours differ in axes without tiles.  ``macros``: what its text is built with, tiles among it.
    ``shares``: of the output maps, one for each launch; None is a launch over all of them.  ``copies``: whether groups copy
    parameters, so that their items must differ in the samples only.
    """

    width: int
    tiles: Mapping[str, int]
    group: tuple[int, ...] | None
    sample_tile: int
    cycles: float
    parts: int = 1
    team: int = 0
    split: int = 1
    across: bool = False
    macros: Mapping[str, int | str] = field(default_factory=dict)
    shares: tuple[Share | None, ...] = (None,)
    copies: bool = False

    @property
    def step(self) -> int:
        """What the number of samples in use must be a multiple of."""
        return self.width * self.sample_tile


def tile_extents(unit: Unit, kernel: KernelInfo, vectors: int, lanes: int) -> dict[str, int]:
    """The extent of every tiled axis by macro; that of the samples, and of an axis with lanes, is their number of vectors."""
    sizes = {**unit.sizes, "V": lanes}
    return {macro: vectors if info.extent is None else int(expression(info.extent)(sizes)) for macro, info in kernel.tiles.items()}


def global_size(
    unit: Unit, kernel: KernelInfo, tiles: Mapping[str, int], vectors: int, lanes: int, parts: int = 1, team: int = 0
) -> tuple[int, ...]:
    """Work items of ``kernel`` over ``vectors`` vectors of samples; a vector has ``lanes`` lanes."""
    environment = {**unit.sizes, **tiles, "vectors": vectors, "V": lanes, kernel.parts: parts, kernel.team: team}
    return tuple(int(expression(size)(environment)) for size in kernel.global_size)


def kernel_problem(unit: Unit, kernel: KernelInfo, vectors: int, lanes: int, parts: int = 1) -> TileProblem:
    """What tiles of ``kernel`` are chosen for, over ``vectors`` vectors of samples, whose sum may be taken in ``parts``.

    A vector has ``lanes`` lanes.
    """
    extents = tile_extents(unit, kernel, vectors, lanes)
    # with whole axes as tiles, what is left are the work items over the other axes; sums may be split as far as that is worth it
    whole = {macro: max(1, extent) for macro, extent in extents.items()}
    others = prod(global_size(unit, kernel, whole, vectors, lanes, parts))
    samples_tiled = any(info.extent is None for info in kernel.tiles.values())
    work, plane = int(expression(kernel.work)(unit.sizes)), 0
    if kernel.role == "gradient" and kernel.lanes.over == "samples":
        plane = work * vectors * lanes * SINGLE
    strip = None
    if kernel.strip is not None:
        steps = work // max(1, int(expression(kernel.strip.rounds)(unit.sizes)))
        steps *= min(vectors, MOST_VECTORS)
        strip = kernel.strip.macro, steps * lanes * SINGLE, max(1, steps)
    # a tile of vectors that is longer than its axis would be computed place by place
    alone = tile_extents(unit, kernel, vectors, 1)
    limits = [alone[macro] // lanes if alone[macro] != extent else extent for macro, extent in extents.items()]
    return tile_problem(
        extents, kernel.operands, others, samples_tiled, plane, kernel.sliding, strip, limits, kernel.invariant, kernel.sums
    )


def _partial(unit: Unit, kernel: KernelInfo, macro: str, extent: int) -> tuple[int, int]:
    """Places at the beginning and at the end of a tiled axis that some loop begins late or ends early for."""
    if macro not in kernel.bounds:
        return 0, 0
    loops = [tuple(map(expression, (loop.first, loop.end, loop.extent))) for loop in kernel.bounds[macro]]

    def whole(place: int) -> bool:
        at = {**unit.sizes, macro.removeprefix(f"TILE_{kernel.name}_"): place}
        return all(first(at) <= 0 and end(at) >= extent(at) for first, end, extent in loops)

    inside = [place for place in range(extent) if whole(place)]
    return (inside[0], extent - 1 - inside[-1]) if inside else (extent, 0)


def at_work(kernel: KernelInfo, machine: Machine) -> Machine:
    """``machine`` with the work items that keep it busy with ``kernel``."""
    shared = machine.sharing and kernel.role == "gradient"
    return replace(machine, work_items=machine.sharing) if shared else machine


def plan_kernel(
    unit: Unit, kernel: KernelInfo, schedule: Schedule, width: int, samples: int, machine: Machine, lanes: int = 0,
    itemsize: int = 4,
) -> KernelPlan:  # fmt: skip
    """``schedule`` in numbers, for passes of up to ``samples`` samples; ``width`` is the device's, ``itemsize`` the numbers' bytes.

    ``lanes``: of a vector where samples have none (``width`` is 1).  What does not fit the device is left to the default.
    """
    own = width if lanes else schedule.width or width
    vectors = -(-samples // own)
    extents = tile_extents(unit, kernel, vectors, lanes or own)
    many = machine.work_items >= MANY
    spare = 1 if many else most_parts(vectors, machine.work_items)
    problem = kernel_problem(unit, kernel, vectors, lanes or own, spare)
    if many:
        best, _ = of_warps(unit, kernel, problem, machine, own, vectors, itemsize)
    else:
        best = Choice(best_tile(problem, at_work(kernel, machine)))
    tiles = dict(zip(extents, best.tile, strict=True))
    for macro, wanted in schedule.tiles.items():
        if macro in tiles:
            tiles[macro] = max(1, min(wanted, extents[macro]))
    over_samples = next((tiles[macro] for macro, info in kernel.tiles.items() if info.extent is None), 1)
    parts, team, split = 1, 0, 1
    if kernel.parts:
        team = _team(kernel, schedule.team or best.team, tiles, machine, itemsize)
        items = prod(global_size(unit, kernel, tiles, vectors, lanes or own, team=team))
        split = _split(unit, kernel, schedule.split or best.split, team)
        rounds = -(-vectors * split // max(1, team))
        usual = best.parts if many and team == best.team else default_parts(items, rounds, machine.work_items)
        parts = max(1, min(schedule.parts or usual, rounds))
    macros: dict[str, int | str] = {**tiles, **({kernel.parts: parts, kernel.team: team} if kernel.parts else {})}
    macros |= {kernel.split.macro: split} if kernel.split else {}
    shares: tuple[Share | None, ...] = ()
    if schedule.constant:
        shares, _ = constant_launches(unit, kernel, tiles, machine, itemsize)
    if kernel.constant:
        macros[kernel.constant.macro] = "__constant" if shares else "__global"
        if kernel.constant.split:
            macros[kernel.constant.split] = int(any(share is not None for share in shares))
    copies = schedule.local is not None and not no_local_copy(unit, kernel, schedule, tiles, machine, itemsize)
    if kernel.unroll:  # loops that copy have barriers, which compilers do not survive being multiplied
        macros[kernel.unroll] = 0 if copies else min(schedule.unroll or 0, MOST_UNROLLED)
    if kernel.local:
        macros[kernel.local.macro] = (schedule.local or 0) if copies else 0
    needed = cycles(problem, tuple(tiles.values()), machine)
    group = (team, 1, 1) if team else schedule.group
    # where neighbours are all at samples of their own, those beside them may as well read other inputs with the same parameters
    along = -(-vectors // over_samples)
    across = bool(schedule.across) if schedule.across is not None else along >= gpu_cost_model.WARP
    return KernelPlan(own, tiles, group, over_samples, needed, parts, team, split, across, macros, shares or (None,), copies)


def of_warps(
    unit: Unit, kernel: KernelInfo, problem: TileProblem, machine: Machine, width: int, vectors: int, itemsize: int,
    tile: tuple[int, ...] | None = None,
) -> tuple[Choice, float]:  # fmt: skip
    """The default of a device of many work items, with ``tile`` where it is given; and its predicted cycles."""
    summed = Sum(vectors, machine.local // itemsize, _rounds(unit, kernel)) if kernel.team else None
    partial = tuple(_partial(unit, kernel, *axis) for axis in zip(kernel.tiles, problem.extents, strict=True))
    problem = replace(problem, partial=partial)
    return gpu_cost_model.best(problem, machine, int(expression(kernel.work)(unit.sizes)), width, summed, tile)


def _rounds(unit: Unit, kernel: KernelInfo) -> int:
    """Rounds of the outermost loops of a sum that runs can share; 1 where they cannot."""
    return min((int(expression(text)(unit.sizes)) for text in kernel.split.rounds), default=1) if kernel.split else 1


def _split(unit: Unit, kernel: KernelInfo, wanted: int, team: int) -> int:
    """Runs of a team: no more than it has items, or than there are rounds."""
    return max(1, min(power_below(wanted), team, power_below(_rounds(unit, kernel))))


def _team(kernel: KernelInfo, wanted: int, tiles: Mapping[str, int], machine: Machine, itemsize: int) -> int:
    """Work items that share a sum, whose sums fit local memory; 0 for no team."""
    team = power_below(wanted) if kernel.team and wanted else 0
    while team > 1 and team_numbers(prod(tiles.values()), team) * itemsize > machine.local:
        team //= 2
    return team if team > 1 else 0


class Plan:
    """The kernels of ``units`` for passes of up to ``samples`` samples, and the ``capacity`` that all of their tiles divide.

    ``along``: the lanes of a vector where they go along units; 0 where they are samples.
    """

    def __init__(
        self, units: Sequence[Unit], schedules: Schedules, dtype: str, width: int, samples: int, machine: Machine, along: int = 0
    ) -> None:
        self.units, self.dtype, self.width, self.along = tuple(units), dtype, width, along
        self.kernels = {
            (number, kernel.name): plan_kernel(
                unit, kernel, schedules.find(unit, kernel, dtype, samples), width, samples, machine, along, np.dtype(dtype).itemsize
            )
            for number, unit in enumerate(units)
            for kernel in unit.kernels
        }
        self.lanes = lcm(width, *(kernel.width for kernel in self.kernels.values()))
        step = lcm(self.lanes, *(kernel.step for kernel in self.kernels.values()))
        self.capacity = -(-max(1, samples) // step) * step
        self._bindings: dict[tuple[int, int], Binding] = {}

    def over(self, capacity: int) -> Plan:
        """The same tiles for another capacity."""
        other = copy(self)
        other.capacity = capacity
        return other

    def padded(self, samples: int) -> int:
        """``samples`` rounded up to whole vectors of every kernel: lanes that are computed and hold finite numbers."""
        return -(-max(1, samples) // self.lanes) * self.lanes

    def binding(self, unit: int, kernel: str = "") -> Binding:
        """The macros that ``kernel`` is built with; one program serves all kernels of a unit that share a vector width."""
        width = self.kernels[unit, kernel].width if kernel else self.width
        if (unit, width) not in self._bindings:
            chosen = {m: value for (u, _), plan in self.kernels.items() if u == unit for m, value in plan.macros.items()}
            self._bindings[unit, width] = Binding(self.units[unit], self.dtype, self.along or width, chosen)
        return self._bindings[unit, width]

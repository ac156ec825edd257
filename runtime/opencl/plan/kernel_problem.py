"""The problem that a kernel's tiles are chosen for: its axes, its work items and its loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import gcd, prod

from ...manifest.expressions import expression
from ...manifest.records import KernelInfo
from ...program.program import Unit
from ..device.machine import Machine
from . import gpu_cost_model
from .cpu_cost_model import MOST_VECTORS, Scatter, TileProblem, tile_problem
from .gpu_cost_model import Choice, SampleSum

#: The bytes of a number for estimates of cache use.
SINGLE = 4
#: The first-level cache: bytes of a line, lines of a set, bytes after which addresses meet the same sets.
LINE, WAYS, SETS_BYTES = 64, 8, 4096
#: Places of an axis that make a tile along the samples needless, whose last one may have samples to spare.
ENOUGH = 4


def tile_extents(unit: Unit, kernel: KernelInfo, vectors: int, lanes: int) -> dict[str, int]:
    """The extent of every tiled axis, by macro.

    For samples and for an axis with lanes it is the number of vectors; it is 1 where a tile
    has a single point.
    """
    sizes = {**unit.sizes, "V": lanes}
    found = {
        macro: vectors if info.extent is None else int(expression(info.extent)(sizes))
        for macro, info in kernel.tiles.items()
    }
    single = [m for m, texts in kernel.launch.alone.items() if any(expression(e)(sizes) != 1 for e in texts)]
    return found | dict.fromkeys(single, 1)


def global_size(
    unit: Unit,
    kernel: KernelInfo,
    tiles: Mapping[str, int],
    vectors: int,
    lanes: int,
    partial_sums: int = 1,
    reduction_group: int = 0,
) -> tuple[int, ...]:
    """Work items of ``kernel`` over ``vectors`` vectors of samples; a vector has ``lanes`` lanes."""
    chosen = {kernel.partial_sums: partial_sums, kernel.reduction_group: reduction_group}
    environment = {**unit.sizes, **tiles, "vectors": vectors, "V": lanes, **chosen}
    return tuple(int(expression(size)(environment)) for size in kernel.global_size)


def kernel_problem(
    unit: Unit, kernel: KernelInfo, vectors: int, lanes: int, partial_sums: int = 1
) -> TileProblem:
    """The problem that the tiles of ``kernel`` are chosen for.

    ``vectors``: the number of vectors of samples.
    ``lanes``: the lanes of a vector.
    ``partial_sums``: the number of partial sums over the samples.
    """
    extents = tile_extents(unit, kernel, vectors, lanes)
    # With whole axes as tiles, only the work items over the other axes and the partial sums are left.
    whole = {macro: max(1, extent) for macro, extent in extents.items()}
    others = prod(global_size(unit, kernel, whole, vectors, lanes, partial_sums))
    samples_tiled = any(info.extent is None for info in kernel.tiles.values())
    work = int(expression(kernel.work)(unit.sizes))
    summed = kernel.role == "gradient" and kernel.lanes.over == "samples"
    plane = work * vectors * lanes * SINGLE if summed else 0
    plane = work * lanes * SINGLE if kernel.packed is not None else plane
    found = tile_problem(
        extents,
        kernel.operands,
        others,
        samples_tiled,
        plane,
        kernel.sliding,
        _cache_tile(unit, kernel, work, vectors, lanes),
        kernel.sums,
    )
    found = replace(
        found, limits=_limits(unit, kernel, extents, vectors, lanes), invariant=tuple(kernel.invariant)
    )
    if kernel.packed is None:
        return found
    partial = tuple(_partial(unit, kernel, *axis) for axis in extents.items())
    axis = next(n for n, info in enumerate(kernel.tiles.values()) if info.extent is None)
    limits = list(found.limits)
    if axis and found.extents[0] >= ENOUGH:
        limits[axis] = 1
    scatter = Scatter(lanes / max(1, work), _vectors_in_cache(unit, kernel, lanes))
    return replace(found, partial=partial, sample_axis=axis, limits=tuple(limits), scatter=scatter)


def _vectors_in_cache(unit: Unit, kernel: KernelInfo, lanes: int) -> int:
    """Vectors whose numbers, stored one by one, stay in the first-level cache until their lines are full.

    Numbers a power of two of bytes apart share few sets of the cache.
    """
    step = int(expression(kernel.lanes.step)(unit.sizes)) * SINGLE
    sets = SETS_BYTES // gcd(step, SETS_BYTES) if step >= LINE else SETS_BYTES // LINE
    return max(1, min(sets, SETS_BYTES // LINE) * WAYS // lanes)


def _cache_tile(
    unit: Unit, kernel: KernelInfo, work: int, vectors: int, lanes: int
) -> tuple[str, int, int] | None:
    """The cache tile of the kernel; None if it has none.

    The tuple holds its macro, the bytes that one place of an operand takes in a round, and the steps of a
    place in a round.
    """
    if kernel.cache_tile is None:
        return None
    steps = work // max(1, int(expression(kernel.cache_tile.iterations)(unit.sizes)))
    steps *= min(vectors, MOST_VECTORS)
    return kernel.cache_tile.macro, steps * lanes * SINGLE, max(1, steps)


def _limits(
    unit: Unit, kernel: KernelInfo, extents: Mapping[str, int], vectors: int, lanes: int
) -> tuple[int, ...]:
    """The widest tile of each axis.

    A tile of vectors that is longer than its axis would be computed place by place.
    """
    if kernel.packed is not None:  # a vector may be partly outside
        return tuple(extents.values())
    alone = tile_extents(unit, kernel, vectors, 1)
    return tuple(
        alone[macro] // lanes if alone[macro] != extent else extent for macro, extent in extents.items()
    )


def _partial(unit: Unit, kernel: KernelInfo, macro: str, extent: int) -> tuple[int, int]:
    """The number of places at either end of a tiled axis that take part only in some rounds."""
    if macro not in kernel.bounds:
        return 0, 0
    loops = [tuple(map(expression, (loop.first, loop.end, loop.extent))) for loop in kernel.bounds[macro]]

    def whole(place: int) -> bool:
        at = {**unit.sizes, macro.removeprefix(f"TILE_{kernel.name}_"): place}
        return all(first(at) <= 0 and end(at) >= extent(at) for first, end, extent in loops)

    inside = [place for place in range(extent) if whole(place)]
    return (inside[0], extent - 1 - inside[-1]) if inside else (extent, 0)


def at_work(kernel: KernelInfo, machine: Machine) -> Machine:
    """``machine`` with the number of work items that keep it busy in ``kernel``."""
    shared = machine.sharing and kernel.role == "gradient"
    return replace(machine, work_items=machine.sharing) if shared else machine


def gpu_choice(
    unit: Unit,
    kernel: KernelInfo,
    problem: TileProblem,
    machine: Machine,
    width: int,
    vectors: int,
    itemsize: int,
    tile: tuple[int, ...] | None = None,
) -> tuple[Choice, float]:
    """The default of a device of many work items, with ``tile`` where it is given; and its predicted
    cycles.
    """
    summed = (
        SampleSum(vectors, machine.local // itemsize, loop_split_rounds(unit, kernel))
        if kernel.reduction_group
        else None
    )
    partial = tuple(_partial(unit, kernel, *axis) for axis in zip(kernel.tiles, problem.extents, strict=True))
    problem = replace(problem, partial=partial)
    return gpu_cost_model.best(
        problem, machine, int(expression(kernel.work)(unit.sizes)), width, summed, tile
    )


def loop_split_rounds(unit: Unit, kernel: KernelInfo) -> int:
    """Rounds of the outermost loops of a sum that runs can share; 1 where they cannot."""
    return (
        min((int(expression(text)(unit.sizes)) for text in kernel.loop_split.iterations), default=1)
        if kernel.loop_split
        else 1
    )

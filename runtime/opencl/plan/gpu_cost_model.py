"""Chooses default tiles and reduction groups for a GPU, which hides the latency of a warp behind others.

A warp is 32 neighbouring work items in lockstep.  Per cycle, a multiprocessor starts ``WARPS`` multiply-adds
and reads one line of memory; counting and addresses take ``OVERHEAD`` cycles.  A warp waits ``LATENCY``
cycles for a load.  Let a tile have F multiply-adds and L loads, and a multiprocessor W warps.  Then a step of
the reduction takes the longer of L LATENCY and W (F / WARPS + lines + OVERHEAD) cycles.

A sum over samples reads whole planes, whose lines come from the second-level cache, so a load takes
``STREAMED`` cycles.  A reduction group adds up its sums afterwards, with ``FOLD`` accesses for each place.

The constants are fitted to timings of LeNet, dense networks and a 64-map convolution on an H200.  For 18
kernels of eight networks a search there still finds tiles that take up to a third less time
(``tuner/shipped/nvidia.json``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from ..device.machine import ITEMS_PER_UNIT, Machine
from .cpu_cost_model import MOST_PLACES, TileProblem, registers, splits
from .partial_sums import MOST_REDUCTION_GROUP, reduction_group_numbers

WARP, WARPS = 32, 4
LATENCY, STREAMED = 26.0, 45.0
OVERHEAD = 4.0
#: Accesses per step for an accumulator without a register.
SPILL = 2.0
#: How much a load counts if a tile has several samples: those of neighbouring work items lie in between.
APART = 1.5
#: The extra time of a tile that is computed place by place, relative to other tiles.
EDGE = 2.0
#: Cycles of a work item besides its steps.
ITEM = 20.0
FOLD, BARRIERS = 4.0, 300.0
#: Cycles of a further launch, which adds up partial sums.
LAUNCH = 6000.0
#: Sizes of reduction groups; the least is the number of neighbours that read one line of memory.
REDUCTION_GROUPS = (32, 64, MOST_REDUCTION_GROUP)
#: The widest tile over the samples: wider ones read lines in pieces.
WIDEST_SAMPLES = 4


@dataclass(frozen=True)
class Choice:
    """What is chosen for a kernel: its tile, and how its sum over samples is split.

    ``reduction_group``: the number of work items that share a sum; 0 if one work item computes it.
    ``partial_sums``: the number of partial sums, which are added up later.
    ``loop_split``: into how many parts a reduction group splits its outermost loops.
    """

    tile: tuple[int, ...]
    reduction_group: int = 0
    partial_sums: int = 1
    loop_split: int = 1


@dataclass(frozen=True)
class SampleSum:
    """A sum over samples that reduction groups may compute.

    ``vectors``: the number of vectors of samples.
    ``numbers``: how many numbers fit the local memory of a group.
    ``rounds``: iterations of the outermost loop that a group may split; 1 if it may not.
    """

    vectors: int
    numbers: int
    rounds: int = 1


def cycles(
    problem: TileProblem, choice: Choice, machine: Machine, steps: int, width: int, summed: SampleSum | None
) -> float:
    """Predicted cycles of the whole kernel.

    ``steps``: the steps of a reduction.
    ``width``: samples per vector.
    """
    own = problem.in_registers(choice.tile)
    places = prod(own)
    pieces = [-(-extent // size) for extent, size in zip(problem.extents, choice.tile, strict=True)]
    span = max(1, choice.reduction_group) // choice.loop_split * choice.partial_sums
    rounds = -(-summed.vectors // span) / choice.loop_split if summed else 1
    warps = (
        problem.others
        * prod(pieces)
        * max(1, choice.reduction_group)
        * choice.partial_sums
        / WARP
        / units(machine)
    )
    loaded, lines = _loads(problem, own, choice, width, summed)
    spilled = max(0, registers(problem, own) * width - machine.registers)
    latency = STREAMED if summed else LATENCY
    step = max(latency * loaded, warps * (width * places / WARPS + lines + SPILL * spilled + OVERHEAD))
    # A sum over samples computes only the iterations at the edges place by place, so they are not counted.
    cut = 0.0 if summed else EDGE * _cut(problem, choice.tile)
    found = rounds * max(1, steps) * step * (1 + cut) + warps * ITEM
    if choice.reduction_group:
        found += BARRIERS + warps * places * FOLD
    return found + (LAUNCH if choice.partial_sums > 1 else 0.0)


def _cut(problem: TileProblem, tile: Sequence[int]) -> float:
    """The share of tiles that are computed place by place.

    These are tiles with several places, some of which take part only in some rounds.
    """
    whole = 1.0
    for extent, size, (first, last) in zip(problem.extents, tile, problem.partial, strict=False):
        pieces = -(-extent // size)
        if size > 1:
            whole *= 1 - min(pieces, -(-first // size) + -(-last // size)) / pieces
    return 1 - whole


def _loads(
    problem: TileProblem, own: Sequence[int], choice: Choice, width: int, summed: SampleSum | None
) -> tuple[float, float]:
    """The loads per step that a warp waits for, and the lines of memory that they touch."""
    samples = len(own) - 1 if problem.samples else -1
    loaded = lines = 0.0
    for axes, moves in zip(problem.operands, problem.moving, strict=True):
        if not moves:
            continue
        count, each = prod(own[a] for a in axes), 1.0
        if summed:  # neighbours read neighbouring samples, in a reduction group or in sums of their own
            neighbours = (
                max(1, choice.reduction_group) // choice.loop_split
                if choice.reduction_group
                else choice.partial_sums
            )
            each = max(1.0, WARP / neighbours) * width
        elif samples in axes:
            loaded += (APART - 1) * count if own[samples] > 1 else 0
            each = max(1.0, min(own[samples] * width, problem.extents[samples] * width / WARP))
        loaded += count
        lines += count * each
    return loaded, lines


def units(machine: Machine) -> float:
    """The number of multiprocessors of the device."""
    return max(1.0, machine.work_items / ITEMS_PER_UNIT)


def _tiles(problem: TileProblem) -> Iterator[tuple[int, ...]]:
    widths: list[Sequence[int]] = [splits(extent) for extent in problem.extents]
    if problem.samples:
        widths[-1] = [size for size in (1, 2, WIDEST_SAMPLES) if size <= max(1, problem.extents[-1])]
    if problem.cache_tile is not None:
        widths[problem.cache_tile.axis] = [1]
    for tile in product(*widths):
        if prod(tile) <= MOST_PLACES:
            yield tile


def _choices(
    problem: TileProblem, summed: SampleSum | None, only: tuple[int, ...] | None
) -> Iterator[Choice]:
    for tile in _tiles(problem) if only is None else [only]:
        if summed is None:
            yield Choice(tile)
            continue
        for reduction_group, loop_split in _reduction_groups(prod(tile), summed):
            partial_sums, span = 1, max(1, reduction_group) // loop_split
            while partial_sums == 1 or span * partial_sums <= summed.vectors:
                yield Choice(tile, reduction_group, partial_sums, loop_split)
                partial_sums *= 2


def _reduction_groups(places: int, summed: SampleSum) -> list[tuple[int, int]]:
    """Reduction groups that fit local memory, and their loop splits; (0, 1) alone if no group fits."""
    found = []
    for reduction_group in REDUCTION_GROUPS:
        if reduction_group_numbers(places, reduction_group) > summed.numbers:
            continue
        loop_split = 1
        while loop_split <= min(reduction_group, summed.rounds):
            if (
                reduction_group == REDUCTION_GROUPS[0] or reduction_group < 2 * summed.vectors * loop_split
            ):  # in a larger group, half of the work items would be idle
                found.append((reduction_group, loop_split))
            loop_split *= 2
    return found or [(0, 1)]


@lru_cache(maxsize=4096)
def best(
    problem: TileProblem, machine: Machine, steps: int, width: int, summed: SampleSum | None = None,
    tile: tuple[int, ...] | None = None,
) -> tuple[Choice, float]:  # fmt: skip
    """The choice with the fewest predicted cycles, and these cycles.

    Among equals it has the fewest places along axes that move with a loop.

    ``tile``: if given, only choices with this tile are compared.
    """
    moving = {axis for axes in problem.sliding for axis in axes}

    def rank(choice: Choice) -> tuple[float, int, int, int, tuple[int, ...]]:
        along = prod(choice.tile[axis] for axis in moving)
        predicted = cycles(problem, choice, machine, steps, width, summed)
        return round(predicted, 3), along, choice.reduction_group, choice.loop_split, choice.tile

    found = min(_choices(problem, summed, tile), key=rank)
    return found, cycles(problem, found, machine, steps, width, summed)

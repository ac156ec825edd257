"""Default tiles and reduction groups of a GPU, whose multiprocessors hide the latency of one warp behind others.

A warp is 32 neighbouring work items in lockstep.  Of a tile with F multiply-adds and L loads a multiprocessor starts ``WARPS``
multiply-adds and one line of a load a cycle, and ``OVERHEAD`` cycles go to counting and addresses; by itself a warp waits
``LATENCY`` cycles for every load.  With W warps for each multiprocessor a step of the reduction takes the longer of L LATENCY and
W (F / WARPS + lines + OVERHEAD) cycles.  A sum over samples reads whole planes, whose lines come from the second-level cache: it
waits ``STREAMED`` cycles for a load.  A reduction group adds up its sums afterwards, ``FOLD`` accesses for each place.

The constants are fitted to timings of LeNet, dense networks and a 64-map convolution on an H200.  There a search still finds tiles
that take up to a third less time, for 18 kernels of eight networks (``tuner/shipped/nvidia.json``).
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
#: Accesses of an accumulator that finds no register.
SPILL = 2.0
#: What a load of one of several samples of a tile counts: neighbours' samples lie in between.
APART = 1.5
#: How much longer a tile takes that is computed place by place.
EDGE = 2.0
#: Cycles of an item besides its steps.
ITEM = 20.0
FOLD, BARRIERS = 4.0, 300.0
#: Cycles of a further launch, which adds up partial sums.
LAUNCH = 6000.0
#: Work items of a reduction group, from as many on as neighbours that read one line of memory.
REDUCTION_GROUPS = (32, 64, MOST_REDUCTION_GROUP)
#: The widest tile over the samples: wider ones read lines in pieces.
WIDEST_SAMPLES = 4


@dataclass(frozen=True)
class Choice:
    """What is chosen for a kernel: its tile, and how its sum over samples is taken.

    ``reduction_group``: work items that share a sum, 0 for none.
    ``partial_sums``: how many sums are added up later.
    ``loop_split``: runs of its loops that a reduction group shares out.
    """

    tile: tuple[int, ...]
    reduction_group: int = 0
    partial_sums: int = 1
    loop_split: int = 1


@dataclass(frozen=True)
class SampleSum:
    """A sum over ``vectors`` vectors of samples that reduction groups may take.

    ``numbers``: of local memory for a group.  ``rounds``: of its outermost loop that may be shared out, 1 for none.
    """

    vectors: int
    numbers: int
    rounds: int = 1


def cycles(problem: TileProblem, choice: Choice, machine: Machine, steps: int, width: int, summed: SampleSum | None) -> float:
    """Predicted cycles of the whole kernel, of ``steps`` steps of a reduction and vectors of ``width`` samples."""
    own = problem.in_registers(choice.tile)
    places = prod(own)
    pieces = [-(-extent // size) for extent, size in zip(problem.extents, choice.tile, strict=True)]
    span = max(1, choice.reduction_group) // choice.loop_split * choice.partial_sums
    rounds = -(-summed.vectors // span) / choice.loop_split if summed else 1
    warps = problem.others * prod(pieces) * max(1, choice.reduction_group) * choice.partial_sums / WARP / units(machine)
    loaded, lines = _loads(problem, own, choice, width, summed)
    spilled = max(0, registers(problem, own) * width - machine.registers)
    latency = STREAMED if summed else LATENCY
    step = max(latency * loaded, warps * (width * places / WARPS + lines + SPILL * spilled + OVERHEAD))
    cut = 0.0 if summed else EDGE * _cut(problem, choice.tile)  # a sum over samples takes only rounds at the edges place by place
    found = rounds * max(1, steps) * step * (1 + cut) + warps * ITEM
    if choice.reduction_group:
        found += BARRIERS + warps * places * FOLD
    return found + (LAUNCH if choice.partial_sums > 1 else 0.0)


def _cut(problem: TileProblem, tile: Sequence[int]) -> float:
    """The share of tiles that are computed place by place.

    These are tiles of several places some of which take part in some rounds only.
    """
    whole = 1.0
    for extent, size, (first, last) in zip(problem.extents, tile, problem.partial, strict=False):
        pieces = -(-extent // size)
        if size > 1:
            whole *= 1 - min(pieces, -(-first // size) + -(-last // size)) / pieces
    return 1 - whole


def _loads(problem: TileProblem, own: Sequence[int], choice: Choice, width: int, summed: SampleSum | None) -> tuple[float, float]:
    """Loads of a step that a warp waits for, and the lines of memory that they touch."""
    samples = len(own) - 1 if problem.samples else -1
    loaded = lines = 0.0
    for axes, moves in zip(problem.operands, problem.moving, strict=True):
        if not moves:
            continue
        count, each = prod(own[a] for a in axes), 1.0
        if summed:  # neighbours read neighbouring samples, in a reduction group or in sums of their own
            neighbours = max(1, choice.reduction_group) // choice.loop_split if choice.reduction_group else choice.partial_sums
            each = max(1.0, WARP / neighbours) * width
        elif samples in axes:
            loaded += (APART - 1) * count if own[samples] > 1 else 0
            each = max(1.0, min(own[samples] * width, problem.extents[samples] * width / WARP))
        loaded += count
        lines += count * each
    return loaded, lines


def units(machine: Machine) -> float:
    """Multiprocessors of the device."""
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


def _choices(problem: TileProblem, summed: SampleSum | None, only: tuple[int, ...] | None) -> Iterator[Choice]:
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
    """Reduction groups that fit local memory and their runs; none at all where none fits."""
    found = []
    for reduction_group in REDUCTION_GROUPS:
        if reduction_group_numbers(places, reduction_group) > summed.numbers:
            continue
        loop_split = 1
        while loop_split <= min(reduction_group, summed.rounds):
            if (
                reduction_group == REDUCTION_GROUPS[0] or reduction_group < 2 * summed.vectors * loop_split
            ):  # half of a larger one would have nothing to do
                found.append((reduction_group, loop_split))
            loop_split *= 2
    return found or [(0, 1)]


@lru_cache(maxsize=4096)
def best(
    problem: TileProblem, machine: Machine, steps: int, width: int, summed: SampleSum | None = None,
    tile: tuple[int, ...] | None = None,
) -> tuple[Choice, float]:  # fmt: skip
    """The choice with the fewest predicted cycles, and these; with ``tile`` where it is given.

    Of equals the one with the fewest places along axes that move with a loop.
    """
    moving = {axis for axes in problem.sliding for axis in axes}

    def rank(choice: Choice) -> tuple[float, int, int, int, tuple[int, ...]]:
        along = prod(choice.tile[axis] for axis in moving)
        predicted = cycles(problem, choice, machine, steps, width, summed)
        return round(predicted, 3), along, choice.reduction_group, choice.loop_split, choice.tile

    found = min(_choices(problem, summed, tile), key=rank)
    return found, cycles(problem, found, machine, steps, width, summed)

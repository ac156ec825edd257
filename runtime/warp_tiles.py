"""Default tiles and teams of a GPU, whose multiprocessors hide the latency of one warp behind others.

A warp is 32 neighbouring work items in lockstep.  For a tile with F multiply-adds and L loads per step of the reduction, a
multiprocessor starts ``WARPS`` multiply-adds of a warp and one of its loads a cycle; a warp by itself waits ``LATENCY`` cycles for
every load.  With W warps for each multiprocessor a step takes the longer of L LATENCY and W (F / WARPS + L) cycles (measured on an
H200 within a fifth for most kernels of LeNet and of a 64-map convolution).  A sum over samples reads whole planes: a line that the
round before has not loaded comes from the second-level cache, where others of the group want it too, in ``LINE`` cycles.  A team
adds up its sums afterwards, ``FOLD`` accesses for each place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from .register_tiles import MOST_PLACES, Machine, TileProblem, fresh, loads, registers, splits

WARP, WARPS = 32, 4
LATENCY = 26.0
LINE = 2.0
FOLD, BARRIERS = 4.0, 300.0
#: Cycles of a further launch, which adds up parts.
LAUNCH = 6000.0
#: Work items of a team, from as many on as neighbours that read one line of memory.
TEAMS = (32, 64, 128)
#: The widest tile over the samples: wider ones read lines in pieces.
WIDEST_SAMPLES = 4


@dataclass(frozen=True)
class Choice:
    """A tile, the work items of a team (0: none), the parts of a sum, and the runs of its loops that a team shares out."""

    tile: tuple[int, ...]
    team: int = 0
    parts: int = 1
    split: int = 1


@dataclass(frozen=True)
class Sum:
    """A sum over ``vectors`` vectors of samples that teams may take.

    ``numbers``: of local memory for a group.  ``rounds``: of its outermost loop that may be shared out, 1 for none.
    """

    vectors: int
    numbers: int
    rounds: int = 1


def cycles(problem: TileProblem, choice: Choice, machine: Machine, steps: int, width: int, summed: Sum | None) -> float:
    """Predicted cycles of the whole kernel, of ``steps`` steps of a reduction and vectors of ``width`` samples."""
    own = problem.in_registers(choice.tile)
    places, loaded = prod(own), loads(problem, own)
    pieces = [-(-extent // size) for extent, size in zip(problem.extents, choice.tile, strict=True)]
    span = max(1, choice.team) // choice.split * choice.parts
    rounds = -(-summed.vectors // span) / choice.split if summed else 1
    warps = problem.others * prod(pieces) * max(1, choice.team) * choice.parts / WARP / units(machine)
    spilled = max(0, registers(problem, own) * width - machine.registers)
    # that a load of a warp touches: neighbours read neighbouring samples, in a team or in parts of their own
    lines = max(1.0, WARP / (max(1, choice.team) // choice.split if choice.team else choice.parts)) if summed else 1.0
    issued = max(places / WARPS + loaded * lines, LINE * fresh(problem, own) * lines if summed else 0.0)
    step = max(LATENCY * loaded, warps * width * issued) + spilled * LATENCY
    found = rounds * max(1, steps) * step
    if choice.team:
        found += BARRIERS + warps * places * FOLD
    return found + (LAUNCH if choice.parts > 1 else 0.0)


def units(machine: Machine) -> float:
    """Multiprocessors of the device."""
    return max(1.0, machine.work_items / ITEMS_PER_UNIT)


#: Work items that keep a multiprocessor busy, of which ``Machine.work_items`` counts those of all.
ITEMS_PER_UNIT = 256


def _tiles(problem: TileProblem) -> Iterator[tuple[int, ...]]:
    widths: list[Sequence[int]] = [splits(extent) for extent in problem.extents]
    if problem.samples:
        widths[-1] = [size for size in (1, 2, WIDEST_SAMPLES) if size <= max(1, problem.extents[-1])]
    if problem.strip is not None:
        widths[problem.strip.axis] = [1]
    for tile in product(*widths):
        if prod(tile) <= MOST_PLACES:
            yield tile


def _choices(problem: TileProblem, summed: Sum | None, only: tuple[int, ...] | None) -> Iterator[Choice]:
    for tile in _tiles(problem) if only is None else [only]:
        if summed is None:
            yield Choice(tile)
            continue
        for team, split in _teams(prod(tile), summed):
            parts, span = 1, max(1, team) // split
            while parts == 1 or span * parts <= summed.vectors:
                yield Choice(tile, team, parts, split)
                parts *= 2


def _teams(places: int, summed: Sum) -> list[tuple[int, int]]:
    """Teams that fit local memory and their runs; no team at all where none fits."""
    found = []
    for team in TEAMS:
        if places * (team + 1) * (TEAMS[-1] // team) > summed.numbers:
            continue
        split = 1
        while split <= min(team, summed.rounds):
            if team == TEAMS[0] or team < 2 * summed.vectors * split:  # half of a larger one would have nothing to do
                found.append((team, split))
            split *= 2
    return found or [(0, 1)]


@lru_cache(maxsize=4096)
def best(
    problem: TileProblem, machine: Machine, steps: int, width: int, summed: Sum | None = None, tile: tuple[int, ...] | None = None
) -> tuple[Choice, float]:  # fmt: skip
    """The choice with the fewest predicted cycles, and these; with ``tile`` where it is given.

    Of equals the one with the fewest places along axes that move with a loop.
    """
    moving = {axis for axes in problem.sliding for axis in axes}

    def rank(choice: Choice) -> tuple[float, int, int, int, tuple[int, ...]]:
        along = prod(choice.tile[axis] for axis in moving)
        predicted = cycles(problem, choice, machine, steps, width, summed)
        return round(predicted, 3), along, choice.team, choice.split, choice.tile

    found = min(_choices(problem, summed, tile), key=rank)
    return found, cycles(problem, found, machine, steps, width, summed)

"""Chooses default tile sizes by counting loads: the register-level counterpart of the paper's Algorithm 4.

A work item keeps a tile of accumulators in registers, so that every value it loads feeds several of them.
Let a tile have F places and L loads per step of the reduction.  A core starts ``PER_CYCLE`` multiply-adds and
as many loads per cycle.  So a step takes max(F, L) / PER_CYCLE cycles, but at least the latency ``LATENCY``.
Values without a register are stored and loaded again.

A sum over samples streams through whole planes.  Values that the round before did not load come from the
second-level cache.  In a cache tile only the first place loads them from there: the other places find them in
the first-level cache, but they must move their accumulators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod

from ..device.machine import Machine

PER_CYCLE = 2.0
LATENCY = 4.0
#: Cycles of a load from the second-level cache, and the bytes of the first-level cache.
FRESH, FIRST_LEVEL = 1.4, 32 * 1024
#: Cycles of a step that no tile avoids: counting, branching, addresses.
OVERHEAD = 1.0
#: Cycles of storing one lane, and where its line is pushed out of the cache before it is full.
STORE, STORE_MISSED = 1.0, 6.0
#: The time of a tile whose places are tested in some rounds, relative to others.
TESTED = 1.4
#: Accesses per step for an accumulator without a register.  They are many: compilers then keep the whole
#: array in memory.
SPILL = 16
#: The widest tile over one axis, and the most accumulators.
WIDEST, MOST_PLACES = 16, 64
POWERS = (1, 2, 4, 8)
#: The time per vector of samples by the number of vectors in a block, relative to a block of six.  In larger
#: blocks a loaded weight is used more often, and the tiles that divide the block are larger.  Measured on a
#: Zen 4: means over LeNet, the digits network and a dense network, which differ by at most 0.1.  Blocks of
#: eight take as long as those of four, because tiles of three and six suit 16 registers.
VECTOR_COST = {1: 1.25, 2: 1.11, 3: 1.05, 4: 1.02, 5: 1.01, 6: 1.0}
#: The most vectors in a block of samples; sample tiles need no more.
MOST_VECTORS = max(VECTOR_COST)


@dataclass(frozen=True)
class CacheTile:
    """An axis whose places follow one another, so that the later ones find values in the cache.

    ``axis``: the number of the axis.
    ``row``: the bytes that one place of an operand takes in a round.
    ``steps``: the steps of one place in a round.
    """

    axis: int
    row: int
    steps: int


@dataclass(frozen=True)
class Scatter:
    """Results whose lanes are stored one by one.

    ``per_step``: the stores of a vector for each step of its sum.
    ``vectors``: how many vectors along the lanes do not push one another out of the cache.
    """

    per_step: float
    vectors: int


@dataclass(frozen=True)
class TileProblem:
    """What the cost models know of a kernel when they choose its tiles.

    ``extents``: the extent of each tiled axis, outermost first.
    ``operands``: for each load, the numbers of the axes that it depends on.
    ``others``: the number of work items over the axes that are not tiled.
    ``samples``: whether samples are a tiled axis.
    ``plane``: in a sum over samples, the bytes that one place of an operand takes in the whole sum; else 0.
    ``sliding``: for each load, the axes along which it moves from round to round.  All values along them but
        the first were loaded in the round before.
    ``cache_tile``: the axis with a cache tile, if there is one.
    ``limits``: the widest tile of each axis; empty if there are no limits.
    ``invariant``: for each load, whether every step needs the same values, which registers keep throughout.
    ``sums``: for each further sum in the same loops, the axes along which it has accumulators.
    ``partial``: for each axis, how many places at its beginning and at its end take part only in some rounds.
    ``sample_axis``: the number of the axis of samples, where one is tiled.
    ``scatter``: how results are stored, where their lanes do not lie side by side; these are the last axis.
    """

    extents: tuple[int, ...]
    operands: tuple[tuple[int, ...], ...]
    others: int
    samples: bool
    plane: int = 0
    sliding: tuple[tuple[int, ...], ...] = ()
    cache_tile: CacheTile | None = None
    limits: tuple[int, ...] = ()
    invariant: tuple[bool, ...] = ()
    sums: tuple[tuple[int, ...], ...] = ()
    partial: tuple[tuple[int, int], ...] = ()
    sample_axis: int = -1
    scatter: Scatter | None = None

    @property
    def moving(self) -> tuple[bool, ...]:
        """For each load, whether a step needs other values than the step before."""
        return tuple(not invariant for invariant in self.invariant) or (True,) * len(self.operands)

    def in_registers(self, tile: Sequence[int]) -> tuple[int, ...]:
        """``tile`` with a single place of the cache tile."""
        return tuple(
            1 if self.cache_tile is not None and n == self.cache_tile.axis else width
            for n, width in enumerate(tile)
        )


def splits(extent: int, widest: int = WIDEST) -> list[int]:
    """Tile widths that cut ``extent`` into pieces as even as possible, ascending."""
    if extent < 1:
        return [1]
    return sorted({-(-extent // pieces) for pieces in range(-(-extent // widest), extent + 1)})


def sample_widths(vectors: int) -> list[int]:
    """Tile widths over ``vectors`` vectors of samples, ascending.

    They divide a block, or are powers of two if there are more vectors than a block has.  So the capacity,
    which all tiles must divide, stays small.
    """
    if vectors <= MOST_VECTORS:
        return [n for n in range(1, max(1, vectors) + 1) if max(1, vectors) % n == 0]
    return list(POWERS)


def loads(problem: TileProblem, tile: Sequence[int]) -> int:
    """Loads per step of the reduction."""
    return sum(
        prod(tile[a] for a in o) for o, moves in zip(problem.operands, problem.moving, strict=True) if moves
    )


def fresh(problem: TileProblem, tile: Sequence[int]) -> int:
    """Loads per step of values that the step before did not load."""
    sliding = problem.sliding or ((),) * len(problem.operands)
    return sum(prod(tile[a] for a in o if a not in s) for o, s in zip(problem.operands, sliding, strict=True))


def registers(problem: TileProblem, tile: Sequence[int]) -> int:
    """The number of registers that a tile needs.

    They hold the accumulators, the operands that are kept over an outer axis of the tile or throughout, and
    one operand that is being loaded.
    """
    operands = zip(problem.operands, problem.moving, strict=True)
    kept = [prod(tile[a] for a in o) for o, moves in operands if not moves or o != tuple(range(len(o)))]
    return prod(tile) + sum(prod(tile[a] for a in axes) for axes in problem.sums) + sum(kept) + 1


def cycles(problem: TileProblem, tile: Sequence[int], machine: Machine) -> float:
    """Predicted cycles per output and step of the reduction.

    They include the cost of idle compute units and of tiles that reach beyond the end of an axis.
    """
    places = prod(problem.in_registers(tile))
    step = _step(problem, tile, machine) * (1 + (TESTED - 1) * _at_edges(problem, tile))
    pieces = [-(-extent // width) for extent, width in zip(problem.extents, tile, strict=True)]
    waste = prod(p * w / max(1, e) for p, w, e in zip(pieces, tile, problem.extents, strict=True))
    items = problem.others * prod(pieces)
    rounds = -(-items // machine.work_items)
    idle = rounds * machine.work_items / max(1, items) if items < 4 * machine.work_items else 1.0
    return step / places * waste * idle


def _at_edges(problem: TileProblem, tile: Sequence[int]) -> float:
    """The share of tiles some of whose places take part only in some rounds."""
    whole = 1.0
    for axis, (first, last) in enumerate(problem.partial):
        width, pieces = tile[axis], -(-problem.extents[axis] // tile[axis])
        if width > 1:
            whole *= 1 - min(pieces, -(-first // width) + -(-last // width)) / pieces
    return 1 - whole


def _step(problem: TileProblem, tile: Sequence[int], machine: Machine) -> float:
    """Predicted cycles of one step of the reduction for all places of a tile."""
    own = problem.in_registers(tile)
    places, spilled = prod(own), max(0, registers(problem, own) - machine.registers)
    new, cache_tile = fresh(problem, own), problem.cache_tile
    streamed = FRESH * new if new * problem.plane > FIRST_LEVEL else 0.0
    moved = 0.0
    if cache_tile is not None and tile[cache_tile.axis] > 1:
        streamed /= tile[cache_tile.axis] if new * cache_tile.row <= FIRST_LEVEL else 1
        moved = 2 * places / PER_CYCLE / cache_tile.steps
    step = max(places / PER_CYCLE, loads(problem, own) / PER_CYCLE, streamed, LATENCY) + moved
    if problem.scatter is not None:
        missed = own[-1] > problem.scatter.vectors
        step += places * problem.scatter.per_step * (STORE_MISSED if missed else STORE)
    return step + SPILL * spilled / PER_CYCLE + OVERHEAD


def _candidates(problem: TileProblem) -> Iterator[tuple[int, ...]]:
    widths = [splits(extent) for extent in problem.extents]
    if problem.samples:
        widths[problem.sample_axis] = sample_widths(problem.extents[problem.sample_axis])
    for n, limit in enumerate(problem.limits):
        widths[n] = [width for width in widths[n] if width <= max(1, limit)]
    for tile in product(*widths):
        if prod(problem.in_registers(tile)) <= MOST_PLACES:
            yield tile


@lru_cache(maxsize=4096)
def best_tile(problem: TileProblem, machine: Machine) -> tuple[int, ...]:
    """The tile with the fewest predicted cycles.

    Among equals it has the fewest places along axes that move with a loop, whose ends may be cut off; then
    the fewest loads; then it is the first in ascending order.
    """
    moving = {axis for axes in problem.sliding for axis in axes}

    def rank(tile: tuple[int, ...]) -> tuple[float, int, float, tuple[int, ...]]:
        own = problem.in_registers(tile)
        along = prod(own[axis] for axis in moving)
        return round(cycles(problem, tile, machine), 9), along, loads(problem, own) / prod(own), tile

    return min(_candidates(problem), key=rank)


def tile_problem(
    tiles: Mapping[str, int],
    operands: Sequence[Sequence[str]],
    others: int,
    samples: bool,
    plane: int = 0,
    sliding: Sequence[Sequence[str]] = (),
    cache_tile: tuple[str, int, int] | None = None,
    sums: Sequence[Sequence[str]] = (),
) -> TileProblem:
    """Makes the tile problem of a kernel; axes are named by their macros.

    ``tiles``: the extent of each tiled axis, by macro.
    ``cache_tile``: the macro of the cache tile, its bytes per round and its steps.

    The others are as in ``TileProblem``.
    """
    numbers = {macro: n for n, macro in enumerate(tiles)}
    found, moving, further = (
        tuple(tuple(numbers[m] for m in axes) for axes in each) for each in (operands, sliding, sums)
    )
    own = None if cache_tile is None else CacheTile(numbers[cache_tile[0]], *cache_tile[1:])
    return TileProblem(tuple(tiles.values()), found, others, samples, plane, moving, own, sums=further)

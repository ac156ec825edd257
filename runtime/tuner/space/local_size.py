"""Algorithm 4, corrected: the local size and padding with the fewest global accesses (ledger A4, X51-X59;
part D 16).

The model counts accesses; it does not time anything.  What it finds is where a timed search starts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal

import numpy as np

from ...errors import ShapeError
from .access_count import ONE, Pair, naive_reads, output_size, output_writes, tile_width, tiled_reads

Rule = Literal["units", "work_group", "local_memory", "max_local", "max_padding"]
RULES: tuple[Rule, ...] = ("units", "work_group", "local_memory", "max_local", "max_padding")
Rejection = Literal["divisibility", "units", "work_group", "local_memory", "max_local", "max_padding"]

#: Pairs of candidates that are compared at a time: the arrays stay in the cache.
BLOCK = 1 << 16

Axis = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
#: Accesses of one map, then P_x, P_y, S_lx, S_ly: the smallest tuple is the first minimiser of the printed
#: loops.
Hypothesis = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class LocalSizeProblem:
    """What Algorithm 4 is given; pairs are (x, y).

    ``size`` S_x, S_y with the layer's own border included; ``taps`` F_x, F_y; ``maps`` S_z.  ``units`` U, the
    compute units that must all get a group; with ``groups_over_maps`` the groups of all maps count, otherwise
    those of one map, as printed.  ``work_group`` the kernel's largest work group; ``local_memory`` M in
    bytes, what the device has less what the kernel already uses; ``max_local`` S_l,max.  ``max_padding``
    bounds the outputs added per axis.  ``itemsize`` bytes a number.

    Raises ShapeError for numbers below their least value, and where no output fits.
    """

    size: Pair
    taps: Pair
    maps: int
    units: int
    work_group: int
    local_memory: int
    max_local: Pair
    max_padding: int = 10
    itemsize: int = 4
    stride: Pair = ONE
    dilation: Pair = ONE
    groups_over_maps: bool = False

    def __post_init__(self) -> None:
        for name in (field.name for field in fields(self) if field.name != "groups_over_maps"):
            value, least = getattr(self, name), 0 if name in ("max_padding", "local_memory") else 1
            entries = value if isinstance(value, tuple) else (value,)
            wanted = 2 if name in ("size", "taps", "max_local", "stride", "dilation") else 1
            if len(entries) != wanted or not all(type(n) is int and n >= least for n in entries):
                what = "two integers" if wanted == 2 else "an integer"
                raise ShapeError(f"local size: {name} must be {what} of at least {least}, not {value!r}")
        if min(self.outputs) < 1:
            raise ShapeError(
                f"local size: {self.taps} taps with dilation {self.dilation} do not fit into an image of "
                f"{self.size}"
            )

    @property
    def outputs(self) -> Pair:
        """O_x, O_y without padding."""
        x, y = (
            output_size(*axis) for axis in zip(self.size, self.taps, self.stride, self.dilation, strict=True)
        )
        return x, y

    @property
    def least_groups(self) -> int:
        """Work groups that one map must have for all units to get one."""
        return -(-self.units // self.maps) if self.groups_over_maps else self.units

    def tile_bytes(self, local: Pair) -> int:
        """Local memory of one group's tile, in bytes."""
        x, y = (tile_width(*axis) for axis in zip(local, self.taps, self.stride, self.dilation, strict=True))
        return self.itemsize * x * y


@dataclass(frozen=True)
class LocalSize:
    """The answer; pairs are (x, y).

    ``accesses`` counts the writes of all maps' padded outputs and the reads of their tiles.  A kernel that
    tests its bounds makes no accesses past the image, so that with padding it is an upper bound.  ``binding``
    names the limits whose removal alone lowers it (or makes an infeasible problem feasible).  ``fallback`` is
    "" where all limits are met, "units" where some compute units get no group, "untiled" where no tile fits:
    then the kernel reads naively, and so it is counted.
    """

    local: Pair
    padding: Pair
    accesses: int
    binding: tuple[Rule, ...]
    fallback: Literal["", "units", "untiled"] = ""
    reason: str = ""

    @property
    def feasible(self) -> bool:
        """Whether every limit is met."""
        return not self.fallback


def padded(problem: LocalSizeProblem, padding: Pair) -> Pair:
    """O + P: the outputs that are launched."""
    return problem.outputs[0] + padding[0], problem.outputs[1] + padding[1]


def accesses(problem: LocalSizeProblem, local: Pair, padding: Pair = (0, 0)) -> int:
    """Global accesses of all maps: padded outputs written, tiles read.

    ShapeError where the groups do not divide.
    """
    outputs = padded(problem, padding)
    reads = tiled_reads(
        outputs, local, problem.taps, maps=problem.maps, stride=problem.stride, dilation=problem.dilation
    )
    return output_writes(outputs, problem.maps) + reads


def rejections(problem: LocalSizeProblem, local: Pair, padding: Pair = (0, 0)) -> tuple[Rejection, ...]:
    """Every rule of Algorithm 4 that refuses this local size and padding; empty where it is a hypothesis."""
    outputs = padded(problem, padding)
    if min(local) < 1 or min(padding) < 0:
        raise ShapeError(f"local size {local} must be at least 1 and padding {padding} at least 0")
    found: dict[Rejection, bool] = {
        "divisibility": outputs[0] % local[0] != 0 or outputs[1] % local[1] != 0,
        "units": outputs[0] * outputs[1] < problem.least_groups * local[0] * local[1],
        "work_group": local[0] * local[1] > problem.work_group,
        "local_memory": problem.tile_bytes(local) > problem.local_memory,
        "max_local": local[0] > problem.max_local[0] or local[1] > problem.max_local[1],
        "max_padding": max(padding) > problem.max_padding,
    }
    return tuple(rule for rule, broken in found.items() if broken)


def optimal_local_size(problem: LocalSizeProblem) -> LocalSize:
    """The minimiser that the exhaustive loops over P_x, P_y, S_lx, S_ly meet first.

    Where there is none, it is what to do instead.

    Where nothing is feasible, first the demand for ``units`` groups is dropped, then the tile.
    """
    best = _search(problem)
    binding = tuple(rule for rule in RULES if _binds(problem, rule, best))
    if best is not None:
        return _answer(problem, best, binding)
    tile, most = problem.tile_bytes(ONE), padded(problem, (problem.max_padding,) * 2)
    if tile > problem.local_memory:
        reads, writes = (
            naive_reads(problem.outputs, problem.taps, problem.maps),
            output_writes(problem.outputs, problem.maps),
        )
        reason = (
            f"the tile of one output takes {tile} bytes, local memory has {problem.local_memory}: read "
            "without a tile"
        )
        return LocalSize(ONE, (0, 0), reads + writes, binding, "untiled", reason)
    relaxed = _search(replace(problem, units=1))
    assert relaxed is not None, "a tile of one output fits, so that (1, 1) is feasible"
    reason = (
        f"{most[0]} x {most[1]} outputs make fewer groups a map than the {problem.least_groups} needed: "
        "some units stay idle"
    )
    return replace(_answer(problem, relaxed, binding), fallback="units", reason=reason)


def _answer(problem: LocalSizeProblem, best: Hypothesis, binding: tuple[Rule, ...]) -> LocalSize:
    cost, *padding, x, y = best
    return LocalSize((x, y), (padding[0], padding[1]), problem.maps * cost, binding)


def _binds(problem: LocalSizeProblem, rule: Rule, best: Hypothesis | None) -> bool:
    """Whether fewer accesses are possible without ``rule``."""
    if best is None and rule == "max_padding":
        # Padding makes any number of groups of one output.
        return problem.tile_bytes(ONE) <= problem.local_memory
    found = _search(*_without(problem, rule, best[0] if best else 0))
    return found is not None and (best is None or found[0] < best[0])


def _without(problem: LocalSizeProblem, rule: Rule, cost: int) -> tuple[LocalSizeProblem, Pair]:
    """The problem and padding with one limit lifted.

    It is so wide that no hypothesis below ``cost`` accesses a map is lost to it.
    """
    padding = (problem.max_padding, problem.max_padding)
    wide, high = longest = padded(problem, padding)
    match rule:
        case "units":
            return replace(problem, units=1), padding
        case "work_group":
            return replace(problem, work_group=wide * high), padding
        case "local_memory":
            return replace(problem, local_memory=problem.tile_bytes(longest)), padding
        case "max_local":
            return replace(problem, max_local=longest), padding
        case "max_padding":
            # Every launched output is written once, and its group's tile has at least one input for it: two
            # accesses.
            wide, high = problem.outputs
            return problem, (max(0, cost // (2 * high) - wide), max(0, cost // (2 * wide) - high))


def _search(problem: LocalSizeProblem, padding: Pair | None = None) -> Hypothesis | None:
    """The best hypothesis with at most ``padding``, by default the problem's, or None.

    The same as the four loops.  A hypothesis is g_x S_lx = O_x + P_x, g_y S_ly = O_y + P_y in whole groups,
    and costs g_x g_y (S_lx S_ly + tile) a map.  For given S_lx, g_x and S_ly the limits on work group, memory
    and local size do not depend on g_y, and the cost grows strictly with it: only the least g_y that gives
    enough groups can be a minimiser.  For the same reason g_x above the least is of use only while it adds
    groups that are still missing.  Ties remain between different (S_lx, g_x, S_ly) only, and the order of the
    tuples settles them.
    """
    need, (wide, high) = problem.least_groups, problem.outputs
    longest = padded(problem, padding or (problem.max_padding, problem.max_padding))
    _refuse_overflow(problem, longest)
    y = np.arange(1, min(problem.max_local[1], problem.work_group, longest[1]) + 1, dtype=np.int64)
    least_y, most_y = -(-high // y), longest[1] // y
    y, least_y, most_y = (values[least_y <= most_y] for values in (y, least_y, most_y))
    x, groups_x = _groups_along_x(problem, longest[0], enough=-(-need // int(least_y.min())))
    tile_x, tile_y = _tile_widths(problem, 0, x), _tile_widths(problem, 1, y)
    best: Hypothesis | None = None
    for rows, columns in _blocks(x, y, problem.work_group):
        sx, gx, sy = x[rows, None], groups_x[rows, None], y[None, columns]
        gy = np.maximum(least_y[columns], -(-need // gx))
        tile = tile_x[rows, None] * tile_y[columns]
        met = (
            (gy <= most_y[columns])
            & (sx * sy <= problem.work_group)
            & (problem.itemsize * tile <= problem.local_memory)
        )
        if not met.any():
            continue
        cost = np.where(met, gx * gy * (sx * sy + tile), np.iinfo(np.int64).max)
        least = int(cost.min())
        if best is not None and least > best[0]:
            continue
        for row, column in np.argwhere(cost == least).tolist():
            lx, ly = int(sx[row, 0]), int(sy[0, column])
            found = (least, int(gx[row, 0]) * lx - wide, int(gy[row, column]) * ly - high, lx, ly)
            best = found if best is None else min(best, found)
    return best


def _groups_along_x(problem: LocalSizeProblem, longest: int, enough: int) -> tuple[Axis, Axis]:
    """All (S_lx, g_x) that can be part of a minimiser, by S_lx.

    There are more than ``enough`` groups only where the image needs them.
    """
    x = np.arange(1, min(problem.max_local[0], problem.work_group, longest) + 1, dtype=np.int64)
    least = -(-problem.outputs[0] // x)
    count = np.maximum(0, np.minimum(longest // x, np.maximum(least, enough)) - least + 1)
    first = np.cumsum(count) - count
    return np.repeat(x, count), np.arange(count.sum(), dtype=np.int64) - np.repeat(first - least, count)


def _tile_widths(problem: LocalSizeProblem, axis: int, local: Axis) -> Axis:
    """``tile_width`` along one axis, entry by entry."""
    one = tile_width(1, problem.taps[axis], problem.stride[axis], problem.dilation[axis])
    return problem.stride[axis] * (local - 1) + one


def _blocks(x: Axis, y: Axis, work_group: int) -> Iterator[tuple[slice, slice]]:
    """Blocks of rows, each with the columns that the work group admits for its first, smallest S_lx."""
    start = 0
    while start < len(x):
        columns = int(np.searchsorted(y, work_group // int(x[start]), side="right"))
        stop = start + max(1, BLOCK // max(1, columns))
        if columns:
            yield slice(start, stop), slice(0, columns)
        start = stop


def _refuse_overflow(problem: LocalSizeProblem, longest: Pair) -> None:
    """Counts are 64-bit: an output reads at most max(k, d (F - 1) + 1) inputs along each axis."""
    most = 1
    for axis in range(2):
        most *= longest[axis] * (
            1 + max(problem.stride[axis], tile_width(1, problem.taps[axis], 1, problem.dilation[axis]))
        )
    if most * problem.itemsize >= 1 << 63:
        raise ShapeError(
            f"local size: an image of {problem.size} with {problem.taps} taps has more than 2^63 accesses"
        )

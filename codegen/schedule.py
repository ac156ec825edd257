"""Schedules: which axes a work item computes a tile of.

The choice follows from the access maps alone.  An axis that some operand does not depend on is an axis along which that operand's
load can be reused; an axis that enters loop bounds or conditions must stay outside the tile, so that control flow is scalar.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..derive.ir import Axis, IntExpr, Kernel, Tensor, loads, names

SAMPLES = "t"

# Sixteen vector registers hold accumulators and operands: 4 x 2 where one operand is a scalar, 3 x 3 where both are vectors.
SCALAR_TILE, SAMPLE_TILE, VECTOR_TILE = 4, 2, 3


@dataclass(frozen=True)
class Tile:
    """A tiled axis: the macro that holds its size, the axis' extent (None for samples) and the size to aim at."""

    axis: str
    macro: str
    extent: IntExpr | None
    prefer: int


@dataclass(frozen=True)
class Schedule:
    """Register tiles of one kernel, outermost first; the sample tile comes last."""

    tiles: tuple[Tile, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The tiled axes, samples included."""
        return tuple(t.axis for t in self.tiles)


def _control_names(kernel: Kernel) -> frozenset[str]:
    """Variables that bounds, keys, solved indices and conditions depend on."""
    found: set[str] = set()
    for nest in kernel.nests:
        for part in (*nest.loops, *nest.lets, *nest.conditions, *nest.guards):
            found |= names(part)
    for load in loads(kernel):
        for condition in load.inside:
            found |= names(condition)
    for axis in kernel.axes:
        found |= names(axis.extent)
    return frozenset(found)


def _reuse(axis: Axis, kernel: Kernel) -> int:
    """How many loads of the nests do not depend on ``axis``."""
    operands = {load for nest in kernel.nests for load in loads(nest)}
    return sum(axis.name not in names(load) for load in operands)


def _ragged_keys(kernel: Kernel, tensors: dict[str, Tensor]) -> frozenset[str]:
    """Variables that pick the map of a ragged tensor."""
    found: set[str] = set()
    if kernel.output.ragged:
        found.add(kernel.axes[0].name)
    for load in loads(kernel):
        if tensors[load.tensor].ragged:
            found |= names(load.index[0])
    return frozenset(found)


def choose(kernel: Kernel, tensors: dict[str, Tensor]) -> Schedule:
    """The default schedule: up to two tiled axes, the samples among them where the kernel writes samples."""
    heavy = [n for n in kernel.nests if n.combine == "sum" and (n.loops or kernel.sums_samples)]
    maximum = any(n.combine == "max" for n in kernel.nests)
    fixed = _control_names(kernel) | _ragged_keys(kernel, tensors)
    candidates = [a for a in kernel.axes if a.name not in fixed and _reuse(a, kernel) > 0] if heavy and not maximum else []
    candidates.sort(key=lambda a: -_reuse(a, kernel))
    prefix = f"TILE_{kernel.name}_"
    if kernel.sums_samples:
        tiles = [Tile(a.name, f"{prefix}{a.name}", a.extent, VECTOR_TILE) for a in candidates[:2]]
        return Schedule(tuple(tiles))
    tiles = [Tile(a.name, f"{prefix}{a.name}", a.extent, SCALAR_TILE) for a in candidates[:1]]
    return Schedule((*tiles, Tile(SAMPLES, f"{prefix}{SAMPLES}", None, SAMPLE_TILE if tiles else 1)))

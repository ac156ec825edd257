"""Tiles of kernels whose samples lie one after the other: their lanes go along an axis of units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import replace

from ...derive.ir import (
    Axis,
    Condition,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Loop,
    Nest,
    Size,
    Tensor,
    loads,
    names,
)
from .lanes import Lanes
from .lanes import choose as choose_lanes
from .tiling import (
    LANES,
    SAMPLES,
    Tile,
    TiledKernel,
    Tiling,
    condition_names,
    free_axes,
    monotone,
    ragged_keys,
    reuse,
    with_operands,
)


def tiled_by_sample(kernel: Kernel, tensors: Mapping[str, Tensor]) -> TiledKernel:
    """Tiles ``kernel`` for samples that lie one after the other, and chooses its axis of lanes."""
    found = choose_lanes(kernel, {**tensors, kernel.output.name: kernel.output})
    if found is not None and found.packed:
        return packed(kernel, dict(tensors), found)
    if found is not None:
        return TiledKernel(kernel, choose_with_lanes(kernel, dict(tensors), found), found)
    plain = () if kernel.sums_samples else (Tile(SAMPLES, f"TILE_{kernel.name}_{SAMPLES}", None),)
    return TiledKernel(kernel, Tiling(plain))


def choose_with_lanes(kernel: Kernel, tensors: dict[str, Tensor], lanes: Lanes) -> Tiling:
    """The tiling where the lanes of a vector go along ``lanes`` instead of samples.

    Only axes that no bound depends on are tiled.  If lanes go along an output axis, its tile counts vectors.
    If they go along a reduction axis, the last output axis is tiled if possible, so that the sums of
    neighbouring points form a vector again.
    """
    fixed = condition_names(kernel) | ragged_keys(kernel, tensors)
    free = free_axes(kernel, fixed)
    others = [a for a in free if a.name != lanes.axis and reuse(a, kernel) > 0]
    if any(n.combine == "max" for n in kernel.nests):
        others = []
    last = kernel.axes[-1].name if kernel.axes and lanes.over == "reduction" else ""
    others.sort(key=lambda a: (a.name != last, -reuse(a, kernel)))
    chosen = sorted(others[:2], key=kernel.axes.index)
    tiles = [Tile(a.name, f"TILE_{kernel.name}_{a.name}", a.extent) for a in chosen]
    if lanes.over == "output":
        vectors = IntOp("ceildiv", (lanes.extent, Size(LANES)))
        tiles.append(Tile(lanes.axis, f"TILE_{kernel.name}_{lanes.axis}", vectors))
    return with_operands(kernel, tensors, tiles)


# ------------------------------------------------------------------------------------------ packed parameters
def packed(kernel: Kernel, tensors: dict[str, Tensor], lanes: Lanes) -> TiledKernel:
    """Tiles where parameters are packed along ``lanes``, whose tile counts vectors and is innermost.

    So registers hold the vectors of a parameter, and each value of a sample is loaded once into all lanes.
    The innermost other axis that a tile can go along has one too.
    """
    fixed = ragged_keys(kernel, tensors) | {lanes.axis}
    tiles: list[Tile] = []
    for axis in reversed(kernel.axes):
        alone = None if axis.name in fixed or not reuse(axis, kernel) else _alone(kernel, axis, fixed)
        if alone is not None:
            tiles = [Tile(axis.name, f"TILE_{kernel.name}_{axis.name}", axis.extent, alone=alone)]
            break
    vectors = IntOp("ceildiv", (lanes.extent, Size(LANES)))
    own = Tile(lanes.axis, f"TILE_{kernel.name}_{lanes.axis}", vectors)
    tiling = replace(with_operands(kernel, tensors, tiles, own), packed=f"PACKED_{kernel.name}")
    return TiledKernel(kernel, tiling, lanes)


def _alone(kernel: Kernel, axis: Axis, others: Set[str]) -> tuple[IntExpr, ...] | None:
    """What must be 1 where a tile along ``axis`` has several points; None where it never may.

    With steps of 1 bounds are monotone, and a number is divisible by 1 whatever the point.
    """
    fixed = [condition for load in loads(kernel) for condition in load.inside]
    extents = [other.extent for other in kernel.axes]
    if any(axis.name in names(part) for part in (*fixed, *extents)):
        return None
    found = [e for nest in kernel.nests for e in _alone_in(nest, axis.name, others)]
    return None if None in found else tuple(dict.fromkeys(e for e in found if e and e != Integer(1)))


def _alone_in(nest: Nest, axis: str, others: Set[str]) -> Iterator[IntExpr | None]:
    """What must be 1 for one nest; None where a tile along ``axis`` can have only a single point."""
    inner = {loop.name for loop in nest.loops}
    for loop in nest.loops:
        if axis in names(loop):
            fits = isinstance(loop, Loop) and _in_step(loop, axis, {*others, *inner})
            yield loop.step if isinstance(loop, Loop) and fits else None
    for guard in nest.guards:
        if axis in names(guard):
            yield _divisible(guard)
    if any(axis in names(let) for let in nest.lets):
        yield None


def _in_step(loop: Loop, axis: str, others: Set[str]) -> bool:
    """Whether the bounds of ``loop`` are monotone in ``axis`` where its step is 1, and depend on none of
    ``others``.
    """
    if names(loop.step) or axis in names(loop.extent):
        return False
    bounds = (loop.lower, loop.upper)
    return all(monotone(bound, loop.step) and not names(bound) & others for bound in bounds)


def _divisible(guard: Condition) -> IntExpr | None:
    """The modulus m of a guard ``a % m == 0``; None for others."""
    left = guard.left
    if guard.op != "==" or guard.right != Integer(0) or not isinstance(left, IntOp) or left.op != "mod":
        return None
    return None if names(left.args[1]) else left.args[1]

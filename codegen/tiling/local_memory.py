"""Which parameters a work group may copy to local memory.

They are those that all of its work items, which differ in their samples alone, read at the same points.

The outermost loop of a kernel's nest runs over its whole range.  For some iterations of it at a time the
group copies what its tile
reads in all of them: every value of the inner loops, every point of the tile.  All indices are plain loops
and axes over whole axes of the tensor, so that nothing outside it is read; control flow does not depend on
the samples, so that all items meet at the barriers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...derive.ir import Integer, IntExpr, Kernel, Load, Loop, Name, Size, Tensor, integers, loads
from ..analysis.affine import multiply
from ..passes.factor_out_invariants import together


@dataclass(frozen=True)
class Copy:
    """One operand: ``variable`` is its array ``[iteration, points of tiled axes..., inner loops...]``,
    ``inner`` with extents.
    """

    load: Load
    variable: str
    tiled: tuple[str, ...]
    inner: tuple[tuple[str, IntExpr], ...]


@dataclass(frozen=True)
class Local:
    """What a kernel may copy.  ``macro``: iterations of the loop ``outer`` for each copy, 0 for none."""

    macro: str
    outer: Loop
    copies: tuple[Copy, ...]


def local(kernel: Kernel, tensors: Mapping[str, Tensor], tiled: Sequence[str]) -> Local | None:
    """What a group of ``kernel`` may copy under tiles over the axes ``tiled``; None where there is
    nothing.
    """
    loops = _whole_loops(kernel)
    if not loops:
        return None
    outer = loops[0]
    extents = {a.name: a.extent for a in kernel.axes} | {loop.name: loop.extent for loop in loops}
    copies: list[Copy] = []
    for load in dict.fromkeys(load for nest in kernel.nests for load in loads(nest)):
        if not _regular(load, tensors[load.tensor], extents) or Name(outer.name) not in load.index:
            continue
        copies.append(_copy(load, len(copies), tiled, loops[1:]))
    return Local(f"LOCAL_{kernel.name}", outer, tuple(copies)) if copies else None


def _copy(load: Load, number: int, tiled: Sequence[str], inner: Sequence[Loop]) -> Copy:
    used = [i.name for i in load.index if isinstance(i, Name)]
    loops = tuple((loop.name, loop.extent) for loop in inner if loop.name in used)
    variable = f"{load.tensor}_local{number or ''}"
    return Copy(load, variable, tuple(a for a in tiled if a in used), loops)


def _whole_loops(kernel: Kernel) -> list[Loop]:
    """The loops of the only sum, of which the outermost is whole; none where there is no such sum."""
    if kernel.sums_samples or len(together(kernel)) != 1 or kernel.nests[0].combine != "sum":
        return []
    loops = [loop for loop in kernel.nests[0].loops if isinstance(loop, Loop)]
    if not loops or len(loops) < len(kernel.nests[0].loops):
        return []
    outer = loops[0]
    return loops if (outer.lower, outer.upper, outer.step) == (Integer(0), outer.extent, Integer(1)) else []


def _regular(load: Load, tensor: Tensor, extents: Mapping[str, IntExpr]) -> bool:
    """True for a parameter whose every index runs over the whole of its axis, each a variable of its own."""
    if tensor.samples or tensor.ragged or load.inside or len(set(load.index)) < len(load.index):
        return False
    if any(isinstance(i, Size) and i.index is not None for e in tensor.shape for i in integers(e)):
        return False
    pairs = zip(load.index, tensor.shape, strict=True)
    return all(isinstance(i, Name) and extents.get(i.name) == size for i, size in pairs)


def numbers(copy: Copy, tiles: Mapping[str, str]) -> IntExpr:
    """What one iteration of an operand takes; ``tiles``: the macro of each tiled axis."""
    return multiply(*(Size(tiles[a]) for a in copy.tiled), *(extent for _, extent in copy.inner))

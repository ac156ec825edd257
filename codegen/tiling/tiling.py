"""Chooses the axes along which a work item computes a tile.

The choice follows from the access maps alone:

* If an operand does not depend on an axis, a tile along this axis reuses the operand's load.
* An axis that enters conditions or solved indices is not tiled, so that control flow stays scalar.
* An axis that enters the bounds of a loop may be tiled if the bounds are monotone in it.  Iterations that all
  points of the tile share are a plain loop; for the others the points take turns, each with its own bounds.

A sum over samples streams through whole planes.  There a further axis may become a cache tile: its points
follow one another inside the outermost loop, each with its own accumulators.  What the first point loads, the
next ones find in the first-level cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from ...derive.ir import (
    Axis,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Load,
    Loop,
    Nest,
    Size,
    Tensor,
    integers,
    loads,
    names,
)
from ..passes.factor_out_invariants import together
from .constant_memory import ConstantParameters, constant_parameters
from .lanes import Lanes
from .local_memory import Local, local
from .sums import sums_in_parts

SAMPLES = "t"
#: The macro with the number of lanes of a vector.
LANES = "V"

#: The most tiled axes besides the samples.  Samples that are summed have no tile, so a third axis may.
MOST_AXES, MOST_SUMMED = 2, 3


@dataclass(frozen=True)
class Tile:
    """A tiled axis.

    ``macro``: holds the size of the tile.
    ``extent``: the extent of the axis; None for samples.
    ``iterations``: for a cache tile, the extent of the outermost loop, which contains the points; else None.
    ``alone``: the tile has a single point unless all of these are 1.
    """

    axis: str
    macro: str
    extent: IntExpr | None
    iterations: IntExpr | None = None
    alone: tuple[IntExpr, ...] = ()

    @property
    def in_cache(self) -> bool:
        """Whether the tile is a cache tile."""
        return self.iterations is not None


@dataclass(frozen=True)
class Operand:
    """A value that the innermost body loads.

    ``axes``: the tiled axes that it depends on, samples included.
    ``sliding``: the ones of ``axes`` along which its address moves as it does from one iteration to the next.
        So an iteration finds in the cache most of what the one before it loaded.
    ``invariant``: whether it is the same in all iterations, so that registers keep it throughout.
    """

    axes: tuple[str, ...]
    sliding: tuple[str, ...] = ()
    invariant: bool = False


@dataclass(frozen=True)
class Tiling:
    """The tiles of one kernel, and the macros for all that may be chosen for it.

    A macro is "" if there is nothing to choose.

    ``tiles``: the tiles, outermost first; a cache tile follows those in registers, the samples' tile is last,
        but for that of packed lanes.
    ``operands``: the values that the innermost bodies load.
    ``partial_sums``: the number of partial sums over the samples.
    ``group``: the size of a reduction group, whose work items share a sum; 0 if one work item computes a sum.
    ``loop_split``: into how many parts a reduction group splits the iterations of the outermost loops.
    ``iterations``: the extents of these loops.
    ``unroll``: how often the innermost loops are unrolled, 0 for as often as the compiler likes.
    ``constant_parameters``: those, which may lie in constant memory.
    ``local``: what of the parameters a work group may copy to local memory.
    ``sums``: for further sums in the loops of another one, the tiled axes that they have accumulators along.
    ``packed``: whether parameters come packed along the axis of the lanes.
    """

    tiles: tuple[Tile, ...]
    operands: tuple[Operand, ...] = ()
    partial_sums: str = ""
    group: str = ""
    loop_split: str = ""
    iterations: tuple[IntExpr, ...] = ()
    unroll: str = ""
    constant_parameters: ConstantParameters | None = None
    local: Local | None = None
    sums: tuple[tuple[str, ...], ...] = ()
    packed: str = ""

    @property
    def macros(self) -> list[str]:
        """Every macro that the kernel's text requires."""
        found = [tile.macro for tile in self.tiles] + list(self.choices)
        found += [self.local.macro] if self.local else []
        constant = self.constant_parameters
        return found + [macro for macro in ((constant.macro, constant.slicing) if constant else ()) if macro]

    @property
    def choices(self) -> tuple[str, ...]:
        """The macros that concern neither tiles nor memory spaces."""
        return tuple(
            macro
            for macro in (self.partial_sums, self.group, self.loop_split, self.unroll, self.packed)
            if macro
        )

    @property
    def cache_tile(self) -> Tile | None:
        """The cache tile, if there is one."""
        return next((t for t in self.tiles if t.in_cache), None)

    @property
    def axes(self) -> tuple[str, ...]:
        """The tiled axes, samples included."""
        return tuple(t.axis for t in self.tiles)


def condition_names(kernel: Kernel) -> frozenset[str]:
    """Variables that keys, solved indices, conditions and other axes' extents depend on."""
    found: set[str] = set()
    for nest in kernel.nests:
        for loop in nest.loops:
            if not isinstance(loop, Loop):
                found |= names(loop)
        for part in (*nest.lets, *nest.guards):
            found |= names(part)
        if any(not isinstance(loop, Loop) for loop in nest.loops):
            found |= {name for loop in nest.loops if isinstance(loop, Loop) for name in names(loop)}
    for load in loads(kernel):
        for condition in load.inside:
            found |= names(condition)
    for axis in kernel.axes:
        found |= names(axis.extent)
    return frozenset(found)


def monotone(e: IntExpr, one: IntExpr | None = None) -> bool:
    """True where ``e`` is monotone in every variable of a single axis.

    It is made of sums, products with sizes, divisions by sizes, min and max.  ``one``: what is taken to be 1,
    so that a remainder by it is 0.
    """
    if not isinstance(e, IntOp) or (e.op == "mod" and e.args[1] == one):
        return True
    if e.op in ("mod", "gcd", "inverse") and names(e):
        return False
    if e.op == "mul" and sum(bool(names(a)) for a in e.args) > 1:
        return False
    if e.op in ("floordiv", "ceildiv") and names(e.args[1]):
        return False
    return all(monotone(a, one) for a in e.args)


def bounded(nest: Nest, axis: str) -> tuple[Loop, ...]:
    """The loops of ``nest`` whose bounds depend on ``axis``."""
    return tuple(
        loop
        for loop in nest.loops
        if isinstance(loop, Loop) and axis in names(loop.lower) | names(loop.upper)
    )


def _tileable(loop: Loop, axis: str, others: Set[str]) -> bool:
    """True if the bounds of ``loop`` can be taken over a whole tile of ``axis``.

    Bounds that depend on ``axis`` must not depend on ``others``.
    """
    if axis in names(loop.step) | names(loop.extent):
        return False
    bounds = (loop.lower, loop.upper)
    if not any(axis in names(bound) for bound in bounds):
        return True
    return loop.step == Integer(1) and all(monotone(bound) and not names(bound) & others for bound in bounds)


def _tileable_bounds(kernel: Kernel, axis: str, tiled: tuple[str, ...]) -> bool:
    """True if every bound that depends on ``axis`` can be taken over a whole tile of it."""
    return all(
        _tileable(loop, axis, {*tiled, *(other.name for other in nest.loops)})
        for nest in kernel.nests for loop in nest.loops if isinstance(loop, Loop)
    )  # fmt: skip


def free_axes(kernel: Kernel, fixed: Set[str]) -> list[Axis]:
    """The axes that no bound depends on, without those in ``fixed``."""
    return [
        a for a in kernel.axes if a.name not in fixed and not any(bounded(n, a.name) for n in kernel.nests)
    ]


def _operands(kernel: Kernel) -> list[Load]:
    return list(dict.fromkeys(load for nest in kernel.nests for load in loads(nest)))


def _slides(load: Load, axis: str, kernel: Kernel) -> bool:
    """True where one index of ``load`` moves with ``axis`` and with a loop."""
    iterations = {loop.name for nest in kernel.nests for loop in nest.loops}
    return any(axis in names(e) and iterations & names(e) for e in load.index)


def reuse(axis: Axis, kernel: Kernel) -> int:
    """How many loads of the nests do not depend on ``axis``."""
    return sum(axis.name not in names(load) for load in _operands(kernel))


def ragged_keys(kernel: Kernel, tensors: dict[str, Tensor]) -> frozenset[str]:
    """Variables that index the maps of a ragged tensor."""
    found: set[str] = set()
    if kernel.output.ragged:
        found.add(kernel.axes[0].name)
    for load in loads(kernel):
        if tensors[load.tensor].ragged:
            found |= names(load.index[0])
    return frozenset(found)


def tiled_axes(kernel: Kernel, tensors: dict[str, Tensor]) -> list[Axis]:
    """The axes to tile.

    Axes that no bound depends on come first, by their reuse.  The others follow, the contiguous one first.
    """
    if not _contracts(kernel):
        return []
    fixed = condition_names(kernel) | ragged_keys(kernel, tensors)
    candidates = [a for a in kernel.axes if a.name not in fixed and reuse(a, kernel) > 0]
    free = [a for a in free_axes(kernel, fixed) if a in candidates]
    free.sort(key=lambda a: -reuse(a, kernel))
    held = [a for a in reversed(candidates) if a not in free]
    most = MOST_SUMMED if kernel.sums_samples else MOST_AXES
    # At most two free axes leave room for a window or a coordinate, which has all the reuse if maps are few.
    chosen = _with_held(kernel, free[: 2 if held else most], held, most)
    if not chosen and kernel.sums_samples:
        # No load is shared, but several accumulators do not wait for one another.
        chosen = free_axes(kernel, fixed)[:1]
    return chosen


def _with_held(kernel: Kernel, chosen: list[Axis], held: Sequence[Axis], most: int) -> list[Axis]:
    """Adds axes of ``held`` to ``chosen``, up to ``most``.

    Loop bounds depend on axes of ``held``; an axis is added if these bounds can be taken over a whole tile.
    """
    for axis in held:
        if len(chosen) < most and _tileable_bounds(kernel, axis.name, tuple(a.name for a in chosen)):
            chosen.append(axis)
    return chosen


def _contracts(kernel: Kernel) -> bool:
    """True if ``kernel`` computes a sum and no maximum."""
    sums = any(n.combine == "sum" and (n.loops or kernel.sums_samples) for n in kernel.nests)
    return sums and all(n.combine != "max" for n in kernel.nests)


def _cache_tile(kernel: Kernel, tensors: dict[str, Tensor], tiles: list[Tile], prefix: str) -> list[Tile]:
    """The cache tile of ``kernel``, in a list that is empty if there is none.

    It is the outermost axis without a tile whose points can share the iterations of the outermost loop.
    """
    if not tiles or not kernel.sums_samples or len(kernel.nests) != 1 or len(kernel.nests[0].loops) < 2:
        return []
    first, tiled = kernel.nests[0].loops[0], {t.axis for t in tiles}
    if not isinstance(first, Loop):
        return []
    fixed = condition_names(kernel) | ragged_keys(kernel, tensors) | tiled
    found = [
        a
        for a in kernel.axes
        if a.name not in fixed and reuse(a, kernel) > 0 and _tileable(first, a.name, tiled)
    ]
    return [Tile(a.name, f"{prefix}{a.name}", a.extent, first.extent) for a in found[:1]]


def choose(kernel: Kernel, tensors: dict[str, Tensor]) -> Tiling:
    """Chooses the tiles of ``kernel``; the runtime picks their sizes."""
    prefix = f"TILE_{kernel.name}_"
    parts, group = (
        (f"PARTIAL_SUMS_{kernel.name}", f"GROUP_{kernel.name}") if sums_in_parts(kernel) else ("", "")
    )
    iterations = _outermost_iterations(kernel)
    unroll = f"UNROLL_{kernel.name}" if kernel.sums_samples or any(n.loops for n in kernel.nests) else ""
    tiles = [Tile(a.name, f"{prefix}{a.name}", a.extent) for a in tiled_axes(kernel, tensors)]
    found = with_operands(kernel, tensors, [*tiles, *_cache_tile(kernel, tensors, tiles, prefix)])
    split = f"LOOP_SPLIT_{kernel.name}" if group and iterations else ""
    found = replace(
        found, partial_sums=parts, group=group, loop_split=split, iterations=iterations, unroll=unroll
    )
    return replace(
        found,
        constant_parameters=constant_parameters(kernel, tensors),
        local=local(kernel, tensors, found.axes),
    )


def _outermost_iterations(kernel: Kernel) -> tuple[IntExpr, ...]:
    """The extent of the outermost loop of every nest.

    The result is empty if some nest has no loop, or if its outermost loop runs over connections or has an
    extent that varies.
    """
    found = [nest.loops[0] for nest in kernel.nests if nest.loops]
    plain = [
        loop.extent
        for loop in found
        if isinstance(loop, Loop) and not names(loop.extent) and not _reads_table(loop.extent)
    ]
    return tuple(plain) if len(plain) == len(kernel.nests) else ()


def _reads_table(e: IntExpr) -> bool:
    return any(isinstance(i, Size) and i.index is not None for i in integers(e))


@dataclass(frozen=True)
class TiledKernel:
    """A kernel with its tiles.

    ``lanes``: the axis that fills the lanes of its vectors; None if samples fill them or if it has no
        vectors.
    """

    kernel: Kernel
    tiling: Tiling
    lanes: Lanes | None = None


def tiled_by_vector(kernel: Kernel, tensors: Mapping[str, Tensor]) -> TiledKernel:
    """Tiles ``kernel`` for vectors whose lanes are samples."""
    return TiledKernel(kernel, choose(kernel, dict(tensors)))


def with_operands(
    kernel: Kernel, tensors: dict[str, Tensor], tiles: list[Tile], innermost: Tile | None = None
) -> Tiling:
    """The tiling with ``tiles``, a tile of samples unless they are summed, and the operands of the bodies."""
    if not kernel.sums_samples:
        tiles.append(Tile(SAMPLES, f"TILE_{kernel.name}_{SAMPLES}", None))
    tiles += [innermost] if innermost is not None else []
    found = [_operand(load, kernel, tensors, tiles) for load in _operands(kernel)]
    further = [kernel.nests[n] for group in together(kernel) for n in group[1:]]
    inner = [t.axis for t in tiles if not t.in_cache]
    return Tiling(
        tuple(tiles), tuple(found), sums=tuple(depends_on(nest, tensors, inner) for nest in further)
    )


def _operand(load: Load, kernel: Kernel, tensors: Mapping[str, Tensor], tiles: Sequence[Tile]) -> Operand:
    """``load`` as an operand of a body under ``tiles``."""
    samples, iterations = (
        tensors[load.tensor].samples,
        {loop.name for nest in kernel.nests for loop in nest.loops},
    )
    used = names(load) | ({SAMPLES} if samples else set())
    axes = tuple(t.axis for t in tiles if t.axis in used)
    invariant = not used & iterations and not (kernel.sums_samples and samples)
    return Operand(axes, tuple(a for a in axes if _slides(load, a, kernel)), invariant)


def depends_on(node: Nest | Load, tensors: Mapping[str, Tensor], axes: Sequence[str]) -> tuple[str, ...]:
    """The axes among ``axes``, samples included, that ``node`` depends on."""
    samples = any(tensors[load.tensor].samples for load in loads(node))
    return tuple(a for a in axes if a in names(node) or (a == SAMPLES and samples))

"""Tilings: which axes a work item computes a tile of.

The choice follows from the access maps alone.  An axis that some operand does not depend on is an axis along which that
operand's load can be reused.  An axis that enters conditions or solved indices stays outside the tile, so that control
flow is scalar.  One that enters the bounds of a loop may be tiled where the bounds are monotone in it: iterations that
all points of the tile take part in are a plain loop, and elsewhere the points come in turn, each with its own bounds.

A sum over samples streams through whole planes.  There a further axis makes a cache tile: its points follow one another
inside the outermost loop, each with accumulators of its own.  What one of them loads the next ones find in the
first-level cache.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace

from ...derive.ir import Axis, Integer, IntExpr, IntOp, Kernel, Load, Loop, Nest, Size, Tensor, integers, loads, names
from ..passes.factor_out_invariants import together
from .constant_memory import ConstantParameters, constant_parameters
from .lanes import Lanes
from .lanes import choose as choose_lanes
from .local_memory import Local, local
from .sums import sums_in_parts

SAMPLES = "t"
#: The macro with the lanes of a vector.
LANES = "V"

#: Tiled axes besides the samples.  Two where the samples are a third; where they are summed, three.
MOST_AXES, MOST_SUMMED = 2, 3


@dataclass(frozen=True)
class Tile:
    """A tiled axis: the macro that holds its size, and the axis' extent (None for samples).

    ``iterations``: of a cache tile, those of the outermost loop, in each of which its points follow one another.
    """

    axis: str
    macro: str
    extent: IntExpr | None
    iterations: IntExpr | None = None

    @property
    def in_cache(self) -> bool:
        """Whether the tile is a cache tile."""
        return self.iterations is not None


@dataclass(frozen=True)
class Operand:
    """A value that the innermost body loads.

    ``axes``: the tiled axes that it depends on, the samples among them.
    ``sliding``: those along which it moves as it does from one iteration to the next, so that most of what one iteration
    loads the next one finds in the cache.
    ``invariant``: it is the same in all iterations, so that registers keep it throughout.
    """

    axes: tuple[str, ...]
    sliding: tuple[str, ...] = ()
    invariant: bool = False


@dataclass(frozen=True)
class Tiling:
    """The tiles of one kernel, and the macros of all that may be chosen for it.

    A macro is "" where there is nothing to choose.

    ``tiles``: outermost first, a cache tile after those in registers, the samples' last.
    ``operands``: what the innermost bodies load.
    ``partial_sums``: the number of partial sums over the samples.
    ``group``: the size of a reduction group, the work items that share a sum; 0 for a single one.
    ``loop_split``: the number of parts that the iterations of the outermost loops are split into in a group.
    ``iterations``: the extents of these loops.
    ``unroll``: how often the innermost loops are unrolled, 0 for as often as the compiler likes.
    ``constant_parameters``: those, which may lie in constant memory.
    ``local``: what of the parameters a work group may copy to local memory.
    ``sums``: for further sums in the loops of another one, the tiled axes that they have accumulators along.
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

    @property
    def macros(self) -> list[str]:
        """Every macro that the kernel's text requires."""
        found = [tile.macro for tile in self.tiles] + list(self.choices)
        found += [self.local.macro] if self.local else []
        constant = self.constant_parameters
        return found + [macro for macro in ((constant.macro, constant.slicing) if constant else ()) if macro]

    @property
    def choices(self) -> tuple[str, ...]:
        """The macros besides tiles and those of memory spaces."""
        return tuple(macro for macro in (self.partial_sums, self.group, self.loop_split, self.unroll) if macro)

    @property
    def cache_tile(self) -> Tile | None:
        """The tile that is a cache tile, if any."""
        return next((t for t in self.tiles if t.in_cache), None)

    @property
    def axes(self) -> tuple[str, ...]:
        """The tiled axes, samples included."""
        return tuple(t.axis for t in self.tiles)


def _condition_names(kernel: Kernel) -> frozenset[str]:
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


def _monotone(e: IntExpr) -> bool:
    """True where ``e`` is monotone in every variable of a single axis.

    It is made of sums, products with sizes, divisions by sizes, min and max.
    """
    for part in integers(e):
        if not isinstance(part, IntOp):
            continue
        if part.op in ("mod", "gcd", "inverse") and names(part):
            return False
        if part.op == "mul" and sum(bool(names(a)) for a in part.args) > 1:
            return False
        if part.op in ("floordiv", "ceildiv") and names(part.args[1]):
            return False
    return True


def bounded(nest: Nest, axis: str) -> tuple[Loop, ...]:
    """The loops of ``nest`` whose bounds depend on ``axis``."""
    return tuple(loop for loop in nest.loops if isinstance(loop, Loop) and axis in names(loop.lower) | names(loop.upper))


def _tileable(loop: Loop, axis: str, others: Set[str]) -> bool:
    """True where bounds of ``loop`` can be taken over a whole tile of ``axis``.

    Those that depend on it must depend on none of ``others``.
    """
    if axis in names(loop.step) | names(loop.extent):
        return False
    bounds = (loop.lower, loop.upper)
    if not any(axis in names(bound) for bound in bounds):
        return True
    return loop.step == Integer(1) and all(_monotone(bound) and not names(bound) & others for bound in bounds)


def _tileable_bounds(kernel: Kernel, axis: str, tiled: tuple[str, ...]) -> bool:
    """True where every bound that depends on ``axis`` can be taken over a whole tile of it."""
    return all(
        _tileable(loop, axis, {*tiled, *(other.name for other in nest.loops)})
        for nest in kernel.nests for loop in nest.loops if isinstance(loop, Loop)
    )  # fmt: skip


def _free(kernel: Kernel, fixed: Set[str]) -> list[Axis]:
    """The axes besides ``fixed`` ones that no bound depends on."""
    return [a for a in kernel.axes if a.name not in fixed and not any(bounded(n, a.name) for n in kernel.nests)]


def _operands(kernel: Kernel) -> list[Load]:
    return list(dict.fromkeys(load for nest in kernel.nests for load in loads(nest)))


def _slides(load: Load, axis: str, kernel: Kernel) -> bool:
    """True where one index of ``load`` moves with ``axis`` and with a loop."""
    iterations = {loop.name for nest in kernel.nests for loop in nest.loops}
    return any(axis in names(e) and iterations & names(e) for e in load.index)


def _reuse(axis: Axis, kernel: Kernel) -> int:
    """How many loads of the nests do not depend on ``axis``."""
    return sum(axis.name not in names(load) for load in _operands(kernel))


def _ragged_keys(kernel: Kernel, tensors: dict[str, Tensor]) -> frozenset[str]:
    """Variables that pick the map of a ragged tensor."""
    found: set[str] = set()
    if kernel.output.ragged:
        found.add(kernel.axes[0].name)
    for load in loads(kernel):
        if tensors[load.tensor].ragged:
            found |= names(load.index[0])
    return frozenset(found)


def _tiled_axes(kernel: Kernel, tensors: dict[str, Tensor]) -> list[Axis]:
    """The axes to tile: first those that no bound depends on, by reuse; then others, the contiguous one first."""
    if not _contracts(kernel):
        return []
    fixed = _condition_names(kernel) | _ragged_keys(kernel, tensors)
    candidates = [a for a in kernel.axes if a.name not in fixed and _reuse(a, kernel) > 0]
    free = [a for a in _free(kernel, fixed) if a in candidates]
    free.sort(key=lambda a: -_reuse(a, kernel))
    held = [a for a in reversed(candidates) if a not in free]
    most = MOST_SUMMED if kernel.sums_samples else MOST_AXES
    # at most two free ones, so that a window or a coordinate finds room: where maps are few it has all the reuse there is
    chosen = _with_held(kernel, free[: 2 if held else most], held, most)
    if not chosen and kernel.sums_samples:
        # no load to share: a second and a third sum at least need not wait for the one before
        chosen = _free(kernel, fixed)[:1]
    return chosen


def _with_held(kernel: Kernel, chosen: list[Axis], held: Sequence[Axis], most: int) -> list[Axis]:
    """``chosen`` axes and up to ``most`` with those ``held`` by bounds that can be taken over a whole tile."""
    for axis in held:
        if len(chosen) < most and _tileable_bounds(kernel, axis.name, tuple(a.name for a in chosen)):
            chosen.append(axis)
    return chosen


def _contracts(kernel: Kernel) -> bool:
    """True where ``kernel`` sums something and seeks no maximum."""
    sums = any(n.combine == "sum" and (n.loops or kernel.sums_samples) for n in kernel.nests)
    return sums and all(n.combine != "max" for n in kernel.nests)


def _cache_tile(kernel: Kernel, tensors: dict[str, Tensor], tiles: list[Tile], prefix: str) -> list[Tile]:
    """The outermost further axis, if any, whose points can share the iterations of the outermost of several loops."""
    if not tiles or not kernel.sums_samples or len(kernel.nests) != 1 or len(kernel.nests[0].loops) < 2:
        return []
    first, tiled = kernel.nests[0].loops[0], {t.axis for t in tiles}
    if not isinstance(first, Loop):
        return []
    fixed = _condition_names(kernel) | _ragged_keys(kernel, tensors) | tiled
    found = [a for a in kernel.axes if a.name not in fixed and _reuse(a, kernel) > 0 and _tileable(first, a.name, tiled)]
    return [Tile(a.name, f"{prefix}{a.name}", a.extent, first.extent) for a in found[:1]]


def choose(kernel: Kernel, tensors: dict[str, Tensor]) -> Tiling:
    """What a work item of ``kernel`` computes a tile of; the runtime picks the sizes."""
    prefix = f"TILE_{kernel.name}_"
    parts, group = (f"PARTIAL_SUMS_{kernel.name}", f"GROUP_{kernel.name}") if sums_in_parts(kernel) else ("", "")
    iterations = _outermost_iterations(kernel)
    unroll = f"UNROLL_{kernel.name}" if kernel.sums_samples or any(n.loops for n in kernel.nests) else ""
    tiles = [Tile(a.name, f"{prefix}{a.name}", a.extent) for a in _tiled_axes(kernel, tensors)]
    found = _tiling(kernel, tensors, [*tiles, *_cache_tile(kernel, tensors, tiles, prefix)])
    split = f"LOOP_SPLIT_{kernel.name}" if group and iterations else ""
    found = replace(found, partial_sums=parts, group=group, loop_split=split, iterations=iterations, unroll=unroll)
    return replace(found, constant_parameters=constant_parameters(kernel, tensors), local=local(kernel, tensors, found.axes))


def _outermost_iterations(kernel: Kernel) -> tuple[IntExpr, ...]:
    """The extent of the outermost loop of every nest.

    There are none where a nest has no loop, or one over connections or of varying extent.
    """
    found = [nest.loops[0] for nest in kernel.nests if nest.loops]
    plain = [loop.extent for loop in found if isinstance(loop, Loop) and not names(loop.extent) and not _reads_table(loop.extent)]
    return tuple(plain) if len(plain) == len(kernel.nests) else ()


def _reads_table(e: IntExpr) -> bool:
    return any(isinstance(i, Size) and i.index is not None for i in integers(e))


@dataclass(frozen=True)
class TiledKernel:
    """A kernel with its tiles; ``lanes``: the axis that fills its vectors, None where samples do or nothing does."""

    kernel: Kernel
    tiling: Tiling
    lanes: Lanes | None = None


def tiled_by_vector(kernel: Kernel, tensors: Mapping[str, Tensor]) -> TiledKernel:
    """``kernel`` with tiles, whose lanes are samples."""
    return TiledKernel(kernel, choose(kernel, dict(tensors)))


def tiled_by_sample(kernel: Kernel, tensors: Mapping[str, Tensor]) -> TiledKernel:
    """``kernel`` with tiles where samples lie one after the other, and with its axis of lanes."""
    found = choose_lanes(kernel, {**tensors, kernel.output.name: kernel.output})
    if found is not None:
        return TiledKernel(kernel, choose_with_lanes(kernel, dict(tensors), found), found)
    plain = () if kernel.sums_samples else (Tile(SAMPLES, f"TILE_{kernel.name}_{SAMPLES}", None),)
    return TiledKernel(kernel, Tiling(plain))


def choose_with_lanes(kernel: Kernel, tensors: dict[str, Tensor], lanes: Lanes) -> Tiling:
    """The tiling where the lanes of a vector go along ``lanes`` instead of samples.

    Only axes that no bound depends on are tiled.

    The tile of an output axis with lanes counts vectors.  Along a reduction axis the last output axis is tiled where it can be,
    so that the sums of neighbouring points make up a vector again.
    """
    fixed = _condition_names(kernel) | _ragged_keys(kernel, tensors)
    free = _free(kernel, fixed)
    others = [a for a in free if a.name != lanes.axis and _reuse(a, kernel) > 0]
    if any(n.combine == "max" for n in kernel.nests):
        others = []
    last = kernel.axes[-1].name if kernel.axes and lanes.over == "reduction" else ""
    others.sort(key=lambda a: (a.name != last, -_reuse(a, kernel)))
    chosen = sorted(others[:2], key=kernel.axes.index)
    tiles = [Tile(a.name, f"TILE_{kernel.name}_{a.name}", a.extent) for a in chosen]
    if lanes.over == "output":
        vectors = IntOp("ceildiv", (lanes.extent, Size(LANES)))
        tiles.append(Tile(lanes.axis, f"TILE_{kernel.name}_{lanes.axis}", vectors))
    return _tiling(kernel, tensors, tiles)


def _tiling(kernel: Kernel, tensors: dict[str, Tensor], tiles: list[Tile]) -> Tiling:
    """``tiles`` and the samples', and what the bodies load."""
    if not kernel.sums_samples:
        tiles.append(Tile(SAMPLES, f"TILE_{kernel.name}_{SAMPLES}", None))
    found = [_operand(load, kernel, tensors, tiles) for load in _operands(kernel)]
    further = [kernel.nests[n] for group in together(kernel) for n in group[1:]]
    inner = [t.axis for t in tiles if not t.in_cache]
    return Tiling(tuple(tiles), tuple(found), sums=tuple(depends_on(nest, tensors, inner) for nest in further))


def _operand(load: Load, kernel: Kernel, tensors: Mapping[str, Tensor], tiles: Sequence[Tile]) -> Operand:
    """What a body loads under ``tiles``."""
    samples, iterations = tensors[load.tensor].samples, {loop.name for nest in kernel.nests for loop in nest.loops}
    used = names(load) | ({SAMPLES} if samples else set())
    axes = tuple(t.axis for t in tiles if t.axis in used)
    invariant = not used & iterations and not (kernel.sums_samples and samples)
    return Operand(axes, tuple(a for a in axes if _slides(load, a, kernel)), invariant)


def depends_on(node: Nest | Load, tensors: Mapping[str, Tensor], axes: Sequence[str]) -> tuple[str, ...]:
    """Those of ``axes``, the samples' among them, that ``node`` depends on."""
    samples = any(tensors[load.tensor].samples for load in loads(node))
    return tuple(a for a in axes if a in names(node) or (a == SAMPLES and samples))

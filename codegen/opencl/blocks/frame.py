"""What every part of an OpenCL kernel needs to know: its tensors' addresses, its tile, and how values
are named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....derive.ir import Expr, IntExpr, Kernel, Load, Size, Tensor, integers
from ...analysis.addresses import unit
from ...tiling.constant_memory import from_name
from ...tiling.tiling import SAMPLES, Tile, Tiling, depends_on
from .printer import ScalarPrinter, condition, integer


@dataclass(frozen=True)
class Line:
    """One line of text at a depth relative to its surroundings."""

    depth: int
    text: str


class Frame:
    """One kernel under one tiling."""

    def __init__(self, kernel: Kernel, tensors: Mapping[str, Tensor], tiling: Tiling) -> None:
        self.kernel, self.tiling = kernel, tiling
        self.tensors = {**tensors, kernel.output.name: kernel.output}
        self.tiles: dict[str, Tile] = {t.axis: t for t in tiling.tiles}
        self.inner = [t.axis for t in tiling.tiles if not t.in_cache]
        self.cache_axes = [t.axis for t in tiling.tiles if t.in_cache]

    def address(self, tensor: Tensor, index: Sequence[IntExpr], lane: str) -> str:
        """``name[unit]``, or ``name[unit * VECTORS_PER_BLOCK + lane]`` for a tensor with samples."""
        number = integer(unit(tensor, tuple(index)), 3 if tensor.samples else 0)
        name = tensor.name
        if not tensor.samples:
            sliced = (
                self.tiling.constant_parameters is not None
                and tensor.name in self.tiling.constant_parameters.sliced
            )
            return (
                f"{name}[{number} - {from_name(tensor.name, self.tensors)}]"
                if sliced
                else f"{name}[{number}]"
            )
        if self.kernel.sums_samples:
            name += "_block"
        return f"{name}[{lane}]" if number == "0" else f"{name}[{number} * VECTORS_PER_BLOCK + {lane}]"

    def lane(self) -> str:
        """The sample vector that a work item is at."""
        if self.kernel.sums_samples:
            return "t"
        return "t0 + t" if SAMPLES in self.tiles else "t0"

    def dimensions(self, axes: Sequence[str]) -> str:
        """The dimensions of an array over the tiles of ``axes``."""
        return "".join(f"[{self.tiles[a].macro}]" for a in axes)

    def own_axes(self, nest: int) -> tuple[str, ...]:
        """The tiled axes, cache tiles aside, that points have accumulators of their own along: those
        that the sum depends on.
        """
        found = self.kernel.nests[nest]
        if found.combine != "sum":
            return tuple(self.inner)
        return depends_on(found, self.tensors, self.inner)

    def point_index(self, nest: int = 0) -> str:
        """The subscript of a nest's accumulators inside the tile loops."""
        return "".join(f"[{counter(a)}]" for a in self.own_axes(nest))

    def tile_loop(self, axis: str) -> list[str]:
        """The lines that open the loop over a tile."""
        lines, point = count_loop(self.tiles[axis]), axis
        return lines if axis == SAMPLES else [*lines, f"const integer {point} = {point}0 + {counter(axis)};"]

    def dependence(self, e: Load) -> tuple[str, ...]:
        """The tiled axes that a load depends on, in tile order."""
        return depends_on(e, self.tensors, self.inner)

    def has_lanes(self, load: Load) -> bool:
        """True where ``load`` is a vector."""
        return self.tensors[load.tensor].samples

    def declare(self, load: Load, variable: str) -> str:
        """The line that reads ``load`` into ``variable``."""
        kind = "realv" if self.has_lanes(load) else "REAL"
        return f"const {kind} {variable} = {self.value(load)};"

    def value(self, load: Load) -> str:
        """The text that reads ``load``, 0 outside its tensor."""
        tensor = self.tensors[load.tensor]
        text = self.address(tensor, load.index, self.lane())
        if not load.inside:
            return text
        zero = "(realv)(0.0)" if tensor.samples else "(REAL)0.0"
        return f"({' && '.join(condition(c) for c in load.inside)}) ? {text} : {zero}"

    def printer(
        self, placed: Mapping[Load, str], lines: list[str], temporaries: Sequence[tuple[str, Expr]]
    ) -> ScalarPrinter:
        """A scalar printer after the declarations of ``temporaries`` went to ``lines``."""
        vector: set[str] = set()
        accumulator = self.accumulator
        for name, value in temporaries:
            local = ScalarPrinter(self.has_lanes, placed.__getitem__, frozenset(vector), accumulator)
            kind = "realv" if local.is_vector(value) else "REAL"
            lines.append(f"const {kind} {name} = {local(value)};")
            if kind == "realv":
                vector.add(name)
        return ScalarPrinter(self.has_lanes, placed.__getitem__, frozenset(vector), accumulator)

    def accumulators(self, nest: int) -> str:
        """The array that has a nest's value at the end.

        It holds the accumulators of the tile, or those of all points of a cache tile.
        """
        return f"cached{nest}" if self.cache_axes else f"acc{nest}"

    def accumulator(self, nest: int) -> str:
        """The value of a nest at the current point of the tile."""
        return (
            self.accumulators(nest)
            + "".join(f"[{counter(a)}]" for a in self.cache_axes)
            + self.point_index(nest)
        )


def counter(axis: str) -> str:
    """The variable that counts through the tile of ``axis``."""
    return "t" if axis == SAMPLES else f"n_{axis}"


def count_loop(tile: Tile) -> list[str]:
    """The lines that open a loop over ``tile``.

    Points in registers must be unrolled, which PoCL does not do by itself.
    """
    number = counter(tile.axis)
    opening = f"for (integer {number} = 0; {number} < {tile.macro}; ++{number}) {{"
    return [opening] if tile.in_cache else ["#pragma unroll", opening]


def is_table(e: IntExpr) -> bool:
    """True where ``e`` reads a table of sizes."""
    return any(isinstance(i, Size) and i.index is not None for i in integers(e))

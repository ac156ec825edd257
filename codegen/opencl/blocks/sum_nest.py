"""The loops of a nest that sums over the samples.

Blocks of samples are outermost, their vectors innermost, and a cache tile lies in between.
"""

from __future__ import annotations

from collections.abc import Sequence

from ....derive.ir import Loop, Nest, TableLoop
from ...analysis.addresses import units
from .bounds import Range, Union, dealt_out, loop_lines
from .frame import Line, count_loop
from .nest import NestWriter, tiled
from .printer import integer
from .reduction_group import group_range
from .text import PendingStatements, Text


class SampleSums(NestWriter):
    """Writes the nests of a kernel that sums over the samples.

    Iterations in which all points of the tile take part form one loop.  In the others, at the edges, the
    points are computed one after the other.
    """

    def write(self, text: Text, number: int, nest: Nest, pending: PendingStatements) -> None:
        """The loop over blocks of VECTORS_PER_BLOCK sample vectors, where each tensor has the block,
        and the nest.
        """
        group = self.frame.tiling.group
        text.add(group_range(self.frame.tiling))
        text.open(["for (integer block = begin; block < blocks; block += step) {"])
        for name in dict.fromkeys(load.tensor for load in self.loads(number)):
            tensor = self.frame.tensors[name]
            if tensor.samples:
                pointer = f"__global const realv *restrict {name}_block"
                apart = f"padded_units({integer(units(tensor))}) * VECTORS_PER_BLOCK"
                text.add([f"{pointer} = {name} + block * {f'({group} ? 1 : {apart})' if group else apart};"])
        pending.settle(text)
        if self.frame.cache_axes:
            self._cache_tile(text, number, nest, pending)
        else:
            self._iterations(text, number, nest, nest.loops, pending)

    def _cache_tile(self, text: Text, number: int, nest: Nest, pending: PendingStatements) -> None:
        """The outermost loop and the cache tile in it, each point of which takes its accumulators and
        puts them back.
        """
        (axis,), first = self.frame.cache_axes, nest.loops[0]
        assert isinstance(first, Loop)
        found = self.bounds.range(number, nest, first, tiled(first, self.frame.cache_axes))
        text.open([*loop_lines(first, found, self.frame.tiling.loop_split), *self.frame.tile_loop(axis)])
        text.add([f"if ({found.union.outside}) continue;"] if found.union is not None else [])
        pending.known.add(first.name)
        pending.settle(text)
        registers, memory = f"acc{number}{self.frame.point_index(number)}", self.frame.accumulator(number)
        text.add([f"realv acc{number}{self.frame.dimensions(self.frame.own_axes(number))};"])
        own = self.frame.own_axes(number)
        text.extend(self._over_tile(own, f"{registers} = {memory};"))
        rest = Text()
        self._iterations(rest, number, nest, nest.loops[1:], pending)
        text.extend(rest.closed())
        text.extend(self._over_tile(own, f"{memory} = {registers};"))

    def _over_tile(self, axes: Sequence[str], line: str) -> list[Line]:
        """``line`` for every point of the tile over ``axes``."""
        text = Text()
        for axis in axes:
            text.open(count_loop(self.frame.tiles[axis]))
        text.add([line])
        return text.closed()

    def _iterations(
        self,
        text: Text,
        number: int,
        nest: Nest,
        loops: Sequence[Loop | TableLoop],
        pending: PendingStatements,
        axes: Sequence[str] = (),
    ) -> None:
        """The last ``loops`` of the nest and what is inside them; ``axes`` of the tile have a point."""
        if not loops:
            self.inside(text, number, nest, pending, axes)
            return
        loop, *others = loops
        found = self.loop_range(number, nest, loop, axes)
        known = pending.known | {loop.name}

        def rest(part: Text, axes: Sequence[str]) -> None:
            inner = PendingStatements(list(pending.lets), list(pending.guards), set(known))
            inner.settle(part)
            self._iterations(part, number, nest, others, inner, axes)

        dealt = self.frame.tiling.loop_split if loop == nest.loops[0] else ""
        if found is None or found.union is None:
            text.open(loop_lines(loop, found, dealt))
            rest(text, axes)
            return
        name, union = loop.name, found.union
        start, move = dealt_out(name, "1", dealt)
        text.add(_edges(name, found, union))
        edges, common = Text(), Text()
        edges.open(
            [
                "for (integer edge = 0; edge < 2; ++edge) {",
                f"const integer {name}_stop = edge ? {name}_end : {name}_all;",
                f"for (integer {name} = (edge ? {name}_all_end : {name}_begin){start}; {name} < "
                f"{name}_stop; {move}) {{",
                *self.frame.tile_loop(union.axis),
                f"if ({union.outside}) continue;",
            ]
        )
        rest(edges, [*axes, union.axis])
        common.open([f"for (integer {name} = {name}_all{start}; {name} < {name}_all_end; {move}) {{"])
        rest(common, axes)
        text.extend([*edges.closed(), *common.closed()])

    def inside(
        self,
        text: Text,
        number: int,
        nest: Nest,
        pending: PendingStatements,
        axes: Sequence[str] = (),
        guard: Union | None = None,
    ) -> None:
        """The loop over the vectors of a block, which are few, or over every PARTIAL_SUMS-th of all."""
        pending.settle(text)
        tiling = self.frame.tiling  # neighbouring parts read neighbouring vectors
        iterations = (
            f"integer t = first; t < count; {f't += {tiling.partial_sums}' if tiling.partial_sums else '++t'}"
        )
        hint = [f"#elif {tiling.unroll}", f"#pragma unroll {tiling.unroll}"] if tiling.unroll else []
        text.open(["#if BLOCKED", "#pragma unroll", *hint, "#endif", f"for ({iterations}) {{"])
        text.extend(self.body_lines(number, nest, axes, guard))


def _edges(name: str, found: Range, union: Union) -> list[str]:
    """Where a loop begins and ends, and in between the iterations that all points of the tile take part
    in.
    """
    first, last = union.common
    return [
        f"const integer {name}_begin = {found.lower};",
        f"const integer {name}_end = {found.upper};",
        f"const integer {name}_all = imin({first}, {name}_end);",
        f"const integer {name}_all_end = imax({last}, {name}_all);",
    ]

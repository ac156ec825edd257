"""The loops of a nest where samples lie one after the other.

Lanes go along an axis of units, or along none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....derive.ir import Condition, Load, Loop, Nest, TableLoop
from ...passes.rewrite import renamed
from ...tiling.tiling import LANES
from ..blocks.bounds import Range, dealt_out, loop_lines, plain
from ..blocks.nest import NestWriter
from ..blocks.printer import integer
from ..blocks.text import PendingStatements, Text
from .frames import RestFrame, SumFrame


class SampleNests(NestWriter):
    """Sums over samples take one sample after the other; lanes agree on every bound."""

    unions = False

    def write(self, text: Text, number: int, nest: Nest, pending: PendingStatements) -> None:
        """Where samples are summed, the loop over them; the nest."""
        if self.kernel.sums_samples:
            text.open(["for (integer t = 0; t < vectors; ++t) {"])
        super().write(text, number, nest, pending)


class PackedNests(NestWriter):
    """Lanes along an axis that no bound depends on.

    Where bounds cut off points of the tile, the iterations that all points take part in stay one loop; in
    those before and after it, each point has a test of its own.
    """

    def known(self) -> set[str]:
        """The names that have a value before all loops: points of a tile have none, but its first one has."""
        inner = set(self.frame.inner)
        return super().known() - inner | {f"{axis}0" for axis in inner}

    def guards(self, nest: Nest) -> list[Condition]:
        """The conditions of ``nest``, which are the same for all points of a tile."""
        return list(renamed(tuple(nest.guards), {axis: f"{axis}0" for axis in self.frame.inner}))

    def cut(
        self,
        text: Text,
        number: int,
        nest: Nest,
        pending: PendingStatements,
        varying: Sequence[Range],
        cut: bool | None,
    ) -> None:
        """The loops where bounds cut something off, the last one in three parts."""
        unions = [found.union for found in varying if found.union is not None]
        last = self.loop_range(number, nest, nest.loops[-1])
        if last is None or last.union is None or unions != [last.union] or not self._guardable(number, last):
            super().cut(text, number, nest, pending, varying, cut)
            return
        loop, union = nest.loops[-1], last.union
        for outer in nest.loops[:-1]:
            text.open(loop_lines(outer, self.loop_range(number, nest, outer)))
            pending.known.add(outer.name)
            pending.settle(text)
        name, (begin, end) = loop.name, union.common
        pending.known.add(name)
        parts = (
            (last.lower, f"imin({begin}, {last.upper})", union),
            (begin, end, None),
            (f"imax({begin}, {end})", last.upper, union),
        )
        for lower, upper, guard in parts:
            part = Text()
            bounds = ((f"{name}_begin", lower), (f"{name}_end", upper))
            part.open(["{", *(f"const integer {bound} = {value};" for bound, value in bounds)])
            assert isinstance(loop, Loop)
            _, moved = dealt_out(name, integer(loop.step, 2), "")
            part.open([f"for (integer {name} = {name}_begin; {name} < {name}_end; {moved}) {{"])
            self.inside(part, number, nest, pending.copy(), guard=guard)
            text.extend(part.closed())

    def _guardable(self, number: int, found: Range) -> bool:
        """Whether everything that depends on the axis of the bounds is loaded inside of its loop."""
        assert found.union is not None
        body = self.body(number, ())
        return not any(found.union.axis in body.along[load] for load in body.early)


class _Rest(SampleNests):
    """What is left of a loop that is shorter than a vector, in the first ``count`` lanes."""

    def accumulate(self, number: int, nest: Nest, placed: Mapping[Load, str]) -> list[str]:
        """One step of the reduction at the current point."""
        lines: list[str] = []
        body = self.frame.printer(placed, lines, nest.temporaries)(nest.body)
        return [
            *lines,
            f"acc{number}{self.frame.point_index(number)} += first_lanes((realv)({body}), count);",
        ]


class SumNests(SampleNests):
    """Lanes along the last loop: whole vectors, then the rest in a vector that is not full."""

    def __init__(self, frame: SumFrame) -> None:
        super().__init__(frame)
        self._rest = _Rest(RestFrame(frame.kernel, frame.tensors, frame.tiling, frame.axis))

    def last_loop(
        self,
        text: Text,
        number: int,
        nest: Nest,
        loop: Loop | TableLoop,
        pending: PendingStatements,
        axes: Sequence[str] = (),
        cut: bool | None = None,
    ) -> None:
        """The innermost loop in steps of V, and what that leaves."""
        assert isinstance(loop, Loop)
        found = self.loop_range(number, nest, loop)
        assert found is not None
        *before, _ = loop_lines(loop, found, known=pending.known)
        name = loop.name
        begin, end = (
            bound if plain(bound) else f"{name}_{which}"
            for which, bound in (("begin", found.lower), ("end", found.upper))
        )
        pending.known.add(loop.name)
        text.add([*before, f"integer {name} = {begin};"])
        loops: tuple[tuple[str, SampleNests], ...] = (
            (f"for (; {name} + {LANES} <= {end}; {name} += {LANES}) {{", self),
            (f"if ({name} < {end}) {{", self._rest),
        )
        for opening, writer in loops:
            part = Text()
            part.open([opening])
            part.add([f"const integer count = {end} - {name};"] if writer is self._rest else [])
            writer.inside(part, number, nest, pending.copy())
            text.extend(part.closed())

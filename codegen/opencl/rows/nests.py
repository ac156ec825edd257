"""The loops of a nest where samples lie one after the other.

Lanes go along an axis of units, or along none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....derive.ir import Load, Loop, Nest, TableLoop
from ...tiling.tiling import LANES
from ..blocks.bounds import loop_lines, plain
from ..blocks.nest import NestWriter
from ..blocks.text import PendingStatements, Text
from .frames import PointFrame, SumFrame


class SampleNests(NestWriter):
    """Sums over samples take one sample after the other; lanes agree on every bound."""

    unions = False

    def write(self, text: Text, number: int, nest: Nest, pending: PendingStatements) -> None:
        """Where samples are summed, the loop over them; the nest."""
        if self.kernel.sums_samples:
            text.open(["for (integer t = 0; t < vectors; ++t) {"])
        super().write(text, number, nest, pending)


class _Rest(SampleNests):
    """What is left of a loop that is shorter than a vector, in the first lane."""

    def accumulate(self, number: int, nest: Nest, placed: Mapping[Load, str]) -> list[str]:
        """One step of the reduction at the current point."""
        lines: list[str] = []
        body = self.frame.printer(placed, lines, nest.temporaries)(nest.body)
        return [*lines, f"acc{number}{self.frame.point_index(number)} += only_first((realv)({body}));"]


class SumNests(SampleNests):
    """Lanes along the last loop: whole vectors, then the rest in the first lane."""

    def __init__(self, frame: SumFrame) -> None:
        super().__init__(frame)
        self._rest = _Rest(PointFrame(frame.kernel, frame.tensors, frame.tiling))

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
            (f"for (; {name} < {end}; ++{name}) {{", self._rest),
        )
        for opening, writer in loops:
            part = Text()
            part.open([opening])
            writer.inside(part, number, nest, pending.copy())
            text.extend(part.closed())

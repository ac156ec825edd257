"""Frames of kernels on tensors that lie sample after sample.

They say what addresses are, and how values are read into lanes along an axis of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ....derive.ir import IntExpr, Kernel, Load, Name, Tensor
from ...analysis.addresses import stride, unit, units
from ...analysis.affine import ZERO
from ...tiling.tiling import LANES, SAMPLES, Tiling
from ..blocks.frame import Frame, count_loop, counter
from ..blocks.printer import condition, integer


class PointFrame(Frame):
    """One point at a time, computed alike by all lanes: where lanes would need different control flow."""

    def __init__(self, kernel: Kernel, tensors: Mapping[str, Tensor], tiling: Tiling | None = None) -> None:
        super().__init__(kernel, tensors, tiling or Tiling(()))

    def own_axes(self, nest: int) -> tuple[str, ...]:
        """All: every point sums for itself."""
        return tuple(self.inner)

    def address(self, tensor: Tensor, index: Sequence[IntExpr], lane: str) -> str:
        """``name[sample * units + unit]``."""
        number, name = integer(unit(tensor, tuple(index))), tensor.name
        if not tensor.samples:
            return f"{name}[{number}]"
        count = integer(units(tensor), 3)
        if count == "1":
            return f"{name}[{lane}]"
        sample = lane if lane.isidentifier() else f"({lane})"
        return f"{name}[{sample} * {count}]" if number == "0" else f"{name}[{sample} * {count} + {number}]"

    def lane(self) -> str:
        """The sample that a work item is at."""
        return "t0 + t" if SAMPLES in self.tiles else "t"

    def value(self, load: Load) -> str:
        """The text that reads ``load``, 0 outside its tensor; into all lanes where it is a value of a
        sample.
        """
        text = self._read(load)
        if not load.inside:
            return text
        zero = "(realv)(0.0)" if self.has_lanes(load) else "(REAL)0.0"
        return f"({' && '.join(condition(c) for c in load.inside)}) ? {text} : {zero}"

    def _read(self, load: Load) -> str:
        text = self.address(self.tensors[load.tensor], load.index, self.lane())
        return f"(realv)({text})" if self.has_lanes(load) else text


class LaneFrame(PointFrame):
    """Neighbouring points of ``axis`` side by side in a vector; ``count`` of them are inside, as text."""

    def __init__(
        self, kernel: Kernel, tensors: Mapping[str, Tensor], tiling: Tiling, axis: str, count: str = LANES
    ) -> None:
        super().__init__(kernel, tensors, tiling)
        self.axis, self.count = axis, count

    def _step(self, load: Load) -> IntExpr:
        found = stride(self.tensors[load.tensor], load.index, self.axis)
        assert found is not None, f"{self.kernel.name}: {load.tensor} is not evenly spaced along {self.axis}"
        return found

    def has_lanes(self, load: Load) -> bool:
        """Values of samples, and parameters that move with the axis."""
        return self.tensors[load.tensor].samples or self._step(load) != ZERO

    def _read(self, load: Load) -> str:
        step = self._step(load)
        if step == ZERO:
            return super()._read(load)
        return (
            f"lanes(&{self.address(self.tensors[load.tensor], load.index, self.lane())}, {integer(step)}, "
            f"{self.count})"
        )

    def tile_loop(self, axis: str) -> list[str]:
        """The lines that open the loop over a tile; that of the axis with lanes counts vectors."""
        if axis != self.axis:
            return super().tile_loop(axis)
        point = axis
        return [
            *count_loop(self.tiles[axis]),
            f"const integer {point} = {point}0 + {counter(axis)} * {LANES};",
        ]

    def output_step(self) -> IntExpr:
        """Numbers between the results of neighbouring lanes."""
        found = stride(self.kernel.output, tuple(Name(a.name) for a in self.kernel.axes), self.axis)
        assert found is not None
        return found


class SumFrame(LaneFrame):
    """Lanes along the last loop: each is an accumulator, and their sum is the point's."""

    def accumulator(self, nest: int) -> str:
        """The value of a nest at the current point of the tile."""
        return f"(realv)(lane_sum(acc{nest}{self.point_index(nest)}))"

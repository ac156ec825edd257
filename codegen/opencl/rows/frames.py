"""Frames of kernels on tensors that lie sample after sample.

They say what addresses are, and how values are read into lanes along an axis of units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ....derive.ir import IntExpr, Kernel, Load, Name, Size, Tensor, loads
from ...analysis.addresses import stride, unit, units
from ...analysis.affine import ONE, ZERO, add, multiply
from ...tiling.lanes import pack_position
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


class RestFrame(LaneFrame):
    """Lanes along the last loop, of which the first ``count`` are inside.

    Numbers that follow one another are read as a whole vector: every tensor has room behind it.
    """

    def _read(self, load: Load) -> str:
        step = self._step(load)
        if step == ZERO:
            return super()._read(load)
        address = self.address(self.tensors[load.tensor], load.index, self.lane())
        count = "V" if step == ONE else f"{integer(step, 2)} == 1 ? V : count"
        return f"lanes(&{address}, {integer(step)}, {count})"


class PackedFrame(LaneFrame):
    """Lanes along an axis that parameters can be packed along: V entries of it side by side.

    What does not move with the axis is a scalar.  The last vector may be partly outside.
    """

    def __init__(
        self, kernel: Kernel, tensors: Mapping[str, Tensor], tiling: Tiling, axis: str, packed: Sequence[str]
    ) -> None:
        extent = next(a.extent for a in kernel.axes if a.name == axis)
        super().__init__(kernel, tensors, tiling, axis, f"imin({LANES}, {integer(extent)} - {axis})")
        self.packed, self._in_nests = packed, {load for nest in kernel.nests for load in loads(nest)}

    def has_lanes(self, load: Load) -> bool:
        """What moves with the axis."""
        return self._step(load) != ZERO

    def _read(self, load: Load) -> str:
        tensor = self.tensors[load.tensor]
        if not self.has_lanes(load):
            return self.address(tensor, load.index, self.lane())
        plain = super()._read(load)
        if load.tensor not in self.packed or load not in self._in_nests:
            return plain
        return f"{self.tiling.packed} ? LOAD(&{load.tensor}[{integer(self._packed_unit(load))}]) : {plain}"

    def _packed_unit(self, load: Load) -> IntExpr:
        """Where the vector of ``load`` lies in ``[axis / V, the other indices, V]``."""
        tensor, at = self.tensors[load.tensor], pack_position(load, self.axis)
        assert at is not None
        rest = replace(tensor, shape=(*tensor.shape[:at], *tensor.shape[at + 1 :]))
        number = unit(rest, (*load.index[:at], *load.index[at + 1 :]))
        return add(multiply(Name(self.axis), units(rest)), multiply(number, Size(LANES)))

"""One OpenCL kernel on tensors that lie sample after sample, its lanes along an axis of units.

Along an output axis a work item computes whole vectors of points where all lanes agree on every bound, else
point by point. Along a reduction axis it sums the lanes of every point, and makes vectors of neighbouring
points again for what follows. Without an axis of lanes it works point by point.
"""

from __future__ import annotations

from collections.abc import Mapping

from ....derive.ir import Axis, Integer, IntExpr, Loop, Name, Tensor, loads
from ...analysis.addresses import stride
from ...analysis.affine import multiply
from ...tiling.lanes import Lanes, pack_position, scalar_names
from ...tiling.tiling import LANES, SAMPLES, TiledKernel
from ..blocks.frame import Frame, Line, counter
from ..blocks.kernel import (
    KernelText,
    KernelWriter,
    LaneText,
    argument_names,
    bound,
    comment,
    result_loads,
    uses_index,
)
from ..blocks.layout import closed, initial, layout
from ..blocks.nest import NestText, NestWriter
from ..blocks.printer import integer
from .frames import LaneFrame, PackedFrame, PointFrame, SumFrame
from .nests import PackedNests, SampleNests, SumNests


class LaneWriter(KernelWriter):
    """Writes one kernel."""

    def __init__(self, tiled: TiledKernel, tensors: Mapping[str, Tensor]) -> None:
        kernel, tiling, self.lanes = tiled.kernel, tiled.tiling, tiled.lanes
        super().__init__(kernel, tensors, tiling)
        self.point = PointFrame(kernel, tensors)
        if self.lanes is not None and self.lanes.packed:
            self.frame = PackedFrame(kernel, tensors, tiling, self.lanes.axis, self.lanes.packed)
        elif self.lanes is not None:
            kind = LaneFrame if self.lanes.over == "output" else SumFrame
            self.frame = kind(kernel, tensors, tiling, self.lanes.axis)

    def text(self) -> KernelText:
        """Everything that the template needs."""
        decode, size = self.launch()
        helpers: list[str] = []
        nests: tuple[NestText, ...] = ()
        packed = self.lanes is not None and bool(self.lanes.packed)
        if self.lanes is None or (self.lanes.over == "output" and not packed):
            helpers += self._point_function()
        if self.lanes is None:
            store = self._points(())
        elif packed:
            plain = PackedNests(self.frame)
            nests = plain.texts()
            helpers += plain.bounds.functions.values()
            store = self.store_lines()
        elif self.lanes.over == "output":
            writer = SampleNests(self.frame)
            decode = (*decode, *self._disagreement(writer))
            helpers += writer.bounds.functions.values()
            nests = writer.texts()
            store = self.store_lines()
        else:
            assert isinstance(self.frame, SumFrame)
            nests = SumNests(self.frame).texts()
            store = self._sum_lines(self.lanes)
        parameters = self.parameters()
        arguments = argument_names(parameters)
        return KernelText(
            self.kernel.name, comment(self.kernel), parameters, arguments, decode, tuple(helpers), nests,
            tuple(store), size, uses_index(self.kernel, self.frame.tensors), self.tiling,
            lanes=self._lane_text(), packed=self._packed_extents(),
        )  # fmt: skip

    def _packed_extents(self) -> dict[str, tuple[IntExpr, IntExpr, IntExpr]]:
        """For each parameter to pack: the extents before the index of the lanes, its own, those after it."""
        found: dict[str, tuple[IntExpr, IntExpr, IntExpr]] = {}
        if self.lanes is None:
            return found
        for load in loads(self.kernel):
            at = pack_position(load, self.lanes.axis)
            if load.tensor in self.lanes.packed and load.tensor not in found and at is not None:
                shape = self.frame.tensors[load.tensor].shape
                found[load.tensor] = multiply(*shape[:at]), shape[at], multiply(*shape[at + 1 :])
        return found

    def _lane_text(self) -> LaneText:
        if self.lanes is None:
            return LaneText("", Integer(1))
        found = [
            stride(self.frame.tensors[load.tensor], load.index, self.lanes.axis)
            for load in dict.fromkeys(loads(self.kernel))
            if load.tensor not in self.lanes.packed
        ]
        strides = tuple(e for e in found if e is not None and e not in (Integer(0), Integer(1)))
        step = self.frame.output_step() if isinstance(self.frame, PackedFrame) else Integer(1)
        return LaneText(self.lanes.over, self.lanes.extent, strides, step)

    def parameters(self) -> tuple[str, ...]:
        """The kernel's parameters in the order of the calling convention; all tensors are of single
        numbers.
        """
        return tuple(parameter.replace("realv *", "REAL *") for parameter in super().parameters())

    def tile_width(self, axis: Axis) -> str:
        """How many points of a tiled axis a work item computes."""
        macro = self.frame.tiles[axis.name].macro
        return f"({macro} * {LANES})" if self._has_lanes(axis.name) else macro

    def last_first(self, axis: Axis) -> str:
        """The first point of the last tile; one of packed lanes is a multiple of V."""
        if self.lanes is None or not self.lanes.packed or axis.name != self.lanes.axis:
            return super().last_first(axis)
        return f"(({bound(axis)} + {LANES} - 1) / {LANES} - {self.frame.tiles[axis.name].macro}) * {LANES}"

    def _has_lanes(self, axis: str) -> bool:
        return self.lanes is not None and self.lanes.over == "output" and axis == self.lanes.axis

    # ---------------------------------------------------------------------------------------------- one point
    def _point_function(self) -> list[str]:
        """A function that computes and stores one point."""
        kernel, point = self.kernel, self.point
        indices = ([] if kernel.sums_samples else ["t"]) + [a.name for a in kernel.axes]
        points = [", ".join(f"const integer {name}" for name in indices)] if indices else []
        first, *others = [*points, *self.parameters()]
        separated = [f"    {text}," for text in others]
        lines = [f"static void {kernel.name}_point({first},", *separated[:-1], f"{separated[-1][:-1]})", "{"]
        writer = SampleNests(point)
        for found in writer.texts():
            position = f", position{found.number}" if found.combine != "sum" else ""
            lines.append(f"    realv acc{found.number}{position};")
            lines += [layout(line, 1) for line in (*initial(found), *found.lines)]
        body = self._result_lines(point)
        body += self._stores(point, "1", "0", "1")
        return [*lines, *(layout(Line(0, text), 1) for text in body), "}"]

    def _points(self, over: tuple[Axis, ...]) -> list[Line]:
        """Calls for every point of the tile: ``over`` are its tiled axes."""
        lines, depth = [], 0
        for axis in over:
            name, width = axis.name, self.tile_width(axis)
            last = f"imin({name}_first + {width}, {bound(axis)})"
            lines.append(Line(depth, f"for (integer {name} = {name}_first; {name} < {last}; ++{name}) {{"))
            depth += 1
        if not self.kernel.sums_samples:
            macro = self.frame.tiles[SAMPLES].macro
            lines.append(Line(depth, f"for (integer t = t0; t < t0 + {macro}; ++t) {{"))
            depth += 1
        given = ([] if self.kernel.sums_samples else ["t"]) + [a.name for a in self.kernel.axes]
        given += argument_names(self.parameters())
        lines.append(Line(depth, f"{self.kernel.name}_point({', '.join(given)});"))
        return [*lines, *(Line(depth - 1 - n, "}") for n in range(depth))]

    # -------------------------------------------------------------------------------------------- output axis
    def _disagreement(self, writer: NestWriter) -> list[str]:
        """Where the lanes of the tile have different bounds, or the axis is shorter than the tile:
        point by point.
        """
        assert self.lanes is not None
        axis = self.lanes.axis
        name, width = axis, f"{self.frame.tiles[axis].macro} * {LANES}"
        tests = [f"{integer(self.lanes.extent)} < {width}"]
        for number, nest in enumerate(self.kernel.nests):
            for loop in nest.loops:
                if isinstance(loop, Loop):
                    ends = [
                        end.at for end in writer.bounds.ends(number, nest, loop, axis) if end.at is not None
                    ]
                    tests += [f"{at(f'{name}0')} != {at(f'{name}0 + {width} - 1')}" for at in ends]
        tiled = tuple(a for a in self.kernel.axes if a.name in self.frame.tiles)
        calls = [layout(line, 1) for line in self._points(tiled)]
        first, *others = tests
        tested = [f"const int differ = {first}", *(f"    || {test}" for test in others)]
        tested[-1] += ";"
        return [f"const integer {name} = {name}0;", *tested, "if (differ) {", *calls, "    return;", "}"]

    def store_lines(self) -> list[Line]:
        """The result, phi or phi', and the store, for every vector of the tile."""
        assert isinstance(self.frame, LaneFrame)
        lines, depth = self.point_loops(unskipped=self.frame.axis)
        body = self._result_lines(self.frame)
        name = self.frame.axis
        step = integer(self.frame.output_step())
        body += self._stores(self.frame, step, f"{name}_first - {name}", self.frame.count)
        return closed(lines, body, depth)

    # ----------------------------------------------------------------------------------------- reduction axis
    def _sum_lines(self, lanes: Lanes) -> list[Line]:
        """The sums of the lanes, of neighbouring points side by side where the last output axis is tiled."""
        packed = self._packed_axis()
        if packed is None:
            lines, depth = self.point_loops()
            body = self._result_lines(self.frame)
            body += self._stores(self.frame, "1", "0", "1")
            return closed(lines, body, depth)
        name, macro = packed, self.frame.tiles[packed].macro
        frame = _Packed(self.kernel, self.frame.tensors, self.tiling, packed, "count")
        lines, depth = self.point_loops(left_out=packed)
        lines += [
            Line(depth, "#pragma unroll"),
            Line(depth, f"for (integer chunk = 0; chunk < {macro}; chunk += {LANES}) {{"),
        ]
        depth += 1
        point = "".join(
            "[chunk + lane]" if axis == packed else f"[{counter(axis)}]" for axis in self.frame.inner
        )
        body = [
            f"const integer {name} = {name}0 + chunk, count = imin({LANES}, {macro} - chunk);",
            "realv sum0 = (realv)(0.0);",
            "#pragma unroll",
            f"for (integer lane = 0; lane < {LANES}; ++lane) {{",
            f"    if (chunk + lane < {macro}) LANE(sum0, lane) = lane_sum(acc0{point});",
            "}",
        ]
        body += self._result_lines(frame)
        body += self._stores(frame, integer(frame.output_step()), f"{name}_first - {name}", "count")
        return closed(lines, body, depth)

    def _packed_axis(self) -> str | None:
        """The last output axis, where it is tiled and every value that the result needs is evenly
        spaced along it.
        """
        kernel = self.kernel
        if (
            not kernel.axes
            or kernel.axes[-1].name not in self.frame.tiles
            or kernel.axes[-1].name in scalar_names(kernel)
        ):
            return None
        axis = kernel.axes[-1].name
        found = [stride(self.frame.tensors[load.tensor], load.index, axis) for load in result_loads(kernel)]
        index = tuple(Name(a.name) for a in kernel.axes)
        return None if None in [*found, stride(kernel.output, index, axis)] else axis

    # ------------------------------------------------------------------------------------------------ results
    def _result_lines(self, frame: Frame) -> list[str]:
        """What declares ``result``, always a vector, after what it needs."""
        body: list[str] = []
        result, is_vector = self.result(frame, body)
        return [*body, f"const realv result = {result if is_vector else f'(realv)({result})'};"]

    def _stores(self, frame: Frame, step: str, first: str, last: str) -> list[str]:
        """What is written of ``result``, whose lanes from ``first`` to ``last`` are points ``step`` apart."""
        kernel, index = self.kernel, tuple(Name(a.name) for a in self.kernel.axes)
        target = frame.address(kernel.output, index, frame.lane())
        point = target[target.index("[") :]
        single = (step, first, last) == ("1", "0", "1")

        def stored(name: str, value: str) -> str:
            return (
                f"{name}{point} = FIRST({value});"
                if single
                else f"put(&{name}{point}, {step}, {value}, {first}, {last});"
            )

        name = kernel.output.name
        lines = [stored(name, "result")]
        if kernel.finish == "phi":
            lines = ["#if STORE_Z", stored("z_out", "result"), "#endif", stored(name, "PHI(result)")]
        if kernel.finish == "dphi":
            below = f"(realv)(below{point})" if single else f"lanes(&below{point}, {step}, {last})"
            lines = [stored(name, f"result * DPHI({below})")]
        if kernel.position is not None:
            position = frame.address(kernel.position, index, frame.lane())
            where = position[position.index("[") :]
            assert where == point
            lines.append(stored(kernel.position.name, f"position0{frame.point_index()}"))
        return lines


class _Packed(LaneFrame):
    """Places side by side after their lanes were summed."""

    def accumulator(self, nest: int) -> str:
        """The vector of sums."""
        return f"sum{nest}"

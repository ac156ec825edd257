"""The structure of one OpenCL kernel: from the IR and a tiling to the pieces that the template lays out."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ....derive.ir import (
    Axis,
    Column,
    IntExpr,
    Kernel,
    Load,
    Name,
    Size,
    TableLoop,
    Tensor,
    integers,
    loads,
    names,
)
from ...analysis.addresses import unit, units
from ...analysis.affine import ONE
from ...analysis.operations import operations
from ...analysis.signature import arguments
from ...tiling.constant_memory import from_name
from ...tiling.tiling import SAMPLES, Tiling
from .frame import Frame, Line, is_table
from .layout import closed
from .local import arrays
from .nest import NestText, NestWriter
from .printer import integer
from .reduction_group import group_array, group_part, group_put, group_store, points
from .sum_nest import SampleSums


@dataclass(frozen=True)
class LaneText:
    """Lanes that are not samples: along an "output" or a "reduction" axis of ``extent``, or "" for none.

    ``strides``: of the vectors that the body loads, where they are not one.
    ``step``: numbers between the results of neighbouring lanes along an output axis.
    """

    over: str
    extent: IntExpr
    strides: tuple[IntExpr, ...] = ()
    step: IntExpr = ONE


@dataclass(frozen=True)
class GroupText:
    """The function that stores what a group has summed.

    ``parameters``: as it declares them.
    ``arguments``: their names.
    ``points``: how many points the tile has.
    ``store``: its lines.
    """

    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    points: str
    store: tuple[Line, ...]


@dataclass(frozen=True)
class KernelText:
    """What the template needs to lay out a kernel."""

    name: str
    comment: tuple[str, ...]
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    decode: tuple[str, ...]
    helpers: tuple[str, ...]
    nests: tuple[NestText, ...]
    store: tuple[Line, ...]
    global_size: tuple[str, str, str]
    uses_index: bool
    tiling: Tiling
    local: tuple[tuple[str, str], ...] = ()
    group: GroupText | None = None
    lanes: LaneText | None = None
    packed: Mapping[str, tuple[IntExpr, IntExpr, IntExpr]] = field(default_factory=dict)

    @property
    def local_macro(self) -> str:
        """The macro that says whether it has the arrays ``local`` in local memory: names and lengths."""
        return self.tiling.local.macro if self.tiling.local else self.tiling.group


def uses_index(kernel: Kernel, tensors: Mapping[str, Tensor]) -> bool:
    """True where the kernel reads size tables or relations."""
    touched = [kernel.output, *(tensors[a] for a in arguments(kernel, tensors))]
    if any(t.ragged for t in touched) or any(
        isinstance(loop, TableLoop) for n in kernel.nests for loop in n.loops
    ):
        return True
    return any(
        isinstance(i, Column) or (isinstance(i, Size) and i.index is not None) for i in integers(kernel)
    )


class KernelWriter:
    """Writes one kernel."""

    def __init__(self, kernel: Kernel, tensors: Mapping[str, Tensor], tiling: Tiling) -> None:
        self.kernel, self.tiling = kernel, tiling
        self.frame = Frame(kernel, tensors, tiling)

    def launch(self) -> tuple[tuple[str, ...], tuple[str, str, str]]:
        """The decoding of a work item's point, and the global size as manifest expressions."""
        kernel, lines = self.kernel, []
        first = self.tiling.partial_sums or "1"
        if not kernel.sums_samples:
            macro = self.frame.tiles[SAMPLES].macro
            lines.append(f"const integer t0 = g0 * {macro};")
            first = f"-(-vectors//{macro})"
        elif self.tiling.partial_sums:
            lines += group_part(self.tiling)
            first = f"{self.tiling.partial_sums}*max(1, {self.tiling.group})"
        tiled = [a for a in kernel.axes if a.name in self.frame.tiles]
        plain = [a for a in kernel.axes if a.name not in self.frame.tiles]
        second = self._decode(lines, "id", "g1", [(a.name, bound(a), None) for a in plain])
        entries: list[tuple[str, str, str | None]] = [
            (f"{a.name}_first", bound(a), self.tile_width(a)) for a in tiled
        ]
        third = self._decode(lines, "tile", "g2", entries)
        for axis in tiled:
            # the last tile is moved back to end where the axis does: every point is inside, at a constant
            # distance from the first
            name = axis.name
            lines.append(f"const integer {name}0 = imin({name}_first, {self.last_first(axis)});")
        for axis in plain:
            if names(axis.extent) or is_table(axis.extent):
                lines.append(f"if ({axis.name} >= {integer(axis.extent)}) return;")
        return tuple(lines), (first, second, third)

    def tile_width(self, axis: Axis) -> str:
        """How many points of a tiled axis a work item computes."""
        return self.frame.tiles[axis.name].macro

    def last_first(self, axis: Axis) -> str:
        """The first point of the last tile of ``axis``, which ends where the axis does."""
        return f"{bound(axis)} - {self.tile_width(axis)}"

    @staticmethod
    def _decode(
        lines: list[str], variable: str, source: str, entries: list[tuple[str, str, str | None]]
    ) -> str:
        if not entries:
            return "1"
        counts = [
            b if m is None else f"-(-({b})//{m})" if not b.isidentifier() else f"-(-{b}//{m})"
            for _, b, m in entries
        ]
        in_c = [_factor(b) if m is None else f"(({b} + {m} - 1) / {m})" for _, b, m in entries]
        if len(entries) == 1:
            name, _, macro = entries[0]
            lines.append(f"const integer {name} = {source}{'' if macro is None else f' * {macro}'};")
            return counts[0]
        lines.append(f"integer {variable} = {source};")
        for n in range(len(entries) - 1, 0, -1):
            name, _, macro = entries[n]
            lines.append(
                f"const integer {name} = {variable} % {in_c[n]}{'' if macro is None else f' * {macro}'};"
            )
            lines.append(f"{variable} /= {in_c[n]};")
        name, _, macro = entries[0]
        lines.append(f"const integer {name} = {variable}{'' if macro is None else f' * {macro}'};")
        return "*".join(map(_factor, counts))

    def store_lines(self) -> list[Line]:
        """The result, phi or phi', and the store, for every point of the tile."""
        lines, depth = self.point_loops()
        body: list[str] = []
        result, is_vector = self.result(self.frame, body)
        index = tuple(Name(a.name) for a in self.kernel.axes)
        target = self.frame.address(self.kernel.output, index, self.frame.lane())
        if self.kernel.sums_samples:
            if self.tiling.partial_sums:
                target = self._part_target()
                return group_put(
                    self.frame, closed(lines, [*body, f"{target} = lane_sum({result});"], depth), body, result
                )
            body.append(f"{target} = lane_sum({result});")
        else:
            body.append(f"const realv result = {result if is_vector else f'(realv)({result})'};")
            body.extend(self._finish(target))
        if self.kernel.position is not None:
            point = self.frame.address(self.kernel.position, index, self.frame.lane())
            body.append(f"{point} = position0{self.frame.point_index()};")
        return closed(lines, body, depth)

    def _part_target(self) -> str:
        """Where a part of the sum at the current point goes."""
        output = self.kernel.output
        whole = integer(units(output), 3)
        number = integer(unit(output, tuple(Name(a.name) for a in self.kernel.axes)))
        point = "part" if whole == "1" else f"part * {whole}"
        return f"{output.name}[{point if number == '0' else f'{point} + {number}'}]"

    def point_loops(self, left_out: str = "", unskipped: str = "") -> tuple[list[Line], int]:
        """The loops over the tile but for ``left_out``, and the depth inside them.

        Places that the tile before it stores are skipped, but for those of ``unskipped``.
        """
        lines, depth = [], 0
        for axis in (*self.frame.cache_axes, *self.frame.inner):
            if axis == left_out:
                continue
            for text in self.frame.tile_loop(axis):
                lines.append(Line(depth, text))
                depth += text.endswith("{")
            if axis not in (SAMPLES, unskipped):
                lines.append(Line(depth, f"if ({axis} < {axis}_first) continue;"))
        return lines, depth

    def result(self, frame: Frame, body: list[str]) -> tuple[str, bool]:
        """The result at the current point, and whether it is a vector; what it needs goes to ``body``."""
        placed: dict[Load, str] = {}
        for n, load in enumerate(dict.fromkeys(result_loads(self.kernel))):
            placed[load] = f"{load.tensor}_r{n}"
            body.append(frame.declare(load, placed[load]))
        printer = frame.printer(placed, body, self.kernel.temporaries)
        return printer(self.kernel.result), printer.is_vector(self.kernel.result)

    def _finish(self, target: str) -> list[str]:
        point = target[target.index("[") :]
        if self.kernel.finish == "phi":
            return ["#if STORE_Z", f"z_out{point} = result;", "#endif", f"{target} = PHI(result);"]
        if self.kernel.finish == "dphi":
            return [f"{target} = result * DPHI(below{point});"]
        return [f"{target} = result;"]

    def parameters(self) -> tuple[str, ...]:
        """The kernel's parameters in the order of the calling convention."""
        kernel, constant = self.kernel, self.tiling.constant_parameters
        parts = []
        for name in arguments(kernel, self.frame.tensors):
            samples = self.frame.tensors[name].samples
            kind, space = (
                "realv" if samples else "REAL",
                "__global" if samples or constant is None else constant.macro,
            )
            parts.append(f"{space} const {kind} *restrict {name}")
        kind = "realv" if kernel.output.samples else "REAL"
        parts.append(f"__global {kind} *restrict {kernel.output.name}")
        if kernel.position is not None:
            parts.append(f"__global realv *restrict {kernel.position.name}")
        if kernel.finish == "phi":
            parts.append("__global realv *z_out")
        if kernel.finish == "dphi":
            parts.append("__global const realv *below")
        if uses_index(kernel, self.frame.tensors):
            parts.append("__global const int *restrict index")
        slices = [
            f"const int {from_name(name, self.frame.tensors)}"
            for name in (constant.sliced if constant else ())
        ]
        return (*parts, "const int vectors", "const int VECTORS_PER_BLOCK", *slices)

    def _given(self, name: str) -> str:
        """What the kernel gives its item function for the parameter ``name``: a constant 0 for a slice
        that is none.
        """
        found = self.tiling.constant_parameters
        sliced = () if found is None else (from_name(tensor, self.frame.tensors) for tensor in found.sliced)
        return f"{found.slicing} ? {name} : 0" if found is not None and name in sliced else name

    def text(self) -> KernelText:
        """Everything that the template needs."""
        decode, size = self.launch()
        writer = (SampleSums if self.kernel.sums_samples else NestWriter)(self.frame)
        nests = writer.texts()
        parameters = self.parameters()
        given = tuple(self._given(name) for name in argument_names(parameters))
        return KernelText(
            self.kernel.name,
            comment(self.kernel),
            parameters,
            given,
            decode,
            tuple(writer.bounds.functions.values()),
            nests,
            tuple(self.store_lines()),
            size,
            uses_index(self.kernel, self.frame.tensors),
            self.tiling,
            tuple(group_array(self.frame) or arrays(self.frame)),
            self._group(parameters),
        )

    def _group(self, parameters: Sequence[str]) -> GroupText | None:
        if not self.tiling.group:
            return None
        given = {self.kernel.output.name, "index"}
        own = [
            parameter
            for parameter, name in zip(parameters, argument_names(parameters), strict=True)
            if name in given
        ]
        return GroupText(
            tuple(own),
            argument_names(own),
            points(self.frame),
            tuple(group_store(self.frame, self._part_target())),
        )


def comment(kernel: Kernel) -> tuple[str, ...]:
    """The equation of ``kernel`` and its operations, in lines of moderate length."""
    lines = [*kernel.text.splitlines(), operations(kernel)]
    return tuple(part for line in lines for part in textwrap.wrap(line, 106, subsequent_indent="    "))


def argument_names(parameters: Sequence[str]) -> tuple[str, ...]:
    """The names of declared ``parameters``."""
    return tuple(parameter.split()[-1].removeprefix("*") for parameter in parameters)


def bound(axis: Axis) -> str:
    """The extent of an axis for the launch: of a ragged one the largest."""
    if isinstance(axis.extent, Size) and axis.extent.index is not None:
        return f"{axis.extent.name}_max"
    return integer(axis.extent)


def result_loads(kernel: Kernel) -> list[Load]:
    """What the result reads besides accumulators."""
    found = [load for _, value in kernel.temporaries for load in loads(value)]
    return found + list(loads(kernel.result))


def _factor(extent: str) -> str:
    """An extent as a factor; a sum such as ``k + 1`` stands in brackets."""
    return f"({extent})" if " " in extent or "/" in extent else extent

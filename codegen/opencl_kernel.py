"""The structure of one OpenCL kernel: from the IR and a schedule to the pieces that the template lays out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..derive.ir import Axis, Column, Kernel, Load, Name, RowLoop, Size, Tensor, integers, loads, names
from .constant import from_name, units
from .opencl_frame import Frame, Line, is_table
from .opencl_local import arrays
from .opencl_names import c_name
from .opencl_nest import NestText, NestWriter
from .opencl_printer import integer
from .schedule import SAMPLES, Schedule
from .signature import arguments


@dataclass(frozen=True)
class KernelText:
    """What the template needs to lay out a kernel."""

    name: str
    comment: tuple[str, ...]
    parameters: tuple[str, ...]
    arguments: tuple[str, ...]
    decode: tuple[str, ...]
    bounds: tuple[str, ...]
    nests: tuple[NestText, ...]
    store: tuple[Line, ...]
    global_size: tuple[str, str, str]
    uses_index: bool
    schedule: Schedule
    local: tuple[tuple[str, str], ...] = ()


def uses_index(kernel: Kernel, tensors: Mapping[str, Tensor]) -> bool:
    """True where the kernel reads size tables or relations."""
    touched = [kernel.output, *(tensors[a] for a in arguments(kernel, tensors))]
    if any(t.ragged for t in touched) or any(isinstance(loop, RowLoop) for n in kernel.nests for loop in n.loops):
        return True
    return any(isinstance(i, Column) or (isinstance(i, Size) and i.index is not None) for i in integers(kernel))


class KernelWriter:
    """Writes one kernel."""

    def __init__(self, kernel: Kernel, tensors: Mapping[str, Tensor], schedule: Schedule) -> None:
        self.kernel, self.schedule = kernel, schedule
        self.frame = Frame(kernel, tensors, schedule)

    def launch(self) -> tuple[tuple[str, ...], tuple[str, str, str]]:
        """The decoding of a work item's place, and the global size as manifest expressions."""
        kernel, lines = self.kernel, []
        first = self.schedule.parts or "1"
        if not kernel.sums_samples:
            macro = self.frame.tiles[SAMPLES].macro
            lines.append(f"const int t0 = g0 * {macro};")
            first = f"-(-vectors//{macro})"
        elif self.schedule.parts:  # a constant where there is one, so that the compiler sees a plain loop
            lines.append(f"const int part = {self.schedule.parts} > 1 ? g0 : 0;")
        tiled = [a for a in kernel.axes if a.name in self.frame.tiles]
        plain = [a for a in kernel.axes if a.name not in self.frame.tiles]
        second = self._decode(lines, "id", "g1", [(c_name(a.name), _bound(a), None) for a in plain])
        entries: list[tuple[str, str, str | None]] = [
            (f"{c_name(a.name)}_first", _bound(a), self.frame.tiles[a.name].macro) for a in tiled
        ]
        third = self._decode(lines, "tile", "g2", entries)
        for axis in tiled:
            # the last tile is moved back to end where the axis does: every place is inside, at a constant distance from the first
            name, macro = c_name(axis.name), self.frame.tiles[axis.name].macro
            lines.append(f"const int {name}0 = lesser({name}_first, {_bound(axis)} - {macro});")
        for axis in plain:
            if names(axis.extent) or is_table(axis.extent):
                lines.append(f"if ({c_name(axis.name)} >= {integer(axis.extent)}) return;")
        return tuple(lines), (first, second, third)

    @staticmethod
    def _decode(lines: list[str], variable: str, source: str, entries: list[tuple[str, str, str | None]]) -> str:
        if not entries:
            return "1"
        counts = [b if m is None else f"-(-({b})//{m})" if not b.isidentifier() else f"-(-{b}//{m})" for _, b, m in entries]
        in_c = [b if m is None else f"(({b} + {m} - 1) / {m})" for _, b, m in entries]
        if len(entries) == 1:
            name, _, macro = entries[0]
            lines.append(f"const int {name} = {source}{'' if macro is None else f' * {macro}'};")
            return counts[0]
        lines.append(f"int {variable} = {source};")
        for n in range(len(entries) - 1, 0, -1):
            name, _, macro = entries[n]
            lines.append(f"const int {name} = {variable} % {in_c[n]}{'' if macro is None else f' * {macro}'};")
            lines.append(f"{variable} /= {in_c[n]};")
        name, _, macro = entries[0]
        lines.append(f"const int {name} = {variable}{'' if macro is None else f' * {macro}'};")
        return "*".join(f"({c})" if "/" in c else c for c in counts)

    def store_lines(self) -> list[Line]:
        """The result, phi or phi', and the store, for every place of the tile."""
        lines, depth = self._places()
        body: list[str] = []
        result, is_vector = self._result(body)
        index = tuple(Name(a.name) for a in self.kernel.axes)
        target = self.frame.address(self.kernel.output, index, self.frame.lane())
        if self.kernel.sums_samples:
            if self.schedule.parts:
                output = self.kernel.output
                whole, unit = integer(units(output), 3), integer(self.frame.unit(output, index))
                place = "part" if whole == "1" else f"part * {whole}"
                target = f"{c_name(output.name)}[{place if unit == '0' else f'{place} + {unit}'}]"
            body.append(f"{target} = lane_sum({result});")
        else:
            body.append(f"const realv result = {result if is_vector else f'(realv)({result})'};")
            body.extend(self._finish(target))
        if self.kernel.position is not None:
            place = self.frame.address(self.kernel.position, index, self.frame.lane())
            body.append(f"{place} = position0{self.frame.place_index()};")
        return _closed(lines, body, depth)

    def _places(self) -> tuple[list[Line], int]:
        """The loops over the tile, and the depth inside them; places that the tile before it stores are skipped."""
        lines, depth = [], 0
        for axis in self.frame.inner:
            for text in self.frame.tile_loop(axis):
                lines.append(Line(depth, text))
                depth += text.endswith("{")
            if axis != SAMPLES:
                lines.append(Line(depth, f"if ({c_name(axis)} < {c_name(axis)}_first) continue;"))
        return lines, depth

    def _result(self, body: list[str]) -> tuple[str, bool]:
        """The result at the current place, and whether it is a vector; what it needs goes to ``body``."""
        placed: dict[Load, str] = {}
        for n, load in enumerate(dict.fromkeys(_result_loads(self.kernel))):
            placed[load] = f"{c_name(load.tensor)}_r{n}"
            body.append(self.frame.declare(load, placed[load]))
        printer = self.frame.printer(placed, body, self.kernel.temporaries)
        return printer(self.kernel.result), printer.is_vector(self.kernel.result)

    def _finish(self, target: str) -> list[str]:
        place = target[target.index("[") :]
        if self.kernel.finish == "phi":
            return ["#if STORE_Z", f"z_out{place} = result;", "#endif", f"{target} = PHI(result);"]
        if self.kernel.finish == "dphi":
            return [f"{target} = result * DPHI(below{place});"]
        return [f"{target} = result;"]

    def parameters(self) -> tuple[str, ...]:
        """The kernel's parameters in the order of the calling convention."""
        kernel = self.kernel
        parts = []
        for name in arguments(kernel, self.frame.tensors):
            kind, space = ("realv", "__global") if self.frame.tensors[name].samples else ("REAL", f"SPACE_{kernel.name}")
            parts.append(f"{space} const {kind} *restrict {c_name(name)}")
        kind = "realv" if kernel.output.samples else "REAL"
        parts.append(f"__global {kind} *restrict {c_name(kernel.output.name)}")
        if kernel.position is not None:
            parts.append(f"__global realv *restrict {c_name(kernel.position.name)}")
        if kernel.finish == "phi":
            parts.append("__global realv *z_out")
        if kernel.finish == "dphi":
            parts.append("__global const realv *below")
        if uses_index(kernel, self.frame.tensors):
            parts.append("__global const int *restrict index")
        sliced = self.schedule.constant.sliced if self.schedule.constant else ()
        slices = [f"const int {from_name(name, self.frame.tensors)}" for name in sliced]
        return (*parts, "const int vectors", "const int TV", *slices)

    def _given(self, name: str) -> str:
        """What the kernel gives its item function for the parameter ``name``: a constant 0 for a slice that is none."""
        found = self.schedule.constant
        sliced = () if found is None else (from_name(tensor, self.frame.tensors) for tensor in found.sliced)
        return f"{found.split} ? {name} : 0" if found is not None and name in sliced else name

    def text(self) -> KernelText:
        """Everything that the template needs."""
        decode, size = self.launch()
        writer = NestWriter(self.frame)
        nests = tuple(writer.nest_text(n, nest) for n, nest in enumerate(self.kernel.nests))
        parameters = self.parameters()
        names = tuple(self._given(parameter.split()[-1].removeprefix("*")) for parameter in parameters)
        return KernelText(
            self.kernel.name, tuple(self.kernel.text.splitlines()), parameters, names, decode, tuple(writer.bounds), nests,
            tuple(self.store_lines()), size, uses_index(self.kernel, self.frame.tensors), self.schedule,
            tuple(arrays(self.frame)),
        )  # fmt: skip


def _closed(lines: list[Line], body: list[str], depth: int) -> list[Line]:
    """``lines``, the body at ``depth``, and the closing braces."""
    return [*lines, *(Line(depth, text) for text in body), *(Line(depth - 1 - n, "}") for n in range(depth))]


def _bound(axis: Axis) -> str:
    """The extent of an axis for the launch: of a ragged one the largest."""
    if isinstance(axis.extent, Size) and axis.extent.index is not None:
        return f"{axis.extent.name}_max"
    return integer(axis.extent)


def _result_loads(kernel: Kernel) -> list[Load]:
    found = [load for _, value in kernel.temporaries for load in loads(value)]
    return found + list(loads(kernel.result))

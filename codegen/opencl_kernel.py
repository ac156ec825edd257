"""The structure of one OpenCL kernel: from the IR and a schedule to the pieces that the template lays out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..derive.ir import (
    Axis,
    Call,
    Column,
    Expr,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Load,
    Loop,
    Name,
    Nest,
    RowLoop,
    Size,
    Tensor,
    integers,
    loads,
    names,
)
from .affine import add, extreme, multiply
from .opencl_names import c_name
from .opencl_printer import ScalarPrinter, condition, integer
from .schedule import SAMPLES, Schedule, Tile
from .signature import arguments


@dataclass(frozen=True)
class Line:
    """One line of text at a depth relative to its surroundings."""

    depth: int
    text: str


@dataclass(frozen=True)
class NestText:
    """A nest as text: its accumulators' declaration, and its loops with the body inside."""

    number: int
    combine: str
    dimensions: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class KernelText:
    """What the template needs to lay out a kernel."""

    name: str
    comment: tuple[str, ...]
    parameters: tuple[str, ...]
    decode: tuple[str, ...]
    nests: tuple[NestText, ...]
    store: tuple[Line, ...]
    global_size: tuple[str, str, str]
    uses_index: bool
    schedule: Schedule


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
        self.tensors = {**tensors, kernel.output.name: kernel.output}
        self.tiles: dict[str, Tile] = {t.axis: t for t in schedule.tiles}
        self.inner = [t.axis for t in schedule.tiles]

    # ------------------------------------------------------------------------------------------------- addressing
    def unit(self, tensor: Tensor, index: Sequence[IntExpr]) -> IntExpr:
        """The row-major number of a tensor's unit."""
        if not index:
            return Integer(0)
        shape = tensor.shape
        if tensor.ragged:
            first = index[0]
            inner: IntExpr = Integer(0)
            for n in range(1, len(index)):
                inner = add(multiply(inner, _with_map(shape[n], first)), index[n])
            return add(Size(f"{tensor.layout}_at", first), inner)
        number = index[0]
        for n in range(1, len(index)):
            number = add(multiply(number, shape[n]), index[n])
        return number

    def address(self, tensor: Tensor, index: Sequence[IntExpr], lane: str) -> str:
        """``name[unit]``, or ``name[unit * TV + lane]`` for a tensor with samples."""
        unit = integer(self.unit(tensor, index), 3 if tensor.samples else 0)
        name = c_name(tensor.name)
        if not tensor.samples:
            return f"{name}[{unit}]"
        return f"{name}[{lane}]" if unit == "0" else f"{name}[{unit} * TV + {lane}]"

    def lane(self, in_nest: bool) -> str:
        """The sample vector that a work item is at."""
        if self.kernel.sums_samples:
            return "t"
        return "t0 + t" if SAMPLES in self.tiles else "t0"

    # ------------------------------------------------------------------------------------------------- work items
    def launch(self) -> tuple[tuple[str, ...], tuple[str, str, str]]:
        """The decoding of a work item's place, and the global size as manifest expressions."""
        kernel, lines = self.kernel, []
        first = "1"
        if not kernel.sums_samples:
            macro = self.tiles[SAMPLES].macro
            lines.append(f"const int t0 = get_global_id(0) * {macro};")
            first = f"-(-vectors//{macro})"
        tiled = [a for a in kernel.axes if a.name in self.tiles]
        plain = [a for a in kernel.axes if a.name not in self.tiles]
        second = self._decode(lines, "id", "get_global_id(1)", [(c_name(a.name), _bound(a), None) for a in plain])
        entries: list[tuple[str, str, str | None]] = [
            (f"{c_name(a.name)}0", _bound(a), self.tiles[a.name].macro) for a in tiled
        ]
        third = self._decode(lines, "tile", "get_global_id(2)", entries)
        for axis in plain:
            if names(axis.extent) or _is_table(axis.extent):
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

    # ------------------------------------------------------------------------------------------------------ nests
    def extents(self, nest: Nest) -> dict[str, IntExpr]:
        """The ranges of the output axes and of the nest's loops."""
        found: dict[str, IntExpr] = {a.name: a.extent for a in self.kernel.axes}
        found.update({loop.name: loop.extent for loop in nest.loops if isinstance(loop, Loop)})
        return found

    def loop_lines(self, nest: Nest, loop: Loop | RowLoop) -> list[str]:
        """The line that opens ``loop``, after the lines that it needs."""
        name = c_name(loop.name)
        if isinstance(loop, RowLoop):
            relation = loop.relation
            if not loop.by:
                return [f"for (int {name} = 0; {name} < {relation}_rows; ++{name}) {{"]
            group, key = f"{relation}_by_{loop.by}", integer(loop.key)
            return [
                f"for (int n_{name} = {group}({key}); n_{name} < {group}({key} + 1); ++n_{name}) {{",
                f"const int {name} = {group}_rows(n_{name});",
            ]
        extents = self.extents(nest)
        lower, upper = self._lower(loop.lower, extents), self._upper(loop.upper, loop.extent, extents)
        step = f"++{name}" if loop.step == Integer(1) else f"{name} += {integer(loop.step)}"
        lines = []
        if not lower.isidentifier() and not lower.isdigit():
            lines.append(f"const int {name}_begin = {lower};")
            lower = f"{name}_begin"
        if not upper.isidentifier() and not upper.isdigit():
            lines.append(f"const int {name}_end = {upper};")
            upper = f"{name}_end"
        return [*lines, f"for (int {name} = {lower}; {name} < {upper}; {step}) {{"]

    def _lower(self, e: IntExpr, extents: Mapping[str, IntExpr]) -> str:
        """A lower bound; a term that can never exceed 0 is dropped at compile time."""
        if isinstance(e, IntOp) and e.op == "max" and e.args[0] == Integer(0):
            text = "0"
            for term in e.args[1:]:
                corner = extreme(term, extents, largest=True)
                value = integer(term)
                inner = f"max({text}, {value})"
                text = inner if corner is None else f"({integer(corner, 2)} <= 0 ? {text} : {inner})"
            return text
        return integer(e)

    def _upper(self, e: IntExpr, extent: IntExpr, extents: Mapping[str, IntExpr]) -> str:
        """An upper bound; a term that never falls below the extent is dropped at compile time."""
        if isinstance(e, IntOp) and e.op == "min" and e.args[0] == extent:
            text = integer(extent)
            for term in e.args[1:]:
                corner = extreme(term, extents, largest=False)
                inner = f"min({text}, {integer(term)})"
                plain = corner is None or bool(names(extent)) or _is_table(extent)
                text = inner if plain or corner is None else f"({integer(corner, 2)} >= {integer(extent)} ? {text} : {inner})"
            return text
        return integer(e)

    def nest_text(self, number: int, nest: Nest) -> NestText:
        """Loops outermost first, lets and guards as soon as their names are known, the tile innermost."""
        lines: list[Line] = []
        depth = 0
        known = {a.name for a in self.kernel.axes}
        lets, guards = list(nest.lets), list(nest.guards)
        closers = 0

        def settle() -> None:
            nonlocal depth, closers
            progress = True
            while progress:
                progress = False
                for let in list(lets):
                    if names(let.value) <= known:
                        lines.append(Line(depth, f"const int {c_name(let.name)} = {integer(let.value)};"))
                        known.add(let.name)
                        lets.remove(let)
                        progress = True
                ready = [g for g in guards if names(g) <= known]
                if ready:
                    lines.append(Line(depth, f"if ({' && '.join(condition(g) for g in ready)}) {{"))
                    depth += 1
                    closers += 1
                    for g in ready:
                        guards.remove(g)
                    progress = True

        settle()
        for loop in nest.loops:
            for text in self.loop_lines(nest, loop):
                opens = text.endswith("{")
                lines.append(Line(depth, text))
                depth += opens
                closers += opens
            known.add(loop.name)
            settle()
        if self.kernel.sums_samples:
            lines.append(Line(depth, "for (int t = 0; t < vectors; ++t) {"))
            depth += 1
            closers += 1
        lines.extend(Line(depth + line.depth, line.text) for line in self.body_lines(number, nest))
        for n in range(closers):
            lines.append(Line(depth - 1 - n, "}"))
        if len(self.kernel.nests) > 1:  # every nest has its own names
            lines = [Line(0, "{"), *(Line(line.depth + 1, line.text) for line in lines), Line(0, "}")]
        return NestText(number, nest.combine, self.dimensions(), tuple(lines))

    def dimensions(self) -> str:
        """The accumulators' array dimensions."""
        return "".join(f"[{self.tiles[a].macro}]" for a in self.inner)

    def place_index(self) -> str:
        """The accumulators' subscript inside the tile loops."""
        return "".join(f"[{_counter(a)}]" for a in self.inner)

    def tile_loop(self, axis: str) -> list[str]:
        """The lines that open the loop over a tile, with the axis clamped to its extent."""
        counter, macro = _counter(axis), self.tiles[axis].macro
        lines = ["#pragma unroll", f"for (int {counter} = 0; {counter} < {macro}; ++{counter}) {{"]
        if axis != SAMPLES:
            extent = self.tiles[axis].extent
            assert extent is not None
            lines.append(f"const int {c_name(axis)} = min({c_name(axis)}0 + {counter}, {integer(extent)} - 1);")
        return lines

    def dependence(self, e: Load) -> tuple[str, ...]:
        """The tiled axes that a load depends on, in tile order."""
        used = names(e)
        return tuple(a for a in self.inner if a in used or (a == SAMPLES and self.tensors[e.tensor].samples))

    def body_lines(self, number: int, nest: Nest) -> list[Line]:
        """Loads as far outside the tile as they can be, then the accumulation."""
        ordered = list(dict.fromkeys(loads(nest)))
        variables = {load: f"{c_name(load.tensor)}_{n}" for n, load in enumerate(ordered)}
        lines: list[Line] = []
        # a load that skips an outer tile axis is made before that axis' loop and kept in an array over its own axes
        early: dict[Load, tuple[str, ...]] = {}
        for load in ordered:
            axes = self.dependence(load)
            if axes != tuple(self.inner[: len(axes)]):
                early[load] = axes
                self._early(lines, load, axes, variables[load])
        placed = {load: variables[load] + "".join(f"[{_counter(a)}]" for a in axes) for load, axes in early.items()}
        depth = 0
        for level in range(len(self.inner) + 1):
            for load in ordered:
                if load not in early and len(self.dependence(load)) == level:
                    lines.append(Line(depth, self._declare(load, variables[load])))
                    placed[load] = variables[load]
            if level < len(self.inner):
                for text in self.tile_loop(self.inner[level]):
                    lines.append(Line(depth, text))
                    depth += text.endswith("{")
        lines.extend(Line(depth, text) for text in self._accumulate(number, nest, placed))
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(self.inner)))
        return lines

    def _early(self, lines: list[Line], load: Load, axes: tuple[str, ...], variable: str) -> None:
        kind = "realv" if self.tensors[load.tensor].samples else "REAL"
        dimensions = "".join(f"[{self.tiles[a].macro}]" for a in axes)
        lines.append(Line(0, f"{kind} {variable}{dimensions};"))
        depth = 0
        for axis in axes:
            for text in self.tile_loop(axis):
                lines.append(Line(depth, text))
                depth += text.endswith("{")
        place = variable + "".join(f"[{_counter(a)}]" for a in axes)
        lines.append(Line(depth, f"{place} = {self._value(load)};"))
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(axes)))

    def _declare(self, load: Load, variable: str) -> str:
        kind = "realv" if self.tensors[load.tensor].samples else "REAL"
        return f"const {kind} {variable} = {self._value(load)};"

    def _value(self, load: Load) -> str:
        tensor = self.tensors[load.tensor]
        text = self.address(tensor, load.index, self.lane(True))
        if not load.inside:
            return text
        zero = "(realv)(0.0)" if tensor.samples else "(REAL)0.0"
        return f"({' && '.join(condition(c) for c in load.inside)}) ? {text} : {zero}"

    def _accumulate(self, number: int, nest: Nest, placed: Mapping[Load, str]) -> list[str]:
        lines: list[str] = []
        printer = self.printer(placed, lines, nest.temporaries)
        body = printer(nest.body)
        accumulator = f"acc{number}{self.place_index()}"
        if nest.combine == "sum":
            lines.append(f"{accumulator} -= {body[1:]};" if _is_negated(nest.body) else f"{accumulator} += {body};")
            return lines
        assert nest.position is not None
        value = f"value{number}"
        lines.append(f"const realv {value} = {body};")
        position = f"position{number}{self.place_index()}"
        if self.kernel.position is not None:
            number_text = integer(nest.position)
            lines.append(f"{position} = ({value} > {accumulator}) ? (realv)((REAL)({number_text})) : {position};")
        lines.append(f"{accumulator} = ({value} > {accumulator} || {value} != {value}) ? {value} : {accumulator};")
        return lines

    def printer(self, placed: Mapping[Load, str], lines: list[str], temporaries: Sequence[tuple[str, Expr]]) -> ScalarPrinter:
        """A scalar printer after the declarations of ``temporaries`` went to ``lines``."""
        vector: set[str] = set()
        accumulator = self.accumulator
        for name, value in temporaries:
            local = ScalarPrinter(self.tensors, placed.__getitem__, frozenset(vector), accumulator)
            kind = "realv" if local.is_vector(value) else "REAL"
            lines.append(f"const {kind} {c_name(name)} = {local(value)};")
            if kind == "realv":
                vector.add(name)
        return ScalarPrinter(self.tensors, placed.__getitem__, frozenset(vector), accumulator)

    def accumulator(self, nest: int) -> str:
        """The value of a nest at the current place of the tile."""
        return f"acc{nest}{self.place_index()}"

    # ------------------------------------------------------------------------------------------------------ store
    def store_lines(self) -> list[Line]:
        """The result, phi or phi', and the store, for every place of the tile."""
        kernel, lines, depth = self.kernel, [], 0
        for axis in self.inner:
            for text in self.tile_loop(axis):
                lines.append(Line(depth, text))
                depth += text.endswith("{")
            if axis != SAMPLES:
                extent = self.tiles[axis].extent
                assert extent is not None
                lines.append(Line(depth, f"if ({c_name(axis)}0 + {_counter(axis)} >= {integer(extent)}) continue;"))
        body: list[str] = []
        placed: dict[Load, str] = {}
        for n, load in enumerate(dict.fromkeys(_result_loads(kernel))):
            placed[load] = f"{c_name(load.tensor)}_r{n}"
            body.append(self._declare(load, placed[load]))
        printer = self.printer(placed, body, kernel.temporaries)
        index = tuple(Name(a.name) for a in kernel.axes)
        target = self.address(kernel.output, index, self.lane(False))
        result = printer(kernel.result)
        if kernel.sums_samples:
            body.append(f"{target} = lane_sum({result});")
        else:
            is_vector = printer.is_vector(kernel.result)
            body.append(f"const realv result = {result if is_vector else f'(realv)({result})'};")
            body.extend(self._finish(target))
        if kernel.position is not None:
            body.append(f"{self.address(kernel.position, index, self.lane(False))} = position0{self.place_index()};")
        lines.extend(Line(depth, text) for text in body)
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(self.inner)))
        return lines

    def _finish(self, target: str) -> list[str]:
        place = target[target.index("[") :]
        if self.kernel.finish == "phi":
            return ["#if STORE_Z", f"z_out{place} = result;", "#endif", f"{target} = PHI(result);"]
        if self.kernel.finish == "dphi":
            return [f"{target} = result * DPHI(below{place});"]
        return [f"{target} = result;"]

    # ------------------------------------------------------------------------------------------------------ whole
    def parameters(self) -> tuple[str, ...]:
        """The kernel's parameters in the order of the calling convention."""
        kernel = self.kernel
        parts = []
        for name in arguments(kernel, self.tensors):
            kind = "realv" if self.tensors[name].samples else "REAL"
            parts.append(f"__global const {kind} *restrict {c_name(name)}")
        kind = "realv" if kernel.output.samples else "REAL"
        parts.append(f"__global {kind} *restrict {c_name(kernel.output.name)}")
        if kernel.position is not None:
            parts.append(f"__global realv *restrict {c_name(kernel.position.name)}")
        if kernel.finish == "phi":
            parts.append("__global realv *z_out")
        if kernel.finish == "dphi":
            parts.append("__global const realv *below")
        if uses_index(kernel, self.tensors):
            parts.append("__global const int *restrict index")
        return (*parts, "const int vectors", "const int TV")

    def text(self) -> KernelText:
        """Everything that the template needs."""
        decode, size = self.launch()
        nests = tuple(self.nest_text(n, nest) for n, nest in enumerate(self.kernel.nests))
        return KernelText(self.kernel.name, tuple(self.kernel.text.splitlines()), self.parameters(), decode, nests,
                          tuple(self.store_lines()), size, uses_index(self.kernel, self.tensors), self.schedule)  # fmt: skip


def _counter(axis: str) -> str:
    return "t" if axis == SAMPLES else f"n_{axis}"


def _is_table(e: IntExpr) -> bool:
    return any(isinstance(i, Size) and i.index is not None for i in integers(e))


def _bound(axis: Axis) -> str:
    """The extent of an axis for the launch: of a ragged one the largest."""
    if isinstance(axis.extent, Size) and axis.extent.index is not None:
        return f"{axis.extent.name}_max"
    return integer(axis.extent)


def _with_map(e: IntExpr, first: IntExpr) -> IntExpr:
    """A ragged tensor's extent for the map ``first``."""
    match e:
        case Name(name="_"):
            return first
        case Size(name=name, index=index) if index is not None:
            return Size(name, _with_map(index, first))
        case IntOp(op=op, args=args):
            return IntOp(op, tuple(_with_map(a, first) for a in args))
    return e


def _result_loads(kernel: Kernel) -> list[Load]:
    found = [load for _, value in kernel.temporaries for load in loads(value)]
    return found + list(loads(kernel.result))


def _is_negated(e: Expr) -> bool:
    """True where the whole body is a negation, whose sign moves into the accumulation."""
    return isinstance(e, Call) and e.function == "neg"

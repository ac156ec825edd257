"""The loops of one nest as OpenCL text: tight bounds, guards as early as they are known, the register tile innermost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..derive.ir import Call, Expr, Integer, IntExpr, IntOp, Load, Loop, Nest, RowLoop, loads, names
from .affine import extreme
from .opencl_frame import Frame, Line, counter, is_table
from .opencl_names import c_name
from .opencl_printer import condition, integer


@dataclass(frozen=True)
class NestText:
    """A nest as text: its accumulators' declaration, and its loops with the body inside."""

    number: int
    combine: str
    dimensions: str
    lines: tuple[Line, ...]


class NestWriter:
    """Writes the nests of one kernel."""

    def __init__(self, frame: Frame) -> None:
        self.frame, self.kernel = frame, frame.kernel
        self.bounds: list[str] = []  # functions that give bounds for a place of the tile
        self._masks: dict[str, list[str]] = {}  # per tiled axis, the tests of the nest that is being written

    def extents(self, nest: Nest) -> dict[str, IntExpr]:
        """The ranges of the output axes and of the nest's loops."""
        found: dict[str, IntExpr] = {a.name: a.extent for a in self.kernel.axes}
        found.update({loop.name: loop.extent for loop in nest.loops if isinstance(loop, Loop)})
        return found

    def loop_lines(self, number: int, nest: Nest, loop: Loop | RowLoop) -> list[str]:
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
        tiled = [a for a in self.frame.inner if a in names(loop.lower) | names(loop.upper)]
        if tiled:
            lower, upper = self._union(number, loop, tiled[0], extents)
        else:
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

    def _union(self, number: int, loop: Loop, axis: str, extents: Mapping[str, IntExpr]) -> tuple[str, str]:
        """Bounds over a whole tile of ``axis``, in which they are monotone; each place of the tile tests its own.

        Each bound becomes a function of the variables that it depends on.
        """
        name, place = c_name(loop.name), c_name(axis)
        tests, found = self._masks.setdefault(axis, []), []
        texts = self._lower(loop.lower, extents), self._upper(loop.upper, loop.extent, extents)
        for which, compare, bound, text in zip(("begin", "end"), ("<", ">="), (loop.lower, loop.upper), texts, strict=True):
            if axis not in names(bound):
                found.append(text)
                continue
            variables = [c_name(n) for n in sorted(names(bound))]
            function = f"{self.kernel.name}_{name}_{which}{number or ''}"
            self.bounds.append(f"static int {function}({', '.join(f'int {v}' for v in variables)}) {{ return {text}; }}")
            first, last, own = (
                f"{function}({', '.join(at if v == place else v for v in variables)})"
                for at in (f"{place}0", f"{place}0 + {self.frame.tiles[axis].macro} - 1", place)
            )
            found.append(f"{'lesser' if which == 'begin' else 'greater'}({first}, {last})")
            tests.append(f"{name} {compare} {own}")
        return found[0], found[1]

    def tile_loop(self, axis: str) -> list[str]:
        """The loop over a tile; places outside their own bounds are skipped."""
        tests = self._masks.get(axis, [])
        return [*self.frame.tile_loop(axis), *([f"if ({' || '.join(tests)}) continue;"] if tests else [])]

    def _lower(self, e: IntExpr, extents: Mapping[str, IntExpr]) -> str:
        """A lower bound; a term that can never exceed 0 is dropped at compile time."""
        if isinstance(e, IntOp) and e.op == "max" and e.args[0] == Integer(0):
            text = "0"
            for term in e.args[1:]:
                corner = extreme(term, extents, largest=True)
                value = integer(term)
                inner = f"greater({text}, {value})"
                text = inner if corner is None else f"({integer(corner, 2)} <= 0 ? {text} : {inner})"
            return text
        return integer(e)

    def _upper(self, e: IntExpr, extent: IntExpr, extents: Mapping[str, IntExpr]) -> str:
        """An upper bound; a term that never falls below the extent is dropped at compile time."""
        if isinstance(e, IntOp) and e.op == "min" and e.args[0] == extent:
            text = integer(extent)
            for term in e.args[1:]:
                corner = extreme(term, extents, largest=False)
                inner = f"lesser({text}, {integer(term)})"
                plain = corner is None or bool(names(extent)) or is_table(extent)
                text = inner if plain or corner is None else f"({integer(corner, 2)} >= {integer(extent)} ? {text} : {inner})"
            return text
        return integer(e)

    def nest_text(self, number: int, nest: Nest) -> NestText:
        """Loops outermost first, lets and guards as soon as their names are known, the tile innermost."""
        lines: list[Line] = []
        self._masks = {}
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
            for text in self.loop_lines(number, nest, loop):
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
        return NestText(number, nest.combine, self.frame.dimensions(), tuple(lines))

    def body_lines(self, number: int, nest: Nest) -> list[Line]:
        """Loads as far outside the tile as they can be, then the accumulation."""
        ordered = list(dict.fromkeys(loads(nest)))
        variables = {load: f"{c_name(load.tensor)}_{n}" for n, load in enumerate(ordered)}
        lines: list[Line] = []
        # a load that skips an outer tile axis is made before that axis' loop and kept in an array over its own axes
        early: dict[Load, tuple[str, ...]] = {}
        for load in ordered:
            axes = self.frame.dependence(load)
            if axes != tuple(self.frame.inner[: len(axes)]):
                early[load] = axes
                self._early(lines, load, axes, variables[load])
        placed = {load: variables[load] + "".join(f"[{counter(a)}]" for a in axes) for load, axes in early.items()}
        depth = 0
        for level in range(len(self.frame.inner) + 1):
            for load in ordered:
                if load not in early and len(self.frame.dependence(load)) == level:
                    lines.append(Line(depth, self.frame.declare(load, variables[load])))
                    placed[load] = variables[load]
            if level < len(self.frame.inner):
                for text in self.tile_loop(self.frame.inner[level]):
                    lines.append(Line(depth, text))
                    depth += text.endswith("{")
        lines.extend(Line(depth, text) for text in self._accumulate(number, nest, placed))
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(self.frame.inner)))
        return lines

    def _early(self, lines: list[Line], load: Load, axes: tuple[str, ...], variable: str) -> None:
        kind = "realv" if self.frame.tensors[load.tensor].samples else "REAL"
        dimensions = "".join(f"[{self.frame.tiles[a].macro}]" for a in axes)
        lines.append(Line(0, f"{kind} {variable}{dimensions};"))
        depth = 0
        for axis in axes:
            for text in self.tile_loop(axis):
                lines.append(Line(depth, text))
                depth += text.endswith("{")
        place = variable + "".join(f"[{counter(a)}]" for a in axes)
        lines.append(Line(depth, f"{place} = {self.frame.value(load)};"))
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(axes)))

    def _accumulate(self, number: int, nest: Nest, placed: Mapping[Load, str]) -> list[str]:
        lines: list[str] = []
        printer = self.frame.printer(placed, lines, nest.temporaries)
        body = printer(nest.body)
        accumulator = f"acc{number}{self.frame.place_index()}"
        if nest.combine == "sum":
            lines.append(f"{accumulator} -= {body[1:]};" if _is_negated(nest.body) else f"{accumulator} += {body};")
            return lines
        assert nest.position is not None
        value = f"value{number}"
        lines.append(f"const realv {value} = {body};")
        position = f"position{number}{self.frame.place_index()}"
        if self.kernel.position is not None:
            number_text = integer(nest.position)
            lines.append(f"{position} = ({value} > {accumulator}) ? (realv)((REAL)({number_text})) : {position};")
        lines.append(f"{accumulator} = ({value} > {accumulator} || {value} != {value}) ? {value} : {accumulator};")
        return lines


def _is_negated(e: Expr) -> bool:
    """True where the whole body is a negation, whose sign moves into the accumulation."""
    return isinstance(e, Call) and e.function == "neg"

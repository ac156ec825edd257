"""The loops of one nest as OpenCL text: tight bounds, guards as early as they are known, the register tile innermost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..derive.ir import Call, Condition, Expr, Integer, IntExpr, IntOp, Let, Load, Loop, Nest, RowLoop, loads, names
from .addresses import units
from .affine import extreme
from .opencl_frame import Frame, Line, counter, is_table
from .opencl_local import copy_lines, local_or
from .opencl_names import c_name
from .opencl_printer import condition, integer


@dataclass(frozen=True)
class NestText:
    """A nest as text: its accumulators' declaration, and its loops with the body inside."""

    number: int
    combine: str
    dimensions: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Range:
    """A loop's bounds; the tests for its whole extent being inside for all of the tile; one for a single round being so."""

    lower: str
    upper: str
    whole: tuple[str, ...]
    inside: str


class Text:
    """Lines at a growing depth."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.depth = 0

    def add(self, texts: Sequence[str]) -> None:
        """Lines at the current depth."""
        self.lines += [Line(self.depth, text) for text in texts]

    def open(self, texts: Sequence[str]) -> None:
        """Lines of which some open a block."""
        for text in texts:
            self.add([text])
            self.depth += text.endswith("{")

    def extend(self, lines: Sequence[Line]) -> None:
        """Lines relative to the current depth."""
        self.lines += [Line(self.depth + line.depth, line.text) for line in lines]

    def branch(self, test: str, branches: Sequence[Sequence[Line]]) -> None:
        """Two alternatives."""
        for opening, lines in zip((f"if ({test}) {{", "} else {"), branches, strict=True):
            self.add([opening])
            self.extend([Line(line.depth + 1, line.text) for line in lines])
        self.add(["}"])

    def closed(self) -> list[Line]:
        """All of them, with the closing braces."""
        return [*self.lines, *(Line(self.depth - 1 - n, "}") for n in range(self.depth))]


@dataclass
class Pending:
    """Lets and guards that wait until the names that they use are known."""

    lets: list[Let]
    guards: list[Condition]
    known: set[str]

    def copy(self) -> Pending:
        """One that can settle by itself."""
        return Pending(list(self.lets), list(self.guards), set(self.known))

    def settle(self, text: Text) -> None:
        """Write what can be written."""
        progress = True
        while progress:
            progress = False
            for let in [let for let in self.lets if names(let.value) <= self.known]:
                text.add([f"const int {c_name(let.name)} = {integer(let.value)};"])
                self.known.add(let.name)
                self.lets.remove(let)
                progress = True
            ready = [g for g in self.guards if names(g) <= self.known]
            if ready:
                text.open([f"if ({' && '.join(condition(g) for g in ready)}) {{"])
                self.guards = [g for g in self.guards if g not in ready]
                progress = True


class NestWriter:
    """Writes the nests of one kernel.  ``unions``: a bound that depends on a tiled axis is taken over the whole tile."""

    unions = True

    def __init__(self, frame: Frame) -> None:
        self.frame, self.kernel = frame, frame.kernel
        self.bounds: list[str] = []  # functions that give bounds for a place of the tile
        self._masked = True
        self._inside_tests: list[str] = []  # per loop with such tests, when a round of it is inside for every place
        self._masks: dict[str, list[str]] = {}  # per tiled axis, the tests of the nest that is being written

    def extents(self, nest: Nest) -> dict[str, IntExpr]:
        """The ranges of the output axes and of the nest's loops."""
        found: dict[str, IntExpr] = {a.name: a.extent for a in self.kernel.axes}
        found.update({loop.name: loop.extent for loop in nest.loops if isinstance(loop, Loop)})
        return found

    def loop_range(self, number: int, nest: Nest, loop: Loop | RowLoop) -> Range | None:
        """The bounds of ``loop`` as text, and when all of its extent is inside for every place of the tile; once for each loop."""
        if isinstance(loop, RowLoop):
            return None
        extents = self.extents(nest)
        tiled = [a for a in self.frame.inner if a in names(loop.lower) | names(loop.upper)]
        if tiled and self.unions:
            return self._union(number, loop, tiled[0], extents)
        lower, upper = self.lower(loop.lower, extents), self.upper(loop.upper, loop.extent, extents)
        extent, name = integer(loop.extent), c_name(loop.name)
        tests = [f"{lower if _plain(lower) else f'{name}_begin'} == 0"] if lower != "0" else []
        tests += [f"{upper if _plain(upper) else f'{name}_end'} == {extent}"] if upper != extent else []
        tests += [f"{integer(loop.step, 2)} == 1"] if loop.step != Integer(1) else []
        return Range(lower, upper, tuple(tests), "")

    def loop_lines(self, loop: Loop | RowLoop, found: Range | None) -> list[str]:
        """The line that opens ``loop``, after the lines that it needs; ``found``: the range of one that is no row loop."""
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
        assert found is not None
        step = f"++{name}" if loop.step == Integer(1) else f"{name} += {integer(loop.step)}"
        lines, bounds = [], []
        for which, text in (("begin", found.lower), ("end", found.upper)):
            bounds.append(text if _plain(text) else f"{name}_{which}")
            if bounds[-1] != text:
                lines.append(f"const int {bounds[-1]} = {text};")
        return [*lines, f"for (int {name} = {bounds[0]}; {name} < {bounds[1]}; {step}) {{"]

    def _union(self, number: int, loop: Loop, axis: str, extents: Mapping[str, IntExpr]) -> Range:
        """Bounds over a whole tile of ``axis``, in which they are monotone; each place of the tile tests its own.

        Each bound becomes a function of the variables that it depends on.
        """
        name, place = c_name(loop.name), c_name(axis)
        tests: list[str] = []
        found, whole, inside = [], [], []
        texts = self.lower(loop.lower, extents), self.upper(loop.upper, loop.extent, extents)
        for which, compare, bound, text in zip(("begin", "end"), ("<", ">="), (loop.lower, loop.upper), texts, strict=True):
            if axis not in names(bound):
                found.append(text)
                whole += [f"{name}_{which} == {'0' if which == 'begin' else integer(loop.extent)}"] if not _plain(text) else []
                continue
            variables = [c_name(n) for n in sorted(names(bound))]
            function = f"{self.kernel.name}_{name}_{which}{number or ''}"
            self.bounds.append(f"static int {function}({', '.join(f'int {v}' for v in variables)}) {{ return {text}; }}")
            first, last, own = (
                f"{function}({', '.join(at if v == place else v for v in variables)})"
                for at in (f"{place}0", f"{place}0 + {self.frame.tiles[axis].macro} - 1", place)
            )
            union, both = ("lesser", "greater") if which == "begin" else ("greater", "lesser")
            found.append(f"{union}({first}, {last})")
            tests.append(f"{name} {compare} {own}")
            whole.append(f"{both}({first}, {last}) {'<= 0' if which == 'begin' else f'>= {integer(loop.extent)}'}")
            inside.append(f"{name} {'>=' if which == 'begin' else '<'} {both}({first}, {last})")
        self._masks[axis] = [*self._masks.get(axis, []), *tests]
        self._inside_tests.append(" && ".join(inside))
        return Range(found[0], found[1], tuple(whole), " && ".join(inside))

    def tile_loop(self, axis: str) -> list[str]:
        """The loop over a tile; places outside their own bounds are skipped, unless none is known to be."""
        tests = self._masks.get(axis, []) if self._masked else []
        return [*self.frame.tile_loop(axis), *([f"if ({' || '.join(tests)}) continue;"] if tests else [])]

    def lower(self, e: IntExpr, extents: Mapping[str, IntExpr]) -> str:
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

    def upper(self, e: IntExpr, extent: IntExpr, extents: Mapping[str, IntExpr]) -> str:
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
        self._masks, self._inside_tests = {}, []
        text = Text()
        self.open_samples(text, nest)
        pending = Pending(list(nest.lets), list(nest.guards), {a.name for a in self.kernel.axes})
        pending.settle(text)
        for loop in nest.loops[:-1]:
            text.open(self.loop_lines(loop, self.loop_range(number, nest, loop)))
            text.extend(copy_lines(self.frame, loop))
            pending.known.add(loop.name)
            pending.settle(text)
        if nest.loops:
            self.last_loop(text, number, nest, nest.loops[-1], pending)
        else:
            self.inside(text, number, nest, pending)
        lines = text.closed()
        if len(self.kernel.nests) > 1:  # every nest has its own names
            lines = [Line(0, "{"), *(Line(line.depth + 1, line.text) for line in lines), Line(0, "}")]
        return NestText(number, nest.combine, self.frame.dimensions(), tuple(lines))

    def open_samples(self, text: Text, nest: Nest) -> None:
        """Where samples are summed, the loop over blocks of TV sample vectors, and where each tensor has the block."""
        if not self.kernel.sums_samples:
            return
        text.add(["const int blocks = BLOCKED ? vectors / TV : 1, count = BLOCKED ? TV : vectors;"])
        text.open(["for (int block = 0; block < blocks; ++block) {"])
        for name in dict.fromkeys(load.tensor for load in loads(nest)):
            tensor = self.frame.tensors[name]
            if tensor.samples:
                pointer = f"__global const realv *restrict {c_name(name)}_block"
                text.add([f"{pointer} = {c_name(name)} + block * {integer(units(tensor), 3)} * TV;"])

    def last_loop(self, text: Text, number: int, nest: Nest, loop: Loop | RowLoop, pending: Pending) -> None:
        """The innermost loop, twice where its bounds vary: where nothing is cut off it has a length that the compiler knows."""
        found = self.loop_range(number, nest, loop)
        opening = self.loop_lines(loop, found)
        pending.known.add(loop.name)
        if found is None or not found.whole or self.kernel.sums_samples:
            text.open(opening if self.kernel.sums_samples else self._unrolled(opening))
            text.extend(copy_lines(self.frame, loop))
            if found is None or not found.inside:
                self.inside(text, number, nest, pending)
                return
            # summed samples: the loop over them is the innermost one, and each round of this one has all places inside or not
            inside = " && ".join([*self._inside_tests[:-1], found.inside])
            text.branch(inside, [self._branch(number, nest, pending, masked) for masked in (False, True)])
            return
        *before, last = opening
        text.add(before)
        assert isinstance(loop, Loop)
        whole = f"for (int {c_name(loop.name)} = 0; {c_name(loop.name)} < {integer(loop.extent)}; ++{c_name(loop.name)}) {{"
        branches = []
        for line, masked in ((whole, False), (last, True)):
            part = Text()
            part.open(self._unrolled([line]))
            part.extend(self._branch(number, nest, pending, masked))
            branches.append(part.closed())
        outer = self._inside_tests[:-1] if found.inside else self._inside_tests
        text.branch(" && ".join([*found.whole, *outer]), branches)

    def _unrolled(self, opening: Sequence[str]) -> list[str]:
        """The lines that open an innermost loop, with a hint before it where a schedule gives one."""
        macro, at = self.frame.schedule.unroll, next(n for n, line in enumerate(opening) if line.startswith("for "))
        if not macro:
            return list(opening)
        return [*opening[:at], f"#if {macro}", f"#pragma unroll {macro}", "#endif", *opening[at:]]

    def _branch(self, number: int, nest: Nest, pending: Pending, masked: bool) -> list[Line]:
        self._masked = masked
        part = Text()
        self.inside(part, number, nest, pending.copy())
        self._masked = True
        return part.closed()

    def inside(self, text: Text, number: int, nest: Nest, pending: Pending) -> None:
        """What is inside all loops of the nest."""
        pending.settle(text)
        if self.kernel.sums_samples:
            parts = self.frame.schedule.parts  # neighbouring ones read neighbouring vectors
            rounds = f"int t = part; t < count; t += {parts}" if parts else "int t = 0; t < count; ++t"
            text.open(self._unrolled([f"for ({rounds}) {{"]))
        text.extend(self.body_lines(number, nest))

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
                    plain = self.frame.declare(load, variables[load])
                    lines += [Line(depth, text) for text in local_or(self.frame, load, f"const REAL {variables[load]}", plain)]
                    placed[load] = variables[load]
            if level < len(self.frame.inner):
                for text in self.tile_loop(self.frame.inner[level]):
                    lines.append(Line(depth, text))
                    depth += text.endswith("{")
        lines.extend(Line(depth, text) for text in self.accumulate(number, nest, placed))
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(self.frame.inner)))
        return lines

    def _early(self, lines: list[Line], load: Load, axes: tuple[str, ...], variable: str) -> None:
        kind = "realv" if self.frame.has_lanes(load) else "REAL"
        dimensions = "".join(f"[{self.frame.tiles[a].macro}]" for a in axes)
        lines.append(Line(0, f"{kind} {variable}{dimensions};"))
        depth = 0
        for axis in axes:
            for text in self.tile_loop(axis):
                lines.append(Line(depth, text))
                depth += text.endswith("{")
        place = variable + "".join(f"[{counter(a)}]" for a in axes)
        lines += [Line(depth, text) for text in local_or(self.frame, load, place, f"{place} = {self.frame.value(load)};")]
        lines.extend(Line(depth - 1 - n, "}") for n in range(len(axes)))

    def accumulate(self, number: int, nest: Nest, placed: Mapping[Load, str]) -> list[str]:
        """One step of the reduction at the current place."""
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


def _plain(text: str) -> bool:
    """True for a bound that needs no name of its own."""
    return text.isidentifier() or text.isdigit()


def _is_negated(e: Expr) -> bool:
    """True where the whole body is a negation, whose sign moves into the accumulation."""
    return isinstance(e, Call) and e.function == "neg"

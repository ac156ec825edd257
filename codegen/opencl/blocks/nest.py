"""The loops of one nest as OpenCL text.

Bounds are tight, guards stand as early as their names are known, and the register tile is innermost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....derive.ir import Call, Condition, Expr, Load, Loop, Nest, TableLoop, loads, names
from ...passes.factor_out_invariants import together
from ...tiling.tiling import Tile
from .bounds import Bounds, Range, Union, loop_lines, whole_loop
from .frame import Frame, Line, counter
from .local import copy_lines, local_or
from .printer import integer
from .text import PendingStatements, Text


@dataclass(frozen=True)
class NestText:
    """A nest as text: its accumulators over ``tiles``, and its loops with the body inside."""

    number: int
    combine: str
    accumulators: str
    dimensions: str
    tiles: tuple[Tile, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class _Body:
    """The innermost body of a group of nests.

    ``inner``: the tiled axes with loops inside of the body.
    ``own``: for each nest, those that its sum has points along.
    ``along``: for each load, those that it depends on.
    ``variables``: the name of each load, in order.
    ``apart``: the nests whose sums have a loop of their own.
    ``early``: the loads that come before all loops.
    """

    inner: list[str]
    own: Mapping[int, tuple[str, ...]]
    along: Mapping[Load, tuple[str, ...]]
    variables: Mapping[Load, str]
    apart: list[int]
    early: list[Load]

    @property
    def depth(self) -> int:
        """How many loops there are."""
        return max((len(own) for n, own in self.own.items() if n not in self.apart), default=0)


def _among(axes: Sequence[str], inner: Sequence[str]) -> tuple[str, ...]:
    return tuple(axis for axis in axes if axis in inner)


def _leads(axes: tuple[str, ...], inner: Sequence[str]) -> bool:
    """Whether ``axes`` are the outermost of ``inner``."""
    return axes == tuple(inner[: len(axes)])


class NestWriter:
    """Writes the nests of one kernel.

    ``unions``: a bound that depends on a tiled axis is taken over the whole tile.

    Where an iteration has some points of the tile and not others, the points are computed in turn, each with
    its own
    bounds: control flow within the tile would send all accumulators to memory.
    """

    unions = True

    def __init__(self, frame: Frame) -> None:
        self.frame, self.kernel = frame, frame.kernel
        self.bounds = Bounds(frame)
        self.groups = {group[0]: group for group in together(self.kernel)}

    def texts(self) -> tuple[NestText, ...]:
        """All nests: those that share the loops of another one are declared before it."""
        found = []
        for first, group in self.groups.items():
            found += [self._declared(number, ()) for number in group[1:]]
            found.append(self.nest_text(first, self.kernel.nests[first]))
        return tuple(found)

    def loads(self, number: int) -> list[Load]:
        """What nest ``number`` loads, and those that share its loops."""
        return list(dict.fromkeys(load for n in self.groups[number] for load in loads(self.kernel.nests[n])))

    def loop_range(
        self, number: int, nest: Nest, loop: Loop | TableLoop, axes: Sequence[str] = ()
    ) -> Range | None:
        """The bounds of ``loop`` over the tile; None for a loop over rows.

        ``axes``: those of the tile that have a point already.
        """
        if isinstance(loop, TableLoop):
            return None
        among = [a for a in self.frame.inner if a not in axes] if self.unions else []
        return self.bounds.range(number, nest, loop, tiled(loop, among))

    def nest_text(self, number: int, nest: Nest) -> NestText:
        """Loops outermost first, lets and guards as soon as their names are known, the tile innermost."""
        text = Text()
        pending = PendingStatements(list(nest.lets), self.guards(nest), self.known())
        self.write(text, number, nest, pending)
        lines = text.closed()
        if len(self.groups) > 1:  # every nest has its own names
            lines = [Line(0, "{"), *(Line(line.depth + 1, line.text) for line in lines), Line(0, "}")]
        return self._declared(number, lines)

    def known(self) -> set[str]:
        """The names that have a value before all loops."""
        return {a.name for a in self.kernel.axes}

    def guards(self, nest: Nest) -> list[Condition]:
        """The conditions of ``nest`` that no bound implies."""
        return list(nest.guards)

    def _declared(self, number: int, lines: Sequence[Line]) -> NestText:
        axes = (*self.frame.cache_axes, *self.frame.own_axes(number))
        return NestText(
            number,
            self.kernel.nests[number].combine,
            self.frame.accumulators(number),
            self.frame.dimensions(axes),
            tuple(self.frame.tiles[a] for a in axes),
            tuple(lines),
        )

    # -------------------------------------------------------------------------------------------------- loops
    def write(self, text: Text, number: int, nest: Nest, pending: PendingStatements) -> None:
        """The nest, twice where bounds vary: where nothing is cut off, loops have lengths that the compiler
        knows.

        Elsewhere the points of the tile come in turn along the axes that bounds depend on.
        """
        pending.settle(text)
        varying, last = self._varying(number, nest)
        if not varying:
            self.loops(text, number, nest, pending)
            return
        for name, value in (pair for found in varying for pair in found.named):
            text.add([f"const integer {name} = {value};"])
            pending.known.add(name)
        whole, cut = Text(), Text()
        self.loops(whole, number, nest, pending.copy(), cut=False if last else None)
        self.cut(cut, number, nest, pending.copy(), varying, True if last else None)
        text.branch(
            " && ".join(test for found in varying for test in found.whole), [whole.closed(), cut.closed()]
        )

    def cut(
        self,
        text: Text,
        number: int,
        nest: Nest,
        pending: PendingStatements,
        varying: Sequence[Range],
        cut: bool | None,
    ) -> None:
        """The loops where bounds cut something off: points take turns along axes that bounds depend on."""
        bounding = {found.union.axis for found in varying if found.union is not None}
        axes = [axis for axis in self.frame.inner if axis in bounding]
        for axis in axes:
            text.open(self.frame.tile_loop(axis))
        self.loops(text, number, nest, pending, axes, cut=cut)

    def _varying(self, number: int, nest: Nest) -> tuple[list[Range], bool]:
        """The ranges of loops whose bounds may cut something off, known before all loops; whether the
        last loop's is one.
        """
        ranges = [self.loop_range(number, nest, loop) for loop in nest.loops]
        varying = [found for found in ranges if found is not None and found.union is not None]
        last = ranges[-1] if ranges else None
        if last is not None and last not in varying and last.whole and not _inner(nest):
            varying.append(last)
        return varying, last in varying

    def loops(
        self,
        text: Text,
        number: int,
        nest: Nest,
        pending: PendingStatements,
        axes: Sequence[str] = (),
        cut: bool | None = None,
    ) -> None:
        """The loops of the nest and what is inside them; ``axes`` of the tile have a point.

        ``cut``: whether bounds that vary cut anything off here; None where that is not known.
        """
        for loop in nest.loops[:-1]:
            found = self.loop_range(number, nest, loop, axes)
            if isinstance(loop, Loop) and found is not None and found.union is not None:
                text.open([whole_loop(loop)])
            else:
                text.open(loop_lines(loop, found))
            text.extend(copy_lines(self.frame, loop))
            pending.known.add(loop.name)
            pending.settle(text)
        if nest.loops:
            self.last_loop(text, number, nest, nest.loops[-1], pending, axes, cut)
        else:
            self.inside(text, number, nest, pending, axes)

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
        """The innermost loop, see ``loops``; with both lengths where it is not known which."""
        found = self.loop_range(number, nest, loop, axes)
        pending.known.add(loop.name)
        opening = loop_lines(loop, found, known=pending.known)
        if isinstance(loop, Loop) and found is not None and found.whole:
            if cut is None:
                text.add(opening[:-1])
                branches = []
                for line in (whole_loop(loop), opening[-1]):
                    part = Text()
                    part.open(self.unrolled([line]))
                    self.inside(part, number, nest, pending.copy(), axes)
                    branches.append(part.closed())
                text.branch(" && ".join(found.whole), branches)
                return
            opening = opening if cut else [whole_loop(loop)]
        text.open(self.unrolled(opening))
        text.extend(copy_lines(self.frame, loop))
        self.inside(text, number, nest, pending, axes)

    def unrolled(self, opening: Sequence[str]) -> list[str]:
        """The lines that open an innermost loop, with a hint before it where a tiling gives one."""
        macro, at = (
            self.frame.tiling.unroll,
            next(n for n, line in enumerate(opening) if line.startswith("for ")),
        )
        if not macro:
            return list(opening)
        return [*opening[:at], f"#if {macro}", f"#pragma unroll {macro}", "#endif", *opening[at:]]

    # --------------------------------------------------------------------------------------------------- body
    def inside(
        self,
        text: Text,
        number: int,
        nest: Nest,
        pending: PendingStatements,
        axes: Sequence[str] = (),
        guard: Union | None = None,
    ) -> None:
        """What is inside all loops of the nest; see ``body_lines``."""
        pending.settle(text)
        text.extend(self.body_lines(number, nest, axes, guard))

    def body_lines(
        self, number: int, nest: Nest, axes: Sequence[str] = (), guard: Union | None = None
    ) -> list[Line]:
        """Loads as far outside the tile as they can be, then the accumulation.

        ``axes``: those of the tile that have a point already.
        ``guard``: bounds that some points of its axis may not be inside; these are left out.
        """
        body = self.body(number, axes)
        lines: list[Line] = []
        placed: dict[Load, str] = {}
        for load in body.early:
            lines += self._early(load, body.along[load], body.variables[load])
            placed[load] = body.variables[load] + "".join(f"[{counter(a)}]" for a in body.along[load])
        depth = 0
        for level in range(len(body.inner) + 1):
            lines += [Line(depth + line.depth, line.text) for line in self._level(body, level, placed)]
            if level < body.depth:
                for text in self.frame.tile_loop(body.inner[level]):
                    lines.append(Line(depth, text))
                    depth += text.endswith("{")
                if guard is not None and guard.axis == body.inner[level]:
                    lines.append(Line(depth, f"if ({guard.outside}) continue;"))
        lines.extend(Line(depth - 1 - n, "}") for n in range(depth))
        return lines

    def body(self, number: int, axes: Sequence[str]) -> _Body:
        """What the body of nest ``number`` loads and adds up, and at which level of the tile."""
        inner = [a for a in self.frame.inner if a not in axes]
        ordered, group = self.loads(number), self.groups[number]
        own = {n: _among(self.frame.own_axes(n), inner) for n in group}
        along = {load: _among(self.frame.dependence(load), inner) for load in ordered}
        variables = {load: f"{load.tensor}_{n}" for n, load in enumerate(ordered)}
        # what skips an outer tile axis comes before that axis' loop: a load, kept in an array over its own
        # axes, and a sum
        apart = [n for n in group if not _leads(own[n], inner)]
        wanted = {load for n in apart for load in loads(self.kernel.nests[n])}
        early = [
            load for load in ordered if not _leads(along[load], inner) or (load in wanted and along[load])
        ]
        return _Body(inner, own, along, variables, apart, early)

    def _level(self, body: _Body, level: int, placed: dict[Load, str]) -> list[Line]:
        """The loads and sums inside so many loops over the tile; ``placed`` gets the loads."""
        lines: list[Line] = []
        for load, variable in body.variables.items():
            if load not in body.early and len(body.along[load]) == level:
                plain = self.frame.declare(load, variable)
                lines += [
                    Line(0, text) for text in local_or(self.frame, load, f"const REAL {variable}", plain)
                ]
                placed[load] = variable
        for n, own in body.own.items():
            if n in body.apart and level == 0:
                lines += self._over(own, self.accumulate(n, self.kernel.nests[n], placed))
            elif n not in body.apart and len(own) == level:
                lines += [Line(0, text) for text in self.accumulate(n, self.kernel.nests[n], placed)]
        return lines

    def _over(self, axes: Sequence[str], lines: Sequence[str]) -> list[Line]:
        """``lines`` in loops over ``axes`` of the tile."""
        text = Text()
        for axis in axes:
            text.open(self.frame.tile_loop(axis))
        text.add(lines)
        return text.closed()

    def _early(self, load: Load, axes: tuple[str, ...], variable: str) -> list[Line]:
        kind, point = (
            "realv" if self.frame.has_lanes(load) else "REAL",
            variable + "".join(f"[{counter(a)}]" for a in axes),
        )
        read = local_or(self.frame, load, point, f"{point} = {self.frame.value(load)};")
        return [Line(0, f"{kind} {variable}{self.frame.dimensions(axes)};"), *self._over(axes, read)]

    def accumulate(self, number: int, nest: Nest, placed: Mapping[Load, str]) -> list[str]:
        """One step of the reduction at the current point."""
        lines: list[str] = []
        printer = self.frame.printer(placed, lines, nest.temporaries)
        body = printer(nest.body)
        accumulator = f"acc{number}{self.frame.point_index(number)}"
        if nest.combine == "sum":
            lines.append(
                f"{accumulator} -= {body[1:]};" if _is_negated(nest.body) else f"{accumulator} += {body};"
            )
            return lines
        assert nest.position is not None
        value = f"value{number}"
        lines.append(f"const realv {value} = {body};")
        position = f"position{number}{self.frame.point_index(number)}"
        if self.kernel.position is not None:
            number_text = integer(nest.position)
            lines.append(
                f"{position} = ({value} > {accumulator}) ? (realv)((REAL)({number_text})) : {position};"
            )
        lines.append(
            f"{accumulator} = ({value} > {accumulator} || {value} != {value}) ? {value} : {accumulator};"
        )
        return lines


def _is_negated(e: Expr) -> bool:
    """True where the whole body is a negation, whose sign moves into the accumulation."""
    return isinstance(e, Call) and e.function == "neg"


def tiled(loop: Loop, among: Sequence[str]) -> str | None:
    """The axis, if any, of the tiled ones ``among`` that the bounds of ``loop`` depend on."""
    used = names(loop.lower) | names(loop.upper)
    return next((axis for axis in among if axis in used), None)


def _inner(nest: Nest) -> bool:
    """True where the bounds of the last loop depend on other loops."""
    last, others = nest.loops[-1], {loop.name for loop in nest.loops[:-1]}
    return not isinstance(last, Loop) or bool(
        (names(last.lower) | names(last.upper) | names(last.step)) & others
    )

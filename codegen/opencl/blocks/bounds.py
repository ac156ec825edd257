"""Bounds of loops as OpenCL text.

A bound that can never cut anything off is dropped; over a tile it is the union of its points' bounds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from ....derive.ir import Integer, IntExpr, IntOp, Loop, Nest, TableLoop, names
from ...analysis.affine import extreme
from .frame import Frame, is_table
from .printer import integer

Which = Literal["begin", "end"]


@dataclass(frozen=True)
class Union:
    """Bounds that depend on the tiled ``axis``: the test for a iteration being outside those of a single
    point.

    ``common``: the first of the iterations that all points of the tile take part in, and the end of these.
    """

    axis: str
    outside: str
    common: tuple[str, str]


@dataclass(frozen=True)
class Range:
    """A loop's bounds over all of the tile.

    ``whole``: the tests for its whole extent being inside.
    ``named``: the names that these use, and what they stand for.
    ``union``: of what the bounds are the union; None where they do not depend on a tiled axis.
    """

    lower: str
    upper: str
    whole: tuple[str, ...]
    named: tuple[tuple[str, str], ...] = ()
    union: Union | None = None


@dataclass(frozen=True)
class End:
    """One bound of a loop; ``at``: as text for a point of an axis, where it depends on that axis."""

    which: Which
    text: str
    at: Callable[[str], str] | None = None


class Bounds:
    """Bounds of one kernel's loops.

    ``functions``: those that the text of some calls, found on the way, by name.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame, self.kernel = frame, frame.kernel
        self.functions: dict[str, str] = {}

    def range(self, number: int, nest: Nest, loop: Loop, tiled: str | None) -> Range:
        """Of ``loop`` of nest ``number``; over all of the tile of ``tiled``, an axis that its bounds
        depend on.
        """
        if tiled is not None:
            return self._union(number, nest, loop, tiled)
        lower, upper = self._texts(nest, loop)
        extent, found = integer(loop.extent), ends(loop, lower, upper)
        tests = [f"{found[0][0]} == 0"] if lower != "0" else []
        tests += [f"{found[1][0]} == {extent}"] if upper != extent else []
        tests += [f"{integer(loop.step, 2)} == 1"] if loop.step != Integer(1) else []
        return Range(lower, upper, tuple(tests), tuple((name, text) for name, text in found if name != text))

    def _texts(self, nest: Nest, loop: Loop) -> tuple[str, str]:
        extents: dict[str, IntExpr] = {a.name: a.extent for a in self.kernel.axes}
        extents.update({other.name: other.extent for other in nest.loops if isinstance(other, Loop)})
        return lower_text(loop.lower, extents), upper_text(loop.upper, loop.extent, extents)

    def ends(self, number: int, nest: Nest, loop: Loop, axis: str) -> tuple[End, End]:
        """Both bounds of ``loop``; one that depends on ``axis`` becomes a function of what it depends on."""

        def end(which: Which, bound: IntExpr, text: str) -> End:
            if axis not in names(bound):
                return End(which, text)
            variables = sorted(names(bound))
            function = f"{self.kernel.name}_{loop.name}_{which}{number or ''}"
            given = ", ".join(f"integer {v}" for v in variables)
            self.functions[function] = f"static integer {function}({given}) {{ return {text}; }}"
            return End(
                which, text, lambda at: f"{function}({', '.join(at if v == axis else v for v in variables)})"
            )

        lower, upper = self._texts(nest, loop)
        return end("begin", loop.lower, lower), end("end", loop.upper, upper)

    def _union(self, number: int, nest: Nest, loop: Loop, axis: str) -> Range:
        """Bounds over a whole tile of ``axis``, in which they are monotone."""
        name, point = loop.name, axis
        found: list[str] = []
        common: list[str] = []
        whole, outside, named = [], [], []
        for end in self.ends(number, nest, loop, axis):
            begins, limit = end.which == "begin", "0" if end.which == "begin" else integer(loop.extent)
            if end.at is None:
                found.append(end.text)
                common.append(end.text)
                whole += [f"{end.text} == {limit}"] if not plain(end.text) else []
                continue
            first, last, own = map(
                end.at, (f"{point}0", f"{point}0 + {self.frame.tiles[axis].macro} - 1", point)
            )
            union, both = ("imin", "imax") if begins else ("imax", "imin")
            found.append(f"{union}({first}, {last})")
            common.append(f"{both}({first}, {last})")
            outside.append(f"{name} {'<' if begins else '>='} {own}")
            named.append((f"{name}_all{'' if begins else '_end'}", common[-1]))
            whole.append(f"{named[-1][0]} {'<=' if begins else '>='} {limit}")
        whole += [f"{integer(loop.step, 2)} == 1"] if loop.step != Integer(1) else []
        return Range(
            found[0],
            found[1],
            tuple(whole),
            tuple(named),
            Union(axis, " || ".join(outside), (common[0], common[1])),
        )


def ends(loop: Loop, lower: str, upper: str) -> list[tuple[str, str]]:
    """The names of the bounds of ``loop``, and what they stand for; a plain bound is its own name."""
    pairs = (("begin", lower), ("end", upper))
    return [(text if plain(text) else f"{loop.name}_{which}", text) for which, text in pairs]


def loop_lines(
    loop: Loop | TableLoop, found: Range | None, dealt: str = "", known: Collection[str] = ()
) -> list[str]:
    """The line that opens ``loop``, after the lines that it needs, those aside that declare ``known`` names.

    ``found``: the range of a loop that is no row loop.
    ``dealt``: the macro with the number of runs that share its iterations, of which this is number ``run``.
    """
    name = loop.name
    if isinstance(loop, TableLoop):
        relation = loop.relation
        if not loop.by:
            return [f"for (integer {name} = 0; {name} < {relation}_rows; ++{name}) {{"]
        group, key = f"{relation}_by_{loop.by}", integer(loop.key)
        return [
            f"for (integer n_{name} = {group}({key}); n_{name} < {group}({key} + 1); ++n_{name}) {{",
            f"const integer {name} = {group}_rows(n_{name});",
        ]
    assert found is not None
    first, moved = dealt_out(name, integer(loop.step, 2), dealt)
    (begin, _), (end, _) = pairs = ends(loop, found.lower, found.upper)
    lines = [f"const integer {bound} = {text};" for bound, text in pairs if bound not in (text, *known)]
    return [*lines, f"for (integer {name} = {begin}{first}; {name} < {end}; {moved}) {{"]


def dealt_out(name: str, step: str, dealt: str) -> tuple[str, str]:
    """What a loop by ``step`` adds to its first iteration, and how it moves on.

    ``dealt``: as in ``loop_lines``, "" for all iterations.
    """
    factors = [factor for factor in (step, dealt) if factor not in ("", "1")]
    first = f" + run{f' * {step}' if step != '1' else ''}" if dealt else ""
    return first, f"{name} += {' * '.join(factors)}" if factors else f"++{name}"


def whole_loop(loop: Loop) -> str:
    """The line that opens ``loop`` over all of its extent."""
    name = loop.name
    return f"for (integer {name} = 0; {name} < {integer(loop.extent)}; ++{name}) {{"


def lower_text(e: IntExpr, extents: Mapping[str, IntExpr]) -> str:
    """A lower bound; a term that can never exceed 0 is dropped at compile time."""
    if isinstance(e, IntOp) and e.op == "max" and e.args[0] == Integer(0):
        text = "0"
        for term in e.args[1:]:
            corner = extreme(term, extents, largest=True)
            inner = f"imax({text}, {integer(term)})"
            text = inner if corner is None else f"({integer(corner, 2)} <= 0 ? {text} : {inner})"
        return text
    return integer(e)


def upper_text(e: IntExpr, extent: IntExpr, extents: Mapping[str, IntExpr]) -> str:
    """An upper bound; a term that never falls below the extent is dropped at compile time."""
    if isinstance(e, IntOp) and e.op == "min" and e.args[0] == extent:
        text = integer(extent)
        for term in e.args[1:]:
            corner = extreme(term, extents, largest=False)
            inner = f"imin({text}, {integer(term)})"
            own = corner is None or bool(names(extent)) or is_table(extent)
            text = (
                inner
                if own or corner is None
                else f"({integer(corner, 2)} >= {integer(extent)} ? {text} : {inner})"
            )
        return text
    return integer(e)


def plain(text: str) -> bool:
    """True for a bound that needs no name of its own."""
    return text.isidentifier() or text.isdigit()

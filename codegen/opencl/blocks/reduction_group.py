"""Reduction groups: work items that share a sum over the samples.

They add up what each has summed, in order, through local memory.

Each item puts its sums into local memory.  ``fold_group`` of the prelude adds the sums of half of the items
to those of the other half, and so on, in a fixed order.  Then each item stores some of the totals.  The three
steps are separate functions, so that several kernels in one launch share the barriers.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...tiling.tiling import Tiling
from .frame import Frame, Line, counter
from .text import Text


def group_part(tiling: Tiling) -> list[str]:
    """The lines that number an item: its partial sum, its lane in the group, its run of the loops."""
    group, parts, split = tiling.group, tiling.partial_sums, tiling.loop_split
    span = (
        f"const integer span = {group}{f' / {split}' if split else ''}, lane = g0 % {group}, part = g0 "
        f"/ {group}"
    )
    return [
        f"#if {group}",
        f"{span}{', run = lane / span' if split else ''};",
        "#else",  # a constant where there is one, so that the compiler sees a plain loop
        f"const integer part = {parts} > 1 ? g0 : 0{', run = 0' if split else ''};",
        "#endif",
    ]


def group_range(tiling: Tiling) -> list[str]:
    """The blocks of samples that an item walks, and the vectors of a block.

    In a group each vector is a block of its own.
    """
    alone = (
        "begin = 0, blocks = BLOCKED ? vectors / VECTORS_PER_BLOCK : 1, step = 1, first = {}, "
        "count = BLOCKED ? VECTORS_PER_BLOCK : vectors;"
    )
    if not tiling.group:
        return [f"const integer {alone.format(0)}"]
    step = f"{tiling.partial_sums} * span"
    return [
        f"#if {tiling.group}",
        f"const integer begin = part * span + lane % span, blocks = vectors, step = {step}, first = 0, "
        "count = 1;",
        "#else",
        f"const integer {alone.format('part')}",
        "#endif",
    ]


def _axes(frame: Frame) -> list[str]:
    return [*frame.cache_axes, *frame.inner]


def points(frame: Frame) -> str:
    """The number of points of the tile, as C text."""
    return " * ".join(frame.tiles[axis].macro for axis in _axes(frame)) or "1"


def group_array(frame: Frame) -> list[tuple[str, str]]:
    """The name and the length of the array in local memory, if there is one.

    The distance between two points is odd, which keeps them in different banks.
    """
    group = frame.tiling.group
    return [("group", f"{points(frame)} * ({group} + 1)")] if group else []


def group_put(frame: Frame, alone: Sequence[Line], body: Sequence[str], result: str) -> list[Line]:
    """The lines that store the sums of an item.

    ``alone``: the lines without a reduction group.
    ``body``, ``result``: in a group, ``result`` goes to local memory after the lines of ``body``.
    """
    text, point = Text(), ""
    for axis in _axes(frame):
        text.open(frame.tile_loop(axis))
        before = f"({point})" if "+" in point else point
        point = f"{before} * {frame.tiles[axis].macro} + {counter(axis)}" if point else counter(axis)
    text.add([*body, f"group[({point or '0'}) * ({frame.tiling.group} + 1) + lane] = lane_sum({result});"])
    return [Line(0, f"#if {frame.tiling.group}"), *text.closed(), Line(0, "#else"), *alone, Line(0, "#endif")]


def group_store(frame: Frame, target: str) -> list[Line]:
    """The lines after ``fold_group``, in which each item stores some points of the tile to ``target``."""
    group = frame.tiling.group
    if not group:
        return []
    lines = [
        Line(0, f"for (integer point = lane; point < {points(frame)}; point += {group}) {{"),
        Line(1, "integer rest = point;"),
    ]
    for number, axis in reversed(list(enumerate(_axes(frame)))):
        name, macro = axis, frame.tiles[axis].macro
        lines.append(Line(1, f"const integer {name} = {name}0 + rest{f' % {macro}' if number else ''};"))
        lines += [Line(1, f"rest /= {macro};")] if number else []
        lines.append(Line(1, f"if ({name} < {name}_first) continue;"))
    return [*lines, Line(1, f"{target} = group[point * ({group} + 1)];"), Line(0, "}")]

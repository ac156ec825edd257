"""OpenCL text for local memory: a work group copies parameters, and its work items load from the copy."""

from __future__ import annotations

from ....derive.ir import Load, Loop, Name, TableLoop
from ...tiling.local_memory import Copy, numbers
from .frame import Frame, Line, counter
from .printer import integer


def copy_lines(frame: Frame, loop: Loop | TableLoop) -> list[Line]:
    """The lines that stand first in the outermost loop: all items of the group fill its local memory,
    then wait.
    """
    found = frame.tiling.local
    if found is None or found.outer != loop:
        return []
    lines = [Line(0, f"#if {found.macro}")]
    lines += [Line(0, f"if ({loop.name} % {found.macro} == 0) {{"), Line(1, "barrier(CLK_LOCAL_MEM_FENCE);")]
    for copy in found.copies:
        lines += [Line(line.depth + 1, line.text) for line in _copy(frame, copy, found.macro, found.outer)]
    return [*lines, Line(1, "barrier(CLK_LOCAL_MEM_FENCE);"), Line(0, "}"), Line(0, "#endif")]


def _copy(frame: Frame, copy: Copy, macro: str, outer: Loop) -> list[Line]:
    size = length(frame, copy, macro)
    lines = [
        Line(0, f"for (integer n = get_local_id(0); n < {size}; n += get_local_size(0)) {{"),
        Line(1, "integer rest = n;"),
    ]
    for name, extent in reversed(copy.inner):
        lines += [
            Line(1, f"const integer {name}_n = rest % {integer(extent, 3)};"),
            Line(1, f"rest /= {integer(extent, 3)};"),
        ]
    for axis in reversed(copy.tiled):
        tile = frame.tiles[axis].macro
        lines += [Line(1, f"const integer {axis}_n = {axis}0 + rest % {tile};"), Line(1, f"rest /= {tile};")]
    last = integer(outer.extent, 1)
    lines.append(Line(1, f"const integer {outer.name}_n = imin({outer.name} + rest, {last} - 1);"))
    renamed = {outer.name, *copy.tiled, *(name for name, _ in copy.inner)}
    index = tuple(
        Name(f"{i.name}_n") if isinstance(i, Name) and i.name in renamed else i for i in copy.load.index
    )
    source = frame.address(frame.tensors[copy.load.tensor], index, "")
    return [*lines, Line(1, f"{copy.variable}[n] = {source};"), Line(0, "}")]


def length(frame: Frame, copy: Copy, macro: str) -> str:
    """The length of a copy's array, as C text."""
    each = integer(numbers(copy, {axis: tile.macro for axis, tile in frame.tiles.items()}), 1)
    return macro if each == "1" else f"{macro} * {each}"


def local_or(frame: Frame, load: Load, target: str, plain: str) -> list[str]:
    """The lines that load into ``target``.

    They load from the group's copy if there is one, else they are the line ``plain``.
    """
    found = frame.tiling.local
    copy = next((c for c in found.copies if c.load == load), None) if found else None
    if found is None or copy is None:
        return [plain]
    point = f"{found.outer.name} % {found.macro}"
    for extent, index in [(frame.tiles[a].macro, counter(a)) for a in copy.tiled] + [
        (integer(extent, 3), name) for name, extent in copy.inner
    ]:
        point = f"{point} * {extent} + {index}" if "+" not in point else f"({point}) * {extent} + {index}"
    return [f"#if {found.macro}", f"{target} = {copy.variable}[{point}];", "#else", plain, "#endif"]


def arrays(frame: Frame) -> list[tuple[str, str]]:
    """The names and lengths of a kernel's arrays in local memory."""
    found = frame.tiling.local
    return [(copy.variable, length(frame, copy, found.macro)) for copy in found.copies] if found else []

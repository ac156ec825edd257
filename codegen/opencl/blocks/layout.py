"""Lines of OpenCL text: depth to indentation, the accumulators' first values, closing braces."""

from __future__ import annotations

from collections.abc import Sequence

from .frame import Line, count_loop, counter
from .nest import NestText


def layout(line: Line, depth: int) -> str:
    """``line`` indented; directives of the preprocessor stand at the margin."""
    text = "" if line.text.startswith("#") else "    " * (depth + line.depth)
    return f"{text}{line.text}"


def initial(nest: NestText) -> list[Line]:
    """Accumulators start at 0, maxima at minus infinity."""
    lines, depth, point = [], 0, ""
    for tile in nest.tiles:
        lines += [Line(depth, text) for text in count_loop(tile)]
        point += f"[{counter(tile.axis)}]"
        depth += 1
    if nest.combine == "sum":
        lines.append(Line(depth, f"{nest.accumulators}{point} = (realv)(0.0);"))
    else:
        lines.append(Line(depth, f"{nest.accumulators}{point} = (realv)(-INFINITY);"))
        lines.append(Line(depth, f"position{nest.number}{point} = (realv)(0.0);"))
    return closed(lines, [], depth)


def closed(lines: Sequence[Line], body: Sequence[str], depth: int) -> list[Line]:
    """``lines``, the body at ``depth``, and the closing braces."""
    return [*lines, *(Line(depth, text) for text in body), *(Line(depth - 1 - n, "}") for n in range(depth))]

"""Work groups to try: the paper's Algorithm 4 and its neighbours on a GPU, 2^q work items on a CPU.

Algorithm 4 counts accesses of a work group to a tile of an image.  The kernels run coordinates as one axis,
so that of its answer S_lx S_ly the number of neighbouring work items counts.  On a CPU a group only shares
out work: the paper found times insensitive.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd, prod

from ...errors import ShapeError
from .local_size import LocalSizeProblem, optimal_local_size
from .traits import Traits

#: Work items along the samples on a GPU, where neighbours read neighbouring addresses.
COALESCED = (64, 32, 128, 256, 16)
#: Padding that Algorithm 4 may add; the kernels' global sizes are not padded, so that only what divides is of
#: use.
PADDING = 0


@dataclass(frozen=True)
class Image:
    """A kernel as Algorithm 4 sees it; pairs are (x, y).

    ``outputs``: the size of the maps that it computes.
    ``inputs``: the size of the maps that it computes them from.
    ``taps``: the size of its windows.
    ``maps``: how many it computes.
    """

    outputs: tuple[int, int]
    inputs: tuple[int, int]
    taps: tuple[int, int]
    maps: int


def image(
    output: Sequence[int], inputs: Iterable[Sequence[int]], windows: Iterable[Sequence[int]]
) -> Image | None:
    """The image that a kernel computes, from shapes ``(map, coordinates...)``.

    The shapes are those of the output, of the tensors with samples that it is computed from, and of
    parameters.

    None where the output has no coordinates, or no input has as many.  Taps are those of a parameter with as
    many
    coordinates, else what the sizes leave: F = S - k (O - 1).
    """
    rank = len(output) - 1
    if rank < 1 or 0 in output:
        return None
    source = next((shape for shape in inputs if len(shape) == rank + 1 and 0 not in shape), None)
    if source is None:
        return None
    window = next((shape[-rank:] for shape in windows if len(shape) > rank and 0 not in shape), None)
    o, s = _pair(output[1:]), _pair(source[1:])
    taps = _pair(window) if window is not None else (_span(s[0], o[0]), _span(s[1], o[1]))
    return Image(o, s, taps, output[0] * prod(output[1:-2]))


def _pair(sizes: Sequence[int]) -> tuple[int, int]:
    """The last two coordinates as (x, y), x along the rows: the last one."""
    return sizes[-1], (sizes[-2] if len(sizes) > 1 else 1)


def _span(size: int, outputs: int) -> int:
    return max(1, size - _stride(size, outputs) * (outputs - 1))


def _stride(size: int, outputs: int) -> int:
    return max(1, size // max(1, outputs))


def problem(
    found: Image, device: Traits, itemsize: int, used_local: int = 0, work_group: int | None = None
) -> LocalSizeProblem:
    """Algorithm 4's problem; ``used_local`` bytes and ``work_group`` are the kernel's own figures (X55, X56).

    The layer's own border is part of S: S = k (O - 1) + F.
    """
    stride = (_stride(found.inputs[0], found.outputs[0]), _stride(found.inputs[1], found.outputs[1]))
    size = tuple(k * (o - 1) + f for k, o, f in zip(stride, found.outputs, found.taps, strict=True))
    return LocalSizeProblem(
        (size[0], size[1]),
        found.taps,
        found.maps,
        device.units,
        work_group or device.work_group,
        max(0, device.local_memory - used_local),
        (device.work_items[0], device.work_items[1]),
        PADDING,
        itemsize,
        stride,
    )


def neighbours_of(found: Image | None, device: Traits, itemsize: int) -> int:
    """Work items over the coordinates that Algorithm 4 puts into a group; 1 where it does not apply."""
    if found is None:
        return 1
    try:
        best = optimal_local_size(problem(found, device, itemsize))
    except ShapeError:
        return 1
    return prod(best.local)


def groups(size: tuple[int, ...], device: Traits, start: int) -> list[tuple[int, ...]]:
    """Local sizes that divide the global ``size``, the most promising first; ``start`` is Algorithm 4's
    count over axis 1.
    """
    if 0 in size:
        return []
    wanted: list[tuple[int, ...]]
    if device.kind == "gpu":
        wanted = [(n, m, 1) for m in _around(start) for n in COALESCED]
    else:
        wanted = [(size[0], start, 1), *(_filled(size, 1 << q) for q in (4, 6, 2, 5, 3, 1, 0, 7, 8))]
    found = [tuple(gcd(s, w) for s, w in zip(size, (*group, 1, 1), strict=False)) for group in wanted]
    return [group for group in dict.fromkeys(found) if fits(group, size, device)]


def fits(group: Sequence[int], size: Sequence[int], device: Traits) -> bool:
    """Whether the device takes ``group`` for the global ``size``."""
    if len(group) != len(size) or min(group) < 1 or prod(group) > device.work_group:
        return False
    each = all(n <= most for n, most in zip(group, device.work_items, strict=False))
    return each and all(s % n == 0 for s, n in zip(size, group, strict=True))


def _around(count: int) -> list[int]:
    return list(dict.fromkeys([count, max(1, count // 2), 2 * count, 1]))


def _filled(size: Sequence[int], items: int) -> tuple[int, ...]:
    """``items`` work items, a power of two, the first axes first."""
    group = []
    for extent in size:
        part = min(items, extent & -extent)
        group.append(part)
        items //= part
    return tuple(group)

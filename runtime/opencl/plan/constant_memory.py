"""Filters in constant memory: how many fit, and into which launches a layer is split (section 10).

The limit is CL_DEVICE_MAX_CONSTANT_BUFFER_SIZE, at least 65536 bytes in the full profile.  So 37 filters of
21 x 21 floats fit, not the 55 that the paper prints (ledger X60, part D 17).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal

from ...errors import ShapeError


def parameters_that_fit(limit: int, itemsize: int = 4) -> int:
    """Whole numbers of ``itemsize`` bytes in ``limit`` bytes."""
    _check(limit, itemsize)
    return limit // itemsize


def filters_that_fit(limit: int, taps: Sequence[int], itemsize: int = 4) -> int:
    """Whole filters of ``taps`` (sizes per axis) in ``limit`` bytes."""
    if not taps or any(n < 1 for n in taps):
        raise ShapeError(f"constant memory: taps must be at least 1 per axis, not {tuple(taps)}")
    return parameters_that_fit(limit, itemsize) // prod(taps)


@dataclass(frozen=True)
class ConstantPlan:
    """The memory that filters lie in, and the output maps of each launch, in order.

    ``memory``: "constant", or "global" if some map's filters do not fit.
    ``launches``: the output maps of each launch; together they cover every map once.
    ``loads``: the bytes of constant memory of each launch; 0 if ``memory`` is "global".
    ``reason``: why there is more than one launch, or no constant memory.
    """

    memory: Literal["constant", "global"]
    launches: tuple[range, ...]
    loads: tuple[int, ...]
    reason: str = ""


def constant_plan(parameters: Sequence[int], limit: int, itemsize: int = 4) -> ConstantPlan:
    """The fewest launches over consecutive output maps whose filters fit into ``limit`` bytes.

    ``parameters[m]``: how many numbers output map m reads: its filters, and its bias if this lies with them.

    If the filters of a single map do not fit, all filters stay in global memory and there is one launch.
    Raises ShapeError if there are no maps or a count is below 0.
    """
    _check(limit, itemsize)
    if not parameters or any(count < 0 for count in parameters):
        raise ShapeError(
            f"constant memory: expected one count of at least 0 per output map, not {list(parameters)}"
        )
    sizes = [count * itemsize for count in parameters]
    largest = max(sizes)
    if largest > limit:
        reason = (
            f"the filters of output map {sizes.index(largest)} take {largest} bytes, constant memory "
            f"has {limit}"
        )
        return ConstantPlan("global", (range(len(sizes)),), (0,), reason)
    # Filling each launch before the next begins is optimal for consecutive maps.
    starts, loads = [0], [0]
    for number, size in enumerate(sizes):
        if loads[-1] + size > limit:
            starts.append(number)
            loads.append(0)
        loads[-1] += size
    launches = tuple(range(a, b) for a, b in zip(starts, [*starts[1:], len(sizes)], strict=True))
    split = f"the filters take {sum(sizes)} bytes, constant memory has {limit}: {len(launches)} launches"
    reason = split if len(launches) > 1 else ""
    return ConstantPlan("constant", launches, tuple(loads), reason)


def _check(limit: int, itemsize: int) -> None:
    if limit < 0 or itemsize < 1:
        raise ShapeError(
            f"constant memory: limit {limit} must be at least 0 bytes and itemsize {itemsize} at least 1"
        )

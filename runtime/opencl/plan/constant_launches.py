"""Plans the launches of kernels that read parameters from constant memory.

If all parameters fit, there is one launch, else one for each range of output maps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...manifest.expressions import expression
from ...manifest.records import ConstantInfo, KernelInfo
from ...program.program import Unit
from ..device.machine import Machine
from .constant_memory import constant_plan

#: The number of arguments in constant memory that every device accepts.
MOST_ARGUMENTS = 8


@dataclass(frozen=True)
class TensorSlice:
    """Units ``first`` to ``first + count`` of a tensor."""

    first: int
    count: int


@dataclass(frozen=True)
class Share:
    """A launch over a part of the work items.

    ``dimension``: the global dimension that is split.
    ``begin``, ``end``: the range of work items along it.
    ``places``: the number of work items along it in all launches.
    ``slices``: the slice of each tensor that the launch reads.
    """

    dimension: int
    begin: int
    end: int
    places: int
    slices: Mapping[str, TensorSlice]


def constant_launches(
    unit: Unit, kernel: KernelInfo, tiles: Mapping[str, int], machine: Machine, itemsize: int
) -> tuple[tuple[Share | None, ...], str]:
    """The launches of ``kernel``; if its parameters do not fit, no launches and the reason.

    None stands for a launch over everything.
    """
    found = kernel.constant
    if found is None:
        return (), f"{kernel.name} reads no parameters"
    if len(found.whole) + len(found.sliced) > MOST_ARGUMENTS:
        number = len(found.whole) + len(found.sliced)
        return (
            (),
            f"{kernel.name} reads {number} tensors of parameters, constant memory takes {MOST_ARGUMENTS}",
        )
    whole = itemsize * sum(int(expression(e)(unit.sizes)) for e in found.whole.values())
    entries = {name: int(expression(e)(unit.sizes)) for name, e in found.sliced.items()}
    maps = int(expression(found.maps)(unit.sizes))
    total = whole + itemsize * maps * sum(entries.values())
    if total <= machine.constant:
        return (None,), ""
    if not entries or whole > machine.constant:
        rest = "" if entries else ", and no output map reads a part of its own"
        return (
            (),
            f"the parameters of {kernel.name} take {whole or total} bytes, constant memory has "
            f"{machine.constant}{rest}",
        )
    return _split(kernel.name, found, entries, maps, tiles.get(found.tile, 1), machine, whole, itemsize)


def _split(
    name: str,
    found: ConstantInfo,
    entries: Mapping[str, int],
    maps: int,
    tile: int,
    machine: Machine,
    whole: int,
    itemsize: int,
) -> tuple[tuple[Share | None, ...], str]:
    """Launches over ranges of tiles of output maps.

    A slice may begin before its first map, because its first byte must be aligned.
    """
    room, each = machine.constant - whole - machine.align * len(entries), tile * sum(entries.values())
    places = -(-maps // tile)
    plan = constant_plan([each] * places, max(0, room), itemsize)
    if plan.memory == "global":
        reason = f"the parameters of {tile} output maps of {name} take {whole + each * itemsize} bytes"
        return (
            (),
            f"{reason}, constant memory has {machine.constant}, of which {machine.align * len(entries)} "
            "align slices",
        )
    shares = []
    for launch in plan.launches:
        # The last tile is moved back so that it ends with the last map.
        first, last = max(0, min(launch.start * tile, maps - tile)), min(launch.stop * tile, maps)
        slices = {}
        for tensor, units in entries.items():
            start = first * units - first * units % max(1, machine.align // itemsize)
            slices[tensor] = TensorSlice(start, max(1, last * units - start))
        shares.append(Share(found.dimension, launch.start, launch.stop, places, slices))
    return tuple(shares), ""

"""Checks whether a work group can copy parameters to local memory."""

from __future__ import annotations

from collections.abc import Mapping

from ...manifest.expressions import expression
from ...manifest.records import KernelInfo
from ...program.program import Unit
from ..device.machine import Machine
from .config import KernelConfig


def no_local_copy(
    unit: Unit,
    kernel: KernelInfo,
    config: KernelConfig,
    tiles: Mapping[str, int],
    machine: Machine,
    itemsize: int,
) -> str:
    """Why ``kernel`` cannot copy parameters as ``config`` wants with these ``tiles``; "" if it can."""
    wanted, found = config.local or 0, kernel.local
    if found is None:
        return f"{kernel.name} has no operand that a work group could copy to local memory"
    rounds = int(expression(found.iterations)(unit.sizes))
    if not 1 <= wanted <= max(1, rounds):
        return f"{wanted} rounds in local memory, expected 1 to {rounds}"
    if config.group is None or len(config.group) != 3 or config.group[1:] != (1, 1):
        return (
            "a copy in local memory needs a group (n, 1, 1), which differs in the samples only, not "
            f"{config.group}"
        )
    if config.constant:
        return f"the parameters of {kernel.name} are in constant memory already"
    size = wanted * int(expression(found.each)({**unit.sizes, **tiles})) * itemsize
    if size > machine.local:
        return (
            f"the copy of {kernel.name} takes {size} bytes of local memory, a work group has {machine.local}"
        )
    return ""

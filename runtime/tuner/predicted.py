"""Predicted cost of tiles, from the loads that the access maps count: in which order candidates are tried, and no more."""

from __future__ import annotations

from collections.abc import Mapping

from ..expression import expression
from ..manifest import KernelInfo
from ..program import Unit
from ..register_tiles import cycles, tile_problem
from .traits import Traits


def extents(unit: Unit, kernel: KernelInfo, vectors: int) -> dict[str, int]:
    """The extent of every tiled axis by macro; that of the samples is the number of vectors."""
    return {
        macro: vectors if info.extent is None else int(expression(info.extent)(unit.sizes)) for macro, info in kernel.tiles.items()
    }


def cost(unit: Unit, kernel: KernelInfo, tiles: Mapping[str, int], width: int, samples: int, device: Traits) -> float:
    """Relative cycles per sample of ``tiles`` at ``width`` samples a vector."""
    vectors = -(-samples // width)
    sizes = extents(unit, kernel, vectors)
    others = int(expression(kernel.global_size[1])(unit.sizes))
    over_samples = any(info.extent is None for info in kernel.tiles.values())
    problem = tile_problem(sizes, kernel.operands, others, over_samples)
    registers = max(1, width // device.width)  # a vector wider than the device's takes several
    machine = type(device.machine)(max(1, device.machine.registers // registers), device.machine.work_items)
    return cycles(problem, [tiles[macro] for macro in sizes], machine) * registers * vectors / samples

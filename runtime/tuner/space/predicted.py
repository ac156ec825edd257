"""Predicted cost of tiles, from the loads that the access maps count.

It decides in which order candidates are tried, and no more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ...manifest.records import KernelInfo
from ...opencl.plan.cpu_cost_model import cycles
from ...opencl.plan.kernel_problem import SINGLE, at_work, gpu_choice, kernel_problem
from ...opencl.plan.partial_sums import MANY, most_partial_sums
from ...program.program import Unit
from .traits import Traits


def cost(
    unit: Unit, kernel: KernelInfo, tiles: Mapping[str, int], width: int, samples: int, device: Traits
) -> float:
    """Relative cycles per sample of ``tiles`` at ``width`` samples a vector."""
    vectors = -(-samples // width)
    registers = max(1, width // device.width)  # a vector wider than the device's takes several
    machine = at_work(
        kernel, replace(device.machine, registers=max(1, device.machine.registers // registers))
    )
    lanes = device.width if unit.is_sample_outer else width
    if machine.work_items >= MANY:
        problem = kernel_problem(unit, kernel, vectors, lanes)
        return (
            gpu_choice(unit, kernel, problem, machine, width, vectors, SINGLE, tuple(tiles.values()))[1]
            / samples
        )
    problem = kernel_problem(unit, kernel, vectors, lanes, most_partial_sums(vectors, machine.work_items))
    return cycles(problem, list(tiles.values()), machine) * registers * vectors / samples

"""Chooses the layout: samples in the lanes of vectors, or samples outermost with lanes along units.

Both forms do the same multiply-adds, so the vectors that they need are counted.  A vector of samples may be
half empty.  Lanes along units may be impossible, which means place by place.  Lanes that are parts of one sum
must be added up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...manifest.expressions import expression
from ...manifest.records import LaneInfo
from ...program.program import PACK, Step
from .cpu_cost_model import LATENCY, OVERHEAD
from .plan import Plan

#: Cycles to add up the lanes of one vector.
LANE_SUM = 6.0
#: Cycles per step of a place that is computed alone: the latency of its one accumulator, and the loop's own
#: work.
ALONE = LATENCY + OVERHEAD
#: The same where no axis has lanes: conditions are tested for every place.
POINT = 20.0
#: Bytes of a core's own cache, and bytes that a core reads or writes in a cycle beyond it.
CORE_CACHE, BYTES_PER_CYCLE = 2**20, 5.0
#: Cycles to put a number of a packed parameter in its place.
PACKING = 2.0
#: Samples are outermost only if that is predicted to take at most this share of the time.  The costs that are
#: not counted differ less than that.
CLEARLY = 0.9


def predicted(plan: Plan, steps: Sequence[Step], samples: int) -> float:
    """Predicted cycles of one core for ``steps`` over ``samples`` samples, with the lanes of ``plan``."""
    return sum(predicted_cycles(plan, step, samples) for step in steps)


def predicted_cycles(plan: Plan, step: Step, samples: int) -> float:
    """Predicted cycles of one core for ``step`` over ``samples`` samples."""
    if step.kernel.role == PACK:
        return 0.0
    return _computing(plan, step, samples) + _moving(plan, step, samples)


def _moving(plan: Plan, step: Step, samples: int) -> float:
    """Cycles of reading and writing tensors with samples, where those of a block leave the core's cache."""
    lanes = 1 if plan.along else plan.kernels[step.unit, step.kernel.name].width
    units = sum(part.extent.units for part in (*step.reads, step.writes) if part.samples)
    each = units * np.dtype(plan.dtype).itemsize
    block = each * min(plan.capacity, -(-samples // lanes) * lanes)
    return each * -(-samples // lanes) * lanes / BYTES_PER_CYCLE if block > CORE_CACHE else 0.0


def _computing(plan: Plan, step: Step, samples: int) -> float:
    kernel, sums = plan.kernels[step.unit, step.kernel.name], not step.writes.samples
    sizes, along = plan.units[step.unit].sizes, step.kernel.lanes
    lanes = plan.along or kernel.width
    places, work = step.writes.extent.units, max(1, int(expression(step.kernel.work)(sizes)))
    if along.over == "samples":
        rounds = -(-samples // lanes)
        return places * (work * rounds * kernel.cycles + (LANE_SUM if sums else 0.0))
    if along.over == "reduction":
        vectors, results = -(-work // lanes), places * (1 if sums else samples)
        gathers = _gathers(along, sizes) * lanes / max(kernel.tiles.values(), default=1)
        return places * samples * vectors * (kernel.cycles + gathers) + results * LANE_SUM
    if step.kernel.packed is not None:
        extent = int(expression(along.extent)(sizes))
        vectors = places // max(1, extent) * -(-extent // lanes)
        return vectors * samples * work * kernel.cycles + PACKING * places
    if along.over == "output" and int(expression(along.extent)(sizes)) >= lanes:
        return -(-places // lanes) * samples * work * (kernel.cycles + _gathers(along, sizes) * lanes)
    return places * samples * work * (ALONE if along.over == "output" else POINT)


def _gathers(along: LaneInfo, sizes: Mapping[str, Any]) -> int:
    """Vectors whose numbers are loaded one by one."""
    return sum(int(expression(stride)(sizes)) != 1 for stride in along.strides)

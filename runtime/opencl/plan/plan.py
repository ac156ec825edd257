"""Plans all kernels of a network: vector widths, tile sizes, and the samples that a pass is padded to."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from math import lcm

import numpy as np

from ...program.program import Unit
from ..device.machine import Machine
from ..device.programs import Binding
from .config import KernelConfigs
from .kernel_plan import plan_kernel


class Plan:
    """The plans of all kernels of ``units``, for passes of up to ``samples`` samples.

    ``along``: the lanes of a vector if they go along units; 0 if they are samples.
    ``capacity``: the number of samples that there is room for, which all tiles divide.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        configs: KernelConfigs,
        dtype: str,
        width: int,
        samples: int,
        machine: Machine,
        along: int = 0,
    ) -> None:
        self.units, self.dtype, self.width, self.along = tuple(units), dtype, width, along
        self.kernels = {
            (number, kernel.name): plan_kernel(
                unit,
                kernel,
                configs.find(unit, kernel, dtype, samples),
                width,
                samples,
                machine,
                along,
                np.dtype(dtype).itemsize,
            )
            for number, unit in enumerate(units)
            for kernel in unit.kernels
        }
        self.lanes = lcm(width, *(kernel.width for kernel in self.kernels.values()))
        step = lcm(self.lanes, *(kernel.step for kernel in self.kernels.values()))
        self.capacity = -(-max(1, samples) // step) * step
        self._bindings: dict[tuple[int, int], Binding] = {}

    def over(self, capacity: int) -> Plan:
        """The same plan with another capacity."""
        other = copy(self)
        other.capacity = capacity
        return other

    def padded(self, samples: int) -> int:
        """``samples`` rounded up to whole vectors of every kernel.

        All of these lanes are computed, so they must hold finite numbers.
        """
        return -(-max(1, samples) // self.lanes) * self.lanes

    def binding(self, unit: int, kernel: str = "") -> Binding:
        """The macros that ``kernel`` is built with.

        One program serves all kernels of a unit with the same vector width.
        """
        width = self.kernels[unit, kernel].width if kernel else self.width
        if (unit, width) not in self._bindings:
            chosen = {
                m: value
                for (u, _), plan in self.kernels.items()
                if u == unit
                for m, value in plan.macros.items()
            }
            self._bindings[unit, width] = Binding(self.units[unit], self.dtype, self.along or width, chosen)
        return self._bindings[unit, width]

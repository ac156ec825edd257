"""The OpenCL backend: which device, which configurations, how many samples at a time."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import cached_property
from typing import Any

import numpy as np
import pyopencl as cl

from ..backend import VALUE_AND_GRADIENT, Array, Request, calls, nearest_power
from ..program.program import Program, Unit
from .device import device as devices
from .device.caches import core_cache
from .executor import OpenCLExecutor
from .launch.blocking import Blocking
from .launch.fused import (
    WORTH_A_LAUNCH,
    Fusion,
    InBlocks,
    blocking,
    fusible,
    sample_outer_blocking,
)
from .launch.grouped import Grouping, InGroups, groupable
from .launch.launch import work_group
from .launch.launcher import Launcher
from .launch.memory import shared_numbers, shares_memory, staged_numbers
from .launch.single_launches import SingleLaunches
from .plan.config import Defaults, KernelConfigs
from .plan.form import CLEARLY, predicted
from .plan.plan import Plan

__all__ = ["OpenCLBackend", "OpenCLExecutor", "work_group"]

#: What a pass may take: of a CPU's caches at least, and of another device's memory.
CACHE_BYTES, DEVICE_BYTES = 8 * 2**20, 256 * 2**20
#: Work items of a stage of sums for each compute unit: enough that shares which differ in cost even out.
SHARES_PER_UNIT = 8
#: Samples per pass, at least and at most.
LEAST, MOST = 32, 16_384


class OpenCLBackend:
    """Runs programs on one OpenCL device (see ``device.choose``); DeviceError where there is none.

    ``configs``: how each kernel runs; by default nothing is tuned.
    ``fuse``: False for a launch per kernel on a CPU as well.
    ``lanes``: floats of a vector register (4, 8 or 16), to make a CPU narrower than it is.
    """

    name = "opencl"

    def __init__(
        self,
        device: str | None = None,
        configs: KernelConfigs | None = None,
        fuse: bool = True,
        lanes: int | None = None,
    ) -> None:
        self.device = devices.choose(device, lanes)
        self.configs = configs or Defaults()
        self.kind = devices.kind(self.device)
        self.fuse = fuse

    def require(self, dtype: str) -> None:
        """DeviceError where the device lacks fp64 for float64."""
        devices.require(self.device, dtype)

    def micro_batch(self, program: Program, dtype: str) -> int:
        """As many samples as keep a pass within the memory that it may take.

        This is the cores' own caches or ``CACHE_BYTES`` on a CPU, ``DEVICE_BYTES`` on another device.

        Measured, LeNet at batch 1,024: on two cores of a Zen 4 (1 MiB each) 256 samples are the fastest, 128
        take 1.03, 512 1.05, 1,024 1.18 times as long; on two cores of a Xeon (2 MiB each) 128 are the
        fastest, 256 take 1.06, 1,024 1.4 times as long.  64 and fewer pay for their launches on both.
        """
        room = DEVICE_BYTES
        if self.kind == "cpu":
            room = max(CACHE_BYTES, core_cache() * int(self.device.max_compute_units))
        least = LEAST if self.kind != "cpu" else self.width(dtype) * int(self.device.max_compute_units)
        return nearest_power(room / (max(1, program.planned_units) * np.dtype(dtype).itemsize), least, MOST)

    def capacity(self, program: Program, dtype: str, samples: int, sample_outer: bool = False) -> int:
        """Samples that there is room for where ``samples`` are asked for.

        Fused passes take whole blocks, others whole vectors and whole tiles of them; where samples are outer,
        none is added.
        """
        if sample_outer:
            return max(1, samples)
        return (
            self._blocking(dtype, samples).whole(samples)
            if self.fuses
            else self.plan(program.units, dtype, samples).capacity
        )

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        """Whether passes are fused, and predicted to be clearly faster with samples outer.

        What was tuned plays no part.

        A value and its gradient are always computed in the same form, so that they agree to the last bit;
        inference on a few samples may differ.
        """
        if not self.fuses or not all(unit.has_sample_outer for unit in program.units):
            return False
        inference = samples < self.width(dtype) and not (request.losses or request.backward)
        steps = calls(program, request if inference else VALUE_AND_GRADIENT)
        untuned = copy(self)
        untuned.configs = Defaults()
        blocks = untuned.fusion(program.units, dtype, untuned.capacity(program, dtype, samples))
        outer = untuned.sample_outer_fusion(program.units, dtype, samples)
        units = int(self.device.max_compute_units)
        cycles = predicted(outer.plan, [step.as_sample_outer() for step in steps], samples)
        return cycles < CLEARLY * predicted(blocks.plan, steps, samples) * blocks.blocks.idle(samples, units)

    @property
    def fuses(self) -> bool:
        """Whether the kernels of a pass share launches: on a CPU, where a launch wakes the cores."""
        return self.fuse and self.kind == "cpu"

    @property
    def groups(self) -> bool:
        """Whether they share launches on a device of many work items."""
        return self.fuse and self.kind == "gpu"

    def grouping(self, units: Sequence[Unit], dtype: str, capacity: int) -> Grouping:
        """How passes over up to ``capacity`` samples are grouped."""
        machine = devices.machine(self.device, self.kind)
        return Grouping(Plan(units, InGroups(self.configs), dtype, self.width(dtype), capacity, machine))

    def same_sums(
        self, program: Program, dtype: str, one: int, other: int, request: Request, sample_outer: bool = False
    ) -> bool:
        """Whether executors of these capacities add samples in the same order.

        This is one by one, or by lanes and blocks, or by reduction groups and partial sums.
        """
        if self.kind == "gpu":
            return request.gradients != "sum" or self._shared_out(program, dtype, one) == self._shared_out(
                program, dtype, other
            )
        return sample_outer or not self.fuses or self._blocking(dtype, one) == self._blocking(dtype, other)

    def _shared_out(self, program: Program, dtype: str, capacity: int) -> list[tuple[int, int, int, int]]:
        """Lanes, work items, runs and partial sums of each sum over the samples."""
        kernels = self.plan(program.units, dtype, capacity).kernels
        return [
            (plan.width, plan.reduction_group, plan.loop_split, plan.partial_sums)
            for plan in kernels.values()
        ]

    def _sample_outer_blocking(self, dtype: str, capacity: int) -> Blocking:
        return sample_outer_blocking(capacity, self.width(dtype), int(self.device.max_compute_units))

    def _blocking(self, dtype: str, capacity: int) -> Blocking:
        return blocking(capacity, self.width(dtype), int(self.device.max_compute_units), dtype)

    @property
    def lanes(self) -> int | None:
        """Floats of a vector register as it is used; None where kernels have none."""
        return devices.registers(self.device).lanes if devices.kind(self.device) == "cpu" else None

    def width(self, dtype: str) -> int:
        """Samples per vector, where a kernel's configuration says nothing else."""
        return devices.vector_width(self.device, self.kind, dtype)

    def plan(self, units: Sequence[Unit], dtype: str, samples: int) -> Plan:
        """How the kernels of ``units`` run in passes of up to ``samples`` samples."""
        return Plan(
            units, self.configs, dtype, self.width(dtype), samples, devices.machine(self.device, self.kind)
        )

    def vector(self, count: int, dtype: str) -> Array:
        """Memory that host and kernels share, or else that the device copies from without the
        processor's help.
        """
        if not shares_memory(self.device):
            return staged_numbers(self._queue, count, dtype)[:count]
        return shared_numbers(self.device, devices.context(self.device), count, dtype)[:count]

    @cached_property
    def _queue(self) -> Any:
        return cl.CommandQueue(devices.context(self.device))

    def executor(
        self, program: Program, dtype: str, capacity: int, sample_outer: bool = False
    ) -> OpenCLExecutor:
        """Buffers and kernels for passes over up to ``capacity`` samples."""
        launcher = self.launcher(program.units, dtype, capacity, sample_outer)
        return OpenCLExecutor(program, dtype, launcher.room(capacity), self.device, launcher)

    def launcher(
        self, units: Sequence[Unit], dtype: str, capacity: int, sample_outer: bool = False
    ) -> Launcher:
        """How kernels are put into launches.

        They are fused on a CPU, grouped on a device of many work items, and else launched one by one.
        """
        if sample_outer:
            return self.sample_outer_fusion(units, dtype, capacity)
        if self.groups:
            grouping = self.grouping(units, dtype, capacity)
            if groupable(grouping):
                return grouping
        if self.fuses:
            fusion = self.fusion(units, dtype, capacity)
            if fusible(fusion):
                return fusion
        return SingleLaunches(self.plan(units, dtype, capacity))

    def fusion(self, units: Sequence[Unit], dtype: str, capacity: int) -> Fusion:
        """How passes over up to ``capacity`` samples are fused."""
        machine = devices.machine(self.device, self.kind)
        blocks = self._blocking(dtype, capacity)
        plan = Plan(
            units, InBlocks(self.configs, blocks), dtype, blocks.width, blocks.samples, machine.fused()
        )
        return Fusion(plan, blocks, SHARES_PER_UNIT * machine.work_items)

    def sample_outer_fusion(self, units: Sequence[Unit], dtype: str, capacity: int) -> Fusion:
        """How passes are fused where samples lie one after the other."""
        machine, blocks = (
            devices.machine(self.device, self.kind),
            self._sample_outer_blocking(dtype, capacity),
        )
        plan = self.sample_outer_plan(units, dtype, blocks.samples, InBlocks(self.configs, blocks))
        spread = WORTH_A_LAUNCH * machine.work_items
        return Fusion(plan, blocks, SHARES_PER_UNIT * machine.work_items, spread=spread)

    def sample_outer_plan(
        self, units: Sequence[Unit], dtype: str, samples: int, configs: KernelConfigs
    ) -> Plan:
        """How the kernels run by one core on blocks of ``samples`` samples that lie one after the other."""
        one = devices.machine(self.device, self.kind).fused()
        outer = [unit if unit.is_sample_outer else unit.as_sample_outer() for unit in units]
        return Plan(outer, configs, dtype, 1, samples, one, self.width(dtype))

    def describe(self) -> str:
        """Platform and device, and its lanes where it was made narrower."""
        lanes = f", made narrower: {self.device.lanes} lanes" if self.device.lanes else ""
        return f"OpenCL, {self.device.platform.name.strip()}, {self.device.name.strip()}{lanes}"

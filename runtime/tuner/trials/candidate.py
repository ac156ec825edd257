"""A kernel built with a configuration, as it runs in a pass.

It has a launch of its own, or is part of a composed one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pyopencl as cl

from ...backend import Array
from ...errors import DeviceError
from ...opencl.launch.block_layout import BlockLayout
from ...opencl.launch.calls import PARTIAL_SUMS, bound, calls, partial_sums_key, set_number
from ...opencl.launch.fused import Fusion, fusible
from ...opencl.launch.grouped import Grouping
from ...opencl.launch.launch import local_size
from ...opencl.launch.memory import OpenCLResident, Region
from ...opencl.plan.config import KernelConfig
from ...opencl.plan.constant_launches import TensorSlice
from ...opencl.plan.plan import Plan
from ...verify.kernel_run import FACTOR, PHI
from .jobs import Job

#: Numbers past the end of every output that must stay as they are.
GUARD = 64
MARK = 12345.0


class RefusedError(Exception):
    """A candidate that is not used; ``kind`` is one of ``record.REFUSALS``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class Candidate:
    """A kernel with outputs of its own, whose samples lie in ``layout``."""

    def __init__(self, job: Job, config: KernelConfig, layout: BlockLayout, queue: Any) -> None:
        self.job, self.config, self.layout, self.queue = job, config, layout, queue
        self.outputs = {name: self._output(name) for name in job.expected}

    def launch(self, count: int) -> None:
        """Run it ``count`` times and wait."""
        raise NotImplementedError

    def arguments(self, inputs: Mapping[str, Any]) -> list[Any]:
        """Buffers in calling order."""
        return [self.outputs[name] if name in self.outputs else inputs[name] for name in names(self.job)]

    def run(self) -> dict[str, Array]:
        """What one run writes, by tensor.

        RefusedError where it cannot be launched, or writes past the end.
        """
        dtype = np.dtype(self.job.dtype).type
        try:
            for name, buffer in self.outputs.items():
                end, guard = self._count(name) * dtype().itemsize, GUARD * dtype().itemsize
                cl.enqueue_fill_buffer(self.queue, buffer, dtype(np.nan), 0, end)
                cl.enqueue_fill_buffer(self.queue, buffer, dtype(MARK), end, guard)
            self.launch(1)
            return {name: self._read(name) for name in self.outputs}
        except cl.Error as error:
            raise RefusedError(
                "failed", f"{self.job.kernel.name} could not be launched: {first_line(error)}"
            ) from None

    def _read(self, name: str) -> Array:
        units, samples = shape(self.job, name)
        host = np.empty(self._count(name) + GUARD, self.job.dtype)
        cl.enqueue_copy(self.queue, host, self.outputs[name])
        if (host[-GUARD:] != MARK).any():
            raise RefusedError("wrong", f"{self.job.kernel.name} writes past the end of {name}")
        if not samples:
            return host[:units]
        blocks = self.layout.blocks(host[:-GUARD], units)
        return blocks.swapaxes(0, 1).reshape(units, self.layout.capacity)[:, : self.job.samples]

    def _count(self, name: str) -> int:
        units, samples = shape(self.job, name)
        return max(1, self.layout.count(units) if samples else units)

    def _output(self, name: str) -> Any:
        return allocated(self.queue.context, (self._count(name) + GUARD) * np.dtype(self.job.dtype).itemsize)


class Launched(Candidate):
    """A candidate in a launch of its own."""

    def __init__(
        self,
        job: Job,
        config: KernelConfig,
        plan: Plan,
        layout: BlockLayout,
        queue: Any,
        inputs: Mapping[str, Any],
        grouped: bool,
    ) -> None:
        super().__init__(job, config, layout, queue)
        kernel, binding = job.kernel, plan.binding(0, job.kernel.name)
        width = plan.kernels[0, kernel.name].width
        vectors = plan.padded(job.samples) // width
        index = read_only(queue.context, binding.index) if kernel.index else None
        memory = dict(enumerate(self.arguments(inputs)))
        itemsize = np.dtype(job.dtype).itemsize
        units, chosen = shape(job, kernel.output)[0], plan.kernels[0, kernel.name]
        if chosen.partial_sums > 1:
            memory[PARTIAL_SUMS] = allocated(queue.context, chosen.partial_sums * max(1, units) * itemsize)
        self.kept = (memory, index)
        self.ready = []

        def tensor(number: int, part: TensorSlice | None) -> Any:
            return (
                memory[number].get_sub_region(part.first * itemsize, part.count * itemsize)
                if part
                else memory[number]
            )

        for call in calls(kernel, chosen, len(names(job)), units):
            try:
                one = bound(call, binding, queue.device, tensor, index, layout.capacity)
            except DeviceError as error:
                raise RefusedError("compile", str(error)) from None
            if one.last is not None:
                set_number(one.kernel, one.last, vectors)
            size, offset = call.work(binding, vectors)
            if 0 not in size:
                group = local_size(size, chosen.group if call.counts else None, grouped, call.copies)
                self.ready.append((one, (size, group, offset)))

    def launch(self, count: int) -> None:
        """Run it ``count`` times and wait."""
        for _ in range(count):
            for one, sizes in self.ready:
                cl.enqueue_nd_range_kernel(self.queue, one.kernel, *sizes)
        self.queue.finish()


@dataclass(frozen=True)
class _Buffers:
    """What a fused pass looks for tensors in."""

    arguments: Mapping[str, Any]

    def place(self, key: str) -> tuple[Any, int]:
        """A buffer of its own."""
        return self.arguments[key], 0


class Composed(Candidate):
    """A candidate alone in a composed pass."""

    def __init__(
        self,
        job: Job,
        config: KernelConfig,
        fusion: Fusion | Grouping,
        layout: BlockLayout,
        queue: Any,
        inputs: Mapping[str, Any],
    ) -> None:
        super().__init__(job, config, layout, queue)
        step, itemsize = replace(job.step, unit=0), np.dtype(job.dtype).itemsize
        if isinstance(fusion, Fusion) and not fusible(fusion, [(0, job.kernel.name)]):
            raise RefusedError(
                "invalid",
                f"{job.kernel.name}: its tiles do not divide a block of {fusion.blocks.samples} samples",
            )
        try:
            self.composed = fusion.compose([step], queue.device, {}, {}, apart=True)
        except DeviceError as error:
            raise RefusedError("compile", str(error)) from None
        index = read_only(queue.context, fusion.plan.binding(0).index)
        given = dict(zip(step.keys, self.arguments(inputs), strict=True))
        if fusion.partial_sums(step) > 1:
            given[partial_sums_key(step)] = allocated(
                queue.context, fusion.partial_sums(step) * self._count(job.kernel.output) * itemsize
            )
        self.kept = (given, index)
        held = cast(Region, _Buffers(given))
        self.composed.bind(dict.fromkeys(given, held), {0: index})
        resident = OpenCLResident(held, layout, {})
        resident.samples, resident.used = job.samples, fusion.whole(job.samples)
        self.composed.fit((), resident)

    def launch(self, count: int) -> None:
        """Run it ``count`` times and wait.

        Where the pass is fused this is one launch: in a pass, it is one of many.
        """
        self.composed.launch(0, self.queue, count)
        self.queue.finish()


def names(job: Job) -> list[str]:
    """Tensors in calling order: what is read, what is written, the position, Z, and what phi' is
    computed from.
    """
    kernel = job.kernel
    written = PHI if kernel.finish == "phi" else kernel.output
    found = [*kernel.arguments, written]
    found += [kernel.position] if kernel.position is not None else []
    if kernel.finish == "phi":
        found.append(kernel.output if kernel.output in job.expected else written)
    return found + ([FACTOR] if kernel.finish == "dphi" else [])


def shape(job: Job, name: str) -> tuple[int, bool]:
    """Units of a tensor, and whether it has samples."""
    extent, samples = job.fixture.extent(name)
    return extent.units, samples


def read_only(context: Any, values: Array) -> Any:
    """A buffer that holds ``values``."""
    return cl.Buffer(context, cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR, hostbuf=values)


def allocated(context: Any, size: int) -> Any:
    """A buffer of ``size`` bytes."""
    return cl.Buffer(context, cl.mem_flags.READ_WRITE, size)


def first_line(error: BaseException) -> str:
    """The first line of an error's message."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

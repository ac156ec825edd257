"""One candidate on the device: built, run into buffers of its own that hold NaN, compared with the reference, timed.

A candidate is timed only after its numbers were right, twice and bit for bit the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from .. import device as devices
from ..backend import Array
from ..errors import DeviceError, ManifestError
from ..kernel_run import FACTOR, PHI
from ..opencl_launch import local_size
from ..opencl_plan import Plan
from ..opencl_program import build
from ..schedule import DEFAULT, Fixed, Schedule
from ..verdict import BACKENDS, relative
from .jobs import Job
from .record import Trialled
from .space import Space
from .timer import FINAL, ROUNDS, Timer, WallTimer
from .traits import traits

if TYPE_CHECKING:
    from ..backend_opencl import OpenCLBackend

#: Numbers past the end of every output that must stay as they are.
GUARD = 64
MARK = 12345.0
#: How a refusal names what phi finished.
PHI_LABEL = "the output"


class RefusedError(Exception):
    """A candidate that is not used; ``kind`` is one of ``record.REFUSALS``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind, self.reason = kind, reason


class Candidate:
    """A kernel built with a schedule, its arguments set."""

    def __init__(
        self, job: Job, schedule: Schedule, plan: Plan, capacity: int, queue: Any, inputs: dict[str, Any], grouped: bool
    ) -> None:
        self.job, self.schedule, self.capacity, self.queue = job, schedule, capacity, queue
        kernel, binding = job.kernel, plan.binding(0, job.kernel.name)
        width = plan.kernels[0, kernel.name].width
        vectors = plan.padded(job.samples) // width
        try:
            self.compiled = cl.Kernel(build(binding, queue.device), kernel.name)
        except DeviceError as error:
            raise RefusedError("compile", str(error)) from None
        self.outputs = {name: self._output(name) for name in job.expected}
        self.size = binding.global_size(kernel.global_size, vectors)
        self.group = local_size(self.size, plan.kernels[0, kernel.name].group, grouped)
        index = [_index(queue.context, binding.index)] if kernel.index else []
        arguments = [self.outputs[name] if name in self.outputs else inputs[name] for name in _names(job)]
        self.kept = (arguments, index)
        self.compiled.set_args(*arguments, *index, np.int32(vectors), np.int32(capacity // width))

    def launch(self, count: int) -> None:
        """Run it ``count`` times and wait."""
        if 0 in self.size:
            return
        for _ in range(count):
            cl.enqueue_nd_range_kernel(self.queue, self.compiled, self.size, self.group)
        self.queue.finish()

    def run(self) -> dict[str, Array]:
        """What one launch writes, by tensor.  RefusedError where it cannot be launched, or writes past the end."""
        dtype = np.dtype(self.job.dtype).type
        try:
            for name, buffer in self.outputs.items():
                end, guard = self._count(name) * dtype().itemsize, GUARD * dtype().itemsize
                cl.enqueue_fill_buffer(self.queue, buffer, dtype(np.nan), 0, end)
                cl.enqueue_fill_buffer(self.queue, buffer, dtype(MARK), end, guard)
            self.launch(1)
            return {name: self._read(name) for name in self.outputs}
        except cl.Error as error:
            raise RefusedError("failed", f"{self.job.kernel.name} could not be launched: {_first_line(error)}") from None

    def _read(self, name: str) -> Array:
        units, samples = _shape(self.job, name)
        host = np.empty(self._count(name) + GUARD, self.job.dtype)
        cl.enqueue_copy(self.queue, host, self.outputs[name])
        if (host[-GUARD:] != MARK).any():
            raise RefusedError("wrong", f"{self.job.kernel.name} writes past the end of {name}")
        values = host[: units * (self.capacity if samples else 1)]
        return values.reshape(units, self.capacity)[:, : self.job.samples] if samples else values

    def _count(self, name: str) -> int:
        units, samples = _shape(self.job, name)
        return max(1, units * (self.capacity if samples else 1))

    def _output(self, name: str) -> Any:
        size = (self._count(name) + GUARD) * np.dtype(self.job.dtype).itemsize
        return _allocated(self.queue.context, size)


class Trials:
    """The candidates of one kernel.  ``timer``: what compares their times."""

    def __init__(self, job: Job, backend: OpenCLBackend, timer: Timer | None = None) -> None:
        backend.require(job.dtype)
        self.job, self.backend, self.timer = job, backend, timer or WallTimer()
        self.space = Space(job.unit, job.kernel, job.dtype, job.samples, traits(backend, job.dtype), job.image)
        self.queue = cl.CommandQueue(devices.context(backend.device))
        self._inputs: tuple[int, dict[str, Any]] = (0, {})
        self._default: Candidate | None = None
        self._terms: dict[str, float] = {}

    # ---------------------------------------------------------------------------------------------------- one schedule
    def prepare(self, schedule: Schedule, beside: Schedule = DEFAULT) -> Candidate:
        """Build; for as many samples as the tiles of ``beside`` divide too, so that both run on the same arrays.  RefusedError."""
        reason = self.space.illegal(schedule)
        if reason:
            raise RefusedError("invalid", reason)
        plan, other = self._plan(schedule), self._plan(beside)
        step = lcm(*(k.step for p in (plan, other) for k in p.kernels.values()), plan.lanes, other.lanes)
        capacity = -(-self.job.samples // step) * step
        try:
            inputs = self._placed(capacity, max(plan.padded(self.job.samples), other.padded(self.job.samples)))
            return Candidate(self.job, schedule, plan, capacity, self.queue, inputs, self.backend.kind == "cpu")
        except ManifestError as error:
            raise RefusedError("compile", str(error)) from None
        except (cl.Error, MemoryError) as error:
            raise RefusedError("failed", _first_line(error)) from None

    def check(self, schedule: Schedule, beside: Schedule = DEFAULT) -> Candidate:
        """The candidate, once its numbers are right; RefusedError that names kernel and worst entry where they are not."""
        candidate = self.prepare(schedule, beside)
        first, second = candidate.run(), candidate.run()
        for name, expected in self.job.expected.items():
            self._compare(name, first[name], expected)
            if first[name].tobytes() != second[name].tobytes():
                raise RefusedError("wrong", f"{self.job.kernel.name}: {name} differs from run to run")
        return candidate

    def _compare(self, name: str, values: Array, expected: Array) -> None:
        tolerance = BACKENDS[self.job.dtype]
        errors = relative(values, expected)
        if not errors.size or errors.max() <= tolerance:
            return
        if name not in self._terms:
            self._terms[name] = self.job.terms(name)
        errors = relative(values, expected, self._terms[name])
        worst = tuple(int(n) for n in np.unravel_index(int(np.argmax(errors)), errors.shape))
        if errors[worst] > tolerance:
            label = PHI_LABEL if name == PHI else name
            raise RefusedError(
                "wrong",
                f"{self.job.kernel.name}: {label}{list(worst)} is {values[worst]:.9g}, the reference {expected[worst]:.9g} "
                f"(error {errors[worst]:.1e}, tolerance {tolerance:.0e})",
            )

    def try_out(self, schedule: Schedule, best: float = 1.0) -> Trialled:
        """Check, then time beside the default; what is refused says why."""
        try:
            candidate = self.check(schedule)
            timing = self.timer.compare(self.default(candidate.capacity, schedule), candidate, best, ROUNDS)
        except RefusedError as error:
            return Trialled(schedule, refused=error.kind, reason=error.reason)
        except cl.Error as error:
            return Trialled(schedule, refused="failed", reason=_first_line(error))
        return Trialled(schedule, timing.candidate, timing.ratio)

    def confirm(self, schedule: Schedule) -> tuple[float, float]:
        """Seconds of the default and of ``schedule``, measured again and for longer: the fastest of many was lucky too."""
        candidate = self.check(schedule)
        timing = self.timer.compare(self.default(candidate.capacity, schedule), candidate, 1.0, FINAL)
        return timing.default, timing.default * timing.ratio

    def default(self, capacity: int, beside: Schedule) -> Candidate:
        """The default at ``capacity``; kept."""
        if self._default is None or self._default.capacity != capacity:
            self._default = self.prepare(DEFAULT, beside)
        return self._default

    def default_seconds(self) -> float:
        """Of one launch of the default, roughly; RefusedError where its numbers are wrong."""
        candidate = self.check(DEFAULT)
        return self.timer.seconds(candidate)

    # ------------------------------------------------------------------------------------------------------- arguments
    def _plan(self, schedule: Schedule) -> Plan:
        backend = copy(self.backend)
        backend.schedules = Fixed({(self.job.unit.file, self.job.kernel.name): schedule})
        return backend.plan((self.job.unit,), self.job.dtype, self.job.samples)

    def _placed(self, capacity: int, used: int) -> dict[str, Any]:
        """The arguments at ``capacity``: padded up to ``used`` with copies of the last sample whose deltas and weights are 0."""
        if self._inputs[0] == capacity:
            return self._inputs[1]
        placed = {}
        for name, values in self.job.arrays.items():
            units, samples = _shape(self.job, name)
            host = np.full((units, capacity) if samples else (units,), np.nan, self.job.dtype)
            if samples:
                host[:, : self.job.samples] = values
                host[:, self.job.samples : used] = 0 if name.startswith("delta") or name == "weight" else values[:, -1:]
            else:
                host[:] = values
            placed[name] = _allocated(self.queue.context, max(1, host.size) * host.itemsize)
            if host.size:
                cl.enqueue_copy(self.queue, placed[name], host)
        self._inputs, self._default = (capacity, placed), None
        return placed


def _names(job: Job) -> list[str]:
    """Tensors in calling order: what is read, what is written, the position, Z, and what phi' is computed from."""
    kernel = job.kernel
    written = PHI if kernel.finish == "phi" else kernel.output
    names = [*kernel.arguments, written]
    names += [kernel.position] if kernel.position is not None else []
    if kernel.finish == "phi":
        names.append(kernel.output if kernel.output in job.expected else written)
    return names + ([FACTOR] if kernel.finish == "dphi" else [])


def _shape(job: Job, name: str) -> tuple[int, bool]:
    extent, samples = job.bench.extent(name)
    return extent.units, samples


def _index(context: Any, values: Array) -> Any:
    return cl.Buffer(context, cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR, hostbuf=values)


def _allocated(context: Any, size: int) -> Any:
    return cl.Buffer(context, cl.mem_flags.READ_WRITE, size)


def _first_line(error: BaseException) -> str:
    lines: Sequence[str] = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__

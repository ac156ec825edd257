"""The OpenCL backend: one in-order queue, arguments set once, no wait between kernels.

Buffers are ``[units, T]`` with the capacity T a multiple of the vector width; parameters and gradients each lie in one
device buffer, so that a pass costs one write and one read of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyopencl as cl

from . import device as devices
from .backend import Array, Request, Result, calls
from .errors import DeviceError
from .opencl_launch import Launch, work_group
from .opencl_memory import Flat, OpenCLResident, to_columns, to_rows
from .opencl_plan import Plan
from .opencl_program import build
from .program import Program, Step, Unit
from .schedule import Defaults, Schedules

__all__ = ["OpenCLBackend", "OpenCLExecutor", "work_group"]

BATCH_KEYS = ("input", "target", "weight")


class OpenCLBackend:
    """Runs programs on one OpenCL device (see ``device.choose``); DeviceError where there is none.

    ``schedules``: how each kernel runs; by default nothing is tuned.
    """

    name = "opencl"

    def __init__(self, device: str | None = None, schedules: Schedules | None = None) -> None:
        self.device = devices.choose(device)
        self.schedules = schedules or Defaults()
        self.kind = devices.kind(self.device)
        self.micro_batch_bytes = (16 if self.kind == "cpu" else 256) * 2**20

    def require(self, dtype: str) -> None:
        """DeviceError where the device lacks fp64 for float64."""
        devices.require(self.device, dtype)

    def capacity(self, program: Program, dtype: str, samples: int) -> int:
        """Whole vectors, and whole tiles of them."""
        return self.plan(program.units, dtype, samples).capacity

    def width(self, dtype: str) -> int:
        """Samples per vector, where a kernel's schedule says nothing else."""
        return devices.vector_width(self.device, self.kind, dtype)

    def plan(self, units: Sequence[Unit], dtype: str, samples: int) -> Plan:
        """How the kernels of ``units`` run in passes of up to ``samples`` samples."""
        return Plan(units, self.schedules, dtype, self.width(dtype), samples, devices.machine(self.device, self.kind))

    def executor(self, program: Program, dtype: str, capacity: int) -> OpenCLExecutor:
        """Buffers and kernels."""
        return OpenCLExecutor(program, dtype, self.plan(program.units, dtype, capacity), self.device)

    def describe(self) -> str:
        """Platform and device."""
        return f"OpenCL, {self.device.platform.name.strip()}, {self.device.name.strip()}"


class OpenCLExecutor:
    """Runs one program at one capacity.  Kernels are built and buffers allocated when they are first needed."""

    def __init__(self, program: Program, dtype: str, plan: Plan, device: Any) -> None:
        self.program, self.dtype, self.plan, self.device = program, np.dtype(dtype), plan, device
        self.capacity = plan.capacity
        self.context = devices.context(device)
        self.queue = cl.CommandQueue(self.context)
        self.parameters = self._flat(1)
        self._staged = np.zeros(self.parameters.count, self.dtype)
        self._pieces = [(host, slice(s.offset, s.stop)) for s, host in self.parameters.pieces(self._staged)]
        self._flats: dict[str, Flat] = {}
        self._buffers: dict[str, Any] = {}
        self._indices: dict[int, Any] = {}
        self._launches: dict[tuple[int, str], Launch] = {}
        self._sequences: dict[tuple[str, Request], list[Launch]] = {}
        self._slots: dict[tuple[int, bool], tuple[OpenCLResident, dict[str, Array]]] = {}
        self._hosts: dict[tuple[int, str], Array] = {}
        self._turn = 0
        self._sent: dict[str, Any] = {}
        for number, piece in enumerate(program.parameters):
            self._buffers[f"{piece.layer}:{piece.name}"] = self.parameters.view(number)

    # -------------------------------------------------------------------------------------------------------- data
    def upload(self, inputs: Array, targets: Array | None, weights: Array | None, slot: int | None = None) -> OpenCLResident:
        """Transpose to sample-innermost once, pad with copies of the last sample at weight 0, and send."""
        samples = len(inputs)
        resident, staging = self._slot(slot, targets is not None)
        resident.samples, resident.used = samples, self.plan.padded(samples)
        used = resident.used
        to_columns(staging["input"], inputs, used)
        if targets is not None:
            to_columns(staging["target"], targets, used)
        staging["weight"][0, :samples] = 1 if weights is None else weights
        staging["weight"][0, samples:] = 0
        for key, host in staging.items():
            self._send(f"{slot} {key}", resident.buffers[key], host, wait=slot is None)
        for launch in self._launches.values():
            launch.resident = None if launch.resident is resident else launch.resident
        return resident

    def _slot(self, slot: int | None, targets: bool) -> tuple[OpenCLResident, dict[str, Array]]:
        """Buffers on the device and on the host; those of a slot are kept."""
        if slot is not None and (slot, targets) in self._slots:
            return self._slots[slot, targets]
        program = self.program
        units = {"input": program.layers[0].input.units, "target": program.layers[-1].output.units, "weight": 1}
        if not targets:
            del units["target"]
        staging = {key: np.zeros((count, self.capacity), self.dtype) for key, count in units.items()}
        resident = OpenCLResident({key: self.allocate(host.size) for key, host in staging.items()})
        if slot is not None:
            self._slots[slot, targets] = resident, staging
        return resident, staging

    def _send(self, key: str, buffer: Any, host: Array, wait: bool = False) -> None:
        """Queue a copy to the device.  Its event is kept until the next one: PyOpenCL waits for an event that is dropped."""
        event = cl.enqueue_copy(self.queue, buffer, host, is_blocking=wait)
        self._sent[key] = None if wait else event

    def set_parameters(self, parameters: Array) -> None:
        """One copy to the device."""
        for host, part in self._pieces:
            host[:] = parameters[part]
        self._send("parameters", self.parameters.buffer, self._staged)

    # -------------------------------------------------------------------------------------------------------- runs
    def start(self, resident: OpenCLResident, request: Request) -> OpenCLPending:
        """Queue the pass and the reads of its results."""
        self._run(self._sequence("loss", request), resident)
        return OpenCLPending(self, resident.samples, request)

    def seeded(self, resident: OpenCLResident, delta: Array, request: Request) -> OpenCLPending:
        """Queue the backward pass from ``delta``; padding lanes get delta 0."""
        key = f"delta:{self.program.last}"
        sequence = self._sequence("delta", request)
        host = self._host(f"seed {key}", (len(delta), self.capacity))
        host[:, : resident.samples] = delta
        host[:, resident.samples :] = 0
        self._send(f"{self._turn} {key}", self._buffer(key), host)
        self._run(sequence, resident)
        return OpenCLPending(self, resident.samples, request)

    def derivative_source(self, resident: OpenCLResident) -> Array:
        """Y or Z of the last layer."""
        return self._read(self.program.factor_key(self.program.last), resident.samples)

    def trace(self, resident: OpenCLResident, request: Request) -> Iterator[tuple[Step, Array]]:
        """Launch by launch, each read back."""
        for step in calls(self.program, request):
            self._run([self._launch(step)], resident)
            samples = resident.samples if step.writes.samples else None
            yield step, self._read(step.writes.key, samples, step.writes.extent.units)

    def _run(self, launches: list[Launch], resident: OpenCLResident) -> None:
        queue, enqueue = self.queue, cl.enqueue_nd_range_kernel
        try:
            for launch in launches:
                if launch.resident is not resident:
                    launch.fit(resident)
                if 0 not in launch.size:
                    enqueue(queue, launch.kernel, launch.size, launch.group)
        except cl.Error as error:
            raise DeviceError(f"{self.device.name.strip()}: a kernel could not be launched ({error})") from None

    def _sequence(self, seed: str, request: Request) -> list[Launch]:
        key = (seed, Request(False, request.losses, request.gradients, request.input_gradient))
        if key not in self._sequences:
            steps = (
                calls(self.program, request)
                if seed == "loss"
                else self.program.backward("delta", request.gradients, request.input_gradient)
            )
            self._sequences[key] = [self._launch(step) for step in steps]
        return self._sequences[key]

    def _launch(self, step: Step) -> Launch:
        key = (step.unit, step.kernel.name)
        if key in self._launches:
            return self._launches[key]
        binding = self.plan.binding(step.unit, step.kernel.name)
        kernel = cl.Kernel(build(binding, self.device), step.kernel.name)
        batch: list[tuple[int, str]] = []
        arguments = self._arguments(step)
        for position, argument in enumerate(arguments):
            if isinstance(argument, str):
                batch.append((position, argument))
            else:
                kernel.set_arg(position, argument)
        kernel.set_arg(len(arguments) + 1, np.int32(self.capacity // binding.width))
        group = self.plan.kernels[step.unit, step.kernel.name].group
        launch = Launch(kernel, binding, step, batch, len(arguments), group, devices.kind(self.device) == "cpu")
        self._launches[key] = launch
        return launch

    def _arguments(self, step: Step) -> list[Any]:
        """Buffers in calling order; the key where a buffer comes with the micro-batch."""
        keys = [argument.key for argument in step.reads] + [step.writes.key]
        if step.position is not None:
            keys.append(step.position.key)
        if step.kernel.finish == "phi":
            keys.append(step.z or step.writes.key)
        if step.factor is not None:
            keys.append(step.factor.key)
        arguments = [key if key in BATCH_KEYS else self._buffer(key) for key in keys]
        return [*arguments, self._index(step.unit)] if step.kernel.index else arguments

    # ----------------------------------------------------------------------------------------------------- buffers
    def allocate(self, count: int) -> Any:
        """A device buffer for ``count`` numbers; DeviceError where the device has no room."""
        size = max(1, count) * self.dtype.itemsize
        try:
            return cl.Buffer(self.context, cl.mem_flags.READ_WRITE, size)
        except cl.Error as error:
            raise DeviceError(f"{self.device.name.strip()}: no room for a buffer of {size} bytes ({error})") from None

    def _buffer(self, key: str) -> Any:
        if key not in self._buffers:
            for prefix, lanes in (("gradient_", 1), ("samplegradient_", self.capacity)):
                if key.partition(":")[2].startswith(prefix):
                    self._adopt(prefix, lanes)
        if key not in self._buffers:
            info = self.program.buffers[key]
            self._buffers[key] = self.allocate(info.units * (self.capacity if info.samples else 1))
        return self._buffers[key]

    def _adopt(self, prefix: str, lanes: int) -> None:
        if prefix in self._flats:
            return
        flat = self._flats[prefix] = self._flat(lanes)
        for number, piece in enumerate(self.program.parameters):
            self._buffers[f"{piece.layer}:{prefix}{piece.name}"] = flat.view(number)

    def _flat(self, lanes: int) -> Flat:
        align = self.device.mem_base_addr_align // 8
        return Flat(self.program.parameters, lanes, self.dtype.itemsize, align, self.allocate)

    def _index(self, unit: int) -> Any:
        if unit not in self._indices:
            flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
            self._indices[unit] = cl.Buffer(self.context, flags, hostbuf=self.plan.binding(unit).index)
        return self._indices[unit]

    def _read(self, key: str, samples: int | None, units: int | None = None) -> Array:
        count = self.program.buffers[key].units if units is None else units
        if samples is None:
            host = np.empty(max(1, count), self.dtype)
            cl.enqueue_copy(self.queue, host, self._buffer(key))
            return host[:count]
        wide = np.empty((max(1, count), self.capacity), self.dtype)
        cl.enqueue_copy(self.queue, wide, self._buffer(key))
        return wide[:count, :samples]

    def queue_read(self, key: str) -> tuple[Array, Any]:
        """A host array ``(units, T)`` of a buffer, valid when the event has come and until the pass after the next."""
        host = self._host(key, (max(1, self.program.buffers[key].units), self.capacity))
        return host, cl.enqueue_copy(self.queue, host, self._buffer(key), is_blocking=False)

    def queue_flat(self, prefix: str) -> tuple[Flat, Array, Any]:
        """A host copy of all gradients, valid when the event has come and until the pass after the next."""
        self._adopt(prefix, 1 if prefix == "gradient_" else self.capacity)
        flat = self._flats[prefix]
        host = self._host(prefix, (flat.count,))
        return flat, host, cl.enqueue_copy(self.queue, host, flat.buffer, is_blocking=False)

    def turn(self) -> None:
        """Results of the next pass go into the other one of two sets of host arrays: two passes may be on their way."""
        self._turn ^= 1

    def _host(self, key: str, shape: tuple[int, ...]) -> Array:
        if (self._turn, key) not in self._hosts:
            self._hosts[self._turn, key] = np.empty(shape, self.dtype)
        return self._hosts[self._turn, key]


class OpenCLPending:
    """The results of a pass, on their way."""

    def __init__(self, owner: OpenCLExecutor, samples: int, request: Request) -> None:
        self.owner, self.samples = owner, samples
        owner.turn()
        last = owner.program.last
        self.outputs = owner.queue_read(f"output:{last}") if request.outputs else None
        self.losses = owner.queue_read("loss") if request.losses else None
        self.input_gradient = owner.queue_read("delta:-1") if request.input_gradient else None
        prefix = {"sum": "gradient_", "sample": "samplegradient_", "none": ""}[request.gradients]
        self.gradients = owner.queue_flat(prefix) if prefix else None
        owner.queue.flush()

    def result(self, rows: Array | None = None) -> Result:
        """Wait and bring the results into sample-first order."""
        outputs, losses, below = (self._sample_first(read) for read in (self.outputs, self.losses, self.input_gradient))
        gradient = None
        if self.gradients is not None:
            flat, host, event = self.gradients
            event.wait()
            if flat.lanes == 1:
                gradient = np.concatenate([np.zeros(0, host.dtype), *(part for _, part in flat.pieces(host))])
            else:
                rows = np.empty((self.samples, self.owner.program.parameter_count), host.dtype) if rows is None else rows
                for piece, part in flat.pieces(host):
                    to_rows(part.reshape(-1, flat.lanes), rows[:, piece.offset : piece.stop])
        return Result(outputs, None if losses is None else losses[:, 0], gradient, rows, below)

    def _sample_first(self, read: tuple[Array, Any] | None) -> Array | None:
        if read is None:
            return None
        host, event = read
        event.wait()
        rows = np.empty((self.samples, len(host)), host.dtype)
        to_rows(host, rows)
        return rows

"""The OpenCL backend: one in-order queue, arguments set once, no wait between kernels.

Buffers are ``[units, T]`` with the capacity T a multiple of the vector width; parameters and gradients each lie in one
device buffer, so that a pass costs one write and one read of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
import pyopencl as cl

from . import device as devices
from .backend import Array, Request, Result, calls
from .errors import DeviceError
from .opencl_program import VECTOR_WIDTH, Binding, build, padded_vectors
from .program import Program, Slice, Step

BATCH_KEYS = ("input", "target", "weight")


class OpenCLBackend:
    """Runs programs on one OpenCL device (see ``device.choose``); DeviceError where there is none."""

    name = "opencl"

    def __init__(self, device: str | None = None) -> None:
        self.device = devices.choose(device)
        self.kind = devices.kind(self.device)
        self.micro_batch_bytes = (16 if self.kind == "cpu" else 256) * 2**20

    def require(self, dtype: str) -> None:
        """DeviceError where the device lacks fp64 for float64."""
        devices.require(self.device, dtype)

    def capacity(self, program: Program, dtype: str, samples: int) -> int:
        """A power of four of sample vectors: few capacities, hence few builds, serve all batch sizes.

        Only the vectors in use are computed, so a capacity above the need costs memory, not time.
        """
        needed, vectors = -(-samples // self.width(dtype)), 1
        while vectors < needed:
            vectors *= 4
        return padded_vectors(program.units, vectors) * self.width(dtype)

    def width(self, dtype: str) -> int:
        """Samples per vector."""
        return VECTOR_WIDTH[self.kind, dtype]

    def executor(self, program: Program, dtype: str, capacity: int) -> OpenCLExecutor:
        """Buffers and kernels."""
        return OpenCLExecutor(program, dtype, capacity, self.device, self.width(dtype))

    def describe(self) -> str:
        """Platform and device."""
        return f"OpenCL, {self.device.platform.name.strip()}, {self.device.name.strip()}"


class OpenCLResident:
    """A micro-batch on the device: ``samples`` real ones, ``vectors`` vectors in use."""

    def __init__(self, samples: int, vectors: int, buffers: dict[str, cl.Buffer], staging: dict[str, Array]) -> None:
        self.samples, self.vectors, self.buffers, self.staging = samples, vectors, buffers, staging


class Launch:
    """One kernel with its arguments set; re-set only what changes between micro-batches."""

    def __init__(
        self, kernel: cl.Kernel, binding: Binding, step: Step, batch: list[tuple[int, str]], last: int, grouped: bool
    ) -> None:
        self.kernel, self.binding, self.step = kernel, binding, step
        self.batch, self.last, self.grouped = batch, last, grouped
        self.resident: OpenCLResident | None = None
        self.vectors = -1
        self.size: tuple[int, ...] = ()
        self.group: tuple[int, ...] | None = None

    def fit(self, resident: OpenCLResident) -> None:
        """Point the kernel at ``resident``."""
        self.resident = resident
        for position, key in self.batch:
            self.kernel.set_arg(position, resident.buffers[key])
        if resident.vectors != self.vectors:
            self.vectors = resident.vectors
            self.kernel.set_arg(self.last, np.int32(self.vectors))
            self.size = self.binding.global_size(self.step.kernel.global_size, self.vectors)
            self.group = work_group(self.size) if self.grouped else None


class Flat:
    """Tensors one after the other in one device buffer, each at an offset that a sub-buffer may have."""

    def __init__(self, owner: OpenCLExecutor, slices: tuple[Slice, ...], lanes: int) -> None:
        align = max(1, owner.device.mem_base_addr_align // 8 // owner.dtype.itemsize)
        self.starts, end = [], 0
        for piece in slices:
            self.starts.append(end)
            end += -(-max(1, piece.extent.units * lanes) // align) * align
        self.slices, self.lanes, self.count = slices, lanes, max(1, end)
        self.buffer = owner.allocate(self.count)
        self.owner = owner

    def view(self, number: int) -> Any:
        """The sub-buffer of slice ``number``."""
        size = self.owner.dtype.itemsize
        length = max(1, self.slices[number].extent.units * self.lanes)
        return self.buffer.get_sub_region(self.starts[number] * size, length * size)

    def pieces(self, host: Array) -> Iterator[tuple[Slice, Array]]:
        """Each slice with its part ``(units * lanes,)`` of a host copy of the whole."""
        for piece, start in zip(self.slices, self.starts, strict=True):
            yield piece, host[start : start + piece.extent.units * self.lanes]


class OpenCLExecutor:
    """Runs one program at one capacity.  Kernels are built and buffers allocated when they are first needed."""

    def __init__(self, program: Program, dtype: str, capacity: int, device: Any, width: int) -> None:
        self.program, self.dtype, self.capacity, self.device = program, np.dtype(dtype), capacity, device
        self.width, self.vectors = width, capacity // width
        self.context = devices.context(device)
        self.queue = cl.CommandQueue(self.context)
        self.bindings = [Binding(unit, dtype, width, self.vectors) for unit in program.units]
        self.parameters = Flat(self, program.parameters, 1)
        self._staged = np.zeros(self.parameters.count, self.dtype)
        self._pieces = [(host, slice(s.offset, s.stop)) for s, host in self.parameters.pieces(self._staged)]
        self._flats: dict[str, Flat] = {}
        self._buffers: dict[str, Any] = {}
        self._indices: dict[int, Any] = {}
        self._launches: dict[tuple[int, str], Launch] = {}
        self._sequences: dict[tuple[str, Request], list[Launch]] = {}
        self._slots: dict[tuple[int, bool], OpenCLResident] = {}
        for number, piece in enumerate(program.parameters):
            self._buffers[f"{piece.layer}:{piece.name}"] = self.parameters.view(number)

    # -------------------------------------------------------------------------------------------------------- data
    def upload(self, inputs: Array, targets: Array | None, weights: Array | None, slot: int | None = None) -> OpenCLResident:
        """Transpose to sample-innermost once, pad with copies of the last sample at weight 0, and send."""
        samples = len(inputs)
        vectors = padded_vectors(self.program.units, -(-samples // self.width))
        resident = self._slot(slot, targets is not None)
        resident.samples, resident.vectors = samples, min(vectors, self.vectors)
        used = resident.vectors * self.width
        staging = resident.staging
        _transpose(staging["input"], inputs, used)
        if targets is not None:
            _transpose(staging["target"], targets, used)
        staging["weight"][0, :samples] = 1 if weights is None else weights
        staging["weight"][0, samples:] = 0
        for key, host in staging.items():
            cl.enqueue_copy(self.queue, resident.buffers[key], host, is_blocking=False)
        for launch in self._launches.values():
            launch.resident = None if launch.resident is resident else launch.resident
        return resident

    def _slot(self, slot: int | None, targets: bool) -> OpenCLResident:
        if slot is not None and (slot, targets) in self._slots:
            return self._slots[slot, targets]
        program = self.program
        units = {"input": program.layers[0].input.units, "target": program.layers[-1].output.units, "weight": 1}
        if not targets:
            del units["target"]
        staging = {key: np.zeros((count, self.capacity), self.dtype) for key, count in units.items()}
        resident = OpenCLResident(0, 0, {k: self.allocate(host.size) for k, host in staging.items()}, staging)
        if slot is not None:
            self._slots[slot, targets] = resident
        return resident

    def set_parameters(self, parameters: Array) -> None:
        """One copy to the device."""
        for host, part in self._pieces:
            host[:] = parameters[part]
        cl.enqueue_copy(self.queue, self.parameters.buffer, self._staged, is_blocking=False)

    # -------------------------------------------------------------------------------------------------------- runs
    def start(self, resident: OpenCLResident, request: Request) -> OpenCLPending:
        """Queue the pass and the reads of its results."""
        self._run(self._sequence("loss", request), resident)
        return OpenCLPending(self, resident.samples, request)

    def seeded(self, resident: OpenCLResident, delta: Array, request: Request) -> OpenCLPending:
        """Queue the backward pass from ``delta``; padding lanes get delta 0."""
        key = f"delta:{self.program.last}"
        sequence = self._sequence("delta", request)
        host = np.zeros((len(delta), self.capacity), self.dtype)
        host[:, : resident.samples] = delta
        cl.enqueue_copy(self.queue, self._buffer(key), host)
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
        binding = self.bindings[step.unit]
        kernel = cl.Kernel(build(binding, self.device), step.kernel.name)
        batch: list[tuple[int, str]] = []
        arguments = self._arguments(step)
        for position, argument in enumerate(arguments):
            if isinstance(argument, str):
                batch.append((position, argument))
            else:
                kernel.set_arg(position, argument)
        launch = Launch(kernel, binding, step, batch, len(arguments), devices.kind(self.device) == "cpu")
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
        flat = self._flats[prefix] = Flat(self, self.program.parameters, lanes)
        for number, piece in enumerate(self.program.parameters):
            self._buffers[f"{piece.layer}:{prefix}{piece.name}"] = flat.view(number)

    def _index(self, unit: int) -> Any:
        if unit not in self._indices:
            flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
            self._indices[unit] = cl.Buffer(self.context, flags, hostbuf=self.bindings[unit].index)
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
        """A host array ``(units, T)`` of a buffer, valid when the event has come."""
        host = np.empty((max(1, self.program.buffers[key].units), self.capacity), self.dtype)
        return host, cl.enqueue_copy(self.queue, host, self._buffer(key), is_blocking=False)

    def queue_flat(self, prefix: str) -> tuple[Flat, Array, Any]:
        """A host copy of all gradients, valid when the event has come."""
        self._adopt(prefix, 1 if prefix == "gradient_" else self.capacity)
        flat = self._flats[prefix]
        host = np.empty(flat.count, self.dtype)
        return flat, host, cl.enqueue_copy(self.queue, host, flat.buffer, is_blocking=False)


class OpenCLPending:
    """The results of a pass, on their way."""

    def __init__(self, owner: OpenCLExecutor, samples: int, request: Request) -> None:
        self.owner, self.samples = owner, samples
        last = owner.program.last
        self.outputs = owner.queue_read(f"output:{last}") if request.outputs else None
        self.losses = owner.queue_read("loss") if request.losses else None
        self.input_gradient = owner.queue_read("delta:-1") if request.input_gradient else None
        prefix = {"sum": "gradient_", "sample": "samplegradient_", "none": ""}[request.gradients]
        self.gradients = owner.queue_flat(prefix) if prefix else None
        owner.queue.flush()

    def result(self) -> Result:
        """Wait and bring the results into sample-first order."""
        outputs, losses, below = (self._sample_first(read) for read in (self.outputs, self.losses, self.input_gradient))
        gradient = sample_gradients = None
        if self.gradients is not None:
            flat, host, event = self.gradients
            event.wait()
            if flat.lanes == 1:
                gradient = self._joined(flat, host)
            else:
                sample_gradients = self._rows(flat, host)
        return Result(outputs, None if losses is None else losses[:, 0], gradient, sample_gradients, below)

    def _sample_first(self, read: tuple[Array, Any] | None) -> Array | None:
        if read is None:
            return None
        host, event = read
        event.wait()
        return np.ascontiguousarray(host[:, : self.samples].T)

    def _joined(self, flat: Flat, host: Array) -> Array:
        return np.concatenate([np.zeros(0, host.dtype), *(part for _, part in flat.pieces(host))])

    def _rows(self, flat: Flat, host: Array) -> Array:
        rows = np.empty((self.samples, self.owner.program.parameter_count), host.dtype)
        for piece, part in flat.pieces(host):
            rows[:, piece.offset : piece.stop] = part.reshape(-1, flat.lanes)[:, : self.samples].T
        return rows


def work_group(size: tuple[int, ...]) -> tuple[int, ...]:
    """The local size of a launch on a CPU: up to 64 work items, sample vectors first, in at least 16 groups.

    PoCL compiles a kernel anew for every local size.  Left to itself it picks one that depends on the exact number of
    samples, so that the last, smaller batch of an epoch costs seconds.
    """
    if 0 in size:
        return size
    first = next(n for n in (16, 4, 1) if size[0] % n == 0)
    second = 1
    if len(size) > 1:
        groups = prod(size) // first
        second = max(n for n in range(1, 64 // first + 1) if size[1] % n == 0 and (n == 1 or groups // n >= 16))
    return (first, second, *(1 for _ in size[2:]))[: len(size)]


def _transpose(host: Array, samples: Array, used: int) -> None:
    """Sample-first ``(n, units)`` into the columns of ``host``; padding columns repeat the last sample."""
    count = len(samples)
    host[:, :count] = samples.T
    host[:, count:used] = host[:, count - 1 : count]

"""One file of kernels, run kernel by kernel on any arrays.

NumPy or OpenCL runs it; verification and the tuner look at what comes out.

The texts, macros and calling conventions are those that networks use; only the order of the calls and the
arguments are the caller's.  Tensors go by their names in the definition.  Extra names: ``phi`` is the
activation's output, ``factor`` holds what phi' of the layer below is computed from.  Arrays are ``(units,
samples)``, or ``(units,)`` without samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..backend import Array
from ..errors import DeviceError, ManifestError, PhizError
from ..manifest.records import ActivationInfo, KernelInfo, LossInfo
from ..opencl.plan.constant_launches import TensorSlice
from ..program.layer import Layer
from ..program.program import Unit
from ..program.sizes import Extent
from ..reference.backend import activation_function, keyword_only

if TYPE_CHECKING:
    from ..opencl.backend import OpenCLBackend

PHI, FACTOR = "phi(Z)", "phi of the layer below"  # no names of tensors
#: What wrong kernel text raises when it is called.
RAISED = (
    ArithmeticError,
    ValueError,
    IndexError,
    TypeError,
    KeyError,
    NameError,
    AttributeError,
    SyntaxError,
    ImportError,
)


class KernelError(PhizError):
    """A kernel that cannot be run; ``kernel`` is its name."""

    def __init__(self, kernel: str, reason: str) -> None:
        super().__init__(reason)
        self.kernel = kernel


@dataclass(frozen=True)
class KernelFixture:
    """A unit to be run: its tensors (extent, has samples), the name of its output, the activations
    around it.
    """

    unit: Unit
    tensors: Mapping[str, tuple[Extent, bool]]
    output: str
    activation: ActivationInfo | None = None
    lower: ActivationInfo | None = None

    def extent(self, name: str) -> tuple[Extent, bool]:
        """Extent of tensor ``name``; ManifestError where it is not declared."""
        try:
            return self.tensors[name]
        except KeyError:
            raise ManifestError(f"{self.unit.file}: declares no tensor {name}; run: phiz generate") from None


def layer_fixture(layer: Layer, lower: ActivationInfo, store_z: bool) -> KernelFixture:
    """A layer above an activation ``lower``; Z is kept where something reads it, and where ``store_z``
    asks for it.
    """
    info = layer.info
    read = any(info.output in kernel.arguments for kernel in info.kernels if kernel.role != "forward")
    stored = not layer.linear and (store_z or read or layer.activation.derivative_in == "z")
    unit = Unit(
        info.name,
        info.file,
        info.folder,
        info.kernels,
        info.macros,
        layer.sizes,
        layer.connection_tables,
        layer.activation.function,
        lower.function,
        stored,
        info.rows_macros,
        origins=(layer.activation.folder, lower.folder),
    )
    tensors = {name: (layer.tensors[name], tensor.samples) for name, tensor in info.tensors.items()}
    tensors |= {PHI: (layer.tensors[info.output], True), FACTOR: (layer.tensors[info.input], True)}
    return KernelFixture(unit, tensors, info.output, layer.activation, lower)


def loss_fixture(loss: LossInfo, units: int) -> KernelFixture:
    """A loss of ``units`` output units."""
    unit = Unit(
        loss.file,
        loss.file,
        loss.folder,
        loss.kernels,
        loss.macros,
        {"N": units},
        {},
        "linear",
        "linear",
        False,
        loss.rows_macros,
    )
    whole, single = Extent((units,), None, units), Extent((), None, 1)
    tensors = {
        name: (whole if tensor.shape else single, tensor.samples) for name, tensor in loss.tensors.items()
    }
    return KernelFixture(unit, tensors, "")


class KernelRun(Protocol):
    """Tensors of one fixture, and its kernels run on them."""

    fixture: KernelFixture
    dtype: np.dtype[Any]

    def put(self, name: str, value: Array) -> None:
        """Set a tensor."""

    def get(self, name: str) -> Array:
        """The value of a tensor."""

    def run(self, kernel: KernelInfo) -> None:
        """Run one kernel on the tensors as they are."""


class NumpyRun:
    """A run of kernels with NumPy."""

    def __init__(self, fixture: KernelFixture, dtype: str, samples: int) -> None:
        self.fixture, self.dtype, self.samples = fixture, np.dtype(dtype), samples
        self.arrays: dict[str, Array] = {}

    def put(self, name: str, value: Array) -> None:
        """Set a tensor; converted to the dtype of the run."""
        self.arrays[name] = np.ascontiguousarray(value, dtype=self.dtype)

    def get(self, name: str) -> Array:
        """The value of a tensor."""
        return self.arrays[PHI if name == self.fixture.output and name not in self.arrays else name]

    def run(self, kernel: KernelInfo) -> None:
        """Call the function, then phi where the kernel is finished by it; KernelError where that raises."""
        try:
            self._call(kernel)
        except RAISED as error:
            raise KernelError(kernel.name, f"{type(error).__name__}: {error}") from None

    def _call(self, kernel: KernelInfo) -> None:
        unit = self.fixture.unit
        function = getattr(unit.folder.module(f"numpy/{unit.file}.py"), kernel.name)
        arguments = [self._shaped(name) for name in kernel.arguments]
        if kernel.finish == "dphi":
            assert self.fixture.lower is not None
            arguments.append(_map(derivative(self.fixture.lower), self._shaped(FACTOR)))
        keywords = {name: unit.sizes[name] for name in kernel.sizes}
        keywords |= {name: unit.connection_tables[name] for name in kernel.relations}
        extra = {"samples": self.samples, "dtype": self.dtype}
        keywords |= {name: given for name, given in extra.items() if name in keyword_only(function)}
        result = function(*arguments, **keywords)
        if kernel.position is not None:
            result, position = result
            self._store(kernel.position, position)
        self._store(kernel.output, result)
        if kernel.finish == "phi":
            assert self.fixture.activation is not None
            self._store(PHI, _map(value(self.fixture.activation), result))

    def _shaped(self, name: str) -> Any:
        extent, samples = self.fixture.extent(name)
        flat = self.get(name)
        tail = flat.shape[1:] if samples else ()
        if extent.entries is None:
            return flat.reshape(extent.shape + tail)
        bounds = np.cumsum([prod(entry) for entry in extent.entries])[:-1]
        return [
            part.reshape(entry + tail)
            for part, entry in zip(np.split(flat, bounds), extent.entries, strict=True)
        ]

    def _store(self, name: str, result: Any) -> None:
        tail = (self.samples,) if self.fixture.extent(name)[1] else ()
        partial_sums = [
            np.asarray(part).reshape(-1, *tail) for part in (result if isinstance(result, list) else [result])
        ]
        self.arrays[name] = np.concatenate(partial_sums) if partial_sums else np.zeros((0, *tail), self.dtype)


def value(activation: ActivationInfo) -> Callable[[Array], Array]:
    """phi, with NumPy."""
    return activation_function(activation.folder, f"phi_{activation.function}")


def derivative(activation: ActivationInfo) -> Callable[[Array], Array]:
    """phi' of what ``activation.derivative_in`` says, with NumPy."""
    return activation_function(activation.folder, f"dphi_{activation.function}")


def _map(function: Callable[[Array], Array], value: Any) -> Any:
    return [function(entry) for entry in value] if isinstance(value, list) else function(value)


class OpenCLRun:
    """A run of kernels with OpenCL.

    Tensors are padded to whole vectors with copies of the last sample, whose deltas and weights are 0.

    There is room for more vectors than are in use; it holds NaN, so that a kernel that reads there shows.
    ``sample_outer``: whether the kernels for samples that lie one after the other run.
    """

    def __init__(
        self,
        fixture: KernelFixture,
        dtype: str,
        samples: int,
        backend: OpenCLBackend,
        sample_outer: bool = False,
    ) -> None:
        import pyopencl as cl

        from ..opencl.device import device as devices
        from ..opencl.launch.memory import ROOM_BEHIND

        backend.require(dtype)
        self.fixture, self.dtype, self.samples, self._behind = fixture, np.dtype(dtype), samples, ROOM_BEHIND
        self._cl, self._device, self._grouped, self._sample_outer = (
            cl,
            backend.device,
            backend.kind == "cpu",
            sample_outer,
        )
        if sample_outer:
            self._plan = backend.sample_outer_plan((fixture.unit,), dtype, samples + 1, backend.configs)
        else:
            self._plan = backend.plan(
                (fixture.unit,), dtype, backend.plan((fixture.unit,), dtype, samples).capacity + 1
            )
        self._used, self._lanes = self._plan.padded(samples), self._plan.capacity
        self._context = devices.context(backend.device)
        self._queue = cl.CommandQueue(self._context)
        flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
        self._index = cl.Buffer(self._context, flags, hostbuf=self._plan.binding(0).index)
        self._buffers: dict[str, Any] = {}
        self._kernels: dict[str, Any] = {}

    def put(self, name: str, value: Array) -> None:
        """Set a tensor."""
        units, samples = self._shape(name)
        host = np.empty((units, self._lanes) if samples else (units,), self.dtype)
        if samples:
            host[:, : self.samples] = value
            host[:, self.samples : self._used] = (
                0 if name.startswith("delta") or name == "weight" else value[:, -1:]
            )
            host[:, self._used :] = np.nan
        else:
            host[:] = value
        if host.size:
            self._cl.enqueue_copy(
                self._queue, self._buffer(name), np.ascontiguousarray(host.T) if self._sample_outer else host
            )

    def get(self, name: str) -> Array:
        """The value of a tensor."""
        units, samples = self._shape(name)
        shape = (self._lanes, units) if self._sample_outer else (units, self._lanes)
        host = np.empty(shape if samples else (units,), self.dtype)
        if host.size:
            self._cl.enqueue_copy(self._queue, host, self._buffer(name))
        host = host.T if self._sample_outer else host
        return host[:, : self.samples] if samples else host

    def clear(self, name: str) -> None:
        """Fill with NaN, so that an entry that no work item writes shows."""
        units, samples = self._shape(name)
        size = max(1, units * (self._lanes if samples else 1)) * self.dtype.itemsize
        self._cl.enqueue_fill_buffer(self._queue, self._buffer(name), self.dtype.type(np.nan), 0, size)

    def run(self, kernel: KernelInfo) -> None:
        """Queue the kernel; ``get`` waits for it.  KernelError where it cannot be built or queued."""
        try:
            self._queue_up(kernel.in_rows() if self._sample_outer else kernel)
        except (DeviceError, ManifestError, self._cl.Error) as error:
            raise KernelError(kernel.name, str(error)) from None

    def _queue_up(self, kernel: KernelInfo) -> None:
        if kernel.name not in self._kernels:
            self._kernels[kernel.name] = self._prepared(kernel)
        for one, sizes in self._kernels[kernel.name]:
            self._cl.enqueue_nd_range_kernel(self._queue, one.kernel, *sizes)

    def _prepared(self, kernel: KernelInfo) -> list[tuple[Any, Any]]:
        """Its launches: built kernel; global size, local size, global offset."""
        from ..opencl.launch.calls import PARTIAL_SUMS, bound, calls, set_number
        from ..opencl.launch.launch import local_size

        plan, binding = self._plan.kernels[0, kernel.name], self._plan.binding(0, kernel.name)
        names, vectors, found = self._names(kernel), self._used // plan.width, []
        units = self._shape(kernel.output)[0]

        def tensor(number: int, part: TensorSlice | None) -> Any:
            if number == PARTIAL_SUMS:
                return self._parts(kernel.name, plan.partial_sums * units)
            memory, size = self._buffer(names[number]), self.dtype.itemsize
            return memory.get_sub_region(part.first * size, part.count * size) if part else memory

        for call in calls(kernel, plan, len(names), units):
            size, offset = call.work(binding, vectors)
            if 0 in size:
                continue
            one = bound(
                call, binding, self._device, tensor, self._index if kernel.index else None, self._lanes
            )
            if one.last is not None:
                set_number(one.kernel, one.last, vectors)
            group = local_size(size, plan.group if call.counts else None, self._grouped, call.copies)
            found.append((one, (size, group, offset)))
        return found

    def _parts(self, name: str, count: int) -> Any:
        """Memory for the parts of a kernel's sum."""
        key = f"parts:{name}"
        if key not in self._buffers:
            self._buffers[key] = self._cl.Buffer(
                self._context, self._cl.mem_flags.READ_WRITE, count * self.dtype.itemsize
            )
        return self._buffers[key]

    def _names(self, kernel: KernelInfo) -> list[str]:
        names = [*kernel.arguments, PHI if kernel.finish == "phi" else kernel.output]
        names += [kernel.position] if kernel.position is not None else []
        names += [kernel.output] if kernel.finish == "phi" else []
        return names + ([FACTOR] if kernel.finish == "dphi" else [])

    def _shape(self, name: str) -> tuple[int, bool]:
        extent, samples = self.fixture.extent(name)
        return extent.units, samples

    def _buffer(self, name: str) -> Any:
        """The buffer of tensor ``name``.

        Without a stored Z, the output's buffer is that of phi(Z): they are the same where phi is linear.
        """
        key = PHI if name == self.fixture.output and not self.fixture.unit.store_z else name
        if key not in self._buffers:
            units, samples = self._shape(key)
            size = (units * (self._lanes if samples else 1) + self._behind) * self.dtype.itemsize
            self._buffers[key] = self._cl.Buffer(self._context, self._cl.mem_flags.READ_WRITE, size)
        return self._buffers[key]

"""Memory of the OpenCL backend: regions that host and device share or copy, micro-batches, transposition.

Where the device has fine-grained shared virtual memory of its own (CPUs), host and kernels work on the same bytes and nothing is
ever copied or mapped; the host may touch (and free) them whenever no pass that uses them is on its way.  Elsewhere a region is a
device buffer with a host array beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import pyopencl as cl

from ...backend import Array
from ...errors import DeviceError
from ...program.memory_plan import MemoryLayout
from ..device.device import kind
from .block_layout import BlockLayout

#: Numbers that are transposed at a time, so that both sides stay in the cache.
BLOCK = 1 << 16
#: Bytes that the widest OpenCL type is aligned to.
WIDEST = 128


def shares_memory(device: Any) -> bool:
    """Whether host and ``device`` may work on the same bytes without commands: a CPU with fine-grained buffers."""
    try:
        found = device.svm_capabilities
    except cl.Error:  # before OpenCL 2.0
        return False
    return kind(device) == "cpu" and bool(found & cl.device_svm_capabilities.FINE_GRAIN_BUFFER)


def shared_numbers(device: Any, context: cl.Context, count: int, dtype: Any) -> Array:
    """Room for ``count`` numbers, one at least, that host and kernels both work on; DeviceError where there is none."""
    try:
        found: Array = cl.fsvm_empty(context, max(1, count), np.dtype(dtype), alignment=WIDEST)
        return found
    except (cl.Error, MemoryError) as error:
        raise no_room(device, count, dtype, error) from None


def staged_numbers(queue: cl.CommandQueue, count: int, dtype: Any) -> Array:
    """Room on the host for ``count`` numbers, one at least, that the device copies without the processor's help.

    It stays where it is in memory.  DeviceError where there is none.
    """
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.ALLOC_HOST_PTR
    access: Any = cl.map_flags.READ | cl.map_flags.WRITE
    size, kind = max(1, count), np.dtype(dtype)
    try:
        buffer = cl.Buffer(queue.context, flags, size * kind.itemsize)
        found: Array = cl.enqueue_map_buffer(queue, buffer, access, 0, (size,), kind, is_blocking=True)[0]
    except (cl.Error, MemoryError) as error:
        raise no_room(queue.device, count, dtype, error) from None
    return found


def no_room(device: Any, count: int, dtype: Any, error: BaseException) -> DeviceError:
    """What is raised where ``device`` cannot give out so many numbers."""
    return DeviceError(f"{device.name.strip()}: no room for a buffer of {max(1, count) * np.dtype(dtype).itemsize} bytes ({error})")


class Memory:
    """What allocates memory for one queue.

    ``shared``: whether host and device work on the same bytes, see ``shares_memory``.
    ``apart``: whether every tensor has a buffer of its own where they do not.
    """

    def __init__(self, queue: cl.CommandQueue, dtype: np.dtype[Any], apart: bool = False) -> None:
        self.queue, self.dtype, self.device = queue, dtype, queue.device
        self.shared = shares_memory(self.device)
        self.apart = apart and not self.shared
        self.align = max(1, max(WIDEST, self.device.mem_base_addr_align // 8) // dtype.itemsize)

    def fits(self, count: int) -> bool:
        """Whether the device gives out that many numbers at once."""
        return bool(count * self.dtype.itemsize <= self.device.max_mem_alloc_size)

    def block(self, count: int) -> Any:
        """Room for ``count`` numbers; DeviceError where the device has none."""
        context = self.queue.context
        if self.shared:
            return shared_numbers(self.device, context, count, self.dtype)
        try:
            return cl.Buffer(context, cl.mem_flags.READ_WRITE, max(1, count) * self.dtype.itemsize)
        except (cl.Error, MemoryError) as error:
            raise no_room(self.device, count, self.dtype, error) from None

    def staging(self, count: int) -> Array:
        """Room on the host for ``count`` numbers that go to the device or come from there, see ``staged_numbers``."""
        return staged_numbers(self.queue, count, self.dtype)

    def sends(self, vector: Array) -> bool:
        """Whether the device copies ``vector`` from where it lies: what ``staged_numbers`` made, or a part of it."""
        owner = vector.base if isinstance(vector.base, np.ndarray) else vector
        return isinstance(owner.base, cl.MemoryMap) and vector.dtype == self.dtype and vector.flags.c_contiguous

    def reads(self, vector: Array) -> bool:
        """Whether kernels can work on ``vector`` where it lies: what ``shared_numbers`` made, or a part of it."""
        owner = vector.base if isinstance(vector.base, np.ndarray) else vector
        inside = self.shared and isinstance(owner.base, cl.SVMAllocation)
        return inside and vector.dtype == self.dtype and vector.flags.c_contiguous and vector.size > 0

    def region(self, layout: MemoryLayout, block: Any = None) -> Region:
        """Tensors at their places in ``block``, or in a block of their own; ``apart`` in blocks of their own each."""
        if self.apart:
            return ApartRegion(self, layout)
        block = self.block(layout.total) if block is None else block
        return (SharedRegion if self.shared else CopiedRegion)(self, layout, block)

    def packed(self, counts: Mapping[str, int]) -> Region:
        """A region with tensors of ``counts`` numbers, one after the other."""
        return self.region(MemoryLayout.packed(counts, self.align))


class Region(Protocol):
    """Tensors on the device."""

    layout: MemoryLayout

    def argument(self, key: str) -> Any:
        """What a kernel is given that expects a tensor to begin where its argument does."""

    def place(self, key: str) -> tuple[Any, int]:
        """What a kernel is given that knows at which byte of it a tensor begins, and that byte."""

    def host(self, key: str) -> Array:
        """A tensor on the host, flat.

        What is written there reaches the kernels with ``send``; what they wrote is there when the event of
        ``fetch`` has come.
        """

    def send(self, keys: Iterable[str]) -> None:
        """Queue the way to the device of what the host wrote."""

    def send_from(self, key: str, values: Array) -> None:
        """Queue the way to the device of ``values``, which stay as they are until a pass that follows has ended."""

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """Queue the way back.  An event to wait for; ``after`` is that of the last kernel."""

    def part(self, key: str, first: int, count: int) -> Any:
        """What a kernel is given for ``count`` numbers of a tensor from ``first`` on.

        ``first`` is aligned as the device asks.
        """

    def another(self) -> Region:
        """One for the next pass, while the results of this one are still to be read."""


class SharedRegion:
    """Tensors on bytes that host and device share, so that nothing is sent or fetched."""

    def __init__(self, memory: Memory, layout: MemoryLayout, block: Array) -> None:
        self.memory, self.layout, self.block = memory, layout, block
        self._arguments = {key: cl.SVM(block[start : start + max(1, layout.counts[key])]) for key, start in layout.offsets.items()}
        self._views = {key: block[start : start + layout.counts[key]] for key, start in layout.offsets.items()}

    def argument(self, key: str) -> Any:
        """The tensor itself."""
        return self._arguments[key]

    def place(self, key: str) -> tuple[Any, int]:
        """The tensor itself."""
        return self._arguments[key], 0

    def host(self, key: str) -> Array:
        """The bytes that kernels see."""
        return self._views[key]

    def send(self, keys: Iterable[str]) -> None:
        """Do nothing: the kernels see what the host wrote."""

    def send_from(self, key: str, values: Array) -> None:
        """A copy."""
        self._views[key][:] = values

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """Return ``after``: the results are there as soon as the kernels have ended."""
        return after

    def part(self, key: str, first: int, count: int) -> Any:
        """A part of the same bytes."""
        start = self.layout.offsets[key] + first
        return cl.SVM(self.block[start : start + max(1, count)])

    def another(self) -> Region:
        """A region with bytes of its own."""
        return self.memory.region(self.layout)


class CopiedRegion:
    """A device buffer, and an array on the host that is made when it is first touched."""

    def __init__(self, memory: Memory, layout: MemoryLayout, block: Any) -> None:
        self.memory, self.layout, self.block = memory, layout, block
        self._host: Array | None = None
        self._sent: dict[str, Any] = {}

    def argument(self, key: str) -> Any:
        """A buffer over the tensor."""
        return self.part(key, 0, self.layout.counts[key])

    def place(self, key: str) -> tuple[Any, int]:
        """The whole buffer."""
        return self.block, self.layout.offsets[key] * self.memory.dtype.itemsize

    def host(self, key: str) -> Array:
        """A part of the host's copy."""
        start = self.layout.offsets[key]
        return self._whole()[start : start + self.layout.counts[key]]

    def _whole(self) -> Array:
        if self._host is None:
            self._host = self.memory.staging(self.layout.total)
        return self._host

    def send(self, keys: Iterable[str]) -> None:
        """Copies.  Events are kept until the next one: PyOpenCL waits for an event that is dropped."""
        for key in keys:
            self._send(key, self.host(key))

    def send_from(self, key: str, values: Array) -> None:
        """A copy straight from where they lie, where the device can do that."""
        if self.memory.sends(values):
            self._send(key, values)
        else:
            self.host(key)[:] = values
            self.send([key])

    def _send(self, key: str, values: Array) -> None:
        if values.size:
            buffer, start = self.place(key)
            self._sent[key] = cl.enqueue_copy(self.memory.queue, buffer, values, dst_offset=start, is_blocking=False)

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """One copy of the stretch that holds them all."""
        places = [(self.layout.offsets[key], self.layout.counts[key]) for key in keys if self.layout.counts[key]]
        if not places:
            return after
        start, stop = min(offset for offset, _ in places), max(offset + count for offset, count in places)
        target, size = self._whole()[start:stop], self.memory.dtype.itemsize
        return cl.enqueue_copy(self.memory.queue, target, self.block, src_offset=start * size, is_blocking=False)

    def part(self, key: str, first: int, count: int) -> Any:
        """A buffer over a part of the one that the tensor lies in."""
        (buffer, start), size = self.place(key), self.memory.dtype.itemsize
        return buffer.get_sub_region(start + first * size, max(1, count) * size)

    def another(self) -> Region:
        """A host array of its own.  The queue is in order: the copy is made before the next pass writes to the device."""
        return self.memory.region(self.layout, self.block)


class ApartRegion(CopiedRegion):
    """A device buffer for each tensor, for kernels that expect it to begin with their argument.

    Buffers over parts of another would do, but that NVIDIA's driver (580) crashes when such are released.
    """

    def __init__(self, memory: Memory, layout: MemoryLayout, buffers: Mapping[str, cl.Buffer] | None = None) -> None:
        super().__init__(memory, layout, None)
        self.buffers = {key: memory.block(count) for key, count in layout.counts.items()} if buffers is None else buffers

    def argument(self, key: str) -> Any:
        """The tensor's own buffer."""
        return self.buffers[key]

    def place(self, key: str) -> tuple[Any, int]:
        """The tensor's own buffer."""
        return self.buffers[key], 0

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """A copy of each; the event of the last."""
        for key in keys:
            if self.layout.counts[key]:
                after = cl.enqueue_copy(self.memory.queue, self.host(key), self.buffers[key], is_blocking=False)
        return after

    def another(self) -> Region:
        """A host array of its own, as ``CopiedRegion.another``."""
        return ApartRegion(self.memory, self.layout, self.buffers)


class OpenCLResident:
    """A micro-batch on the device: ``samples`` real ones, ``used`` lanes that hold finite numbers; ``units`` of each tensor."""

    def __init__(self, region: Region, layout: BlockLayout, units: Mapping[str, int]) -> None:
        self.region, self.layout, self.units = region, layout, units
        self.samples = self.used = 0

    def blocks(self, key: str) -> Array:
        """A tensor on the host, ``(blocks, units, lanes)``."""
        return self.layout.blocks(self.region.host(key), self.units[key])


def to_blocks(host: Array, samples: Array, used: int) -> None:
    """Sample-first ``(n, units)`` into ``host (blocks, units, lanes)``; padding up to ``used`` repeats the last sample."""
    lanes = host.shape[2]
    if lanes == 1:  # they lie as they come
        host[: len(samples), :, 0] = samples
        host[len(samples) : used, :, 0] = samples[-1:]
        return
    for number, start in enumerate(range(0, used, lanes)):
        part = samples[start : start + lanes]
        count = len(part)
        if count:
            for unit in range(0, host.shape[1], BLOCK):
                host[number, unit : unit + BLOCK, :count] = part[:, unit : unit + BLOCK].T
        if count < lanes:
            host[number, :, count : min(lanes, used - start)] = samples[-1][:, None]


def to_rows(host: Array, rows: Array) -> None:
    """The first ``n`` samples of ``host (blocks, units, lanes)`` into ``rows (n, units)``, which may be a view."""
    lanes = host.shape[2]
    if lanes == 1:
        rows[:] = host[: len(rows), :, 0]
        return
    for number, start in enumerate(range(0, len(rows), lanes)):
        part = rows[start : start + lanes]
        for unit in range(0, host.shape[1], BLOCK):
            part[:, unit : unit + BLOCK] = host[number, unit : unit + BLOCK, : len(part)].T

"""Memory of the OpenCL backend: regions that host and device share or copy, micro-batches, transposition.

A CPU with fine-grained shared virtual memory works on the same bytes as the host, so nothing is ever copied
or mapped.  The host may write or free these bytes unless a queued pass uses them.  On other devices a region
is a device buffer with a host array beside it.
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

#: Units that are transposed at a time, so that source and target stay in the cache.
BLOCK = 1 << 16
#: The alignment of the widest OpenCL type, in bytes.
WIDEST = 128
#: Numbers behind the last tensor of a block: kernels read whole vectors, also where only the first lanes are
#: inside of a tensor.
ROOM_BEHIND = 16


def shares_memory(device: Any) -> bool:
    """Whether host and ``device`` may work on the same bytes without commands.

    This holds for a CPU with fine-grained buffers.
    """
    try:
        found = device.svm_capabilities
    except cl.Error:  # before OpenCL 2.0
        return False
    return kind(device) == "cpu" and bool(found & cl.device_svm_capabilities.FINE_GRAIN_BUFFER)


def shared_numbers(device: Any, context: cl.Context, count: int, dtype: Any) -> Array:
    """Allocates ``count`` numbers, at least one, that host and kernels share, and ``ROOM_BEHIND`` them.

    DeviceError if there is no room.
    """
    try:
        whole: Array = cl.fsvm_empty(context, max(1, count) + ROOM_BEHIND, np.dtype(dtype), alignment=WIDEST)
        return whole[: max(1, count)]
    except (cl.Error, MemoryError) as error:
        raise no_room(device, count, dtype, error) from None


def staged_numbers(queue: cl.CommandQueue, count: int, dtype: Any) -> Array:
    """Allocates ``count`` numbers, at least one, on the host, which the device copies without the processor.

    The memory is pinned.  DeviceError if there is no room.
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
    """The error that ``device`` cannot allocate ``count`` numbers."""
    return DeviceError(
        f"{device.name.strip()}: no room for a buffer of {max(1, count) * np.dtype(dtype).itemsize} bytes "
        f"({error})"
    )


class Memory:
    """Allocates memory for one queue.

    ``shared``: whether host and device work on the same bytes, see ``shares_memory``.
    ``apart``: whether every tensor has its own buffer; always false if memory is shared.
    """

    def __init__(self, queue: cl.CommandQueue, dtype: np.dtype[Any], apart: bool = False) -> None:
        self.queue, self.dtype, self.device = queue, dtype, queue.device
        self.shared = shares_memory(self.device)
        self.apart = apart and not self.shared
        self.align = max(1, max(WIDEST, self.device.mem_base_addr_align // 8) // dtype.itemsize)

    def fits(self, count: int) -> bool:
        """Whether the device can allocate ``count`` numbers in one buffer."""
        return bool(count * self.dtype.itemsize <= self.device.max_mem_alloc_size)

    def block(self, count: int) -> Any:
        """Allocates ``count`` numbers and ``ROOM_BEHIND`` them; DeviceError if the device has no room."""
        context = self.queue.context
        if self.shared:
            return shared_numbers(self.device, context, count, self.dtype)
        try:
            size = (count + ROOM_BEHIND) * self.dtype.itemsize
            return cl.Buffer(context, cl.mem_flags.READ_WRITE, size)
        except (cl.Error, MemoryError) as error:
            raise no_room(self.device, count, self.dtype, error) from None

    def staging(self, count: int) -> Array:
        """Allocates ``count`` numbers on the host for copies to or from the device (``staged_numbers``)."""
        return staged_numbers(self.queue, count, self.dtype)

    def sends(self, vector: Array) -> bool:
        """Whether the device can copy ``vector`` from where it lies.

        ``staged_numbers`` makes such vectors; contiguous parts of them will do too.
        """
        owner = vector.base if isinstance(vector.base, np.ndarray) else vector
        return (
            isinstance(owner.base, cl.MemoryMap) and vector.dtype == self.dtype and vector.flags.c_contiguous
        )

    def reads(self, vector: Array) -> bool:
        """Whether kernels can work on ``vector`` where it lies.

        ``shared_numbers`` makes such vectors; contiguous parts of them will do too.
        """
        owner = vector.base if isinstance(vector.base, np.ndarray) else vector
        inside = self.shared and isinstance(owner.base, cl.SVMAllocation)
        return inside and vector.dtype == self.dtype and vector.flags.c_contiguous and vector.size > 0

    def region(self, layout: MemoryLayout, block: Any = None) -> Region:
        """Tensors at their places in ``block``, or in a block of their own; ``apart`` in blocks of
        their own each.
        """
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
        """The argument for a kernel that expects the tensor at the first byte of its argument."""

    def place(self, key: str) -> tuple[Any, int]:
        """The argument for a kernel that knows offsets, and the byte of it at which the tensor begins."""

    def host(self, key: str) -> Array:
        """The tensor on the host, as a flat array.

        ``send`` brings what the host writes there to the kernels.  After ``fetch``, when its event is
        complete, the array holds what the kernels wrote.
        """

    def send(self, keys: Iterable[str]) -> None:
        """Queues the copy of what the host wrote to the device."""

    def send_from(self, key: str, values: Array) -> None:
        """Queues the copy of ``values`` to the device; they must not change until a later pass has ended."""

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """Queues the copy of tensors to the host and returns the event to wait for.

        ``after``: the event of the last kernel.
        """

    def part(self, key: str, first: int, count: int) -> Any:
        """The argument for a kernel that takes ``count`` numbers of a tensor from ``first`` on.

        ``first`` must be aligned as the device requires.
        """

    def another(self) -> Region:
        """A region for the next pass, to be used while this one's results are not read yet."""


class SharedRegion:
    """Tensors in memory that host and device share, so that nothing is sent or fetched."""

    def __init__(self, memory: Memory, layout: MemoryLayout, block: Array) -> None:
        self.memory, self.layout, self.block = memory, layout, block
        self._arguments = {
            key: cl.SVM(block[start : start + max(1, layout.counts[key])])
            for key, start in layout.offsets.items()
        }
        self._views = {
            key: block[start : start + layout.counts[key]] for key, start in layout.offsets.items()
        }

    def argument(self, key: str) -> Any:
        """The tensor itself."""
        return self._arguments[key]

    def place(self, key: str) -> tuple[Any, int]:
        """The tensor itself."""
        return self._arguments[key], 0

    def host(self, key: str) -> Array:
        """The memory that the kernels work on."""
        return self._views[key]

    def send(self, keys: Iterable[str]) -> None:
        """Does nothing, as the kernels see what the host wrote."""

    def send_from(self, key: str, values: Array) -> None:
        """Copies ``values`` into the shared memory at once."""
        self._views[key][:] = values

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """Returns ``after``, as the results are there as soon as the kernels have ended."""
        return after

    def part(self, key: str, first: int, count: int) -> Any:
        """A part of the same memory."""
        start = self.layout.offsets[key] + first
        return cl.SVM(self.block[start : start + max(1, count)])

    def another(self) -> Region:
        """A region with memory of its own."""
        return self.memory.region(self.layout)


class CopiedRegion:
    """Tensors in one device buffer, with an array on the host that is made when it is first needed."""

    def __init__(self, memory: Memory, layout: MemoryLayout, block: Any) -> None:
        self.memory, self.layout, self.block = memory, layout, block
        self._host: Array | None = None
        self._sent: dict[str, Any] = {}

    def argument(self, key: str) -> Any:
        """A sub-buffer with the tensor."""
        return self.part(key, 0, self.layout.counts[key])

    def place(self, key: str) -> tuple[Any, int]:
        """The whole buffer, and the tensor's first byte in it."""
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
        """Queues the copies.

        An event is kept until the next copy of its tensor, because PyOpenCL waits for an event that is
        dropped.
        """
        for key in keys:
            self._send(key, self.host(key))

    def send_from(self, key: str, values: Array) -> None:
        """Queues a copy straight from ``values`` if the device can do that, else by way of the host array."""
        if self.memory.sends(values):
            self._send(key, values)
        else:
            self.host(key)[:] = values
            self.send([key])

    def _send(self, key: str, values: Array) -> None:
        if values.size:
            buffer, start = self.place(key)
            self._sent[key] = cl.enqueue_copy(
                self.memory.queue, buffer, values, dst_offset=start, is_blocking=False
            )

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """Queues one copy of the stretch that contains all of the tensors."""
        places = [
            (self.layout.offsets[key], self.layout.counts[key]) for key in keys if self.layout.counts[key]
        ]
        if not places:
            return after
        start, stop = min(offset for offset, _ in places), max(offset + count for offset, count in places)
        target, size = self._whole()[start:stop], self.memory.dtype.itemsize
        return cl.enqueue_copy(
            self.memory.queue, target, self.block, src_offset=start * size, is_blocking=False
        )

    def part(self, key: str, first: int, count: int) -> Any:
        """A sub-buffer with a part of the tensor."""
        (buffer, start), size = self.place(key), self.memory.dtype.itemsize
        return buffer.get_sub_region(start + first * size, max(1, count) * size)

    def another(self) -> Region:
        """A region with the same device buffer and its own host array.

        The queue is in order, so results are copied before the next pass writes to the buffer.
        """
        return self.memory.region(self.layout, self.block)


class ApartRegion(CopiedRegion):
    """Tensors in a device buffer each, for kernels that expect a tensor at the first byte of their argument.

    Sub-buffers would do as well, but NVIDIA's driver (580) crashes when they are released.
    """

    def __init__(
        self, memory: Memory, layout: MemoryLayout, buffers: Mapping[str, cl.Buffer] | None = None
    ) -> None:
        super().__init__(memory, layout, None)
        self.buffers = (
            {key: memory.block(count) for key, count in layout.counts.items()} if buffers is None else buffers
        )

    def argument(self, key: str) -> Any:
        """The tensor's own buffer."""
        return self.buffers[key]

    def place(self, key: str) -> tuple[Any, int]:
        """The tensor's own buffer."""
        return self.buffers[key], 0

    def fetch(self, keys: Iterable[str], after: Any) -> Any:
        """Queues one copy for each tensor; returns the event of the last."""
        for key in keys:
            if self.layout.counts[key]:
                after = cl.enqueue_copy(
                    self.memory.queue, self.host(key), self.buffers[key], is_blocking=False
                )
        return after

    def another(self) -> Region:
        """A region with the same buffers and its own host array, as in ``CopiedRegion.another``."""
        return ApartRegion(self.memory, self.layout, self.buffers)


class OpenCLResident:
    """A micro-batch on the device.

    ``units``: the number of units of each tensor.
    ``samples``: the number of real samples.
    ``used``: the number of lanes, padding included, that hold finite numbers.
    """

    def __init__(self, region: Region, layout: BlockLayout, units: Mapping[str, int]) -> None:
        self.region, self.layout, self.units = region, layout, units
        self.samples = self.used = 0

    def blocks(self, key: str) -> Array:
        """The tensor on the host, as ``(blocks, units, lanes)``."""
        return self.layout.blocks(self.region.host(key), self.units[key])


def to_blocks(host: Array, samples: Array, used: int) -> None:
    """Copies ``samples (n, units)`` into ``host (blocks, units, lanes)``.

    Padding up to ``used`` samples repeats the last sample.
    """
    lanes = host.shape[2]
    if lanes == 1:  # samples lie one after the other, as in ``samples``
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
    """Copies the first ``n`` samples of ``host (blocks, units, lanes)`` into ``rows (n, units)``.

    ``rows`` may be a view.
    """
    lanes = host.shape[2]
    if lanes == 1:
        rows[:] = host[: len(rows), :, 0]
        return
    for number, start in enumerate(range(0, len(rows), lanes)):
        part = rows[start : start + lanes]
        for unit in range(0, host.shape[1], BLOCK):
            part[:, unit : unit + BLOCK] = host[number, unit : unit + BLOCK, : len(part)].T

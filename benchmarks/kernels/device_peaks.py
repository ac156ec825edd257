"""What a device can do: its multiply-add peak, its bandwidth in every level of memory, and what a launch
costs.  Measured.

The peak is that of ``a = a * x + y`` on independent accumulators; the vector width and the number of
accumulators that reach most count.  Bandwidth is the better of copy and triad (bytes of loads and stores, as
STREAM counts), repeated within one launch on arrays that fit the level.  Times are the device's own
(profiling), the best of several.

The caches of a CPU are known.  What a GPU's driver tells is not the cache that all units share (NVIDIA's
names that of the single units), so there the bandwidth is measured over spans of data, and the cache ends
where it falls towards memory's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl

from ...runtime.opencl.device import device as devices
from ...runtime.opencl.device.caches import levels
from ...runtime.opencl.device.programs import REAL

ACCUMULATORS = (4, 8, 12, 16, 20, 24, 28)
WIDTHS = {"float32": (4, 8, 16), "float64": (2, 4)}  # wider doubles are miscompiled by PoCL
GPU_WIDTHS = {"float32": (1, 2, 4), "float64": (1, 2)}
REPEATS = 7
#: Seconds that one launch is to take.
LAUNCH_SECONDS = 0.004
#: The largest arrays together, and a cache where the device does not tell.
MOST_BYTES, UNKNOWN_CACHE = 3 * 2**29, 32 * 2**20
#: On a GPU: the largest arrays together, work items of a unit and of a group, and spans in which a cache is
#: looked for.
GPU_MOST_BYTES, UNIT_ITEMS, GROUP = 3 * 2**30, 2048, 256
GPU_SPANS = tuple(part * 2**power for power in range(20, 27) for part in (4, 6))
#: A cache is at least so many times as fast as memory.
GAIN = 1.15

PEAK = """
#if defined(cl_khr_fp64)
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
__kernel void peak(__global VECTOR *out, const REAL x, const REAL y, const int steps)
{
    VECTOR a[COUNT];
#pragma unroll
    for (int i = 0; i < COUNT; ++i) a[i] = (VECTOR)(get_global_id(0) + i);
    const VECTOR s = (VECTOR)(x), t = (VECTOR)(y);
    for (int k = 0; k < steps; ++k) {
#pragma unroll
        for (int i = 0; i < COUNT; ++i) a[i] = a[i] * s + t;
    }
    VECTOR sum = (VECTOR)(0);
#pragma unroll
    for (int i = 0; i < COUNT; ++i) sum += a[i];
    out[get_global_id(0)] = sum;
}
"""

STREAM = """
#if defined(cl_khr_fp64)
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
// Every work item walks through its own piece.
__kernel void copy(__global const VECTOR *a, __global const VECTOR *b, __global VECTOR *c, const int part, const int repeats)
{
    const int first = get_global_id(0) * part;
    for (int r = 0; r < repeats; ++r) {
        for (int n = 0; n < part; ++n) c[first + n] = a[first + n] + (REAL)(r);
    }
}
__kernel void triad(__global const VECTOR *a, __global const VECTOR *b, __global VECTOR *c, const int part, const int repeats)
{
    const int first = get_global_id(0) * part;
    for (int r = 0; r < repeats; ++r) {
        for (int n = 0; n < part; ++n) c[first + n] = a[first + n] + (REAL)(r) * b[first + n];
    }
}
"""  # noqa: E501
GPU_STREAM = """
#if defined(cl_khr_fp64)
#pragma OPENCL EXTENSION cl_khr_fp64 : enable
#endif
// All work items lie side by side and step over one another.  Every repeat begins HOP further on, so that no unit finds in a
// cache of its own what it read in the repeat before.
#define ARRAYS __global const VECTOR *restrict a, __global const VECTOR *restrict b, __global VECTOR *restrict c
__kernel void copy(ARRAYS, const int part, const int repeats)
{
    const int step = get_global_size(0), size = step * part, hop = HOP % size;
    int at = get_global_id(0);
    for (int r = 0; r < repeats; ++r) {
#pragma unroll 4
        for (int n = 0; n < part; ++n) {
            c[at] = a[at] + (REAL)(r);
            at = at + step < size ? at + step : at + step - size;
        }
        at = at + hop < size ? at + hop : at + hop - size;
    }
}
__kernel void triad(ARRAYS, const int part, const int repeats)
{
    const int step = get_global_size(0), size = step * part, hop = HOP % size;
    int at = get_global_id(0);
    for (int r = 0; r < repeats; ++r) {
#pragma unroll 4
        for (int n = 0; n < part; ++n) {
            c[at] = a[at] + (REAL)(r) * b[at];
            at = at + step < size ? at + step : at + step - size;
        }
        at = at + hop < size ? at + hop : at + hop - size;
    }
}
"""  # noqa: E501
#: Work items between two repeats: a prime number of groups, which no number of units divides.
HOP = 37 * GROUP
ARRAYS = {"copy": 2, "triad": 3}


@dataclass(frozen=True)
class Level:
    """Memory that holds up to ``size`` bytes at ``bandwidth`` bytes a second; the last one holds
    everything.
    """

    name: str
    size: int
    bandwidth: float
    kernel: str


@dataclass(frozen=True)
class Peaks:
    """What one device reaches in one dtype.

    flops: operations a second.
    width, accumulators: the vectors and the number of sums with which it reaches them.
    levels: caches and memory, the fastest first.
    launch: seconds of an empty launch.
    tried: operations a second of everything that was tried.
    """

    device: str
    dtype: str
    flops: float
    width: int
    accumulators: int
    levels: tuple[Level, ...]
    launch: float
    tried: dict[str, float] = field(default_factory=dict)

    def level(self, size: float) -> Level:
        """The fastest level that holds ``size`` bytes."""
        return next((level for level in self.levels if size <= level.size), self.levels[-1])

    def roof(self, intensity: float, size: float) -> float:
        """Operations a second that ``intensity`` operations a byte allow, on data of ``size`` bytes."""
        return min(self.flops, intensity * self.level(size).bandwidth)

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)


def measure(dtypes: Sequence[str], device: str | None = None) -> list[Peaks]:
    """The peaks of a device (see ``runtime.opencl.device.device.choose``) for every dtype that it
    computes in.
    """
    chosen = devices.choose(device)
    meter = Meter(chosen)
    return [meter.peaks(dtype) for dtype in dtypes if dtype == "float32" or devices.has_fp64(chosen)]


def caches(device: Any) -> list[tuple[str, int]]:
    """Names and bytes of a CPU's cache levels, all cores' together: the system's, else what the device
    tells.
    """
    units = max(1, int(device.max_compute_units))
    found = [
        (f"L{each.level}", each.bytes * (1 if each.shared else units)) for each in levels() if each.level >= 2
    ]
    return found or [("cache", int(device.global_mem_cache_size) or UNKNOWN_CACHE)]


def fallen(spans: Mapping[int, tuple[float, str]], memory: tuple[float, str], size: int) -> tuple[Level, ...]:
    """The cache and the memory of a GPU, from bandwidths on arrays of growing size.

    spans: bandwidth and kernel by bytes.
    memory: bandwidth and kernel on more bytes than any cache holds.
    size: bytes of its memory.

    The cache is as large as the last span whose bandwidth is nearer to the highest than to memory's.
    """
    whole = Level("memory", size, *memory)
    best = max(spans.values(), default=memory)
    if best[0] < GAIN * memory[0]:
        return (whole,)
    within = max(span for span, found in spans.items() if 2 * found[0] >= best[0] + memory[0])
    return (Level("cache", within, *best), whole)


class Meter:
    """What measures a device: its queue, and how many work items fill it."""

    def __init__(self, device: Any) -> None:
        self.device, self.context = device, devices.context(device)
        self.queue = cl.CommandQueue(self.context, properties=cl.command_queue_properties.PROFILING_ENABLE)
        self.cpu = devices.kind(device) == "cpu"
        # Enough work items to fill the device; on a CPU some more than threads, so that none waits long for
        # the last.
        self.items = int(device.max_compute_units) * (8 if self.cpu else UNIT_ITEMS)
        self.group = (1 if self.cpu else min(GROUP, int(device.max_work_group_size)),)

    def peaks(self, dtype: str) -> Peaks:
        """Everything that the device reaches in ``dtype``."""
        tried = {}
        for width in (WIDTHS if self.cpu else GPU_WIDTHS)[dtype]:
            for count in ACCUMULATORS:
                tried[width, count] = self.flops(dtype, width, count)
        for key in sorted(tried, key=lambda key: -tried[key])[
            :3
        ]:  # the others in the machine may have slowed one down
            tried[key] = max(tried[key], *(self.flops(dtype, *key) for _ in range(2)))
        width, count = max(tried, key=lambda key: tried[key])
        widest = max((WIDTHS if self.cpu else GPU_WIDTHS)[dtype])
        levels = self._levels(dtype, widest) if self.cpu else self._gpu_levels(dtype, widest)
        printed = {f"{w} x {n}": flops for (w, n), flops in tried.items()}
        flops = tried[width, count]
        return Peaks(
            self.device.name.strip(), dtype, flops, width, count, levels, self._launch_seconds(), printed
        )

    def flops(self, dtype: str, width: int, count: int) -> float:
        """Operations a second of multiply-adds on ``count`` vectors of ``width`` numbers that do not depend
        on one another.
        """
        real = REAL[dtype]
        vector = real if width == 1 else f"{real}{width}"
        program = cl.Program(self.context, PEAK).build(
            [f"-DVECTOR={vector}", f"-DREAL={real}", f"-DCOUNT={count}"]
        )
        kernel = cl.Kernel(program, "peak")
        number = np.dtype(dtype).type
        out = cl.Buffer(self.context, cl.mem_flags.READ_WRITE, self.items * width * np.dtype(dtype).itemsize)

        def seconds(steps: int, repeats: int) -> float:
            kernel.set_args(out, number(0.999), number(0.001), np.int32(steps))
            return self._best(kernel, (self.items,), self.group, repeats)

        steps = _grow(lambda n: seconds(n, 2), 256)
        return 2.0 * width * count * steps * self.items / seconds(steps, REPEATS)

    def _levels(self, dtype: str, width: int) -> tuple[Level, ...]:
        sizes, below = [], 0
        for name, size in caches(self.device):
            if (
                size > 2 * below
            ):  # half full at most, so that nothing else drives it out, and well above the level below
                sizes.append((name, size, int((below * size) ** 0.5) if below else size // 2))
                below = size
        whole = min(MOST_BYTES, int(self.device.global_mem_size) // 4)
        kept = [(name, size, min(span, whole)) for name, size, span in sizes]
        spans = [*kept, ("memory", int(self.device.global_mem_size), min(whole, max(4 * below, 2**28)))]
        found: list[Level] = []
        for name, size, span in spans:
            best = self._faster(dtype, width, span)
            if found and best[0] > found[-1].bandwidth:  # a level is not faster than the one that is nearer
                best = (found[-1].bandwidth, found[-1].kernel)
            found.append(Level(name, size, *best))
        return tuple(found)

    def _gpu_levels(self, dtype: str, width: int) -> tuple[Level, ...]:
        size = int(self.device.global_mem_size)
        whole = min(GPU_MOST_BYTES, size // 4)
        spans = {span: self._faster(dtype, width, span) for span in GPU_SPANS if span <= whole // 4}
        return fallen(spans, self._faster(dtype, width, whole), size)

    def _faster(self, dtype: str, width: int, span: int) -> tuple[float, str]:
        """Bandwidth on arrays that together take ``span`` bytes, and the kernel that reaches it."""
        return max(
            ((self._bandwidth(dtype, width, kernel, span), kernel) for kernel in ARRAYS),
            key=lambda pair: pair[0],
        )

    def _pieces(self, elements: int) -> tuple[int, int]:
        """Work items, and vectors of each, for arrays of about ``elements`` vectors.

        A GPU takes fewer items where there are few vectors.
        """
        if self.cpu:
            return self.items, max(4, elements // self.items // 4 * 4)
        items = max(1, min(self.items, elements) // self.group[0]) * self.group[0]
        return items, max(1, elements // items)

    def _bandwidth(self, dtype: str, width: int, name: str, span: int) -> float:
        real, arrays = REAL[dtype], ARRAYS[name]
        itemsize = np.dtype(dtype).itemsize * width
        items, part = self._pieces(span // arrays // itemsize)
        vector = real if width == 1 else f"{real}{width}"
        options = [f"-DVECTOR={vector}", f"-DREAL={real}", *([] if self.cpu else [f"-DHOP={HOP}"])]
        kernel = cl.Kernel(cl.Program(self.context, STREAM if self.cpu else GPU_STREAM).build(options), name)
        size = part * items * itemsize
        buffers = [cl.Buffer(self.context, cl.mem_flags.READ_WRITE, size) for _ in range(arrays)]
        if name == "copy":
            buffers.insert(1, buffers[0])
        for buffer in buffers:
            cl.enqueue_fill_buffer(self.queue, buffer, np.dtype(dtype).type(0), 0, buffer.size)

        def seconds(repeats: int, times: int) -> float:
            kernel.set_args(*buffers, np.int32(part), np.int32(repeats))
            return self._best(kernel, (items,), self.group, times)

        repeats = _grow(lambda n: seconds(n, 2), 1)
        found = arrays * size * repeats / seconds(repeats, REPEATS)
        for buffer in {id(b): b for b in buffers}.values():
            buffer.release()
        return found

    def _launch_seconds(self) -> float:
        """The time that the device reports for a kernel that does next to nothing."""
        text = "__kernel void none(__global int *a) { a[get_global_id(0)] = 1; }"
        kernel = cl.Kernel(cl.Program(self.context, text).build(), "none")
        out = cl.Buffer(self.context, cl.mem_flags.READ_WRITE, 4 * 64)
        kernel.set_args(out)
        return self._best(kernel, (64,), (4,), 50, middle=True)

    def _best(
        self, kernel: Any, size: tuple[int, ...], group: tuple[int, ...], repeats: int, middle: bool = False
    ) -> float:
        times = []
        for _ in range(repeats + 1):
            event = cl.enqueue_nd_range_kernel(self.queue, kernel, size, group)
            event.wait()
            times.append((event.profile.end - event.profile.start) * 1e-9)
        return float(np.median(times[1:]) if middle else min(times[1:]))


def _grow(seconds: Any, steps: int) -> int:
    """As many steps as take about ``LAUNCH_SECONDS``."""
    while steps < 2**28:
        taken = seconds(steps)
        if taken >= LAUNCH_SECONDS:
            break
        steps *= int(min(16, max(2, LAUNCH_SECONDS / max(taken, 1e-7))))
    return steps


def processor() -> str:
    """The processor's name and how many cores the process may use."""
    names = [
        line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")
    ]
    return f"{names[0] if names else 'unknown processor'}, {os.cpu_count()} cores"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []

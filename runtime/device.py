"""OpenCL devices: discovery, choice, capabilities, and a self-test.

A device is chosen by ``device=``, else by the environment variable ``PHIZ_DEVICE``, else by PyOpenCL's ``PYOPENCL_CTX``:
``"platform:device"`` or just ``"platform"``, each a number or a part of the name (``"0:0"``, ``"portable"``, ``":nvidia"``).
Unasked, the first CPU device is taken, Portable Computing Language (PoCL) first.  Nothing ever prompts.
"""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from .errors import DeviceError
from .register_tiles import Machine
from .warp_tiles import ITEMS_PER_UNIT

REMEDY = 'install one with: pip install "pyopencl[pocl]"'

SELF_TEST = """
__kernel void axpy(__global const float *x, __global float *y, const float a)
{
    y[get_global_id(0)] += a * x[get_global_id(0)];
}
"""

#: The group size of this kernel says what vectors the compiler targets; nothing is launched.
REGISTERS = """
#if defined(__AVX512F__)
#define LANES 16
#else
#define LANES 8
#endif
__kernel __attribute__((reqd_work_group_size(LANES, 1, 1))) void registers(__global float *x) { x[0] = 0; }
"""


@dataclass(frozen=True)
class DeviceInfo:
    """What ``phiz doctor`` prints about a device; memory sizes in bytes."""

    platform: str
    name: str
    version: str
    driver: str
    kind: str  # cpu | gpu | other
    fp64: bool
    compute_units: int
    local_memory: int
    global_memory: int
    selector: str  # what to pass as device=


def pinned(environment: MutableMapping[str, str]) -> None:
    """Ask PoCL to keep each of its threads on a core of its own, unless the user chose or the process may not use all cores.

    Woken at the same time, two of them are often put on the same core, and a pass is over before the kernel moves one away.
    """
    may_use = getattr(os, "sched_getaffinity", lambda process: ())
    if len(may_use(0)) == os.cpu_count():
        environment.setdefault("POCL_AFFINITY", "1")


def _pyopencl() -> Any:
    try:
        import pyopencl
    except ImportError as error:
        raise DeviceError(f"PyOpenCL cannot be imported ({error}); {REMEDY}") from None
    return pyopencl


def all_devices() -> list[Any]:
    """Every ``pyopencl.Device``, platform by platform; DeviceError with the remedy where there is none."""
    cl = _pyopencl()
    pinned(os.environ)
    try:
        platforms = cl.get_platforms()
    except cl.Error as error:
        raise DeviceError(f"no OpenCL platform found ({error}); {REMEDY}") from None
    devices = [device for platform in platforms for device in _platform_devices(platform)]
    if not devices:
        raise DeviceError(f"no OpenCL device found on {len(platforms)} platforms; {REMEDY}")
    return devices


def _platform_devices(platform: Any) -> list[Any]:
    cl = _pyopencl()
    try:
        return list(platform.get_devices())
    except cl.Error:  # a platform without devices answers with an error
        return []


def kind(device: Any) -> str:
    """``cpu``, ``gpu`` or ``other``."""
    cl = _pyopencl()
    if device.type & cl.device_type.CPU:
        return "cpu"
    return "gpu" if device.type & cl.device_type.GPU else "other"


def is_pocl(device: Any) -> bool:
    """Whether it is one of the Portable Computing Language."""
    return "portable computing" in device.platform.name.lower()


#: PoCL miscompiles vectors of more than 4 doubles.
MOST_DOUBLES = 4


def vector_width(device: Any, kind: str, dtype: str) -> int:
    """Samples per vector: 1 on a GPU; on a CPU 8 floats (AVX) or 16 (AVX-512), and 4 doubles."""
    if kind == "gpu":
        return 1
    return MOST_DOUBLES if dtype == "float64" else register_lanes(device)


@cache
def register_lanes(device: Any) -> int:
    """Floats in a vector register of the machine that a CPU device's compiler generates code for: 16 with AVX-512, else 8.

    The device's own answer is about the processor.  PoCL 3.0 knows Zen 4 as Zen 3, without AVX-512: there the vectors of 16 that
    it claims are native crash its compiler.
    """
    cl = _pyopencl()
    try:
        kernel = cl.Kernel(cl.Program(context(device), REGISTERS).build(), "registers")
        return int(kernel.get_work_group_info(cl.kernel_work_group_info.COMPILE_WORK_GROUP_SIZE, device)[0])
    except cl.Error as error:
        raise DeviceError(f"{device.name.strip()}: its compiler fails on a kernel of one line ({error})") from None


def widest(device: Any, kind: str, dtype: str) -> int:
    """The longest vectors that may be tried: PoCL crashes on floats that are wider than its registers, or miscompiles them."""
    if kind != "cpu" or not is_pocl(device):
        return 16
    return vector_width(device, kind, dtype)


def machine(device: Any, kind: str) -> Machine:
    """Vector registers of a work item (16 with AVX, 32 with AVX-512, 64 on a GPU), the work items that keep the device busy, and
    its constant and local memory.
    """
    units, constant = int(device.max_compute_units), int(device.max_constant_buffer_size)
    align, local = max(128, int(device.mem_base_addr_align) // 8), int(device.local_mem_size)
    if kind == "gpu":
        return Machine(64, units * ITEMS_PER_UNIT, constant, align, local)
    return Machine(32 if register_lanes(device) == 16 else 16, units, constant, align, local)


def has_fp64(device: Any) -> bool:
    """Whether the device computes in double precision."""
    return bool(device.double_fp_config)


def discover() -> list[DeviceInfo]:
    """Every device; empty where there is no OpenCL at all."""
    try:
        devices = all_devices()
    except DeviceError:
        return []
    platforms = _pyopencl().get_platforms()
    return [describe(device, _selector(device, platforms)) for device in devices]


def _selector(device: Any, platforms: list[Any]) -> str:
    number = platforms.index(device.platform)
    return f"{number}:{_platform_devices(device.platform).index(device)}"


def describe(device: Any, selector: str = "") -> DeviceInfo:
    """The capabilities of ``device``."""
    return DeviceInfo(
        device.platform.name.strip(),
        device.name.strip(),
        device.version.strip(),
        device.driver_version.strip(),
        kind(device),
        has_fp64(device),
        int(device.max_compute_units),
        int(device.local_mem_size),
        int(device.global_mem_size),
        selector,
    )


def choose(device: str | None = None) -> Any:
    """The ``pyopencl.Device`` that ``device`` (else the environment) selects; DeviceError naming what there is."""
    wanted = device or os.environ.get("PHIZ_DEVICE") or os.environ.get("PYOPENCL_CTX") or ""
    found = all_devices()
    if not wanted:
        return min(found, key=_preference)
    platform, _, name = wanted.partition(":")
    platforms = _pyopencl().get_platforms()
    chosen = [
        d
        for p in platforms
        if _matches(platform, platforms.index(p), p.name)
        for number, d in enumerate(_platform_devices(p))
        if _matches(name, number, d.name)
    ]
    if not chosen:
        known = ", ".join(f"{_selector(d, platforms)} = {d.platform.name.strip()} {d.name.strip()}" for d in found)
        raise DeviceError(f"no OpenCL device matches {wanted!r}, there are {known}")
    return chosen[0]


def _matches(wanted: str, number: int, name: str) -> bool:
    if not wanted:
        return True
    return int(wanted) == number if wanted.isdigit() else wanted.lower() in name.lower()


def _preference(device: Any) -> tuple[bool, bool]:
    return (kind(device) != "cpu", not is_pocl(device))


@cache
def context(device: Any) -> Any:
    """One context per device and process, so that buffers and programs can be shared."""
    cl = _pyopencl()
    try:
        return cl.Context([device])
    except cl.Error as error:
        raise DeviceError(f"{device.name.strip()}: no OpenCL context ({error})") from None


def require(device: Any, dtype: str) -> None:
    """DeviceError where ``device`` cannot compute in ``dtype``."""
    if dtype == "float64" and not has_fp64(device):
        raise DeviceError(f"{device.name.strip()}: has no double precision (fp64); use dtype float32 or backend numpy")


def self_test(device: Any) -> None:
    """Build and run a kernel on ``device``; DeviceError where it does not give the right numbers."""
    cl = _pyopencl()
    count = 1000
    x, y = np.arange(count, dtype=np.float32), np.ones(count, dtype=np.float32)
    expected = y + np.float32(0.5) * x
    flags = cl.mem_flags
    try:
        shared = context(device)
        queue = cl.CommandQueue(shared)
        kernel = cl.Kernel(cl.Program(shared, SELF_TEST).build(), "axpy")
        source = cl.Buffer(shared, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=x)
        target = cl.Buffer(shared, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=y)
        kernel.set_args(source, target, np.float32(0.5))
        cl.enqueue_nd_range_kernel(queue, kernel, (count,), None)
        cl.enqueue_copy(queue, y, target)
    except cl.Error as error:
        raise DeviceError(f"{device.name.strip()}: the self-test kernel failed ({error})") from None
    if not np.array_equal(y, expected):
        raise DeviceError(f"{device.name.strip()}: the self-test kernel gave wrong numbers")

"""OpenCL devices: discovery, choice, capabilities, and a self-test.

A device is chosen by ``device=``, else by the environment variable ``PHIZ_DEVICE``, else by PyOpenCL's
``PYOPENCL_CTX``: ``"platform:device"`` or just ``"platform"``, each a number or a part of the name
(``"0:0"``, ``"portable"``, ``":nvidia"``).  Unasked, the first CPU device is taken, Portable Computing
Language (PoCL) first.  Nothing ever prompts.

``PHIZ_LANES`` (4, 8, 16) makes CPU devices narrower than they are, see ``vector_registers``.
"""

from __future__ import annotations

import os
import threading
from collections.abc import MutableMapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from ...errors import DeviceError
from . import vector_registers
from .machine import ITEMS_PER_UNIT, Machine
from .vector_registers import Registers

REMEDY = 'install one with: pip install "pyopencl[pocl]"'

SELF_TEST = """
__kernel void axpy(__global const float *x, __global float *y, const float a)
{
    y[get_global_id(0)] += a * x[get_global_id(0)];
}
"""

#: PoCL's names, old and new, for the number of its threads.
THREADS = ("POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT")


@dataclass(frozen=True)
class Device:
    """A device as phiz uses it.

    What OpenCL tells about it are attributes of its ``handle``, a ``pyopencl.Device``, and its own.

    ``lanes``: floats of a vector register, where the device was made narrower than it is, else 0.
    """

    handle: Any
    lanes: int = 0

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by copy and pickle, before there is a handle
            raise AttributeError(name)
        return getattr(self.handle, name)


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
    """Ask PoCL to keep each of its threads on a core of its own.

    Not where the user chose otherwise, or where there is not one thread for each core.

    Woken at the same time, two of them are often put on the same core, and a pass is over before the kernel
    moves one away.
    PoCL counts cores from the first: fewer threads than cores would meet those of other processes there, and
    more do not start.
    """
    may_use = getattr(os, "sched_getaffinity", lambda process: ())
    threads = {environment.get(name, "") for name in THREADS} - {"", str(os.cpu_count())}
    if len(may_use(0)) == os.cpu_count() and not threads:
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


def vector_width(device: Device, kind: str, dtype: str) -> int:
    """Samples per vector: 1 on a GPU, else the floats or doubles of a vector register."""
    if kind == "gpu":
        return 1
    found = registers(device)
    return found.doubles if dtype == "float64" else found.lanes


@cache
def registers(device: Device) -> Registers:
    """Vector registers of a CPU device.

    Raises PhizError where its compiler does not work, or where it has not as many lanes as asked.
    """
    own = vector_registers.of_the_compiler(device.handle, context(device))
    if not device.lanes:
        return own
    return vector_registers.narrowed(own, device.lanes, device.name.strip(), vector_registers.SETTING)


def widest(device: Device, kind: str, dtype: str) -> int:
    """The longest vectors that may be tried: PoCL crashes on floats that are wider than its registers,
    or miscompiles them.
    """
    if kind != "cpu" or not (is_pocl(device) or device.lanes):
        return 16
    return vector_width(device, kind, dtype)


def machine(device: Device, kind: str) -> Machine:
    """What configurations must fit on the device.

    A CPU has its vector registers, a GPU 64 of them; see ``Machine`` for the rest.
    """
    units, constant = int(device.max_compute_units), int(device.max_constant_buffer_size)
    align, local = max(128, int(device.mem_base_addr_align) // 8), int(device.local_mem_size)
    if kind == "gpu":
        return Machine(64, units * ITEMS_PER_UNIT, constant, align, local)
    return Machine(registers(device).count, units, constant, align, local)


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


def choose(device: str | None = None, lanes: int | None = None) -> Device:
    """The device that ``device`` (else the environment) selects; DeviceError naming what there is.

    ``lanes``: floats of a vector register, else what ``PHIZ_LANES`` says, which leaves devices that are no
    CPU as they are; PhizError where the device has not as many.
    """
    handle = _chosen(device or os.environ.get("PHIZ_DEVICE") or os.environ.get("PYOPENCL_CTX") or "")
    if lanes is not None and kind(handle) != "cpu":
        raise DeviceError(
            f"{handle.name.strip()}: lanes={lanes}, but only the vector registers of a CPU can be made "
            "narrower"
        )
    wanted = vector_registers.asked(os.environ.get(vector_registers.SETTING, "")) if lanes is None else lanes
    own = Device(handle)
    if kind(handle) != "cpu" or (lanes is None and not wanted):
        return own
    setting = vector_registers.SETTING if lanes is None else "lanes"
    found = vector_registers.narrowed(registers(own), wanted, handle.name.strip(), setting)
    return own if found == registers(own) else Device(handle, wanted)


def _chosen(wanted: str) -> Any:
    """The ``pyopencl.Device`` of a selector."""
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
        known = ", ".join(
            f"{_selector(d, platforms)} = {d.platform.name.strip()} {d.name.strip()}" for d in found
        )
        raise DeviceError(f"no OpenCL device matches {wanted!r}, there are {known}")
    return chosen[0]


def _matches(wanted: str, number: int, name: str) -> bool:
    if not wanted:
        return True
    return int(wanted) == number if wanted.isdigit() else wanted.lower() in name.lower()


def _preference(device: Any) -> tuple[bool, bool]:
    return (kind(device) != "cpu", not is_pocl(device))


def handle_of(device: Any) -> Any:
    """The ``pyopencl.Device`` of ``device``, which may be one itself (a queue's)."""
    return device.handle if isinstance(device, Device) else device


def context(device: Any) -> Any:
    """One context per device and process, so that buffers and programs can be shared, whatever its lanes."""
    return _context(handle_of(device))


#: Contexts by device; two threads that first ask at the same time get the same one.
_contexts: dict[Any, Any] = {}
_lock = threading.Lock()
#: Whether this process was forked from one that had a context, whose threads did not come along.
_inherited = False


def _after_fork() -> None:
    global _inherited, _lock
    _inherited, _lock = bool(_contexts), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def refuse_inherited() -> None:
    """DeviceError in a forked process whose parent used OpenCL: it would wait for threads that it does
    not have.
    """
    if _inherited:
        raise DeviceError(
            "this process was forked from one that had used OpenCL, whose threads did not come along: "
            "start processes with the "
            "method 'spawn' (multiprocessing.set_start_method), or use backend='numpy'"
        )


def _context(device: Any) -> Any:
    cl = _pyopencl()
    refuse_inherited()
    try:
        with _lock:
            if device not in _contexts:
                _contexts[device] = cl.Context([device])
            return _contexts[device]
    except cl.Error as error:
        raise DeviceError(f"{device.name.strip()}: no OpenCL context ({error})") from None


def require(device: Any, dtype: str) -> None:
    """DeviceError where ``device`` cannot compute in ``dtype``."""
    if dtype == "float64" and not has_fp64(device):
        raise DeviceError(
            f"{device.name.strip()}: has no double precision (fp64); use dtype float32 or backend numpy"
        )


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

"""What phiz needs from the machine, looked at piece by piece, each fault with its remedy."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import platformdirs

from .errors import PhizError
from .manifest.loading import builtin, builtin_path
from .opencl.device import device as devices
from .opencl.device.caches import USUAL, CacheLevel, levels
from .opencl.tuned.cache import cache_folder

PACKAGES = (
    "numpy",
    "scipy",
    "pyopencl",
    "pocl-binary-distribution",
    "safetensors",
    "matplotlib",
    "scikit-learn",
)


@dataclass(frozen=True)
class Finding:
    """One thing looked at.  fault: what is wrong, with the remedy; "" where nothing is."""

    subject: str
    detail: str
    fault: str = ""

    @property
    def well(self) -> bool:
        """True where nothing is wrong."""
        return not self.fault


def examine() -> list[Finding]:
    """Versions, generated kernels, OpenCL platforms and devices, the device that would be used, caches."""
    return [*_versions(), *_kernels(), *_devices(), *_caches()]


def _versions() -> Iterator[Finding]:
    yield Finding("python", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    found = []
    for name in PACKAGES:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} not installed")
    yield Finding("packages", ", ".join(found))


def _kernels() -> Iterator[Finding]:
    try:
        manifest = builtin()
        yield Finding(
            "kernels",
            f"{builtin_path()}: {len(manifest.layers)} layers, {len(manifest.activations)} activations",
        )
    except PhizError as error:
        yield Finding("kernels", "generated kernels", str(error))


def _devices() -> Iterator[Finding]:
    try:
        found = [(info, devices.choose(info.selector)) for info in devices.discover()]
        chosen = devices.choose()
    except PhizError as error:
        yield Finding("opencl", "no device", str(error))
        return
    for info, device in found:
        memory = f"{info.global_memory / 2**30:.1f} GiB, {info.local_memory / 1024:.0f} KiB local"
        fp64 = "fp64" if info.fp64 else "no fp64"
        used = ", used unless another is chosen" if device == chosen else ""
        detail = (
            f"{info.platform}: {info.name}, {info.kind}, {info.compute_units} units, {fp64}, {memory}{used}"
        )
        yield Finding(f"device {info.selector}", f"{detail}; {info.version}")
    if devices.is_pocl(chosen):
        bound = os.environ.get("POCL_AFFINITY", "0") == "1"
        where = "each on a core of its own (POCL_AFFINITY=0 leaves them free)" if bound else "on any core"
        yield Finding("threads", f"{chosen.max_compute_units}, {where}")
    if devices.kind(chosen) == "cpu":
        yield from _processor(chosen)
    try:
        devices.self_test(chosen)
        yield Finding("self-test", f"a kernel runs on {chosen.name.strip()}")
    except PhizError as error:
        yield Finding("self-test", "a kernel", f"{error}; {devices.REMEDY}, or use: --backend numpy")
    if not devices.has_fp64(chosen):
        yield Finding(
            "fp64",
            "double precision",
            f"{chosen.name.strip()} has none; use --dtype float32, or --backend numpy",
        )


def _processor(device: devices.Device) -> Iterator[Finding]:
    """Vectors, registers and caches of a CPU, and how each was found out."""
    try:
        found = devices.registers(device)
    except PhizError as error:
        yield Finding("vectors", "vector registers", str(error))
    else:
        detail = (
            f"{found.lanes} floats or {found.doubles} doubles in each of {found.count} registers "
            f"({found.found})"
        )
        yield Finding("vectors", detail)
    told = levels()
    text = ", ".join(map(_cache_level, told))
    whole = f"{int(device.global_mem_cache_size) / 1024:.0f} KiB says OpenCL"
    usual = f"L2 {USUAL // 1024} KiB a core is assumed, the system does not tell; {whole}"
    yield Finding("caches", f"{text} (the system's list; {whole})" if told else usual)


def _cache_level(cache: CacheLevel) -> str:
    return f"L{cache.level} {cache.bytes // 1024} KiB {'shared' if cache.shared else 'a core'}"


def _caches() -> Iterator[Finding]:
    pocl = os.environ.get("POCL_CACHE_DIR") or platformdirs.user_cache_dir("pocl")
    places = (
        ("pocl", pocl),
        ("pyopencl", platformdirs.user_cache_dir("pyopencl")),
        ("phiz", str(cache_folder())),
    )
    for name, path in places:
        yield _cache(name, Path(path))


def _cache(name: str, path: Path) -> Finding:
    existing = next((folder for folder in (path, *path.parents) if folder.exists()), path)
    note = "" if existing == path else " (made when it is needed)"
    if os.access(existing, os.W_OK):
        return Finding(f"cache {name}", f"{path}{note}")
    return Finding(
        f"cache {name}", str(path), f"{existing}: cannot be written; set XDG_CACHE_HOME to a folder that can"
    )

"""What a measured time depends on: the text and macros of the kernel, its sizes, and the device."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from ...manifest.loading import builtin
from ...manifest.records import KernelInfo
from ...powers import power_above
from ...program.program import Unit
from ..device import device as devices

#: Sample counts of one class lie within a factor of two.  Where a class has no entry, one within ``NEAR``
#: classes serves, but none below ``LEAST_NEAR`` samples: a handful of samples is another problem.
NEAR, LEAST_NEAR = 2, 16
#: The version of the choice of default tiles and partial sums, which measured times were compared with.
#: It is raised when a change makes another choice for some kernel; not when text or names change, or files
#: move.
DEFAULTS_VERSION = 1


@dataclass(frozen=True)
class Place:
    """A device, exactly: its timings hold for no other.

    ``lanes``: floats of a CPU's vector register as it is used, else 0.
    """

    platform: str
    device: str
    driver: str
    cpu: str
    units: int
    lanes: int

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def place(device: devices.Device) -> Place:
    """The place that ``device`` is."""
    info = devices.describe(device)
    cpu = cpu_model() if info.kind == "cpu" else ""
    version = device.platform.version.strip()
    lanes = devices.registers(device).lanes if info.kind == "cpu" else 0
    return Place(
        info.platform, info.name, f"{info.driver}; {info.version}; {version}", cpu, info.compute_units, lanes
    )


@dataclass(frozen=True)
class DeviceClass:
    """A device, roughly: what shipped configurations are keyed by.

    ``units``: compute units, up to a power of two of 4 or more.
    """

    platform: str
    release: str
    kind: str
    floats: int
    units: int

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self)


def device_class(device: devices.Device) -> DeviceClass:
    """The class of ``device``: platform and release of its driver, kind, floats per vector register.

    GPUs of a size are one class whatever the release: their drivers come often, and their compilers change
    little.
    """
    info = devices.describe(device)
    release = "" if info.kind == "gpu" else ".".join(info.driver.replace("-", ".").split(".")[:2])
    floats = devices.registers(device).lanes if info.kind == "cpu" else int(device.native_vector_width_float)
    return DeviceClass(info.platform, release, info.kind, floats, max(4, power_above(info.compute_units)))


def sample_classes(samples: int) -> tuple[int, ...]:
    """The class of a number of samples, then those that may stand in for it, nearest first."""
    own = power_above(samples)
    others = [n for step in range(1, NEAR + 1) for n in (own << step, own >> step)]
    return (own, *(n for n in others if n >= LEAST_NEAR and own >= LEAST_NEAR))


@cache
def cpu_model() -> str:
    """The processor's name, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.processor(),
    )


def kernel_record(unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> dict[str, Any]:
    """What of a kernel its time depends on.  ``samples``: the class.  Tables and connections by digest.

    Activations are part of it where the kernel applies them.
    """
    applies = kernel.finish == "phi"
    sizes = {name: int(value) for name, value in unit.sizes.items() if not isinstance(value, np.ndarray)}
    return {
        "file": unit.file,
        "form": unit.form,
        "kernel": kernel.name,
        "source": unit.folder.digests[unit.path],
        "defaults": DEFAULTS_VERSION,
        "dtype": dtype,
        "phi": unit.activation if applies else "",
        "dphi": unit.lower if kernel.finish == "dphi" else "",
        "store_z": unit.store_z and applies,
        "samples": samples,
        "sizes": {name: sizes[name] for name in sorted(sizes)},
        "tables": _tables(unit),
    }


def _tables(unit: Unit) -> str:
    """A digest of all tables of sizes and connections; "" where there are none."""
    digest, any_table = hashlib.sha256(), False
    for name in sorted(unit.sizes):
        if isinstance(unit.sizes[name], np.ndarray):
            digest.update(name.encode() + unit.sizes[name].tobytes())
            any_table = True
    for name in sorted(unit.connection_tables):
        for column in unit.connection_tables[name].columns:
            for table in unit.connection_tables[name].group(column):
                digest.update(f"{name} {column}".encode() + np.ascontiguousarray(table).tobytes())
                any_table = True
    return digest.hexdigest()[:16] if any_table else ""


def key(kernel: Mapping[str, Any], where: Mapping[str, Any]) -> str:
    """One text for a kernel at a place."""
    return hashlib.sha256(json.dumps([kernel, where], sort_keys=True).encode()).hexdigest()[:32]


def current(kernel: Mapping[str, Any]) -> bool:
    """Whether what was measured is still what runs: False where the kernels that come with phiz have
    changed since.
    """
    digests = next(iter(builtin().layers.values())).folder.digests
    source = digests.get(f"{kernel.get('form')}/{kernel.get('file')}.cl", kernel.get("source"))
    return kernel.get("source") == source and kernel.get("defaults") == DEFAULTS_VERSION

"""The processor's caches: what a pass over a micro-batch, or a block of samples, should fit.

OpenCL reports the largest cache only, which cores share; the sizes of the others are asked of the system.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
#: A core's second-level cache where the system does not tell.
USUAL = 2**20
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30}


@dataclass(frozen=True)
class CacheLevel:
    """One cache for data of a core: its level, bytes, and whether other cores share it."""

    level: int
    bytes: int
    shared: bool


def levels(caches: Path = CACHES) -> tuple[CacheLevel, ...]:
    """The caches for data that the system tells of, the smallest first; empty where it tells of none."""
    return tuple(sorted(_found(caches), key=lambda cache: cache.level))


def core_cache(caches: Path = CACHES) -> int:
    """Bytes of a core's second-level cache."""
    return next((cache.bytes for cache in levels(caches) if cache.level == 2), USUAL)


def _found(caches: Path) -> Iterator[CacheLevel]:
    for folder in sorted(caches.glob("index*")):
        try:
            level, size = int((folder / "level").read_text()), (folder / "size").read_text().strip()
            count = int(size.rstrip("KMG")) * UNITS.get(size[-1:], 1)
        except (OSError, ValueError):
            continue
        if _told(folder / "type") != "Instruction":
            yield CacheLevel(level, count, any(mark in _told(folder / "shared_cpu_list") for mark in ",-"))


def _told(file: Path) -> str:
    """What is in ``file``; "" where it is not there."""
    try:
        return file.read_text().strip()
    except OSError:
        return ""

"""Asks for the room of an array that a file declares, before anything is decompressed or allocated."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import DataError, ShapeError

MOST_DEFLATED = 1032
"""Bytes that one byte of deflated data (gzip, ZIP) can become at most."""

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def require_room(place: str, needed: int, there: int) -> None:
    """Refuse `needed` bytes where the file cannot hold more than `there`, or the memory not as many.

    Raises: DataError with both figures.
    """
    if needed > there:
        raise DataError(
            f"{place}: expected {needed} bytes, the file can hold at most {there}: the file is truncated"
        )
    free = available()
    if needed > free:
        raise DataError(
            f"{place}: expected an array that the memory can hold, {free} bytes, got {needed} bytes"
        )


def require_free(what: str, needed: int) -> None:
    """Refuse what would need more bytes than are free.  Raises: ShapeError with both figures."""
    free = available()
    if needed > free:
        raise ShapeError(f"{what}: {needed / 2**30:,.1f} GiB are needed, {free / 2**30:,.1f} GiB are free")


def available() -> int:
    """Count the bytes of memory that are free: the machine's, or its container's where that is less."""
    free = (
        int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
        if hasattr(os, "sysconf")
        else 2**62
    )
    for line in _text(_MEMINFO).splitlines():
        if line.startswith("MemAvailable:"):
            free = int(line.split()[1]) * 1024
    limit, used = (_text(_CGROUP / name).strip() for name in ("memory.max", "memory.current"))
    return min(free, max(int(limit) - int(used), 0)) if limit.isdigit() and used.isdigit() else free


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""

"""The memory that is free on this machine, or in its container."""

from __future__ import annotations

import os
from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Bytes that a new allocation may expect to get: the machine's, or its container's where that is less."""
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

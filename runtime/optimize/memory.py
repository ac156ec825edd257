"""Predicts the bytes that a method needs, and refuses a run that cannot fit."""

from __future__ import annotations

import os
from pathlib import Path

from .base.errors import MemoryRefusedError

_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
_CGROUP_USED = Path("/sys/fs/cgroup/memory.current")
_MEMINFO = Path("/proc/meminfo")


def available_memory() -> int:
    """Bytes that a new allocation may expect to get: the machine's, or its container's where that is less."""
    free = _machine_available()
    limit, used = _read_bytes(_CGROUP_LIMIT), _read_bytes(_CGROUP_USED)
    if limit is not None and used is not None:
        free = min(free, max(limit - used, 0))
    return free


def require_memory(method: str, size: int, needed: int, limit: int | None = None) -> None:
    """Raises MemoryRefusedError, with both figures, when `needed` bytes exceed `limit` (default: what
    is available).
    """
    allowed = available_memory() if limit is None else limit
    if needed > allowed:
        raise MemoryRefusedError(
            f"{method}: {size:,} parameters need {readable(needed)}, only {readable(allowed)} allowed; "
            "use lbfgs (memory grows with n, not n²) or optimise a subset"
        )


def readable(count: int) -> str:
    """1536 -> '1.5 KiB'."""
    value, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB", "PiB"):
        if value < 1024.0:
            break
        value, unit = value / 1024.0, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def _machine_available() -> int:
    if _MEMINFO.exists():
        for line in _MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))


def _read_bytes(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None

"""How much memory this process holds and has held, as Linux tells it."""

from __future__ import annotations

import ctypes
import gc
import os
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident_bytes(field: str) -> int:
    """``VmRSS``, or ``VmHWM`` for its peak, of this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def readable() -> bool:
    """Whether the system tells the peak of a process and lets it be reset."""
    return STATUS.exists() and os.access(CLEAR, os.W_OK)


def reset_peak() -> None:
    """Let the peak begin anew at what is held now."""
    CLEAR.write_text("5")


def settle() -> None:
    """Give free memory back to the system, so that the rise is not hidden in it."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # not glibc: the rise may then be measured too small

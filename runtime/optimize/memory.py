"""Predicts the bytes that a method needs, and refuses a run that cannot fit."""

from __future__ import annotations

from ..free_memory import available_memory
from .base.errors import MemoryRefusedError


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

"""Asks for the room of an array that a file declares, before anything is decompressed or allocated."""

from __future__ import annotations

from ..errors import DataError, ShapeError
from ..free_memory import available_memory

MOST_DEFLATED = 1032
"""Bytes that one byte of deflated data (gzip, ZIP) can become at most."""


def require_room(place: str, needed: int, there: int) -> None:
    """Refuse `needed` bytes where the file cannot hold more than `there`, or the memory not as many.

    Raises: DataError with both figures.
    """
    if needed > there:
        raise DataError(
            f"{place}: expected {needed} bytes, the file can hold at most {there}: the file is truncated"
        )
    free = available_memory()
    if needed > free:
        raise DataError(
            f"{place}: expected an array that the memory can hold, {free} bytes, got {needed} bytes"
        )


def require_free(what: str, needed: int) -> None:
    """Refuse what would need more bytes than are free.  Raises: ShapeError with both figures."""
    free = available_memory()
    if needed > free:
        raise ShapeError(f"{what}: {needed / 2**30:,.1f} GiB are needed, {free / 2**30:,.1f} GiB are free")

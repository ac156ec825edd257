"""Powers of two beside a number."""

from __future__ import annotations


def power_below(number: int) -> int:
    """The largest power of two up to ``number``, at least 1."""
    return 1 << (max(1, number).bit_length() - 1)


def power_above(number: int) -> int:
    """The least power of two of at least ``number``, at least 1."""
    return 1 << max(0, number - 1).bit_length()

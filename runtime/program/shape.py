"""Shapes of one sample: a tuple of maps, each with its own coordinate sizes (ledger G2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from ..errors import ShapeError


@dataclass(frozen=True)
class Shape:
    """``maps[m]`` are the coordinate sizes of map m; ``()`` for a single unit.

    All maps have the same rank.
    """

    maps: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(value: Any) -> Shape:
        """A shape from ``units``, ``(maps, H, ...)`` or, for maps of different sizes, ``((H, W), (H', W'),
        ...)``.

        Raises ShapeError where it is empty, has a size below 1, or maps of different ranks.
        """
        if isinstance(value, Shape):
            return value
        maps = _maps(value, _entries(value))
        if not maps or any(n < 1 for sizes in maps for n in sizes):
            raise ShapeError(f"shape {value!r}: every size must be at least 1")
        if len({len(sizes) for sizes in maps}) > 1:
            raise ShapeError(f"shape {value!r}: maps must have the same rank")
        return Shape(maps)

    @property
    def count(self) -> int:
        """Number of maps."""
        return len(self.maps)

    @property
    def rank(self) -> int:
        """Number of coordinates of a map."""
        return len(self.maps[0])

    @cached_property
    def uniform(self) -> bool:
        """True where all maps have the same size."""
        return len(set(self.maps)) == 1

    @cached_property
    def units(self) -> int:
        """Number of units of all maps."""
        return sum(prod(sizes) for sizes in self.maps)

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """``(maps, sizes...)`` of a uniform shape, ``(units,)`` of another: what one sample of an array
        looks like.
        """
        return (self.count, *self.maps[0]) if self.uniform else (self.units,)

    def flat(self) -> Shape:
        """Map-major, then row-major (ledger E13-16): every unit a map of its own."""
        return Shape(((),) * self.units)

    def listed(self) -> list[Any]:
        """JSON form, read back by ``of``."""
        return list(self.axes) if self.uniform else [list(sizes) for sizes in self.maps]

    def __str__(self) -> str:
        if self.uniform:
            return "×".join(str(n) for n in self.axes)
        return "(" + ", ".join("×".join(str(n) for n in sizes) for sizes in self.maps) + ")"


def _entries(value: Any) -> list[Any]:
    """What ``value`` lists: sizes, or a tuple of sizes for each map."""
    entries = [value] if _is_int(value) else list(value) if isinstance(value, Sequence) else None
    if not entries or not all(
        _is_int(n) for entry in entries for n in (entry if isinstance(entry, Sequence) else [entry])
    ):
        raise ShapeError(f"shape {value!r}: expected (maps, sizes...) or a size tuple per map")
    return entries


def _maps(value: Any, entries: list[Any]) -> tuple[tuple[int, ...], ...]:
    """The coordinate sizes of each map."""
    if all(_is_int(entry) for entry in entries):
        return (tuple(int(n) for n in entries[1:]),) * max(int(entries[0]), 0)
    if any(_is_int(entry) for entry in entries):
        raise ShapeError(f"shape {value!r} mixes sizes and maps")
    return tuple(tuple(int(n) for n in entry) for entry in entries)


def _is_int(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)

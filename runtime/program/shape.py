"""Shapes of one sample: maps, each with its own coordinate sizes (ledger G2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

from ..errors import ShapeError
from ..schema.check import plain

Sizes = tuple[int, ...]
#: Kernels count the maps and coordinates of a layer with 32 bits.
LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Alike(Sequence[Sizes]):
    """``times`` maps of one size, without an entry for each."""

    times: int
    sizes: Sizes

    def __len__(self) -> int:
        return self.times

    def __getitem__(self, key: Any) -> Any:
        found = range(self.times)[key]
        return Alike(len(found), self.sizes) if isinstance(found, range) else self.sizes


@dataclass(frozen=True)
class Shape:
    """``maps[m]`` are the coordinate sizes of map m; ``()`` for a single unit.

    All maps have the same rank.  Maps of one size take no more room however many they are.
    """

    maps: Sequence[Sizes]

    def __post_init__(self) -> None:
        if not isinstance(self.maps, Alike) and len(set(self.maps)) == 1:
            object.__setattr__(self, "maps", Alike(len(self.maps), self.maps[0]))

    @staticmethod
    def of(value: Any) -> Shape:
        """A shape from ``units``, ``(maps, H, ...)`` or, for maps of different sizes, ``((H, W), (H', W'),
        ...)``.

        Raises ShapeError where it is empty, has a size below 1, or maps of different ranks.
        """
        if isinstance(value, Shape):
            return value
        try:
            value = plain(value)
        except RecursionError as error:
            raise ShapeError(f"shape: {error}") from None
        maps = _maps(value, _entries(value))
        sizes = [maps.sizes] if isinstance(maps, Alike) else maps
        if not len(maps) or any(n < 1 for entry in sizes for n in entry):
            raise ShapeError(f"shape {_brief(value)}: every size must be at least 1")
        if len({len(entry) for entry in sizes}) > 1:
            raise ShapeError(f"shape {_brief(value)}: maps must have the same rank")
        return Shape(maps)

    @property
    def count(self) -> int:
        """Number of maps."""
        return len(self.maps)

    @property
    def rank(self) -> int:
        """Number of coordinates of a map."""
        return len(self.maps[0])

    @property
    def uniform(self) -> bool:
        """True where all maps have the same size."""
        return isinstance(self.maps, Alike)

    @cached_property
    def units(self) -> int:
        """Number of units of all maps."""
        if isinstance(self.maps, Alike):
            return self.maps.times * prod(self.maps.sizes)
        return sum(prod(sizes) for sizes in self.maps)

    @cached_property
    def axes(self) -> tuple[int, ...]:
        """``(maps, sizes...)`` of a uniform shape, ``(units,)`` of another: what one sample of an array
        looks like.
        """
        return (self.count, *self.maps[0]) if self.uniform else (self.units,)

    def flat(self) -> Shape:
        """Map-major, then row-major (ledger E13-16): every unit a map of its own."""
        return Shape(Alike(self.units, ()))

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
        raise ShapeError(f"shape {_brief(value)}: expected (maps, sizes...) or a size tuple per map")
    return entries


def _brief(value: Any) -> str:
    """A value as it is written, unless that is long or cannot be done."""
    try:
        text = repr(value)
    except Exception:  # what a user's object does is not known
        return f"of type {type(value).__name__}"
    return " ".join(text.split()) if len(text) <= 200 else f"{' '.join(text[:200].split())}…"


def _maps(value: Any, entries: list[Any]) -> Sequence[Sizes]:
    """The coordinate sizes of each map."""
    if all(_is_int(entry) for entry in entries):
        if max(map(int, entries)) > LARGEST:
            raise ShapeError(f"shape {_brief(value)}: expected sizes of at most {LARGEST}")
        return Alike(max(int(entries[0]), 0), tuple(int(n) for n in entries[1:]))
    if any(_is_int(entry) for entry in entries):
        raise ShapeError(f"shape {_brief(value)} mixes sizes and maps")
    return tuple(tuple(int(n) for n in entry) for entry in entries)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

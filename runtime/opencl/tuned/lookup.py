"""Kernel configurations that were measured: the user's own first, then those that come with phiz, else
the default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import resources
from typing import Any

from ...manifest.records import KernelInfo
from ...program.program import Unit
from ..plan.config import DEFAULT, KernelConfig
from .cache import Cache, decoded
from .identity import device_class, kernel_record, key, place, sample_classes
from .record import Entry


class Tuned:
    """The configurations of one device.  Looks them up; never tunes.

    ``cache``: the user's.
    ``shipped``: entries by key, those that come with phiz where it is None.
    ``fused``: passes are fused, which needs one vector width and no work groups for all kernels.
    """

    def __init__(
        self,
        device: Any,
        cache: Cache | None = None,
        shipped: Mapping[str, Entry] | None = None,
        fused: bool = False,
    ) -> None:
        self._cache, self._shipped, self._device, self.fused = cache, shipped, device, fused

    @cached_property
    def _sources(self) -> tuple[_Source, ...]:
        """Read once, so that a network computes the same bits as long as it lives."""
        own = (self._cache or Cache()).entries()
        shipped = shipped_entries() if self._shipped is None else self._shipped
        return (
            _Source(own, place(self._device).record()),
            _Source(shipped, device_class(self._device).record()),
        )

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """What was measured at these sizes and about as many samples."""
        for source in self._sources:
            if (unit.form, unit.file, kernel.name, dtype) not in source.kernels:
                continue
            for number in sample_classes(samples):
                found = source.entries.get(key(kernel_record(unit, kernel, dtype, number), source.where))
                if found is not None:
                    return found.config if self._fits(found.config, kernel) else DEFAULT
        return DEFAULT

    def _fits(self, config: KernelConfig, kernel: KernelInfo) -> bool:
        """A cache is data: what it says of other tiles is not used."""
        if self.fused and (config.width is not None or config.group is not None):
            return False
        return set(config.tiles) <= set(kernel.tiles) and config.width in (None, 1, 2, 4, 8, 16)


class _Source:
    """Entries of a place or a class of devices; ``kernels``: what they are of."""

    def __init__(self, entries: Mapping[str, Entry], where: Mapping[str, Any]) -> None:
        self.entries, self.where = entries, where
        self.kernels = {
            tuple(entry.kernel.get(name) for name in ("form", "file", "kernel", "dtype"))
            for entry in entries.values()
        }


@dataclass(frozen=True)
class ShippedFile:
    """One file of shipped configurations."""

    name: str
    entries: Mapping[str, Entry]


@cache
def shipped_files() -> tuple[ShippedFile, ...]:
    """Every file of shipped configurations; ValueError where one is malformed, which a test would show."""
    folder = resources.files(f"{__package__}.shipped")
    found = []
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        if file.name.endswith(".json"):
            entries, malformed = decoded(file.read_bytes())
            if malformed:
                raise ValueError(f"{file.name}: {malformed} malformed entries")
            found.append(ShippedFile(file.name, entries))
    return tuple(found)


@cache
def shipped_entries() -> Mapping[str, Entry]:
    """All shipped configurations by key."""
    return {name: entry for file in shipped_files() for name, entry in file.entries.items()}

"""What is chosen for a kernel on a device.

This is the sizes of its tiles, the samples per vector, its work group, and how its sums are taken.

A committed kernel leaves these open as macros and launch sizes.  ``KernelConfig()`` leaves everything to the defaults; the tuner
fills in what it measured to be faster.  No configuration changes which numbers a kernel computes; it may change the order in which
they are added.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ...manifest.records import KernelInfo
    from ...program.program import Unit


@dataclass(frozen=True)
class KernelConfig:
    """What is chosen for one kernel; what is left out (None, a macro that is missing) is the default.

    ``tiles``: the size of each tile, at least 1, by macro.
    ``width``: samples per vector, 1, 2, 4, 8 or 16.
    ``group``: the local size.
    ``partial_sums``: how many sums over some of the samples are computed side by side and added up, 1 to the number of vectors.
    ``reduction_group``: work items that share a sum over the samples, a power of two, or 1 for none.
    ``loop_split``: runs that share the rounds of a reduction group's outermost loop, a power of two up to ``reduction_group``.
    ``across``: 1 where neighbours of a group differ in axes without tiles, 0 where in tiles.
    ``unroll``: how often the innermost loops are unrolled, 1 (not at all) to 16; None leaves it to the compiler.
    ``constant``: whether parameters are read from constant memory.
    ``local``: rounds of the outermost loop for which a group (n, 1, 1) copies parameters to local memory; None copies nothing.
    """

    tiles: Mapping[str, int] = field(default_factory=dict)
    width: int | None = None
    group: tuple[int, ...] | None = None
    partial_sums: int | None = None
    reduction_group: int | None = None
    loop_split: int | None = None
    across: int | None = None
    unroll: int | None = None
    constant: bool = False
    local: int | None = None


DEFAULT = KernelConfig()


class KernelConfigs(Protocol):
    """Where the configurations of a device come from."""

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The configuration of ``kernel`` in passes of up to ``samples`` samples."""


class Defaults:
    """The configurations of a device for which nothing was tuned."""

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The default, whatever the kernel."""
        return DEFAULT


@dataclass(frozen=True)
class Fixed:
    """Kernel configurations by kernel: what the tuner and its tests run candidates with.  Keys: (file, kernel)."""

    chosen: Mapping[tuple[str, str], KernelConfig]

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The configuration given for the kernel of that file, else the default."""
        return self.chosen.get((unit.file, kernel.name), DEFAULT)

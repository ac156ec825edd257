"""The configuration of a kernel: tile sizes, samples per vector, work group, and how sums are split.

A generated kernel leaves these open as macros and launch sizes.  ``KernelConfig()`` leaves everything to the
defaults; the tuner fills in what it measured to be faster.  No configuration changes which numbers a kernel
adds, only their order.
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
    """What is chosen for one kernel; None and missing macros stand for the default.

    ``tiles``: the size of each tile, at least 1, by macro.
    ``width``: samples per vector, 1, 2, 4, 8 or 16.
    ``group``: the local size.
    ``partial_sums``: the number of partial sums over the samples, 1 to the number of vectors; a second launch
        adds them up.
    ``reduction_group``: the number of work items that share a sum over the samples, a power of two; 1 for
        none.
    ``loop_split``: into how many parts a reduction group splits its outermost loop, a power of two up to
        ``reduction_group``.
    ``across``: 1 if neighbours in a group differ in axes without tiles, 0 if they differ in tiles.
    ``unroll``: how often the innermost loops are unrolled, 1 (not at all) to 16; None leaves it to the
    compiler.
    ``constant``: whether parameters are read from constant memory.
    ``local``: for how many iterations of the outermost loop a group (n, 1, 1) copies parameters to local
        memory; None copies nothing.
    ``packed``: whether a pass packs parameters along the axis of the lanes ahead of the kernel.
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
    packed: bool = False


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
    """Given configurations, with which the tuner and its tests run candidates.

    ``chosen``: the configuration of each kernel, by (file, kernel).
    """

    chosen: Mapping[tuple[str, str], KernelConfig]

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The configuration given for the kernel of that file, else the default."""
        return self.chosen.get((unit.file, kernel.name), DEFAULT)

"""What the tuner asks of a device (the paper's T9: U, S, M, S_l,max and the rest), as plain numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...opencl.device import device as devices
from ...opencl.device.machine import Machine

if TYPE_CHECKING:
    from ...opencl.backend import OpenCLBackend


@dataclass(frozen=True)
class Traits:
    """One device in one dtype.

    ``width``: samples per vector by default.
    ``widest``: the most that is legal.
    ``work_group``: work items of a group at most.
    ``work_items``: of each axis.
    ``units``: compute units.
    ``local_memory``: bytes.
    ``machine``: see ``device.machine``.
    ``fused``: kernels do not run in launches of their own, so that vector width and work groups are not
    theirs to choose.
    ``grouped``: neither do these, but only work groups, constant and local memory are not theirs.
    """

    kind: str
    width: int
    widest: int
    work_group: int
    work_items: tuple[int, ...]
    units: int
    local_memory: int
    machine: Machine
    fused: bool = False
    grouped: bool = False

    @property
    def composed(self) -> bool:
        """Whether kernels share launches."""
        return self.fused or self.grouped

    @property
    def widths(self) -> tuple[int, ...]:
        """Every legal number of samples per vector."""
        return (self.width,) if self.fused else tuple(n for n in (1, 2, 4, 8, 16) if n <= self.widest)


def traits(backend: OpenCLBackend, dtype: str) -> Traits:
    """The traits of the backend's device."""
    device = backend.device
    return Traits(
        backend.kind,
        backend.width(dtype),
        devices.widest(device, backend.kind, dtype),
        int(device.max_work_group_size),
        tuple(int(n) for n in device.max_work_item_sizes),
        int(device.max_compute_units),
        int(device.local_mem_size),
        devices.machine(device, backend.kind),
    )

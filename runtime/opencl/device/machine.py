"""What configurations must fit: a device as a few plain numbers."""

from __future__ import annotations

from dataclasses import dataclass

#: Work items that a multiprocessor needs to hide its latencies, of which ``Machine.work_items`` counts those
#: of all.
ITEMS_PER_UNIT = 256


@dataclass(frozen=True)
class Machine:
    """What configurations must fit: vector registers of a work item, and how many work items keep the device
    busy.

    ``constant``: bytes of constant memory, 0 where there is none.
    ``align``: bytes that the start of a slice of it is aligned to.
    ``local``: bytes of a work group's memory.
    ``sharing``: in a fused pass, the number of work items that share one sum over samples; otherwise 0.
    """

    registers: int
    work_items: int
    constant: int = 0
    align: int = 128
    local: int = 0
    sharing: int = 0

    def fused(self) -> Machine:
        """What a kernel of a fused pass has: one core, but for sums over the samples, which all cores
        share.
        """
        return Machine(self.registers, 1, sharing=self.work_items)

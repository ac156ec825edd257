"""Where the samples of a tensor lie: in blocks, unit by unit, and how far apart the blocks are."""

from __future__ import annotations

from dataclasses import dataclass

from ...backend import Array


@dataclass(frozen=True)
class BlockLayout:
    """Tensors with samples as ``[blocks, units, lanes]``.

    ``capacity``: samples that there is room for.
    ``lanes``: samples of a block.
    ``spread``: blocks lie an odd number of units apart, as the kernels' text has it.  At 256 units of 128
    bytes, the
        same unit of all blocks would be in the same sets of the first-level cache, where a sum over the
        samples looks
        for it: a fifth of the time of a gradient, measured.
    """

    capacity: int
    lanes: int
    spread: bool = False

    def room(self, units: int) -> int:
        """Units from one block to the next."""
        return units | 1 if self.spread else units

    def count(self, units: int) -> int:
        """Numbers of a tensor."""
        return self.room(units) * self.capacity

    def blocks(self, host: Array, units: int) -> Array:
        """A flat tensor as ``(blocks, units, lanes)``, a view: the samples of a block side by side,
        unit by unit.
        """
        return host.reshape(self.capacity // self.lanes, -1, self.lanes)[:, :units]

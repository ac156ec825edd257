"""How many samples a work item takes through a stage."""

from __future__ import annotations

from dataclasses import dataclass

from .block_layout import BlockLayout


@dataclass(frozen=True)
class Blocking:
    """Samples per vector, and vectors that a work item takes through a stage.

    ``lanes``: of a vector of units where samples lie one after the other (``width`` is 1); 0 where lanes are
    samples.
    """

    width: int
    vectors: int
    lanes: int = 0

    @property
    def samples(self) -> int:
        """Samples of a block."""
        return self.width * self.vectors

    def whole(self, samples: int) -> int:
        """``samples`` rounded up to whole blocks, at least one."""
        return -(-max(1, samples) // self.samples) * self.samples

    def idle(self, samples: int, units: int) -> float:
        """The time in which ``units`` compute units are through ``samples``, relative to an even share."""
        vectors = -(-samples // self.width)
        return -(-vectors // (self.vectors * units)) * self.vectors * units / vectors

    def layout(self, capacity: int) -> BlockLayout:
        """How tensors lie: the samples of a block side by side, or one after the other."""
        return BlockLayout(capacity, 1) if self.lanes else BlockLayout(capacity, self.samples, spread=True)

"""Mini-batches of sample indices, fixed by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..base.errors import OptionError


@dataclass(frozen=True)
class MiniBatchSampler:
    """Batch number b of an endless sequence of epochs; each epoch visits every sample once.

    A batch depends on (seed, b) alone, so a run resumes anywhere.  The last batch of an epoch is shorter when
    batch_size does not divide sample_count, or left out with drop_last.
    """

    sample_count: int
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    drop_last: bool = False

    def __post_init__(self) -> None:
        if self.sample_count < 1:
            raise OptionError(f"sampler: expected at least one sample, got {self.sample_count}")
        if not 1 <= self.batch_size <= self.sample_count:
            raise OptionError(
                f"sampler: expected 1 <= batch_size <= {self.sample_count}, got {self.batch_size}"
            )
        if self.seed < 0:
            raise OptionError(f"sampler: expected seed >= 0, got {self.seed}")

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches in one epoch."""
        whole, rest = divmod(self.sample_count, self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def order(self, epoch: int) -> np.ndarray:
        """The order in which this epoch visits the samples."""
        if not self.shuffle:
            return np.arange(self.sample_count)
        return np.random.default_rng([self.seed, epoch]).permutation(self.sample_count)

    def batch(self, number: int) -> np.ndarray:
        """Sample indices of batch `number`, counted from 0 over all epochs."""
        epoch, within = divmod(number, self.batches_per_epoch)
        return self._cached_order(epoch)[within * self.batch_size : (within + 1) * self.batch_size]

    def _cached_order(self, epoch: int) -> np.ndarray:
        cached = self.__dict__.get("_last_order")
        if cached is None or cached[0] != epoch:
            cached = (epoch, self.order(epoch))
            object.__setattr__(self, "_last_order", cached)
        return cached[1]

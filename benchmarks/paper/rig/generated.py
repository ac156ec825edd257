"""One generated kernel under configurations of one's choice, checked as the tuner checks candidates:
LeNet's second convolution.
"""

from __future__ import annotations

from math import prod

from ....runtime.backend import Request
from ....runtime.network.network import Network
from ....runtime.opencl.backend import OpenCLBackend
from ....runtime.opencl.plan.config import DEFAULT, KernelConfig
from ....runtime.program.layer import layer
from ....runtime.tuner.space.space import Space
from ....runtime.tuner.trials.candidate import Candidate
from ....runtime.tuner.trials.jobs import Job, jobs
from ....runtime.tuner.trials.trial import Trials

BATCH = 128
INPUT, MAPS, TAPS = (6, 12, 12), 16, 5


class GeneratedKernel:
    """The forward kernel of 5x5 filters from 6 maps of 12x12 to 16 maps, tanh, over ``batch`` samples,
    float32.

    It runs in launches of its own, as on a GPU: in a fused pass work group and vector width are not a
    kernel's to choose.
    """

    def __init__(self, device: str | None = None, batch: int = BATCH) -> None:
        self.batch = batch
        layers = [layer("convolution", maps=MAPS, kernel=TAPS, activation="tanh"), layer("softmax", maps=10)]
        network = Network(layers, INPUT, "ce", backend="numpy", dtype="float32", seed=0)
        found = jobs(network, batch, Request(outputs=True))
        self.job: Job = next(
            job for job in found if job.kernel.role == "forward" and job.unit is network.program.units[0]
        )
        self.trials = Trials(self.job, OpenCLBackend(device, fuse=False))

    @property
    def space(self) -> Space:
        """The legal configurations."""
        return self.trials.space

    @property
    def multiply_adds(self) -> int:
        """Multiply-adds of all outputs and samples."""
        outputs = MAPS * (INPUT[1] - TAPS + 1) * (INPUT[2] - TAPS + 1)
        return outputs * INPUT[0] * TAPS * TAPS * self.batch

    def candidate(self, config: KernelConfig = DEFAULT) -> Candidate:
        """Built, and its numbers compared with the reference; ``launch`` runs it.

        RefusedError where they are wrong.
        """
        return self.trials.check(config)

    def tile_sizes(self) -> dict[int, KernelConfig]:
        """By accumulators per work item, the config with the least predicted cost, in ascending order."""
        found: dict[int, KernelConfig] = {}
        for config in self.space.tilings():
            found.setdefault(prod(config.tiles.values()), config)
        return dict(sorted(found.items()))

    def groups(self) -> dict[int, KernelConfig]:
        """By work items of a group, the default's tiles with a local size that fills the first axes first.

        Only where every compute unit gets two groups: fewer leave some idle, whatever their size.
        """
        size = self.space.global_size(self.space.default)
        found: dict[int, KernelConfig] = {}
        for items in (1 << q for q in range(11)):
            group, left = [], items
            for extent in size:
                part = min(left, extent & -extent)
                group.append(part)
                left //= part
            config = KernelConfig(group=tuple(group))
            enough = prod(size) // prod(group) >= 2 * self.space.device.units
            if enough and not self.space.illegal(config):
                found.setdefault(prod(group), config)
        return found

"""A device on paper, and kernels whose times follow from their configurations: the tuner without OpenCL
and without a clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from phiz.runtime.backend import Request
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.opencl.tuned.identity import Place
from phiz.runtime.opencl.tuned.record import Trialled
from phiz.runtime.program.layer import layer
from phiz.runtime.tuner.space.space import Space
from phiz.runtime.tuner.space.traits import Traits
from phiz.runtime.tuner.trials.candidate import RefusedError
from phiz.runtime.tuner.trials.jobs import Job, jobs

CPU = Traits("cpu", 8, 16, 4096, (4096, 4096, 4096), 4, 32768, Machine(16, 4))
GPU = Traits("gpu", 1, 16, 1024, (1024, 1024, 64), 80, 49152, Machine(64, 80 * 256, 65536, 512, 49152))
PLACE = Place("paper", "pencil", "1.0", "hand", 4, 8)

Cost = Callable[[Job, KernelConfig], float]


def network(backend: str = "numpy") -> Network:
    """Two convolutions and a softmax on small images."""
    layers = [
        layer("convolution", maps=6, kernel=3, activation="tanh"),
        layer("convolution", maps=12, kernel=3, activation="tanh"),
        layer("softmax", maps=4),
    ]
    return Network(layers, (1, 10, 10), backend=backend)


def some_jobs(samples: int = 32) -> list[Job]:
    """The kernels of its gradient."""
    return jobs(network(), samples, Request(losses=True, gradients="sum"))


def job_with_tiles(samples: int = 32, least: int = 2) -> Job:
    """One with at least that many tiled axes."""
    return next(job for job in some_jobs(samples) if len(job.kernel.tiles) >= least)


@dataclass
class Clock:
    """Seconds that pass when someone says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Paper:
    """A laboratory: ``cost(job, config)`` is the time of a launch relative to the default's, every trial
    takes ``each`` seconds, to measure a default ``measuring``.

    A cost below 0 is a wrong result.  ``second``: what a confirmation finds instead.
    """

    cost: Cost
    each: float = 1.0
    measuring: float = 0.0
    clock: Clock = field(default_factory=Clock)
    second: Cost | None = None
    seconds: Callable[[Job], float] = lambda job: 1e-3
    tried: list[tuple[str, KernelConfig]] = field(default_factory=list)
    interrupt_after: int | None = None
    place: Place = PLACE

    def workbench(self, job: Job) -> PaperBench:
        return PaperBench(self, job)

    def samples(self, job: Job) -> int:
        return job.samples


class PaperBench:
    def __init__(self, paper: Paper, job: Job) -> None:
        self.paper, self.job = paper, job
        self.space = Space(job.unit, job.kernel, job.dtype, job.samples, CPU, job.image)

    def default_seconds(self) -> float:
        self.paper.clock.now += self.paper.measuring
        if self.paper.cost(self.job, DEFAULT) < 0:
            raise RefusedError("wrong", f"{self.job.kernel.name}: planted")
        return self.paper.seconds(self.job)

    def try_out(self, config: KernelConfig, best: float) -> Trialled:
        if len(self.paper.tried) == self.paper.interrupt_after:
            raise KeyboardInterrupt
        assert not self.space.illegal(config), self.space.illegal(config)
        self.paper.tried.append((self.job.name, config))
        self.paper.clock.now += self.paper.each
        ratio = self.paper.cost(self.job, config)
        if ratio < 0:
            return Trialled(config, refused="wrong", reason="planted")
        return Trialled(config, ratio * self.paper.seconds(self.job), ratio)

    def confirm(self, config: KernelConfig) -> tuple[float, float]:
        default = self.paper.seconds(self.job)
        return default, default * (self.paper.second or self.paper.cost)(self.job, config)

"""The gradient of the whole network, with the defaults and with what was tuned, in alternation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass

import numpy as np

from ..network.network import Network
from ..opencl.backend import OpenCLBackend
from ..opencl.plan.config import DEFAULT, Defaults, KernelConfig, KernelConfigs
from ..opencl.tuned.cache import Cache
from ..opencl.tuned.lookup import Tuned
from ..opencl.tuned.record import Entry
from ..verify.loss import drawn_targets
from .trials.timer import Timer, WallTimer

ROUNDS = 11


@dataclass
class Gradient:
    """One gradient of a network whose kernels are built and whose samples are on the device."""

    config: KernelConfig
    run: Callable[[], object]

    def launch(self, count: int) -> None:
        """Run that many of them."""
        for _ in range(count):
            self.run()


def gradient_seconds(
    network: Network,
    samples: int,
    cache: Cache,
    shipped: Mapping[str, Entry] | None = None,
    timer: Timer | None = None,
) -> tuple[float, float]:
    """Seconds of one gradient over ``samples`` placed samples: (default, tuned)."""
    backend = network.backend
    assert isinstance(backend, OpenCLBackend)
    default, tuned = (
        Gradient(DEFAULT, _prepared(network, backend, samples, configs))
        for configs in (Defaults(), Tuned(backend.device, cache, shipped, backend.fuses))
    )
    timing = (timer or WallTimer()).compare(default, tuned, float("inf"), ROUNDS)
    return timing.default, timing.default * timing.ratio


def _prepared(
    network: Network, backend: OpenCLBackend, samples: int, configs: KernelConfigs
) -> Callable[[], object]:
    """A gradient that is built and warm."""
    own = copy(backend)
    own.configs = configs
    twin = Network(
        [layer.spec for layer in network.layers],
        network.input_shape.listed(),
        network.loss.name,
        own,
        network.dtype,
        network.seed,
        network.manifest,
    )
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(samples, network.input_shape.units))
    targets = drawn_targets(network.loss, (samples, network.output_shape.units), generator)
    placed = twin.place(inputs, targets)

    def run() -> object:
        return twin.value_and_gradient(network.parameters, placed)

    run()
    return run

"""The gradient of the whole network, with the defaults and with what was tuned, in alternation."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from copy import copy

import numpy as np

from ..backend_opencl import OpenCLBackend
from ..check_loss import drawn_targets
from ..network import Network
from ..schedule import Defaults, Schedules
from .cache import Cache
from .lookup import Tuned
from .record import Entry

ROUNDS, MOST_SECONDS = 15, 10.0


def gradient_seconds(
    network: Network, samples: int, cache: Cache, shipped: Mapping[str, Entry] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:  # fmt: skip
    """Median seconds of one gradient over ``samples`` placed samples: (default, tuned)."""
    backend = network.backend
    assert isinstance(backend, OpenCLBackend)
    sides = [_prepared(network, backend, samples, s) for s in (Defaults(), Tuned(backend.device, cache, shipped))]
    times: list[list[float]] = [[], []]
    begun = clock()
    for number in range(ROUNDS):
        for side in (0, 1) if number % 2 else (1, 0):
            start = clock()
            sides[side]()
            times[side].append(clock() - start)
        if clock() - begun > MOST_SECONDS:
            break
    return statistics.median(times[0]), statistics.median(times[1])


def _prepared(network: Network, backend: OpenCLBackend, samples: int, schedules: Schedules) -> Callable[[], object]:
    """A gradient that is built and warm."""
    own = copy(backend)
    own.schedules = schedules
    twin = Network(
        [layer.spec for layer in network.layers], network.input_shape.listed(), network.loss.name, own, network.dtype,
        network.seed, network.manifest,
    )  # fmt: skip
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(samples, network.input_shape.units))
    targets = drawn_targets(network.loss, (samples, network.output_shape.units), generator)
    placed = twin.place(inputs, targets)

    def run() -> object:
        return twin.value_and_gradient(network.parameters, placed)

    run()
    return run

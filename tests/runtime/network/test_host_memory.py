"""The memory of a gradient on the host: bounded by the micro-batch."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from phiz.runtime import Network, layer


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_host_memory_does_not_grow_with_the_data_set(backend: str) -> None:
    """Ten times the samples, the same peak: everything is done micro-batch by micro-batch, checks
    included.
    """
    network = Network(
        [layer("dense", maps=8, activation="tanh"), layer("softmax", maps=4)],
        300,
        "ce",
        backend,
        micro_batch=256,
    )

    def peak(count: int) -> int:
        inputs = np.random.default_rng(0).random((count, 300), dtype=np.float32)
        targets = np.eye(4, dtype=np.float32)[np.arange(count) % 4]
        network.value_and_gradient(network.parameters, inputs, targets)
        tracemalloc.start()
        network.value_and_gradient(network.parameters, inputs, targets)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(10_240) < 1.1 * peak(1_024) + 50_000

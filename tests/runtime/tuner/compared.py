"""A network under test beside the same one on NumPy: every kernel of every pass, and the same bits in
every run.
"""

from __future__ import annotations

import numpy as np
import pytest
from phiz.runtime.backend import Gradients, Request
from phiz.runtime.network.network import Network
from phiz.runtime.verify.loss import drawn_targets
from phiz.runtime.verify.verdict import relative

TOLERANCE = {"float32": 2e-4, "float64": 1e-10}


def compare(networks: list[Network], samples: int, seed: int) -> None:
    """Every kernel of every pass, on the same samples; then the gradients that a user gets, twice."""
    generator = np.random.default_rng(seed)
    inputs = generator.normal(size=(samples, networks[0].input_shape.units)).astype(networks[0].dtype)
    targets = drawn_targets(networks[0].loss, (samples, networks[0].output_shape.units), generator)
    parameters = networks[0].parameters + 0.1 * generator.normal(size=networks[0].parameter_count)
    parts: tuple[Gradients, ...] = ("sum", "sample")
    for gradients in parts if samples < 100 else parts[:1]:
        traces = []
        for network in networks:
            executor = network.executor(samples)
            executor.set_parameters(parameters.astype(network.dtype))
            resident = executor.upload(inputs, targets, None)
            traces.append(
                list(executor.trace(resident, Request(losses=True, gradients=gradients, input_gradient=True)))
            )
        for (step, ours), (_, theirs) in zip(*traces, strict=True):
            error = relative(ours, theirs, 1e-3).max(initial=0.0)
            assert error <= TOLERANCE[networks[0].dtype], f"{step.kernel.name} of unit {step.unit}: {error}"
    values = [network.value_and_gradient(parameters, inputs, targets) for network in networks]
    assert values[0][0] == pytest.approx(values[1][0], rel=1e-4)
    assert relative(values[0][1], values[1][1]).max() <= TOLERANCE[networks[0].dtype]
    again = networks[0].value_and_gradient(parameters, inputs, targets)
    assert again[0] == values[0][0]
    assert again[1].tobytes() == values[0][1].tobytes(), "the bits differ from run to run"

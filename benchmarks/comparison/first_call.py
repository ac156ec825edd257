"""How long the first value and gradient of a network take in the process that asks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..cases.cases import Case
from ..cases.problem import Problem


@dataclass(frozen=True)
class FirstCall:
    """Seconds of a network that is made and differentiated for the first time.

    first: from making the network to its first gradient.
    again: a second gradient.
    further: the first gradient of ``samples`` samples, another batch; None where none was asked for.
    """

    first: float
    again: float
    further: float | None
    samples: int


def other_batch(batch: int) -> int:
    """A shorter last batch: what is left when a data set ends."""
    return max(1, batch * 5 // 8) if batch > 1 else 2


def first_call(case: Case, folders: Sequence[str], further: bool, device: str | None = None) -> FirstCall:
    """Measured where it is called; whether it is cold is up to the caches of the process.

    further: whether another batch is tried after the first one.
    """
    samples = other_batch(case.batch)
    problem = Problem.of(case, folders, "numpy")  # its numbers; what it imports is not waited for below
    inputs, targets = problem.inputs, problem.targets
    rest = case.model.samples(samples)
    started = time.perf_counter()
    network = case.model.network("opencl", manifests=folders, device=device)
    network.value_and_gradient(network.parameters, inputs, targets)
    made = time.perf_counter()
    network.value_and_gradient(network.parameters, inputs, targets)
    again = time.perf_counter()
    if further:
        network.value_and_gradient(network.parameters, *rest)
    end = time.perf_counter()
    return FirstCall(made - started, again - made, end - again if further else None, samples)


def record(call: FirstCall) -> Mapping[str, Any]:
    """What JSON can hold."""
    return asdict(call)

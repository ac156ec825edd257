"""The interface that NumPy and OpenCL share: what a network asks of whatever runs its kernels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2
from typing import Any, Protocol

import numpy.typing as npt

from .program.program import Gradients, Program, Step

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Request:
    """What one pass over a micro-batch computes.

    ``keep``: ``seeded`` and ``derivative_source`` follow it.
    """

    outputs: bool = False
    losses: bool = False
    gradients: Gradients = "none"
    input_gradient: bool = False
    keep: bool = False

    @property
    def backward(self) -> bool:
        """True where deltas are needed."""
        return self.gradients != "none" or self.input_gradient


#: The error of every sample, and the gradient of their sum.
VALUE_AND_GRADIENT = Request(losses=True, gradients="sum")


@dataclass(frozen=True)
class Result:
    """Host arrays, sample first; None for what was not asked for.

    ``outputs (n, units)``, ``losses (n,)``, ``gradient (parameters,)``, ``sample_gradients (n, parameters)``,
    ``input_gradient (n, input units)``.
    """

    outputs: Array | None = None
    losses: Array | None = None
    gradient: Array | None = None
    sample_gradients: Array | None = None
    input_gradient: Array | None = None


class Pending(Protocol):
    """A pass that was started.  Its result is taken once."""

    def result(self, rows: Array | None = None, total: Array | None = None, add: bool = False) -> Result:
        """Wait for it.

        ``rows (n, parameters)``, which may be a view, receives the per-sample gradients.  ``total
        (parameters,)`` receives the summed gradient, or with ``add`` has it added; it is then left out of the
        result.
        """


class Executor(Protocol):
    """Buffers and bound kernels of one network for micro-batches of up to ``capacity`` samples.

    A *resident* is a micro-batch in the backend's own layout.
    """

    capacity: int

    def upload(
        self, inputs: Array, targets: Array | None, weights: Array | None, slot: int | None = None
    ) -> Any:
        """Bring sample-first arrays (``(n, units)``, n <= capacity) into the backend's layout.

        A ``slot`` (0, 1) reuses buffers: the last pass on it must have ended.  None makes buffers of their
        own.
        """

    def set_parameters(self, parameters: Array) -> None:
        """Use this flat parameter vector from now on.

        It must stay as it is until the results of all passes were taken.
        """

    def start(self, resident: Any, request: Request) -> Pending:
        """Forward, and what ``request`` asks for; does not wait."""

    def seeded(self, resident: Any, delta: Array, request: Request) -> Pending:
        """Start the backward pass alone, from ``delta (units, n)`` of the last layer's Z.

        It follows a ``start`` with ``keep`` on the same micro-batch, whose result was taken.
        """

    def derivative_source(self, resident: Any) -> Array:
        """The buffer f ``(units, n)`` of the last layer from which its phi' is computed, after a
        ``start`` with ``keep``.
        """

    def trace(self, resident: Any, request: Request) -> Iterator[tuple[Step, Array]]:
        """Run call by call and give what each wrote: ``(units, n)``, or ``(units,)`` for gradients."""


class Backend(Protocol):
    """Runs programs on one device."""

    name: str

    def require(self, dtype: str) -> None:
        """DeviceError where the device cannot compute in ``dtype``."""

    def micro_batch(self, program: Program, dtype: str) -> int:
        """Samples per pass where the user leaves that open."""

    def same_sums(
        self, program: Program, dtype: str, one: int, other: int, request: Request, sample_outer: bool = False
    ) -> bool:
        """Whether executors of these two capacities answer ``request`` with the same bits."""

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        """Whether ``request`` over ``samples`` samples runs with samples one after the other, lanes of
        vectors along units.
        """

    def capacity(self, program: Program, dtype: str, samples: int, sample_outer: bool = False) -> int:
        """The padded sample count that serves ``samples``; depends on nothing else, so that results
        repeat.
        """

    def vector(self, count: int, dtype: str) -> Array:
        """Room for ``count`` numbers, where kernels can read them if there is such a place."""

    def executor(self, program: Program, dtype: str, capacity: int, sample_outer: bool = False) -> Executor:
        """Buffers and kernels for one dtype, capacity and form."""

    def describe(self) -> str:
        """The device, in words."""


def nearest_power(count: float, least: int, most: int) -> int:
    """The power of two nearest to ``count`` by ratio, within bounds."""
    return int(min(most, max(least, 2 ** round(log2(max(1.0, count))))))


def calls(program: Program, request: Request) -> tuple[Step, ...]:
    """The kernel calls of a pass, in order."""
    steps = program.forward
    if request.losses:
        steps += (program.value,)
    if request.backward:
        steps += program.backward("loss", request.gradients, request.input_gradient)
    return steps

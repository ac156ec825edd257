"""What there is to tune in a network.

These are its kernels at their sizes, each with arguments and with what it must give.

One pass of the NumPy backend over random samples gives both, so that every kernel sees numbers of the
magnitude that it will see.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from ...backend import Array, Request
from ...errors import PhizError
from ...manifest.records import KernelInfo
from ...network.network import Network
from ...opencl.tuned.identity import kernel_record, key
from ...powers import power_above
from ...program.program import Step, Unit
from ...reference.backend import NumpyBackend, NumpyExecutor
from ...verify.kernel_run import FACTOR, PHI, KernelFixture, NumpyRun, layer_fixture, loss_fixture
from ...verify.loss import drawn_targets
from ..space.local_sizes import Image, image

#: How often inputs are drawn again, each time smaller, while some number of the pass is not finite.
DRAWS = 6
#: The relative change of arguments that shows how large a kernel's terms are.
CHANGE = 1e-6


@dataclass(frozen=True)
class Job:
    """One kernel of a network.

    ``arrays``: its arguments by tensor, ``(units, samples)`` or ``(units,)``.
    ``expected``: what it writes, by tensor, ``PHI`` where phi finishes it.
    ``step``: the call in its network.
    """

    fixture: KernelFixture
    kernel: KernelInfo
    dtype: str
    samples: int
    arrays: Mapping[str, Array] = field(repr=False)
    expected: Mapping[str, Array] = field(repr=False)
    step: Step = field(repr=False)

    @property
    def unit(self) -> Unit:
        """The file of kernels at its sizes."""
        return self.fixture.unit

    @property
    def name(self) -> str:
        """``layer 0 (conv): forward_Z``."""
        return f"{self.unit.label}: {self.kernel.name}"

    @property
    def identity(self) -> str:
        """Equal for kernels that one configuration serves."""
        return key(kernel_record(self.unit, self.kernel, self.dtype, power_above(self.samples)), {})

    @property
    def image(self) -> Image | None:
        """What Algorithm 4 sees of the kernel."""
        extents = {name: self.fixture.extent(name) for name in (*self.kernel.arguments, self.kernel.output)}
        if any(extent.entries is not None for extent, _ in extents.values()):
            return None
        sources = [
            extent.shape
            for name, (extent, samples) in extents.items()
            if samples and name in self.kernel.arguments
        ]
        windows = [
            extent.shape
            for name, (extent, samples) in extents.items()
            if not samples and name in self.kernel.arguments
        ]
        return image(extents[self.kernel.output][0].shape, sources, windows)

    def terms(self, name: str) -> float:
        """How large the terms are that make up an output: its change under relative changes of the arguments.

        Sums that cancel to 0 have no other scale.
        """
        generator = np.random.default_rng(0)
        found = []
        for moved in (False, True):
            run = NumpyRun(self.fixture, "float64", self.samples)
            for argument, values in self.arrays.items():
                shift = CHANGE * generator.choice([-1.0, 1.0], values.shape) if moved else 0.0
                run.put(argument, values.astype(np.float64) * (1 + shift))
            run.run(self.kernel)
            found.append(run.get(name))
        change = float(np.max(np.abs(found[1] - found[0]), initial=0.0)) / CHANGE
        return change if np.isfinite(change) else 0.0


def jobs(network: Network, samples: int, request: Request, seed: int = 0) -> list[Job]:
    """The kernels of ``request`` over passes of ``samples`` samples, in order and in the form that runs,
    equal ones once.

    Raises PhizError where no draw gives finite numbers.
    """
    for attempt in range(DRAWS):
        found = list(_traced(network, samples, request, seed, 0.7**attempt))
        if all(np.isfinite(array).all() for job in found for array in job.expected.values()):
            return list({job.identity: job for job in reversed(found)}.values())[::-1]
    raise PhizError(
        f"no random samples give finite numbers in {DRAWS} draws; the network cannot be tuned on them"
    )


def _traced(network: Network, samples: int, request: Request, seed: int, spread: float) -> Iterator[Job]:
    program, generator = network.program, np.random.default_rng(seed)
    executor = NumpyBackend().executor(program, network.dtype, samples)
    inputs = spread * generator.normal(size=(samples, network.input_shape.units))
    targets = drawn_targets(network.loss, (samples, network.output_shape.units), generator)
    if network.loss.targets == (0.0, 1.0) or network.loss.targets[0] == 0.0:  # shares: each sample's sum to 1
        targets /= np.maximum(targets.sum(axis=1, keepdims=True), 1e-3)
    executor.set_parameters(
        network.parameters + 0.05 * spread * generator.normal(size=network.parameter_count)
    )
    resident = executor.upload(inputs, targets, None)
    sample_outer = network.backend.prefers_sample_outer(program, network.dtype, samples, request)
    fixtures = {number: fixture(network, number) for number in range(len(program.units))}
    if sample_outer:
        fixtures = {
            number: replace(found, unit=found.unit.as_sample_outer()) for number, found in fixtures.items()
        }
    with np.errstate(all="ignore"):
        for step, _ in executor.trace(resident, request):
            yield _job(
                fixtures[step.unit],
                step.as_sample_outer() if sample_outer else step,
                network.dtype,
                samples,
                executor,
            )


def fixture(network: Network, number: int) -> KernelFixture:
    """The tensors of unit ``number``."""
    program = network.program
    unit = program.units[number]
    if number == len(program.layers):
        return replace(loss_fixture(program.loss, program.layers[-1].output.units), unit=unit)
    lower = network.manifest.activation(unit.lower)
    return replace(layer_fixture(program.layers[number], lower, unit.store_z), unit=unit)


def _job(found: KernelFixture, step: Step, dtype: str, samples: int, executor: NumpyExecutor) -> Job:
    kernel, values = step.kernel, executor.buffers
    arrays = {name: values[argument.key] for name, argument in zip(kernel.arguments, step.reads, strict=True)}
    if step.factor is not None:
        arrays[FACTOR] = values[step.factor.key]
    expected = {PHI if kernel.finish == "phi" else kernel.output: values[step.writes.key]}
    if step.position is not None and kernel.position is not None:
        expected[kernel.position] = values[step.position.key]
    if step.z is not None:
        expected[kernel.output] = values[step.z]
    return Job(found, kernel, dtype, samples, arrays, expected, step)

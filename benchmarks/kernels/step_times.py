"""Every step of a pass with its measured time beside the time that the runtime predicted for it.

Predictions are in cycles of one core.  The cycle is measured: a chain of dependent multiply-adds takes
``LATENCY`` cycles a link on the processors that the cost model knows.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import pyopencl as cl

from ...runtime.backend import VALUE_AND_GRADIENT, Request
from ...runtime.manifest.expressions import expression
from ...runtime.network.network import Network
from ...runtime.opencl.device import device as devices
from ...runtime.opencl.executor import OpenCLExecutor
from ...runtime.opencl.launch.fused import FusedPass
from ...runtime.opencl.plan.cpu_cost_model import LATENCY
from ...runtime.opencl.plan.form import predicted_cycles
from ...runtime.opencl.single import SingleStep
from ..cases.cases import Case
from ..cases.problem import Problem
from .device_peaks import Meter
from .kernel_times import NOTHING, elapsed, repetitions

#: How often every step is looked at; one that takes longer than LONG seconds is not repeated in a launch.
REPEATS, LONG = 5, 0.01
#: How often the cycle is measured; the shortest counts, as others may be at work.
LOOKS = 5


@dataclass(frozen=True)
class StepTime:
    """A step of a pass over a micro-batch.

    seconds: the shortest of its times.
    predicted: seconds, from the cycles of one core by the model that chose the form of the pass; the cores
        share them, and some of them idle at the end of a stage.
    flops: two for each step of its reduction.
    """

    layer: str
    kernel: str
    seconds: float
    predicted: float
    flops: int


@dataclass(frozen=True)
class PassTimes:
    """The steps of a pass.

    form: "blocks" or "rows"; "" where passes are not fused, and nothing is predicted.
    samples, passes: of a micro-batch, and how many make the batch.
    """

    form: str
    samples: int
    passes: int
    steps: tuple[StepTime, ...]

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self)


@dataclass(frozen=True)
class Clockwork:
    """What predictions are in: seconds of a cycle, cores, and floats of a vector."""

    cycle: float
    units: int
    lanes: int


def clockwork(device: str | None = None) -> Clockwork:
    """Measured on a device; a GPU has none of it that predictions of passes could be told in."""
    chosen = devices.choose(device)
    if devices.kind(chosen) != "cpu":
        return Clockwork(0.0, int(chosen.max_compute_units), 0)
    lanes = devices.registers(chosen).lanes
    chains = int(chosen.max_compute_units) * lanes / LATENCY
    meter = Meter(chosen)
    rate = max(meter.flops("float32", lanes, 1) for _ in range(LOOKS))
    return Clockwork(2.0 * chains / rate, int(chosen.max_compute_units), lanes)


def profile_steps(
    case: Case, folders: Sequence[str], cycle: float, seconds: float, device: str | None = None
) -> PassTimes:
    """The steps of one pass of a case in mode "gradient" or "predict".

    cycle: seconds of a cycle (``clockwork``).
    seconds: after which no step is timed again; each is timed once at least.
    """
    problem = Problem.of(case, folders, "opencl", device)
    gradient = case.mode == "gradient"
    placed = problem.network.place(problem.inputs, problem.targets if gradient else None)
    executor, (part, resident) = placed.executor, placed.parts[0]
    if not isinstance(executor, OpenCLExecutor):
        raise TypeError("steps are timed on OpenCL only")
    executor.set_parameters(problem.parameters)
    singles = executor.single("loss", resident, VALUE_AND_GRADIENT if gradient else Request(outputs=True))
    queue = cl.CommandQueue(executor.context, properties=cl.command_queue_properties.PROFILING_ENABLE)
    times = _times(queue, singles, seconds)
    samples = part.stop - part.start
    fused = isinstance(singles[0].launches, FusedPass)
    found = [
        _step(problem.network, executor, single, once, samples, cycle if fused else 0.0)
        for single, once in zip(singles, times, strict=True)
    ]
    queue.finish()
    form = "" if not fused else "rows" if executor.sample_outer else "blocks"
    return PassTimes(form, samples, len(placed.parts), tuple(found))


@dataclass
class Looks:
    """The shortest launch of a step, and the shortest that repeats it ``times`` times.

    What the repetitions add is the step's own time; the difference of two shortest ones is not that of a
    launch that others disturbed.
    """

    once: float
    many: float = inf
    times: int = 1

    @property
    def seconds(self) -> float:
        """Without what a launch takes, where launches repeat it."""
        if self.times == 1:
            return self.once
        return max(NOTHING, (self.many - self.once) / (self.times - 1))

    def again(self, queue: Any, single: SingleStep) -> None:
        """Looks again."""
        self.once = min(self.once, elapsed(single.events(queue)))
        if self.times == 1 and single.repeats and self.once <= LONG:
            self.times = repetitions(queue, self.once)
        if self.times > 1:
            self.many = min(self.many, elapsed(single.events(queue, self.times)))


def _times(queue: Any, singles: Sequence[SingleStep], seconds: float) -> list[float]:
    """The time of each step; each has one look at least."""
    ends = time.monotonic() + seconds
    looks = [Looks(elapsed(single.events(queue))) for single in singles]  # wakes the device, too
    for number in range(REPEATS):
        for one, single in zip(looks, singles, strict=True):
            if not number or time.monotonic() < ends:
                one.again(queue, single)
    return [one.seconds for one in looks]


def _step(
    network: Network, executor: OpenCLExecutor, single: SingleStep, seconds: float, samples: int, cycle: float
) -> StepTime:
    step, plan = single.step, executor.plan
    unit = plan.units[step.unit]
    units = int(executor.device.max_compute_units)
    predicted = 0.0
    if isinstance(single.launches, FusedPass):
        predicted = cycle / units * predicted_cycles(plan, step, samples)
        if single.launches.stages[single.number].kind == "samples":
            predicted *= single.launches.blocks.idle(samples, units)
    work = step.writes.extent.units * samples * max(1, int(expression(step.kernel.work)(unit.sizes)))
    return StepTime(unit.label, step.kernel.name, seconds, predicted, 2 * work)

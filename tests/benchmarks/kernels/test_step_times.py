"""Steps beside their predictions: what a cycle over the cores and idle ones make of predicted cycles."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from phiz.benchmarks.cases.cases import Case
from phiz.benchmarks.cases.models import Model
from phiz.benchmarks.kernels import step_times
from phiz.benchmarks.kernels.device_peaks import Meter
from phiz.benchmarks.kernels.kernel_times import elapsed
from phiz.benchmarks.kernels.step_times import Looks, clockwork, profile_steps
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.opencl.plan.cpu_cost_model import LATENCY
from phiz.runtime.program.layer import layer

LAYERS = (layer("convolution", maps=3, kernel=3, activation="tanh"), layer("softmax", maps=3))


def test_a_cycle_is_a_link_of_a_chain_over_its_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    """One vector per core and ``LATENCY`` cycles, two operations a lane: at 2 GHz."""
    device = devices.choose()
    units, lanes = int(device.max_compute_units), devices.registers(device).lanes
    monkeypatch.setattr(Meter, "flops", lambda self, dtype, width, count: 2 * width * units * 2e9 / LATENCY)
    found = clockwork()
    assert found.cycle == pytest.approx(0.5e-9) and (found.units, found.lanes) == (units, lanes)


def test_a_disturbed_launch_makes_no_step_shorter() -> None:
    """A launch takes 5 µs and a step 2 µs; others are at work in one launch of each kind."""

    class Step:
        repeats = True
        disturbed: ClassVar[list[float]] = [9e-4, 0.0, 0.0, 0.0, 9e-4, 0.0]

        def events(self, queue: Any, times: int = 1) -> list[Any]:
            taken = 5e-6 + 2e-6 * times + self.disturbed.pop(0)
            event = SimpleNamespace(start=0.0, end=1e9 * taken)
            return [SimpleNamespace(profile=event, wait=lambda: None)]

    single: Any = Step()
    queue: Any = SimpleNamespace(device=SimpleNamespace(max_compute_units=2))
    looks = Looks(elapsed(single.events(queue)))
    for _ in range(2):
        looks.again(queue, single)
    assert looks.times > 100 and looks.once == pytest.approx(7e-6)
    assert looks.seconds == pytest.approx(2e-6)


def test_predictions_are_cycles_over_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_times, "predicted_cycles", lambda plan, step, samples: 1000.0 * samples)
    units = int(devices.choose().max_compute_units)
    for batch in (64, 1):
        case = Case(Model("small", LAYERS, (1, 6, 6), (batch,), outputs=3), batch, "gradient", "t")
        found = profile_steps(case, [], 1e-9, 0.0)
        assert found.samples == batch and found.passes == 1 and found.form in ("blocks", "rows")
        kernels = [step.kernel for step in found.steps if step.kernel != "pack"]
        assert kernels[0] == "forward_Z" and kernels.count("gradient_w") == 2
        assert all(step.seconds > 0 for step in found.steps)
        even = 1000.0 * batch * 1e-9 / units
        sums = [step.predicted for step in found.steps if step.kernel.startswith("gradient")]
        assert sums == pytest.approx([even] * len(sums))
        # the samples of a batch of one fill one core, the others idle
        first = next(step for step in found.steps if step.kernel == "forward_Z")
        assert first.predicted >= even * (1 if batch > 1 else units) * 0.999
        # nine taps and 3 maps at 4 × 4 coordinates
        assert first.flops == 2 * 9 * 3 * 16 * batch

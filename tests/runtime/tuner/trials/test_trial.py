"""One candidate on the device: nothing wrong is timed, and what is refused is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch.fused import Fusion
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.program.layer import layer
from phiz.runtime.program.program import Program
from phiz.runtime.tuner.trials.candidate import RefusedError
from phiz.runtime.tuner.trials.child import Child
from phiz.runtime.tuner.trials.jobs import jobs
from phiz.runtime.tuner.trials.timer import Launchable, Timing
from phiz.runtime.tuner.trials.trial import Trials, space

from tests.runtime.tuner.planted import BROKEN, CRASH, HANG, MISSING, PAST, WRONG, planted_job, tile


class Counting:
    """A timer that measures nothing: seconds come from the configuration's tiles."""

    def __init__(self) -> None:
        self.timed: list[KernelConfig] = []

    def seconds(self, kernel: Launchable) -> float:
        return 1.0

    def compare(self, default: Launchable, candidate: Launchable, best: float, rounds: int) -> Timing:
        self.timed.append(candidate.config)
        ratio = 1.0 / max(1, *candidate.config.tiles.values())
        return Timing(1.0, ratio, ratio)


@pytest.fixture
def timer() -> Counting:
    return Counting()


@pytest.fixture
def trials(tmp_path: Path, timer: Counting) -> Trials:
    """Of the planted kernel."""
    _, job = planted_job(tmp_path / "planted")
    return Trials(job, OpenCLBackend(), timer)


def test_a_right_candidate_is_timed(trials: Trials, timer: Counting) -> None:
    found = trials.try_out(tile(8))
    assert (found.refused, found.ratio) == ("", 1 / 8)
    assert timer.timed == [tile(8)]


@pytest.mark.parametrize(
    ("size", "kind", "words"),
    [
        (WRONG, "wrong", ["forward_Z", "[3, ", "tolerance 1e-04"]),
        (BROKEN, "compile", ["dense.cl", "this tile does not compile"]),
        (PAST, "wrong", ["forward_Z", "past the end"]),
        (MISSING, "wrong", ["forward_Z", "[7, 0]", "nan"]),
        (9, "invalid", ["TILE_forward_Z_i = 9", "expected 1 to 8"]),
    ],
)
def test_a_planted_fault_is_refused_by_name_and_never_timed(
    trials: Trials, timer: Counting, size: int, kind: str, words: list[str]
) -> None:
    found = trials.try_out(tile(size))
    assert found.refused == kind
    assert all(word in found.reason for word in words), found.reason
    assert timer.timed == []


def test_unknown_tiles_and_groups_that_do_not_divide_are_invalid(trials: Trials) -> None:
    assert trials.try_out(KernelConfig({"TILE_other": 2})).refused == "invalid"
    assert "group" in trials.try_out(KernelConfig(group=(1, 3, 1))).reason
    assert trials.try_out(KernelConfig(width=3)).refused == "invalid"


def test_a_child_takes_the_crash(trials: Trials, tmp_path: Path) -> None:
    child = Child("")
    try:
        found = child.check(trials.job, tile(CRASH))
        assert found.refused == "crashed"
        assert "SIG" in found.reason
        assert child.check(trials.job, tile(8)).refused == "", "the next candidate has a child of its own"
        assert child.check(trials.job, tile(WRONG)).refused == "wrong", "and a child says what it refuses"
    finally:
        child.close()


def test_a_candidate_that_does_not_come_back_is_killed(trials: Trials) -> None:
    child = Child("", patience=3.0)
    try:
        found = child.check(trials.job, tile(HANG))
    finally:
        child.close()
    assert found.refused == "crashed"
    assert "SIGKILL" in found.reason


def test_a_wrong_default_is_told(tmp_path: Path, timer: Counting) -> None:
    _, job = planted_job(tmp_path / "planted")
    spoilt = dict(job.expected)
    name = next(iter(spoilt))
    spoilt[name] = spoilt[name] + np.eye(*spoilt[name].shape, dtype=np.float32)
    trials = Trials(replace(job, expected=spoilt), OpenCLBackend(), timer)
    with pytest.raises(RefusedError, match="forward_Z"):
        trials.default_seconds()


@pytest.mark.quickly_built
def test_every_kernel_of_a_network_passes_with_its_default(timer: Counting) -> None:
    layers = [
        layer("convolution", maps=3, kernel=3, activation="relu"),
        layer("max_pooling", window=2, activation="tanh"),
        layer("softmax", maps=4),
    ]
    network = Network(layers, (1, 8, 8))
    for gradients in ("sum", "sample"):
        found = jobs(network, 9, Request(losses=True, gradients=gradients, input_gradient=True))  # type: ignore[arg-type]
        assert {job.kernel.role for job in found} >= {"forward", "delta"}
        for job in found:
            trials = Trials(job, OpenCLBackend(), timer)
            assert trials.check(DEFAULT) is not None
            assert trials.default_seconds() == 1.0


def test_equal_kernels_are_one_job() -> None:
    network = Network([layer("dense", maps=6, activation="tanh")] * 3, (6,), "mse")
    found = jobs(network, 8, Request(losses=True, gradients="sum", input_gradient=True))
    names = [job.name for job in found if job.kernel.name in ("forward_Z", "delta_Y", "gradient_w")]
    expected = [
        "layer 0 (dense): forward_Z",
        "layer 2 (dense): delta_Y",
        "layer 2 (dense): gradient_w",
        "layer 0 (dense): delta_Y",
    ]
    assert sorted(names) == sorted(expected), (
        "only a delta depends on the activation below, and the input is linear"
    )


class SamplesInner(OpenCLBackend):
    """Every pass with samples innermost, whichever layout the device's width would make the faster one."""

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        return False


@pytest.mark.parametrize("samples", [9, 64, 128, 1347])
def test_kernels_are_tuned_in_the_blocks_that_a_network_runs_them_in(samples: int) -> None:
    """Also where the tiles of single launches would round the samples up to other blocks: 1,347 to 1,408."""
    backend = SamplesInner()
    network = Network(
        [layer("convolution", maps=12, kernel=3)], (8, 8, 8), "mse", backend, "float32", micro_batch=samples
    )
    executor = network.executor(samples)
    assert (
        isinstance(executor, OpenCLExecutor)
        and isinstance(executor.launcher, Fusion)
        and not executor.sample_outer
    )
    for job in jobs(network, samples, Request(gradients="sum")):
        if not job.unit.is_sample_outer and job.unit is network.program.units[0]:
            assert space(job, backend).samples == executor.launcher.blocks.samples

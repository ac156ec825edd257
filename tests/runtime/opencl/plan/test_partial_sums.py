"""Sums over samples in parts: how many by default, and that they are taken and added in the stated
order, bit for bit.
"""

from __future__ import annotations

import numpy as np
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch.fused import Fusion
from phiz.runtime.opencl.launch.single_launches import LaunchList, SingleLaunches
from phiz.runtime.opencl.plan.config import DEFAULT, Fixed, KernelConfig
from phiz.runtime.opencl.plan.gpu_cost_model import REDUCTION_GROUPS
from phiz.runtime.opencl.plan.kernel_plan import KernelPlan, plan_kernel
from phiz.runtime.opencl.plan.partial_sums import default_partial_sums, least_share, most_partial_sums
from phiz.runtime.program.layer import layer
from phiz.runtime.program.program import Unit
from phiz.runtime.tuner.trials.jobs import jobs
from phiz.runtime.tuner.trials.trial import Trials

GPU, CPU = 132 * 256, 2


@pytest.mark.parametrize(
    ("items", "vectors", "work_items", "partial_sums"),
    [
        (1, 1, GPU, 1),  # nothing to split
        (10, 1024, GPU, 32),  # 32 parts of 32 vectors, then 32 numbers to add
        (10, 128, GPU, 8),
        (1000, 16384, GPU, 32),  # 33 would fill the device
        (100_000, 16384, GPU, 1),  # enough to do
        (2, 1024, CPU, 1),
        (1, 1024, CPU, 1),  # not worth a launch
        (1, 8192, CPU, 2),
    ],
)
def test_the_default_fills_the_device_and_no_more(
    items: int, vectors: int, work_items: int, partial_sums: int
) -> None:
    assert default_partial_sums(items, vectors, work_items) == partial_sums


def test_the_rule_holds_everywhere() -> None:
    for vectors in (0, 1, 15, 16, 31, 32, 100, 4096, 10**6):
        for work_items in (1, 2, GPU):
            most = most_partial_sums(vectors, work_items)
            assert most >= 1 and most & (most - 1) == 0
            assert most == 1 or (vectors // most >= least_share(work_items) and vectors // most >= most)
            for items in (1, 7, 5000):
                partial_sums = default_partial_sums(items, vectors, work_items)
                assert 1 <= partial_sums <= most and partial_sums & (partial_sums - 1) == 0
                assert partial_sums == 1 or items * partial_sums <= work_items, (
                    "no more than keeps the device busy"
                )
                more = 2 * partial_sums
                assert more > most or items * more > work_items, "twice as many would not"


def dense(backend: OpenCLBackend | str) -> Network:
    return Network([layer("dense", maps=5, activation="tanh"), layer("dense", maps=3)], (7,), "mse", backend)


def unit_of(network: Network) -> Unit:
    return network.program.units[0]


def test_sums_of_few_parameters_are_shared_on_a_large_device_only() -> None:
    """There by teams, each item of which has a few vectors; by parts where that is asked for."""
    unit = unit_of(dense(OpenCLBackend(fuse=False)))
    kernels = {kernel.name: kernel for kernel in unit.kernels}
    large, small = Machine(64, GPU, local=49152), Machine(16, CPU)

    def plan(name: str, machine: Machine, config: KernelConfig = DEFAULT) -> KernelPlan:
        return plan_kernel(unit, kernels[name], config, 1, 1024, machine)

    def partial_sums(name: str, machine: Machine, config: KernelConfig) -> int:
        return plan(name, machine, config).partial_sums

    for name in ("gradient_w", "gradient_b"):
        shared, alone = plan(name, large), plan(name, small)
        assert (
            shared.reduction_group in REDUCTION_GROUPS
            and shared.group == (shared.reduction_group, 1, 1)
            and 1 <= shared.partial_sums <= 1024 // shared.reduction_group
        )
        assert (alone.reduction_group, alone.loop_split, alone.partial_sums, alone.group) == (0, 1, 1, None)
        assert (
            partial_sums(name, small, KernelConfig(partial_sums=7))
            == partial_sums(name, large, KernelConfig(reduction_group=1, partial_sums=7))
            == 7
        )
        assert partial_sums(name, small, KernelConfig(partial_sums=5000)) == 1024, (
            "no more parts than vectors"
        )
        grouped = KernelConfig(reduction_group=32, partial_sums=5000)
        assert partial_sums(name, large, grouped) == 1024 // 32, "nor than groups have vectors"
    assert (
        partial_sums("forward_Z", large, KernelConfig(partial_sums=4)) == 1
        and plan("forward_Z", large, KernelConfig(reduction_group=32)).reduction_group == 0
    )


def test_with_items_to_spare_tiles_are_as_large_as_if_the_device_were_small() -> None:
    """The sum over 4,096 samples keeps the others busy."""
    unit = unit_of(Network([layer("dense", maps=64)], (64,), "mse", "numpy"))
    kernel = next(kernel for kernel in unit.kernels if kernel.name == "gradient_w")
    small, large = (
        plan_kernel(unit, kernel, DEFAULT, 1, 4096, Machine(64, items, local=49152)) for items in (1, GPU)
    )
    assert np.prod(list(large.tiles.values())) >= 4
    assert max(1, large.reduction_group) * large.partial_sums >= 32 and (
        small.reduction_group,
        small.partial_sums,
    ) == (0, 1)


@pytest.mark.parametrize("samples", [1, 7, 8, 9, 64, 203])
@pytest.mark.parametrize("partial_sums", [1, 2, 3, 16])
def test_every_nth_vector_belongs_to_a_part_and_parts_are_added_in_order(
    samples: int, partial_sums: int
) -> None:
    """The bias' gradient is the plain sum of the deltas: NumPy adds the same float32 numbers in the
    stated order.
    """
    backend = OpenCLBackend(fuse=False)
    job = next(
        job
        for job in jobs(dense(backend), samples, Request(gradients="sum"))
        if job.kernel.name == "gradient_b"
    )
    width = backend.width("float32")
    vectors = -(-samples // width)
    trials = Trials(job, backend)
    if partial_sums > vectors:
        assert f"{partial_sums} parts, expected 1 to {vectors}" in trials.space.illegal(
            KernelConfig(partial_sums=partial_sums)
        )
        return
    found = trials.check(KernelConfig(partial_sums=partial_sums)).run()["gradient_b"]
    delta = np.zeros((3, vectors * width), np.float32)
    delta[:, :samples] = job.arrays["delta_Z"]
    delta = delta.reshape(3, vectors, width)
    total = np.zeros(3, np.float32)
    for part in range(partial_sums):
        lanes = np.zeros((3, width), np.float32)
        for vector in range(part, vectors, partial_sums):
            lanes = lanes + delta[:, vector]
        while lanes.shape[1] > 1:
            half = lanes.shape[1] // 2
            # lane_sum: the lower half and the upper half, lane by lane; of two the first and the second
            lanes = lanes[:, :half] + lanes[:, half:]
        total = lanes[:, 0] if part == 0 else total + lanes[:, 0]
    assert found.tobytes() == total.tobytes()


def test_a_split_step_is_two_launches_and_its_parts_share_no_memory_with_what_lives_then() -> None:
    def gradient(partial_sums: int | None, samples: int = 64) -> tuple[bytes, int]:
        backend = OpenCLBackend(fuse=False)
        names = ("gradient_w", "gradient_b")
        backend.configs = Fixed({("dense", name): KernelConfig(partial_sums=partial_sums) for name in names})
        network = dense(backend)
        generator = np.random.default_rng(samples)
        inputs, targets = generator.normal(size=(samples, 7)), generator.normal(size=(samples, 3))
        found = [network.value_and_gradient(network.parameters, inputs, targets)[1] for _ in range(3)]
        assert len({one.tobytes() for one in found}) == 1
        executor = network.executor(samples)
        assert isinstance(executor, OpenCLExecutor) and isinstance(executor.launcher, SingleLaunches)
        (kind,) = executor._passes.values()
        assert isinstance(kind.launches, LaunchList)
        expected = dense("numpy").value_and_gradient(network.parameters, inputs, targets)[1]
        assert np.abs(found[0] - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())
        return found[0].tobytes(), len(kind.launches.launches) - len(kind.steps)

    assert [gradient(partial_sums)[1] for partial_sums in (None, 1, 2, 3)] == [0, 0, 4, 4]
    assert gradient(None)[0] == gradient(1)[0]


def test_fused_passes_have_one_part() -> None:
    backend = OpenCLBackend(configs=Fixed({("dense", "gradient_b"): KernelConfig(partial_sums=2)}))
    assert backend.fuses
    network = dense(backend)
    executor = network.executor(64)
    assert isinstance(executor, OpenCLExecutor) and isinstance(executor.launcher, Fusion)
    assert {plan.partial_sums for plan in executor.launcher.plan.kernels.values()} == {1}
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(64, 7)), generator.normal(size=(64, 3))
    own = dense(OpenCLBackend())
    found, expected = (n.value_and_gradient(network.parameters, inputs, targets)[1] for n in (network, own))
    assert found.tobytes() == expected.tobytes()


def test_smaller_batches_of_an_executor_leave_parts_empty() -> None:
    """Parts are planned for the capacity; with fewer vectors in use than parts, some sum nothing."""
    backend = OpenCLBackend(fuse=False)
    backend.configs = Fixed(
        {("dense", name): KernelConfig(width=1, partial_sums=13) for name in ("gradient_w", "gradient_b")}
    )
    network, reference = dense(backend), dense("numpy")
    executor = network.executor(64)
    assert isinstance(executor, OpenCLExecutor)
    assert {
        p.partial_sums
        for (_, name), p in executor.plan.kernels.items()
        if name in ("gradient_w", "gradient_b")
    } == {13}
    executor.set_parameters(network.parameters)
    for samples in (64, 1, 7, 12, 13, 14):
        generator = np.random.default_rng(samples)
        inputs, targets = generator.normal(size=(samples, 7)), generator.normal(size=(samples, 3))
        resident = executor.upload(inputs.astype(np.float32), targets.astype(np.float32), None)
        found = executor.start(resident, Request(gradients="sum")).result().gradient
        expected = reference.value_and_gradient(network.parameters, inputs, targets)[1]
        assert found is not None
        assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_defaults_of_a_gpu_share_the_sums_of_small_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The layout and the rules of GPUs, whatever device runs them here, however few its cores."""
    machine = Machine(64, GPU, local=int(OpenCLBackend().device.local_mem_size))
    monkeypatch.setattr("phiz.runtime.opencl.device.device.machine", lambda device, kind: machine)
    backend = OpenCLBackend()
    backend.kind = "gpu"
    network, reference = dense(backend), dense("numpy")
    plan = backend.plan(network.program.units, "float32", 300)
    sums = [p for (_, name), p in plan.kernels.items() if name.startswith("gradient")]
    assert len(sums) == 4 and all(
        p.reduction_group in REDUCTION_GROUPS
        and p.partial_sums * p.reduction_group // p.loop_split < 300 + p.reduction_group
        for p in sums
    )
    generator = np.random.default_rng(0)
    inputs, targets = generator.normal(size=(300, 7)), generator.normal(size=(300, 3))
    first, second = (network.value_and_gradient(network.parameters, inputs, targets)[1] for _ in range(2))
    assert first.tobytes() == second.tobytes()
    expected = reference.value_and_gradient(network.parameters, inputs, targets)[1]
    assert np.abs(first - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())

"""Each choice by itself, in every kernel that has it: NumPy's numbers, the same bits in every run, named
refusals.

Slow because each choice in each kernel is another text, and the kernels are run again to see the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.codegen.user_file import combined, load_definitions
from phiz.runtime.backend import Request
from phiz.runtime.manifest.records import KernelInfo
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Unit
from phiz.runtime.tuner.space.space import Space
from phiz.runtime.tuner.space.traits import Traits, traits
from phiz.runtime.tuner.trials.child import Child
from phiz.runtime.tuner.trials.jobs import Job, jobs

from tests.runtime.tuner.compared import compare
from tests.runtime.tuner.simulated import CPU, GPU, some_jobs

LAYERS = Path(__file__).resolve().parents[3] / "layers"

NETWORKS: dict[str, tuple[list[LayerSpec], tuple[int, ...]]] = {
    "convolution": (
        [
            layer("convolution", maps=5, kernel=3, stride=2, padding_low=1, padding_high=2),
            layer("dense", maps=3),
        ],
        (2, 9, 7),
    ),
    "radial_basis": ([layer("dense", maps=11, activation="tanh"), layer("radial_basis", maps=6)], (9,)),
    "user": (
        [
            layer("locally_connected", maps=4, kernel=3, activation="tanh"),
            layer("factorised_bilinear", maps=3),
        ],
        (2, 5, 6),
    ),
}


@dataclass
class Everywhere:
    """What of ``wanted`` a kernel has on ``device``, in every kernel; ``used``: (choice, kernel) of
    what was legal.
    """

    wanted: KernelConfig
    device: Traits
    used: set[tuple[str, str]] = field(default_factory=set)

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """The choice, as far as it is legal."""
        space, found = Space(unit, kernel, dtype, samples, self.device), KernelConfig(width=self.wanted.width)
        for name in ("partial_sums", "unroll", "constant", "local"):
            value = getattr(self.wanted, name)
            tried = replace(found, **{name: value})
            if tried.local is not None:
                tried = replace(tried, group=(space.global_size(space.plan(tried))[0], 1, 1))
            if value and not space.illegal(tried):
                found = tried
                self.used.add((name, kernel.name))
        return found


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers that phiz does not know, generated."""
    needed, _ = combined(load_definitions([LAYERS / "locally_connected.py", LAYERS / "bilinear.py"]))
    path = tmp_path_factory.mktemp("definitions")
    write(path, generate(needed.families, needed.activations, needed.losses).files)
    return path


#: Choices that do not exclude one another, for sums over samples and for other kernels, side by side.
CHOICES = {
    "two parts, constant, unrolled": KernelConfig(partial_sums=2, constant=True, unroll=3),
    "seven parts, local, not unrolled": KernelConfig(partial_sums=7, local=2, unroll=1),
    "three parts, local": KernelConfig(partial_sums=3, local=3),
}
ROLES = {
    "partial_sums": ("gradient",),
    "constant": ("forward",),
    "local": ("forward",),
    "unroll": ("forward", "gradient"),
}


@pytest.mark.parametrize("choice", sorted(CHOICES))
@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_choices_give_what_numpy_gives(definitions: Path, name: str, choice: str) -> None:
    wanted = CHOICES[choice]
    layers, shape = NETWORKS[name]
    whole = 8 * OpenCLBackend().width("float32")  # eight vectors, so that there are parts enough
    for samples, width in (
        (9, 1),
        (whole, None),
    ):  # a single sample leaves little of a choice: ``test_kernel_configs``
        backend = OpenCLBackend(fuse=False)
        configs = Everywhere(replace(wanted, width=width), traits(backend, "float32"))
        backend.configs = configs
        networks = [
            Network(layers, shape, "mse", b, "float32", manifests=(definitions,)) for b in (backend, "numpy")
        ]
        compare(networks, samples, samples)
        for choice_name, roles in ROLES.items():
            reached = [
                role
                for role in roles
                if any(n == choice_name and k.startswith(role) for n, k in configs.used)
            ]
            assert reached == list(roles) or not getattr(wanted, choice_name), choice_name


def test_unrolling_keeps_the_order_of_every_sum() -> None:
    layers, shape = NETWORKS["convolution"]
    generator = np.random.default_rng(5)
    inputs, targets = generator.normal(size=(37, 126)), generator.normal(size=(37, 3))
    found = []
    for unroll in (None, 1, 3, 8):
        backend = OpenCLBackend(fuse=False)
        backend.configs = Everywhere(KernelConfig(unroll=unroll), traits(backend, "float32"))
        network = Network(layers, shape, "mse", backend)
        found.append(network.value_and_gradient(network.parameters, inputs, targets)[1].tobytes())
    assert len(set(found)) == 1


# --------------------------------------------------------------------------------------------------- legality
def space(job: Job, device: Traits) -> Space:
    return Space(job.unit, job.kernel, job.dtype, job.samples, device, job.image)


def job_of(role: str, samples: int = 64, wanted: Callable[[Job], bool] = lambda job: True) -> Job:
    return next(job for job in some_jobs(samples) if job.kernel.role == role and wanted(job))


def test_why_a_choice_is_illegal() -> None:
    forward, gradient = space(job_of("forward"), GPU), space(job_of("gradient"), GPU)
    assert "forward_Z has no sum that can be taken in parts" in forward.illegal(KernelConfig(partial_sums=2))
    assert "65 parts, expected 1 to 64" in gradient.illegal(KernelConfig(reduction_group=1, partial_sums=65))
    assert "3 parts, expected 1 to 2" in gradient.illegal(KernelConfig(reduction_group=32, partial_sums=3)), (
        "64 vectors"
    )
    assert "0 parts" in gradient.illegal(KernelConfig(partial_sums=0))
    assert "9 parts, expected 1 to 8" in space(job_of("gradient"), CPU).illegal(
        KernelConfig(partial_sums=9)
    ), "8 vectors of 8 samples"
    assert not gradient.illegal(KernelConfig(reduction_group=1, partial_sums=64)) and not gradient.illegal(
        KernelConfig(reduction_group=32, partial_sums=2)
    )
    assert "unrolled 17 times, expected 1 to 16" in forward.illegal(KernelConfig(unroll=17))
    basis = Network(NETWORKS["radial_basis"][0], (9,), "mse", "numpy")
    flat = next(
        job
        for job in jobs(basis, 8, Request())
        if job.unit.file == "radial_basis" and job.kernel.name == "forward_Z"
    )
    assert "forward_Z has no loop to unroll" in space(flat, GPU).illegal(KernelConfig(unroll=2)), (
        "exp(-beta R), without a sum"
    )


def test_a_loop_with_barriers_is_not_unrolled() -> None:
    """PoCL's compiler does not survive it."""
    found = space(job_of("forward"), GPU)
    group = next(g for g in found.groups(KernelConfig()) if set(g[1:]) == {1})
    assert not found.illegal(KernelConfig(local=1, unroll=1, group=group))
    assert "barriers" in found.illegal(KernelConfig(local=1, unroll=2, group=group))
    assert all(s.local is None or (s.unroll or 1) == 1 for s in found.neighbours(KernelConfig(unroll=2)))


def test_fused_kernels_have_no_such_choices() -> None:
    for job in some_jobs(64):
        fused = space(job, replace(CPU, fused=True))
        for config in (KernelConfig(partial_sums=1), KernelConfig(reduction_group=1)):
            assert "a kernel of a fused pass" in fused.illegal(config)
        for config in (KernelConfig(constant=True), KernelConfig(local=1), KernelConfig(group=(1, 1, 1))):
            assert "a kernel of a composed pass" in fused.illegal(config)
        for found in fused.neighbours(fused.config({})):
            assert (found.partial_sums, found.reduction_group, found.loop_split) == (None, None, None)
            assert (found.constant, found.local, found.group) == (False, None, None)


def test_grouped_kernels_choose_neither_work_groups_nor_where_parameters_lie() -> None:
    """Their widths, parts, teams and unrolled loops are as free as those of kernels in launches of
    their own.
    """
    moved = set()
    for job in some_jobs(64):
        grouped, alone = space(job, replace(GPU, grouped=True)), space(job, GPU)
        size = 1 if job.kernel.reduction_group else None
        for config in (
            KernelConfig(constant=True),
            KernelConfig(local=1),
            KernelConfig(group=(1, 1, 1), reduction_group=size),
        ):
            assert "a kernel of a composed pass" in grouped.illegal(config)
        for start in (grouped.config({}), replace(grouped.config({}), reduction_group=size)):
            for found in grouped.neighbours(start):
                assert (found.constant, found.local, found.group) == (False, None, None)
                moved |= {
                    (job.kernel.role, name)
                    for name in vars(found)
                    if getattr(found, name) != getattr(start, name)
                }
        free = (
            KernelConfig(width=4),
            KernelConfig(partial_sums=2, reduction_group=1),
            KernelConfig(reduction_group=32),
            KernelConfig(unroll=2),
        )
        assert not any(map(grouped.illegal, free)) or job.kernel.role != "gradient"
        bound = (
            KernelConfig(reduction_group=32, loop_split=1),
            KernelConfig(reduction_group=64, loop_split=2),
            KernelConfig(reduction_group=3),
            KernelConfig(partial_sums=65),
        )
        for config in (*free, *bound):
            assert grouped.illegal(config) == alone.illegal(config)
    assert moved >= {
        ("gradient", name)
        for name in ("tiles", "width", "partial_sums", "reduction_group", "loop_split", "unroll")
    }
    assert moved >= {("forward", name) for name in ("tiles", "width", "unroll", "across")}


def test_loops_of_fused_kernels_are_unrolled_but_those_over_samples_which_always_are() -> None:
    forward, gradient = (space(job_of(role), replace(CPU, fused=True)) for role in ("forward", "gradient"))
    assert {s.unroll for s in forward.neighbours(forward.config({}))} == {None, 2}
    assert not forward.illegal(KernelConfig(unroll=4)) and not forward.unproven(KernelConfig(unroll=4))
    assert "unrolled" in gradient.illegal(KernelConfig(unroll=2))
    assert {s.unroll for s in gradient.neighbours(gradient.config({}))} == {None}


def test_parts_are_offered_where_the_device_has_room_for_them() -> None:
    job = job_of("gradient", 4096)
    gpu, cpu = space(job, GPU), space(job, CPU)
    for team, tiles in ((1, {}), (2, {}), (32, {}), (128, {}), (128, dict.fromkeys(job.kernel.tiles, 1))):
        plan = gpu.plan(KernelConfig(tiles, reduction_group=team, partial_sums=1))
        values, items = gpu.partial_sum_values(plan), np.prod(gpu.global_size(plan))
        assert values == tuple(1 << n for n in range(len(values)))
        room = min(4 * GPU.machine.work_items // items, 4096 // team)  # a vector for each item of a team
        assert values[-1] <= max(1, room) < 2 * values[-1]
        assert len(values) > 2 or team == 128
    assert {s.partial_sums for s in gpu.neighbours(replace(gpu.config({}), reduction_group=1))} > {None}
    assert max(cpu.partial_sum_values(cpu.default)) <= 4 * CPU.machine.work_items
    forward = space(job_of("forward", 4096), GPU)
    assert forward.partial_sum_values(forward.default) == (1,)


def test_unrolling_is_offered_one_step_at_a_time_and_tried_in_a_child() -> None:
    found = space(job_of("forward"), GPU)
    assert {s.unroll for s in found.neighbours(found.config({}))} == {None, 2}
    assert {s.unroll for s in found.neighbours(KernelConfig(unroll=4))} == {4, 2, 8}
    assert "unrolled" in found.unproven(KernelConfig(unroll=4))


def test_constant_memory_is_offered_on_a_gpu_only_and_tried_in_a_child() -> None:
    job = job_of("forward")
    assert any(s.constant for s in space(job, GPU).neighbours(KernelConfig()))
    assert not all(s.constant for s in space(job, GPU).neighbours(KernelConfig(constant=True)))
    assert not any(s.constant for s in space(job, CPU).neighbours(KernelConfig()))
    assert "constant" in space(job, GPU).unproven(KernelConfig(constant=True))
    unread = space(job_of("gradient"), GPU)
    assert "gradient_w reads no parameters" in unread.illegal(KernelConfig(constant=True))
    assert not any(s.constant for s in unread.neighbours(KernelConfig()))


def test_choices_survive_where_another_tunable_moves() -> None:
    found = space(job_of("gradient"), GPU)
    start = KernelConfig(reduction_group=1, partial_sums=4, unroll=2)
    around = list(found.neighbours(start))
    assert {s.partial_sums for s in around if s.unroll == 2} == {2, 4, 8}
    assert {s.unroll for s in around if s.partial_sums == 4} == {None, 2, 4}
    assert {s.reduction_group for s in around if (s.partial_sums, s.unroll) == (4, 2)} == {1, 2}
    assert any(
        s.tiles != around[-1].tiles and (s.reduction_group, s.partial_sums, s.unroll) == (1, 4, 2)
        for s in around
    )


def test_a_request_for_gradients_reaches_kernels_with_each_choice() -> None:
    network = Network(NETWORKS["convolution"][0], (2, 9, 7), "mse", "numpy")
    kernels = [job.kernel for job in jobs(network, 8, Request(gradients="sum"))]
    assert {k.partial_sums for k in kernels} >= {"", "PARTIAL_SUMS_gradient_w", "PARTIAL_SUMS_gradient_b"}
    assert {k.unroll for k in kernels} >= {"UNROLL_forward_Z", "UNROLL_gradient_w"}


def test_a_child_launches_kernels_as_its_parent_does() -> None:
    job = job_of("forward", 32)
    wanted = KernelConfig(unroll=2, constant=True)
    for fuse, refused in ((False, ""), (True, "invalid")):
        child = Child("", fuse=fuse)
        try:
            assert child.check(job, wanted).refused == refused
        finally:
            child.close()

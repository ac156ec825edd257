"""Parameters that a work group copies to local memory: for which kernels, why not, and that the numbers stay
the same bits.

Slow because each kernel is built with and without copies and run on every batch, to compare their bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pyopencl as cl
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.manifest.records import KernelInfo
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.executor import OpenCLExecutor
from phiz.runtime.opencl.launch.launch import local_size
from phiz.runtime.opencl.launch.single_launches import LaunchList
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.opencl.plan.local_copies import no_local_copy
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Unit
from phiz.runtime.tuner.space.space import Space
from phiz.runtime.tuner.space.traits import traits
from phiz.runtime.tuner.trials.jobs import Job, jobs
from phiz.runtime.tuner.trials.trial import Trials

NETWORKS: dict[str, tuple[list[LayerSpec], tuple[int, ...]]] = {
    "convolution": (
        [layer("convolution", maps=5, kernel=3, stride=2, padding=1), layer("dense", maps=3)],
        (3, 7, 6),
    ),
    "dense": ([layer("dense", maps=11, activation="tanh"), layer("softmax", maps=3)], (7,)),
    "radial_basis": ([layer("dense", maps=9, activation="tanh"), layer("radial_basis", maps=6)], (9,)),
}


def network(name: str, backend: OpenCLBackend | str = "numpy") -> Network:
    layers, shape = NETWORKS[name]
    return Network(layers, shape, "mse", backend)


def job_of(name: str, kernel: str, backend: OpenCLBackend | str = "numpy", samples: int = 64) -> Job:
    found = jobs(network(name, backend), samples, Request(gradients="sum", input_gradient=True))
    return next(job for job in found if job.kernel.name == kernel)


def test_only_regular_accesses_are_copied() -> None:
    """Rows of relations, ragged tensors, sums of samples and kernels without a loop over a parameter
    have nothing to copy.
    """
    found = {(n, k.name): k.local for n, info in builtin().layers.items() for k in info.kernels}
    for name, kernel, each in (
        ("convolution_2d", "forward_Z", "TILE_forward_Z_i*M0*M1"),
        ("convolution_2d", "delta_Y", "TILE_delta_Y_j*M0*M1"),
        ("dense", "forward_Z", "TILE_forward_Z_i"),
        ("radial_basis", "forward_R", "TILE_forward_R_i"),
    ):
        local = found[name, kernel]
        assert local is not None and local.each == each
    for name, kernel in found:
        irregular = "table" in name or "irregular" in name or "pooling" in name or "subsampling" in name
        if irregular or kernel.startswith(("gradient", "samplegradient")):
            assert found[name, kernel] is None, (name, kernel)


def test_why_nothing_can_be_copied() -> None:
    job = job_of("convolution", "forward_Z")
    group, machine = (4, 1, 1), Machine(16, 2, local=1000)

    def why(
        config: KernelConfig, kernel: KernelInfo = job.kernel, machine: Machine = machine, itemsize: int = 4
    ) -> str:
        tiles = dict.fromkeys(kernel.tiles, 2)
        return no_local_copy(job.unit, kernel, config, tiles, machine, itemsize)

    assert why(KernelConfig(local=3, group=group)) == ""
    assert "4 rounds in local memory, expected 1 to 3" in why(KernelConfig(local=4, group=group)), (
        "three maps below"
    )
    assert "0 rounds" in why(KernelConfig(local=0, group=group))
    for other in (None, (4, 2, 1), (1, 1, 2), (4,)):
        assert f"needs a group (n, 1, 1), which differs in the samples only, not {other}" in why(
            KernelConfig(local=1, group=other)
        )
    assert "forward_Z are in constant memory already" in why(
        KernelConfig(local=1, group=group, constant=True)
    )
    assert why(KernelConfig(local=3, group=group), machine=Machine(16, 2, local=3 * 2 * 9 * 4)) == ""
    small = Machine(16, 2, local=3 * 2 * 9 * 4 - 1)
    reason = why(KernelConfig(local=3, group=group), machine=small)
    assert "forward_Z takes 216 bytes of local memory, a work group has 215" in reason
    assert "432 bytes" in why(KernelConfig(local=3, group=group), machine=small, itemsize=8)
    gradient = job_of("convolution", "gradient_w")
    assert "gradient_w has no operand" in why(KernelConfig(local=1, group=group), gradient.kernel)


def test_where_a_copy_is_offered() -> None:
    job = job_of("dense", "forward_Z")
    backend = OpenCLBackend(fuse=False)
    own = traits(backend, "float32")
    gpu = replace(own, kind="gpu", width=1, machine=Machine(64, 20000, 65536, 128, 49152))
    offered = list(Space(job.unit, job.kernel, "float32", 64, gpu).neighbours(KernelConfig()))
    assert {s.local for s in offered} == {None, 1}
    assert all(s.group is not None and s.group[0] > 1 for s in offered if s.local)
    assert {s.local for s in Space(job.unit, job.kernel, "float32", 64, own).neighbours(KernelConfig())} == {
        None
    }
    start = next(s for s in offered if s.local)
    around = list(Space(job.unit, job.kernel, "float32", 64, gpu).neighbours(start))
    assert {s.local for s in around} == {None, 1, 4}, (
        "one step up, one down, and other tunables beside a copy"
    )
    assert {s.unroll for s in around if s.local == 1} == {None}, "its loop has barriers"
    assert any(s.tiles != start.tiles for s in around if s.local == 1)
    assert all(s.group is not None and s.group[1:] == (1, 1) for s in around if s.local)
    for shared in (replace(gpu, fused=True), replace(gpu, grouped=True)):
        composed = Space(job.unit, job.kernel, "float32", 64, shared)
        assert "a kernel of a composed pass" in composed.illegal(KernelConfig(local=1))
        assert {s.local for s in composed.neighbours(KernelConfig())} == {None}
    assert "barriers" in Space(job.unit, job.kernel, "float32", 64, gpu).unproven(
        KernelConfig(local=1, group=(4, 1, 1))
    )


def test_a_group_that_copies_never_spans_another_axis() -> None:
    assert local_size((12, 6, 5), (8, 1, 1), True, copies=True) == (4, 1, 1)
    assert local_size((7, 6, 5), (8, 1, 1), False, copies=True) == (1, 1, 1)
    assert local_size((16, 6, 5), (8, 1, 1), True, copies=True) == (8, 1, 1)
    assert local_size((0, 6, 5), (8, 1, 1), True, copies=True) == (0, 6, 5)


@dataclass
class Copying:
    """So many rounds in local memory wherever that is legal, with as many vectors as there are in a group."""

    backend: OpenCLBackend
    rounds: int

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        space = Space(unit, kernel, dtype, samples, traits(self.backend, dtype))
        plain = KernelConfig(width=1)
        group = (space.global_size(space.plan(plain))[0], 1, 1)
        found = replace(plain, local=self.rounds, group=group)
        return plain if space.illegal(found) else found


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_copies_give_the_bits_of_global_memory_for_every_batch(name: str) -> None:
    """One executor of 64 samples serves smaller batches too, whose vectors the group need not divide."""

    def results(rounds: int) -> tuple[list[bytes], set[str]]:
        backend = OpenCLBackend(fuse=False)
        backend.configs = Copying(backend, rounds)
        net = network(name, backend)
        found = []
        for samples in (64, 1, 7, 8, 9, 64):
            generator = np.random.default_rng(samples)
            inputs = generator.normal(size=(samples, net.input_shape.units))
            targets = generator.random(size=(samples, net.output_shape.units))
            executor = net.executor(64)
            assert isinstance(executor, OpenCLExecutor)
            executor.set_parameters(net.parameters)
            resident = executor.upload(inputs.astype(np.float32), targets.astype(np.float32), None)
            request = Request(outputs=True, losses=True, gradients="sum", input_gradient=True)
            one, two = (executor.start(resident, request).result() for _ in range(2))
            assert one.gradient is not None and two.gradient is not None
            assert one.gradient.tobytes() == two.gradient.tobytes()
            found += [
                one.gradient.tobytes(),
                np.asarray(one.outputs).tobytes(),
                np.asarray(one.input_gradient).tobytes(),
            ]
        (kind,) = executor._passes.values()
        assert isinstance(kind.launches, LaunchList)
        copying = set()
        for launch in kind.launches.launches:
            bytes_ = launch.kernel.get_work_group_info(
                cl.kernel_work_group_info.LOCAL_MEM_SIZE, backend.device.handle
            )
            if launch.bound.call.copies:
                copying.add(launch.bound.call.name)
                assert bytes_ > 0, "the driver says that it has local memory"
            else:
                assert bytes_ == 0
        return found, copying

    plain, copied, wide = results(0), results(1), results(3)
    assert plain[1] == set()
    assert copied[1] == wide[1] and any(k.startswith("forward") for k in copied[1]) and "delta_Y" in copied[1]
    assert plain[0] == copied[0] == wide[0]


def test_a_copying_candidate_is_compared_with_numpy() -> None:
    backend = OpenCLBackend(fuse=False)
    for kernel in ("forward_Z", "delta_Y"):
        trials = Trials(job_of("convolution", kernel, backend, 33), backend)
        for rounds in (1, 2, 3):
            config = KernelConfig(width=1, local=rounds, group=(3, 1, 1), tiles={f"TILE_{kernel}_t": 1})
            if trials.space.illegal(config):
                config = replace(config, group=(1, 1, 1))
            assert trials.check(config) is not None

"""Legal configurations: what may be drawn, what is refused, and where the search begins."""

from __future__ import annotations

from dataclasses import fields, replace
from math import prod

import numpy as np
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.opencl.tuned.record import canonical
from phiz.runtime.program.layer import layer
from phiz.runtime.tuner.space import local_sizes
from phiz.runtime.tuner.space.local_size import optimal_local_size
from phiz.runtime.tuner.space.space import Space, legal
from phiz.runtime.tuner.space.traits import Traits
from phiz.runtime.tuner.trials.jobs import Job, jobs

from tests.runtime.tuner.simulated import CPU, GPU, job_with_tiles, some_jobs


def space(job: Job, device: Traits = CPU) -> Space:
    return Space(job.unit, job.kernel, job.dtype, job.samples, device, job.image)


@pytest.mark.parametrize("device", [CPU, GPU], ids=["cpu", "gpu"])
@pytest.mark.parametrize("samples", [1, 7, 64])
def test_what_is_drawn_is_legal_and_varied(device: Traits, samples: int) -> None:
    generator = np.random.default_rng(3)
    for job in some_jobs(samples):
        found = space(job, device)
        drawn = [found.drawn(generator) for _ in range(12)]
        assert all(legal(job.unit, job.kernel, config, device, job.dtype, samples) for config in drawn)
        assert len({canonical(config) for config in drawn}) > 3
        for config in drawn:
            plan = found.plan(config)
            assert dict(plan.tiles) == dict(config.tiles), "a legal size is taken as it is"
            size = found.global_size(plan)
            assert config.group is None or all(s % g == 0 for s, g in zip(size, config.group, strict=True))


def test_the_default_is_legal_and_every_tile_has_its_values() -> None:
    for job in some_jobs():
        found = space(job)
        assert not found.illegal(DEFAULT)
        assert not found.illegal(found.config({}))
        for macro in job.kernel.tiles:
            values = found.tile_values(macro, CPU.width)
            assert values == tuple(sorted(set(values)))
            assert values[0] == 1


def test_why_a_config_is_illegal() -> None:
    job = job_with_tiles()
    found, macro = space(job), next(iter(job.kernel.tiles))
    most = max(found.tile_values(macro, CPU.width))
    assert f"{macro} = 0" in found.illegal(KernelConfig({macro: 0}))
    assert f"{macro} = {most + 100}" in found.illegal(KernelConfig({macro: most + 100}))
    assert "no tile OTHER" in found.illegal(KernelConfig({"OTHER": 1}))
    assert "width 32" in found.illegal(KernelConfig(width=32))
    assert "width 16" in replace(found, device=replace(CPU, widest=8)).illegal(KernelConfig(width=16))
    assert "group" in found.illegal(KernelConfig(group=(5, 7, 11)))
    assert "group" in found.illegal(KernelConfig(group=(1, 1)))
    wide = replace(CPU, work_group=2)
    size = found.global_size(found.plan(DEFAULT))
    assert "groups of up to 2" in replace(found, device=wide).illegal(KernelConfig(group=size))


def test_tilings_come_by_predicted_cost_and_cover_everything() -> None:
    found = space(job_with_tiles(least=2))
    tilings = found.tilings()
    assert len({canonical(config) for config in tilings}) == len(tilings)
    everything = prod(len(found.tile_values(macro, CPU.width)) for macro in found.kernel.tiles)
    assert 8 < len(tilings) <= everything
    # the default is the register model's own optimum, so that nothing predicted to be far better is left out
    assert canonical(found.config({})) in [
        canonical(config) for config in tilings[: max(3, len(tilings) // 3)]
    ]


def test_neighbours_change_one_tunable() -> None:
    found = space(job_with_tiles())
    start = found.config({})
    around = list(found.neighbours(start))
    assert around
    for config in around:
        assert not found.illegal(config)
        tiles = sum(config.tiles[macro] != size for macro, size in start.tiles.items())
        others = [f.name for f in fields(KernelConfig) if f.name not in ("tiles", "width")]
        changed = tiles + sum(getattr(config, name) != getattr(start, name) for name in others)
        assert changed == (config.width == start.width)
    assert {config.width for config in around} == {None, 4, 16}


def test_what_goes_to_a_child_first() -> None:
    found = space(job_with_tiles())
    assert not found.unproven(DEFAULT)
    assert not found.unproven(found.config({}, 4))
    assert "16" in found.unproven(found.config({}, 16))
    assert "128" in found.unproven(KernelConfig(group=(2, 8, 8)))
    assert not found.unproven(KernelConfig(group=(1, 8, 8)))


# ------------------------------------------------------------------------------------------------ Algorithm 4
def convolution(stride: int = 1, padding: int = 0) -> Job:
    made = layer("convolution", maps=4, kernel=5, stride=stride, padding=padding)
    network = Network([made], (3, 20, 20), "mse", "numpy")
    return next(job for job in jobs(network, 4, Request()) if job.kernel.role == "forward")


def test_algorithm_4_is_given_the_image_of_the_kernel() -> None:
    job = convolution()
    found = job.image
    assert found is not None
    assert (found.outputs, found.inputs, found.taps, found.maps) == ((16, 16), (20, 20), (5, 5), 4)
    problem = local_sizes.problem(found, GPU, 4, used_local=400, work_group=256)
    assert problem.outputs == (16, 16)
    assert (problem.units, problem.work_group, problem.local_memory, problem.itemsize) == (
        80,
        256,
        49152 - 400,
        4,
    )
    padded = convolution(padding=2).image
    assert padded is not None
    assert local_sizes.problem(padded, GPU, 4).size == (24, 24), "S has the layer's own border in it"
    strided = convolution(stride=2).image
    assert strided is not None
    assert local_sizes.problem(strided, GPU, 4).stride == (2, 2)


def test_groups_of_a_gpu_begin_with_algorithm_4() -> None:
    job = convolution()
    found = space(job, replace(GPU, units=4))
    assert job.image is not None
    best = optimal_local_size(local_sizes.problem(job.image, found.device, 4))
    assert found.start == prod(best.local) > 1
    groups = local_sizes.groups((256, 256, 4), found.device, found.start)
    assert groups[0] == (64, np.gcd(256, found.start), 1) or prod(groups[0]) <= GPU.work_group
    assert {group[1] for group in groups} & {found.start, 2 * found.start, found.start // 2}
    assert all(local_sizes.fits(group, (256, 256, 4), found.device) for group in groups)


def test_groups_of_a_cpu_are_powers_of_two() -> None:
    groups = local_sizes.groups((8, 12, 5), CPU, 1)
    assert (1, 1, 1) in groups
    assert all(prod(group) & (prod(group) - 1) == 0 for group in groups)
    assert local_sizes.groups((0, 4, 4), CPU, 1) == []


@pytest.mark.parametrize(
    ("output", "inputs", "windows"),
    [((10,), [(4,)], [(10, 4)]), ((4, 8, 8), [(4,)], []), ((4, 0, 8), [(4, 8, 8)], [])],
    ids=["no coordinates", "no image below", "empty"],
)
def test_algorithm_4_does_not_apply(
    output: tuple[int, ...], inputs: list[tuple[int, ...]], windows: list[tuple[int, ...]]
) -> None:
    assert local_sizes.image(output, inputs, windows) is None
    assert local_sizes.neighbours_of(None, GPU, 4) == 1


def test_windows_without_parameters_and_rank_1_and_3() -> None:
    pooled = local_sizes.image((6, 12, 12), [(6, 24, 24)], [])
    assert pooled is not None
    assert pooled.taps == (2, 2)
    line = local_sizes.image((6, 12), [(3, 14)], [(6, 3, 3)])
    assert line is not None
    assert (line.outputs, line.taps, line.maps) == ((12, 1), (3, 1), 6)
    cube = local_sizes.image((6, 5, 12, 11), [(3, 7, 14, 13)], [(6, 3, 3, 3, 3)])
    assert cube is not None
    assert (cube.outputs, cube.maps) == ((11, 12), 30)

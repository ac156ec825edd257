"""Teams that share sums over samples: NumPy's numbers whatever is chosen, added in the stated order, and
named refusals.

Slow because the size of a group is a constant of the text, so that each that is drawn is built by itself.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from phiz.runtime.backend import Request
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.tuner.space.space import REDUCTION_GROUPS as LEGAL
from phiz.runtime.tuner.space.space import Space
from phiz.runtime.tuner.space.traits import traits
from phiz.runtime.tuner.trials.jobs import Job, jobs
from phiz.runtime.tuner.trials.trial import Trials

#: Padding and strides, where places differ in their rounds; a strip; several sums in one loop; tables; one
#: vector and many.
NETWORKS: dict[str, tuple[list[LayerSpec], Any]] = {
    "dense": ([layer("dense", maps=11)], (7,)),
    "convolution": (
        [layer("convolution", maps=5, kernel=3, stride=2, padding_low=1, padding_high=2)],
        (3, 9, 7),
    ),
    "wide windows": ([layer("convolution", maps=3, kernel=(4, 5), padding=(2, 3))], (2, 6, 4)),
    "along a line": ([layer("convolution", maps=4, kernel=3, dilation=2, padding=2)], (2, 9)),
    "radial_basis": ([layer("radial_basis", maps=6)], (9,)),
    "subsampling": ([layer("subsampling", window=2)], (3, 8, 6)),
    "crossed subsampling": ([layer("subsampling", window=(2, 3), connections=[[1], [0, 1]])], (2, 7, 7)),
    "ragged": (
        [layer("convolution", kernel=[[3, 2], [2, 2], [1, 3]], connections=[[0, 1], [1]])],
        ((6, 5), (5, 7)),
    ),
}
SAMPLES = (1, 7, 8, 9, 64, 203)
REDUCTION_GROUPS, PARTIAL_SUMS = (1, 2, 8, 32, 128), (1, 2, 3)


@cache
def sums(name: str, samples: int) -> list[Job]:
    """The kernels of a network that sum over samples."""
    layers, shape = NETWORKS[name]
    found = jobs(Network(layers, shape, "mse", "numpy"), samples, Request(gradients="sum"))
    return [job for job in found if job.kernel.role == "gradient"]


def drawn(space: Space, generator: np.random.Generator) -> KernelConfig:
    """Any legal reduction group with what goes with it."""
    width = int(generator.choice([1, space.width]))
    tiles = {macro: int(generator.choice(space.tile_values(macro, width))) for macro in space.kernel.tiles}
    size = int(generator.choice(REDUCTION_GROUPS))
    splits = [1 << n for n in range(size.bit_length())] if space.kernel.loop_split else [None]
    loop_split, partial_sums = (
        splits[int(generator.integers(len(splits)))],
        int(generator.choice(PARTIAL_SUMS)),
    )
    found = KernelConfig(tiles, width, partial_sums=partial_sums, reduction_group=size, loop_split=loop_split)
    return drawn(space, generator) if space.illegal(found) else found


@pytest.mark.parametrize(
    ("name", "samples"), [(name, n) for turn, name in enumerate(NETWORKS) for n in SAMPLES[turn % 2 :: 2]]
)
def test_random_reduction_groups_give_what_numpy_gives_and_the_same_bits_twice(
    name: str, samples: int
) -> None:
    generator = np.random.default_rng([samples, len(name)])
    for job in sums(name, samples):
        trials = Trials(job, OpenCLBackend(fuse=False))
        assert job.kernel.reduction_group and job.kernel.partial_sums
        trials.check(drawn(trials.space, generator))


def test_every_choice_is_among_those_that_were_drawn() -> None:
    """Of the same generators, without a device."""
    found = []
    device = traits(OpenCLBackend(fuse=False), "float32")
    for name in NETWORKS:
        for samples in SAMPLES:
            generator = np.random.default_rng([samples, len(name)])
            for job in sums(name, samples):
                space = Space(job.unit, job.kernel, job.dtype, samples, device, job.image)
                found.append((job.kernel, drawn(space, generator)))
    assert {s.reduction_group for _, s in found} == set(REDUCTION_GROUPS) and {
        s.partial_sums for _, s in found
    } == set(PARTIAL_SUMS)
    assert {s.loop_split for k, s in found if k.loop_split} >= {1, 2, 4}
    assert {s.loop_split for k, s in found if not k.loop_split} == {None}
    cache_tiles = [
        s.tiles[k.cache_tile.macro] for k, s in found if k.cache_tile and (s.reduction_group or 1) > 1
    ]
    assert max(cache_tiles) > 1 and any(k.index for k, _ in found)
    assert any(k.sums and (s.reduction_group or 1) > 1 for k, s in found)


# ------------------------------------------------------------------------------------------ order of addition
def lane_sum(lanes: np.ndarray) -> np.ndarray:
    """The lower half and the upper half, lane by lane; of two the first and the second."""
    while lanes.shape[-1] > 1:
        half = lanes.shape[-1] // 2
        lanes = lanes[..., :half] + lanes[..., half:]
    return lanes[..., 0]


def in_order(delta: np.ndarray, width: int, size: int, loop_split: int, partial_sums: int) -> np.ndarray:
    """The sum of ``delta (maps, rows, columns, samples)`` as the kernel states it, one float32 addition
    after the other.
    """
    maps, rows, columns, samples = delta.shape
    vectors, span = -(-samples // width), size // loop_split
    whole = np.zeros((maps, rows, columns, vectors * width), np.float32)
    whole[..., :samples] = delta
    whole = whole.reshape(maps, rows, columns, vectors, width)
    total = np.zeros(maps, np.float32)
    for part in range(partial_sums):
        items = np.zeros((size, maps), np.float32)
        for lane in range(size):
            run, acc = lane // span, np.zeros((maps, width), np.float32)
            for vector in range(part * span + lane % span, vectors, partial_sums * span):
                for row in range(run, rows, loop_split):
                    for column in range(columns):
                        acc = acc + whole[:, row, column, vector]
            items[lane] = lane_sum(acc)
        others = size // 2
        while others:
            items[:others] += items[others : 2 * others]
            others //= 2
        total = items[0].copy() if part == 0 else total + items[0]
    return total


@pytest.mark.parametrize("samples", [9, 64, 203])
@pytest.mark.parametrize(
    ("width", "size", "loop_split", "partial_sums"),
    [
        (1, 2, 2, 1),
        (8, 8, 1, 2),
        (1, 8, 4, 3),
        (4, 8, 2, 3),
        (8, 32, 4, 1),
        (1, 32, 2, 2),
        (2, 128, 4, 1),
        (1, 128, 1, 3),
    ],
)
@pytest.mark.parametrize("name", ["dense", "convolution"])
def test_every_item_sums_its_vectors_and_runs_and_halves_are_added_in_order(
    name: str, width: int, size: int, loop_split: int, partial_sums: int, samples: int
) -> None:
    """The bias' gradient is the plain sum of the deltas: NumPy adds the same float32 numbers in the
    stated order.  Vectors are as wide as the device's where these are narrower.
    """
    width = min(width, OpenCLBackend().width("float32"))
    job = next(job for job in sums(name, samples) if job.kernel.name == "gradient_b")
    loop_split = loop_split if job.kernel.loop_split else 1
    shared = loop_split if job.kernel.loop_split else None
    wanted = KernelConfig(width=width, reduction_group=size, loop_split=shared, partial_sums=partial_sums)
    trials, vectors = Trials(job, OpenCLBackend(fuse=False)), -(-samples // width)
    most = -(-vectors * loop_split // size)
    if partial_sums > most:
        assert f"{partial_sums} parts, expected 1 to {most}" in trials.space.illegal(wanted), (
            "no part is without a vector"
        )
        return
    rows, columns = (1, 1) if name == "dense" else (5, 4)
    delta = job.arrays["delta_Z"].reshape(-1, rows, columns, samples)
    found = trials.check(wanted).run()["gradient_b"]
    assert found.tobytes() == in_order(delta, width, size, loop_split, partial_sums).tobytes()


def test_a_reduction_group_of_one_is_none() -> None:
    for job in sums("convolution", 64):
        trials = Trials(job, OpenCLBackend(fuse=False))
        alone, none = (
            trials.check(KernelConfig(reduction_group=size, partial_sums=2)).run() for size in (1, None)
        )
        assert all(alone[name].tobytes() == none[name].tobytes() for name in alone)


# --------------------------------------------------------------------------------------------------- legality
def test_why_a_reduction_group_is_illegal() -> None:
    device = traits(OpenCLBackend(fuse=False), "float32")

    def space(name: str, kernel: str, **changes: Any) -> Space:
        layers, shape = NETWORKS[name]
        found = jobs(Network(layers, shape, "mse", "numpy"), 64, Request(gradients="sum"))
        job = next(job for job in found if job.kernel.name == kernel)
        return Space(job.unit, job.kernel, job.dtype, 64, replace(device, **changes), job.image)

    dense, convolution = space("dense", "gradient_w"), space("convolution", "gradient_w")
    for size in (0, 3, 12, 129, 2 * LEGAL[-1]):
        assert f"a team of {size}, expected a power of two up to {LEGAL[-1]}" in dense.illegal(
            KernelConfig(reduction_group=size)
        )
    assert not any(dense.illegal(KernelConfig(reduction_group=size)) for size in (1, *LEGAL))
    small = space("dense", "gradient_w", work_group=32)
    assert "a team of 64, expected a power of two up to 32" in small.illegal(KernelConfig(reduction_group=64))
    assert "forward_Z has no sum that work items could share" in space("dense", "forward_Z").illegal(
        KernelConfig(reduction_group=2)
    )
    assert "a kernel of a fused pass" in space("dense", "gradient_w", fused=True).illegal(
        KernelConfig(reduction_group=2)
    )

    assert "16 runs, expected a power of two up to the team's 8" in convolution.illegal(
        KernelConfig(reduction_group=8, loop_split=16)
    )
    for runs in (3, 0):
        assert f"{runs} runs" in convolution.illegal(KernelConfig(reduction_group=8, loop_split=runs))
    assert "8 runs" in convolution.illegal(KernelConfig(reduction_group=32, loop_split=8)), (
        "the outermost loop has five rounds"
    )
    assert "2 runs" in convolution.illegal(
        KernelConfig(reduction_group=1, loop_split=2)
    ) and "2 runs" in convolution.illegal(KernelConfig(loop_split=2))
    assert "2 runs" in dense.illegal(KernelConfig(reduction_group=8, loop_split=2)), (
        "no loop but that over the samples"
    )
    assert not any(
        convolution.illegal(KernelConfig(reduction_group=8, loop_split=loop_split))
        for loop_split in (1, 2, 4)
    )

    assert "a team is a work group of its own" in dense.illegal(
        KernelConfig(reduction_group=8, group=(8, 1, 1))
    )
    default = space("dense", "gradient_w", kind="gpu", machine=replace(device.machine, work_items=2**15))
    assert default.default.reduction_group and "a team is a work group of its own" in default.illegal(
        KernelConfig(group=(8, 1, 1))
    )
    assert not default.illegal(KernelConfig(reduction_group=1, group=(1, 1, 1)))


@pytest.mark.parametrize("size", [2, 32, 128])
def test_the_sums_of_a_reduction_group_fit_local_memory(size: int) -> None:
    """A work group of 128 items holds several, each with a number for each item and one more to keep
    banks apart.
    """
    device = traits(OpenCLBackend(fuse=False), "float32")
    job = next(job for job in sums("dense", 64) if job.kernel.name == "gradient_w")
    tiles = dict(zip(job.kernel.tiles, (3, 5), strict=True))
    for dtype, itemsize in (("float32", 4), ("float64", 8)):
        needed = 3 * 5 * (size + 1) * (128 // size) * itemsize
        for local in (needed, needed - 1):
            machine = replace(device.machine, local=local)
            found = Space(job.unit, job.kernel, dtype, 64, replace(device, machine=machine)).illegal(
                KernelConfig(tiles, reduction_group=size)
            )
            reason = f"a team of {size} needs more local memory than the {local} bytes of a group"
            assert found == ("" if local == needed else reason)

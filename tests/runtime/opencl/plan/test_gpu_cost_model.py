"""Default tiles and reduction groups of a GPU: the choice against all others by the model's count, what
it must never do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.plan.config import DEFAULT
from phiz.runtime.opencl.plan.cpu_cost_model import CacheTile, TileProblem, splits
from phiz.runtime.opencl.plan.gpu_cost_model import (
    APART,
    BARRIERS,
    EDGE,
    FOLD,
    ITEM,
    LATENCY,
    LAUNCH,
    OVERHEAD,
    STREAMED,
    WARPS,
    Choice,
    SampleSum,
    cycles,
    units,
)
from phiz.runtime.opencl.plan.gpu_cost_model import best as best_and_cycles
from phiz.runtime.opencl.plan.kernel_plan import KernelPlan, plan_kernel
from phiz.runtime.program.layer import LayerSpec, layer
from phiz.runtime.program.program import Unit

GPU = Machine(registers=64, work_items=132 * 256, local=49152)
NUMBERS = 49152 // 4
#: A dense layer's product of weights and samples, and its weights' gradient.
FORWARD = ((1,), (0,))


def best(
    problem: TileProblem, machine: Machine, steps: int, width: int, summed: SampleSum | None = None
) -> Choice:
    """The choice, which is said to take what ``cycles`` counts."""
    found, predicted = best_and_cycles(problem, machine, steps, width, summed)
    assert predicted == cycles(problem, found, machine, steps, width, summed)
    assert best_and_cycles(problem, machine, steps, width, summed, found.tile) == (found, predicted)
    return found


def fits(tile: tuple[int, ...], group: int, numbers: int) -> bool:
    """Whether the reduction groups of a work group of 128 have room: a number for each item, and one
    that keeps banks apart.
    """
    return prod(tile) * (group + 1) * (128 // group) <= numbers


def groups(tile: tuple[int, ...], summed: SampleSum) -> Iterator[tuple[int, int]]:
    """Legal groups and runs; none only where none fits.

    Half of a group beyond the first must have something to do.
    """
    if not any(fits(tile, group, summed.numbers) for group in (32, 64, 128)):
        yield 0, 1
    for group, split in product((32, 64, 128), (1, 2, 4, 8, 16, 32, 64, 128)):
        busy = group == 32 or group // 2 < summed.vectors * split
        if fits(tile, group, summed.numbers) and split <= min(group, summed.rounds) and busy:
            yield group, split


def choices(problem: TileProblem, summed: SampleSum | None) -> Iterator[Choice]:
    """Every legal one, from the definitions."""
    widths = [splits(extent) for extent in problem.extents]
    if problem.samples:
        widths[-1] = [n for n in (1, 2, 4) if n <= problem.extents[-1]]
    if problem.cache_tile is not None:
        widths[problem.cache_tile.axis] = [1]
    for tile in product(*widths):
        if prod(tile) > 64:
            continue
        if summed is None:
            yield Choice(tile)
            continue
        for group, split in groups(tile, summed):
            for parts in (1 << n for n in range(20)):
                if parts == 1 or max(1, group) // split * parts <= summed.vectors:
                    yield Choice(tile, group, parts, split)


@st.composite
def problems(draw: st.DrawFn) -> TileProblem:
    axes = draw(st.integers(1, 3))
    extents = tuple(draw(st.integers(1, 20)) for _ in range(axes))
    subsets = st.sets(st.integers(0, axes - 1)).map(lambda found: tuple(sorted(found)))
    operands = tuple(draw(st.lists(subsets, min_size=1, max_size=2)))
    sliding = tuple(tuple(a for a in o if draw(st.booleans())) for o in operands)
    cache_tile = CacheTile(draw(st.integers(0, axes - 1)), 64, 4) if draw(st.booleans()) else None
    samples = cache_tile is None and draw(st.booleans())
    return TileProblem(
        extents,
        operands,
        draw(st.sampled_from([1, 3, 40, 5000])),
        samples,
        sliding=sliding,
        cache_tile=cache_tile,
    )


MACHINES = st.builds(
    Machine, st.sampled_from([16, 64, 255]), st.sampled_from([2**9, 2**15]), local=st.just(49152)
)
SUMS = st.builds(
    SampleSum,
    st.sampled_from([1, 7, 33, 64, 1000, 20000]),
    st.sampled_from([0, 200, 5000, NUMBERS]),
    st.sampled_from([1, 3, 8, 200]),
)


@settings(max_examples=60, deadline=None)
@given(
    problem=problems(),
    machine=MACHINES,
    steps=st.sampled_from([0, 1, 25, 400]),
    width=st.sampled_from([1, 4]),
    summed=SUMS,
)
def test_no_other_choice_is_predicted_to_be_faster(
    problem: TileProblem, machine: Machine, steps: int, width: int, summed: SampleSum
) -> None:
    for over in (None, summed):
        chosen, others = best(problem, machine, steps, width, over), list(choices(problem, over))
        assert chosen in others
        least = min(cycles(problem, other, machine, steps, width, over) for other in others)
        assert cycles(problem, chosen, machine, steps, width, over) <= least + 1e-3


@settings(max_examples=60, deadline=None)
@given(problem=problems(), machine=MACHINES, steps=st.integers(1, 400), summed=SUMS)
def test_a_reduction_group_fits_its_memory_and_work(
    problem: TileProblem, machine: Machine, steps: int, summed: SampleSum
) -> None:
    found = best(problem, machine, steps, 1, summed)
    assert found.reduction_group in (0, 32, 64, 128)
    assert found.reduction_group or not any(
        fits(found.tile, group, summed.numbers) for group in (32, 64, 128)
    )
    assert not found.reduction_group or fits(found.tile, found.reduction_group, summed.numbers)
    assert (
        1 <= found.loop_split <= max(1, found.reduction_group)
        and found.loop_split <= summed.rounds
        and found.loop_split & (found.loop_split - 1) == 0
    )
    assert (
        found.partial_sums == 1
        or max(1, found.reduction_group) // found.loop_split * found.partial_sums <= summed.vectors
    ), "each item has a vector"
    assert all(1 <= size <= extent for size, extent in zip(found.tile, problem.extents, strict=True))
    assert problem.cache_tile is None or found.tile[problem.cache_tile.axis] == 1


def test_without_local_memory_there_are_no_reduction_groups() -> None:
    problem = TileProblem((5, 7), FORWARD, 1, False)
    assert best(problem, GPU, 1, 1, SampleSum(1024, NUMBERS)).reduction_group >= 32
    alone = best(problem, GPU, 1, 1, SampleSum(1024, 0))
    assert (alone.reduction_group, alone.loop_split) == (0, 1) and alone.partial_sums > 1, (
        "parts share the sum instead"
    )


def test_the_count_of_cycles() -> None:
    """By hand: 16 maps, 4,096 samples, 100 terms, on 132 multiprocessors."""
    problem = TileProblem((16, 4096), FORWARD, 1, True)
    assert units(GPU) == 132
    warps = 16 * 4096 / 32 / 132  # of each multiprocessor: 15.5
    alone = 100 * max(LATENCY * 2, warps * (1 / WARPS + 2 + OVERHEAD)) + warps * ITEM
    assert cycles(problem, Choice((1, 1)), GPU, 100, 1, None) == pytest.approx(alone)
    # four parameters, and four samples of which neighbours' lie in between: each load touches four lines
    tiled = (
        100 * max(LATENCY * (4 + 4 * APART), warps / 16 * (16 / WARPS + 4 + 16 + OVERHEAD))
        + warps / 16 * ITEM
    )
    assert cycles(problem, Choice((4, 4)), GPU, 100, 1, None) == pytest.approx(tiled)
    wide = 100 * max(LATENCY * 5, warps / 16 * (4 * 4 / WARPS + 4 + 4 + OVERHEAD)) + warps / 16 * ITEM
    vectors = TileProblem((16, 1024), FORWARD, 1, True)
    assert cycles(vectors, Choice((4, 1)), GPU, 100, 4, None) == pytest.approx(wide), (
        "vectors of four samples are four lines"
    )
    # a sum over 640 vectors of two tensors, by groups of 64: ten rounds each
    gradient, summed = TileProblem((5, 7), FORWARD, 1, False), SampleSum(640, NUMBERS)
    warps, issued = 35 * 2 / 132, 1 / WARPS + 2 + OVERHEAD
    found = cycles(gradient, Choice((1, 1), 64), GPU, 1, 1, summed)
    assert found == pytest.approx(10 * max(STREAMED * 2, warps * issued) + BARRIERS + warps * (FOLD + ITEM))
    halved = cycles(gradient, Choice((1, 1), 64, 2), GPU, 1, 1, summed)
    assert halved == pytest.approx(
        5 * max(STREAMED * 2, 2 * warps * issued) + BARRIERS + 2 * warps * (FOLD + ITEM) + LAUNCH
    )


def test_tiles_that_are_cut_off_take_longer() -> None:
    """Of 32 places in tiles of 4 the first and the last tile have a place that some rounds leave out."""
    whole = TileProblem((8, 32, 64), ((0,), (1, 2)), 1, True)
    cut = replace(whole, partial=((0, 0), (1, 2), (0, 0)))
    for tile, share in (((2, 4, 1), 2 / 8), ((2, 8, 1), 2 / 4), ((2, 1, 1), 0.0)):
        expected = cycles(whole, Choice(tile), GPU, 10**6, 1, None) * (1 + EDGE * share)
        assert cycles(cut, Choice(tile), GPU, 10**6, 1, None) == pytest.approx(expected, rel=1e-4)


def test_few_outputs_have_an_item_each_and_many_share_what_they_load() -> None:
    sizes = []
    for samples in (1, 16, 64, 1024, 16384):
        tile = best(TileProblem((64, samples), FORWARD, 1, True), GPU, 500, 1).tile
        sizes.append(prod(tile))
    assert sizes[0] == sizes[1] == sizes[2] == 1, "as many items as there are outputs: the device is not full"
    assert sizes == sorted(sizes) and sizes[-1] >= 16
    assert best(TileProblem((64, 64), FORWARD, 400, True), GPU, 25, 1).tile != (1, 1), (
        "neither with few samples of large images"
    )


def test_more_multiprocessors_never_make_tiles_larger() -> None:
    problem = TileProblem((64, 1024), FORWARD, 1, True)
    found = [prod(best(problem, replace(GPU, work_items=n * 256), 500, 1).tile) for n in (2, 8, 32, 132, 528)]
    assert found == sorted(found, reverse=True) and found[0] > found[-1]


def test_few_registers_have_smaller_tiles() -> None:
    problem = TileProblem((64, 16384), FORWARD, 40, True)
    found = {
        (n, width): prod(best(problem, replace(GPU, registers=n), 500, width).tile)
        for n in (16, 64)
        for width in (1, 4)
    }
    assert found[16, 1] < found[64, 1] and found[64, 4] < found[64, 1], (
        "vectors take as many registers as they have samples"
    )


def test_of_few_samples_reduction_groups_share_the_rounds_of_a_loop() -> None:
    """28 rows of an image with four samples: a group's items have a row each rather than nothing."""
    problem = TileProblem((6, 5), FORWARD, 1, False)
    few, long = (
        best(problem, GPU, 28 * 28, 1, SampleSum(4, NUMBERS, 28)),
        best(problem, GPU, 1, 1, SampleSum(4096, NUMBERS, 28)),
    )
    assert few.reduction_group >= 32 and few.reduction_group // few.loop_split <= 4 < few.loop_split <= 16
    assert long.reduction_group // long.loop_split >= 32, (
        "where there are many, neighbours read neighbouring samples"
    )
    assert best(problem, GPU, 28 * 28, 1, SampleSum(4, NUMBERS, 1)).loop_split == 1


# ------------------------------------------------------------------------------------------- plans of kernels
def planned(
    spec: LayerSpec, shape: tuple[int, ...], samples: int, machine: Machine = GPU
) -> dict[str, tuple[Unit, KernelPlan]]:
    unit = Network([spec], shape, "mse", "numpy").program.units[0]
    return {
        kernel.name: (unit, plan_kernel(unit, kernel, DEFAULT, 1, samples, machine))
        for kernel in unit.kernels
    }


@pytest.mark.parametrize("samples", [1, 32, 1024, 16384])
@pytest.mark.parametrize("local", [0, 1000, 49152])
def test_plans_keep_to_the_same_bounds(samples: int, local: int) -> None:
    for spec, shape in (
        (layer("convolution", maps=16, kernel=5), (6, 14, 14)),
        (layer("dense", maps=84), (120,)),
        (layer("radial_basis", maps=40), (30,)),
        (layer("subsampling", window=2), (4, 12, 12)),
    ):
        for name, (unit, plan) in planned(spec, shape, samples, replace(GPU, local=local)).items():
            if not name.startswith("gradient"):
                assert (plan.reduction_group, plan.loop_split, plan.partial_sums) == (0, 1, 1)
                continue
            assert plan.reduction_group in (0, 32, 64, 128)
            assert (
                prod(plan.tiles.values())
                * (plan.reduction_group + 1)
                * 4
                * (128 // max(1, plan.reduction_group))
                <= local
                or plan.reduction_group == 0
            )
            assert plan.loop_split <= max(1, plan.reduction_group) and plan.loop_split <= unit.sizes.get(
                "X0", 1
            )
            assert (
                1
                <= plan.partial_sums
                <= max(1, -(-samples * plan.loop_split // max(1, plan.reduction_group)))
            )

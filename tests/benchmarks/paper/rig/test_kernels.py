"""The kernels of the paper's claims: right against loops written from the equation, at sizes that fit no work
group.

Slow because taps, widths and sizes are constants of the paper's kernels, so that each combination is built by
itself.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from phiz.benchmarks.paper.claims.transfers import COPY, MAP, Transfer
from phiz.benchmarks.paper.claims.vectors import widths
from phiz.benchmarks.paper.rig.convolution import Convolution, Scheme, WrongError, brute_force, compare
from phiz.benchmarks.paper.rig.device import Rig
from phiz.benchmarks.paper.rig.elementwise import Elementwise
from phiz.runtime.tuner.space.local_size import accesses

Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def rig() -> Rig:
    return Rig()


def values(rig: Rig, scheme: Scheme) -> Array:
    rig.repeat(*scheme.queued)(1)
    return rig.get(scheme.out, scheme.expected.shape)


def by_equation(maps: Array, filters: Array) -> Array:
    """Equation 60 one output and one tap at a time, (I, J, y, x), not summed over j."""
    (inputs, height, width), (outputs, _, taps, _) = maps.shape, filters.shape
    found = np.zeros((outputs, inputs, height - taps + 1, width - taps + 1))
    for i, j, y, x in np.ndindex(found.shape):
        for v, u in np.ndindex(taps, taps):
            found[i, j, y, x] += float(maps[j, y + v, x + u]) * float(filters[i, j, v, u])
    return found


def test_brute_force_is_the_equation() -> None:
    random = np.random.default_rng(3)
    maps, filters = random.normal(size=(2, 7, 6)), random.normal(size=(3, 2, 3, 3))
    np.testing.assert_allclose(brute_force(maps, filters), by_equation(maps, filters), rtol=1e-12)


def test_the_expected_single_maps_are_the_diagonal(rig: Rig) -> None:
    maps = Convolution(rig, 3, 3, 6, 8, 3, single=True)
    wide = by_equation(maps.maps, np.repeat(maps.filters, 3, axis=1))
    np.testing.assert_allclose(maps.expected, [wide[z, z] for z in range(3)], rtol=1e-6, atol=1e-9)


# (height, width): one output, ragged against every group both ways, wider and higher than the other.
# Programs are shared.
SHAPES = [(5, 5), (13, 37), (40, 7)]
TAPS = 5


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_every_kernel_of_single_maps(rig: Rig, height: int, width: int) -> None:
    maps = Convolution(rig, 3, 3, height, width, TAPS, single=True)
    schemes = [maps.each((7, 3)), maps.each(None), maps.each((8, 2), unroll=1), maps.each((8, 2), unroll=0)]
    schemes += [maps.each_by_map(), *(maps.each_vector(width, (4, 2)) for width in widths(rig))]
    for scheme in schemes:
        compare(scheme.name, values(rig, scheme), maps.expected)


@pytest.mark.parametrize(("height", "width"), SHAPES)
def test_local_memory_at_any_local_size(rig: Rig, height: int, width: int) -> None:
    maps = Convolution(rig, 2, 2, height, width, TAPS, single=True)
    for group in [(1, 1), (5, 3), (16, 4)]:
        compare(f"{group}", values(rig, maps.tiled(group)), maps.expected)


@pytest.mark.parametrize("taps", [1, 2, 21])
def test_other_filters(rig: Rig, taps: int) -> None:
    maps = Convolution(rig, 2, 2, 21, 24, taps, single=True, space="__constant")
    for scheme in (maps.each((7, 3)), maps.tiled(maps.best_local()[0].local), maps.each_vector(8, (4, 2))):
        compare(scheme.name, values(rig, scheme), maps.expected)


def test_algorithm_4_fits_the_kernel(rig: Rig) -> None:
    maps = Convolution(rig, 4, 4, 70, 61, 5, single=True)
    best, problem = maps.best_local()
    assert problem.outputs == (57, 66) and best.feasible
    assert problem.tile_bytes(best.local) <= int(rig.device.local_mem_size)
    assert all((o + p) % n == 0 for o, p, n in zip(problem.outputs, best.padding, best.local, strict=True))
    assert best.accesses == accesses(problem, best.local, best.padding) <= accesses(problem, (1, 1))


@pytest.mark.parametrize(("inputs", "outputs", "size", "taps"), [(4, 8, 19, 5), (1, 1, 8, 3), (3, 5, 33, 2)])
def test_all_launch_schemes_give_the_same(rig: Rig, inputs: int, outputs: int, size: int, taps: int) -> None:
    """One launch and one per map bit for bit; pairs add up in another order; what is not summed sums to
    the same.
    """
    maps = Convolution(rig, inputs, outputs, size, size + 3, taps)
    one, by_map = values(rig, maps.full()), values(rig, maps.full_by_map())
    assert one.tobytes() == by_map.tobytes()
    np.testing.assert_allclose(one, by_equation(maps.maps, maps.filters).sum(axis=1), rtol=1e-4, atol=1e-4)
    compare("added", values(rig, maps.pairs_added()), maps.expected)
    apart = values(rig, maps.pairs_apart())
    assert apart.shape[:2] == (outputs, inputs)
    compare("apart", apart.sum(axis=1), maps.expected)


def test_pairs_start_afresh_in_every_repetition(rig: Rig) -> None:
    maps = Convolution(rig, 3, 2, 9, 11, 3)
    scheme = maps.pairs_added()
    rig.repeat(*scheme.queued)(3)
    compare("three times", rig.get(scheme.out, scheme.expected.shape), maps.expected)


@pytest.mark.parametrize(
    ("limit", "launches"), [(10**6, 1), (4 * 3 * 4 * 25, 2), (4 * 4 * 25, 5), (4 * 25, 1)]
)
def test_constant_filters_split_or_whole_equal_global_ones(rig: Rig, limit: int, launches: int) -> None:
    """The last limit holds no map's filters: then they stay in global memory, in one launch."""
    shape = (4, 5, 12, 15, 5)
    maps = Convolution(rig, *shape, space="__constant")
    plan = maps.constant_plan(limit)
    assert len(plan.launches) == launches and all(load <= limit for load in plan.loads)
    split = values(rig, maps.full_split(plan))
    assert (
        split.tobytes()
        == values(rig, maps.full()).tobytes()
        == values(rig, Convolution(rig, *shape).full()).tobytes()
    )


def test_wrong_numbers_are_refused_with_their_place(rig: Rig) -> None:
    maps = Convolution(rig, 2, 2, 8, 8, 3, single=True)
    scheme = maps.each()
    right = maps.expected.copy()
    scheme.expected[1, 2, 3] += 1e-3 * np.abs(right).max()
    with pytest.raises(WrongError, match=r"output \[1, 2, 3\]"):
        scheme.checked(rig)
    lost = right.astype(np.float32)
    lost[0, 0, 5] = np.nan
    with pytest.raises(WrongError, match=r"output \[0, 0, 5\] is nan"):
        compare("lost", lost, right)


@pytest.mark.parametrize("name", ["multiply", "polynomial"])
def test_elementwise_at_every_width(rig: Rig, name: str) -> None:
    numbers = Elementwise(rig, 16 * 7)
    for vector in widths(rig):
        compare(
            name, values(rig, numbers.vectors(name, vector, 1)), numbers.vectors(name, vector, 1).expected
        )
    a, b = numbers.a.astype(np.float64), numbers.b.astype(np.float64)
    horner = b * sum(a**k for k in range(32)) * a + 1  # b (a^31 + ... + 1) a + 1
    np.testing.assert_allclose(
        numbers.vectors(name).expected, a * b if name == "multiply" else horner, rtol=1e-9
    )


def test_products_of_a_prime_count(rig: Rig) -> None:
    numbers = Elementwise(rig, 251)
    for scheme in [
        numbers.vectors("multiply", group=None),
        numbers.vectors("multiply", group=64, padded=True),
    ]:
        compare(scheme.name, values(rig, scheme), numbers.a.astype(np.float64) * numbers.b)
    for each, group in itertools.product((1, 10, 251, 1000), (None, 1, 16)):
        scheme = numbers.many(each, group)
        compare(scheme.name, values(rig, scheme), numbers.a.astype(np.float64) * numbers.b)


def test_norms_of_both_layouts(rig: Rig) -> None:
    numbers = Elementwise(rig, 4 * 51)
    wanted = np.linalg.norm(numbers.a.reshape(4, 51).astype(np.float64), axis=0)
    for together in (False, True):
        compare("norms", values(rig, numbers.norms(together, 16)), wanted)


def test_both_ways_of_transfer_bring_the_same(rig: Rig) -> None:
    transfer = Transfer(rig, 1000)
    for way in (COPY, MAP):
        transfer.source = transfer.source[::-1].copy()
        transfer.write(way)
        np.testing.assert_array_equal(rig.get(transfer.buffer, 1000), transfer.source)
        for other in (COPY, MAP):
            transfer.total = 0.0
            transfer.read(other, touch=True)
            assert transfer.total == float(transfer.source.sum())

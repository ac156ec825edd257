"""Default tiles: counted loads against a walk over the tile, the choice against all tiles, and known
shapes.
"""

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.plan.cpu_cost_model import (
    TileProblem,
    best_tile,
    cycles,
    fresh,
    loads,
    registers,
    splits,
    tile_problem,
)

CPU = Machine(registers=32, work_items=2)


@pytest.mark.parametrize(
    ("extent", "widths"),
    [
        (1, [1]),
        (2, [1, 2]),
        (5, [1, 2, 3, 5]),
        (6, [1, 2, 3, 6]),
        (9, [1, 2, 3, 5, 9]),
        (16, [1, 2, 3, 4, 6, 8, 16]),
        (0, [1]),
    ],
)
def test_splits_are_even(extent: int, widths: list[int]) -> None:
    assert splits(extent) == widths


@settings(max_examples=100)
@given(st.data())
def test_loads_are_those_of_a_walk_over_the_tile(data: st.DataObject) -> None:
    axes = data.draw(st.integers(1, 3))
    tile = data.draw(st.tuples(*[st.integers(1, 4)] * axes))
    operands = data.draw(
        st.lists(
            st.sets(st.integers(0, axes - 1)).map(sorted).map(tuple), min_size=1, max_size=3, unique=True
        )
    )
    problem = TileProblem((8,) * axes, tuple(operands), 1, False)
    # a value is loaded once for each combination of the axes that it depends on
    walked = {
        (n, *(place[a] for a in o)) for place in product(*map(range, tile)) for n, o in enumerate(operands)
    }
    assert loads(problem, tile) == len(walked)


def test_registers_count_what_is_kept_over_an_outer_axis() -> None:
    # 4 maps x 2 vectors: 8 accumulators, both vectors of Y over the maps, the weight in flight
    assert registers(TileProblem((16, 8), ((1,), (0,)), 64, True), (4, 2)) == 8 + 2 + 1


@settings(max_examples=60, deadline=None)
@given(
    extents=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    others=st.integers(1, 50),
    samples=st.booleans(),
    registers_=st.sampled_from([16, 32]),
)
def test_the_choice_is_the_best_of_all_even_tiles(
    extents: tuple[int, int], others: int, samples: bool, registers_: int
) -> None:
    machine = Machine(registers_, 2)
    problem = TileProblem(extents, ((0,), (1,)), others, samples)
    chosen = best_tile(problem, machine)
    last = splits(extents[1])
    if samples:  # what divides a block of up to six vectors, else powers of two
        last = [n for n in range(1, 7) if extents[1] % n == 0] if extents[1] <= 6 else [1, 2, 4, 8]
    least = min(cycles(problem, tile, machine) for tile in product(splits(extents[0]), last))
    assert cycles(problem, chosen, machine) == pytest.approx(least, rel=1e-8)


def test_few_maps_are_made_up_for_by_the_window() -> None:
    """One input map: the delta is loaded once for five taps of the window."""
    operands = [["j", "u"], ["i"]]
    one = tile_problem({"i": 6, "j": 1, "u": 5}, operands, others=5, samples=False)
    many = tile_problem({"i": 16, "j": 6, "u": 5}, operands, others=5, samples=False)
    assert best_tile(one, CPU)[2] == 5 and best_tile(many, CPU)[1] > 1


def test_fresh_loads_are_those_that_the_round_before_did_not_make() -> None:
    """The weight gradient of a convolution along one coordinate, Y[j, x + u] and delta[i, x] in round
    x: addresses, walked.
    """
    problem = tile_problem({"i": 4, "j": 3, "u": 5}, [["j", "u"], ["i"]], 5, False, 1, [["u"], []])
    for tile in product((1, 2, 4), (1, 3), (1, 2, 5)):
        places = list(product(*map(range, tile)))
        rounds = [
            {("Y", j, x + u) for _, j, u in places} | {("delta", i, x) for i, _, _ in places} for x in (0, 1)
        ]
        assert fresh(problem, tile) == len(rounds[1] - rounds[0])


def test_sums_that_stream_slide_along_the_window() -> None:
    """Seven fresh planes for 12 places against three for 10: the second-level cache cannot give the
    seven in time.
    """
    extents, operands, narrow = {"i": 16, "j": 6, "u": 5}, [["j", "u"], ["i"]], Machine(16, 2)
    assert best_tile(tile_problem(extents, operands, 5, False), narrow) == (4, 3, 1)
    assert best_tile(tile_problem(extents, operands, 5, False, 8192, [["u"], []]), narrow) == (2, 1, 5)
    assert best_tile(tile_problem(extents, operands, 5, False), CPU)[2] == 1
    assert best_tile(tile_problem(extents, operands, 5, False, 8192, [["u"], []]), CPU)[1:] == (1, 5)
    # seven planes of a few samples stay in the first-level cache
    assert best_tile(tile_problem(extents, operands, 5, False, 2048, [["u"], []]), narrow) == (4, 3, 1)


def test_few_samples_are_made_up_for_by_a_coordinate() -> None:
    operands = [["x", "t"], ["i"]]
    tiles = [best_tile(tile_problem({"i": 16, "x": 8, "t": v}, operands, 64, True), CPU) for v in (1, 8)]
    assert tiles[0][1] > 1 and tiles[1][1] == 1


def test_a_cache_tile_serves_sums_that_stream_from_the_second_level_cache() -> None:
    """Planes of 256 KiB, rows of 8: five places that share a row load it once."""
    operands, extents = [["i"], ["j", "u"]], {"i": 16, "j": 6, "u": 5}
    streamed = tile_problem(extents, operands, 9, False, 1 << 18, [[], ["u"]], ("u", 1 << 12, 64))
    cached = tile_problem(extents, operands, 9, False, 1 << 10, [[], ["u"]], ("u", 1 << 8, 8))
    assert best_tile(streamed, CPU)[2] == 5
    assert best_tile(cached, CPU)[2] == 1  # nothing to gain, and accumulators to move
    # rows that do not fit either are no better than planes
    wide = tile_problem(extents, operands, 9, False, 1 << 24, [[], ["u"]], ("u", 1 << 20, 1 << 14))
    assert cycles(wide, (4, 3, 5), CPU) == pytest.approx(cycles(wide, (4, 3, 1), CPU), rel=1e-3)


def test_a_cache_tile_takes_no_registers_and_leaves_work_for_every_core() -> None:
    operands, extents = [["i"], ["j", "u"]], {"i": 4, "j": 3, "u": 8}
    problem = tile_problem(extents, operands, 1, False, 1 << 20, [[], ["u"]], ("u", 1 << 12, 64))
    assert problem.in_registers((4, 3, 8)) == (4, 3, 1)
    assert best_tile(problem, Machine(registers=20, work_items=2)) == (
        4,
        3,
        2,
    )  # two places hide what is loaded

"""Filters in constant memory: the worked arithmetic, and the split into launches against all ways to cut."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.errors import ShapeError
from phiz.runtime.opencl.plan.constant_memory import constant_plan, filters_that_fit, parameters_that_fit

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[3] / "data" / "cases.json").read_text())["cases"]
}


def test_the_worked_arithmetic_of_constant_memory() -> None:
    expected = CASES["constant_memory_arithmetic"]["expected"]
    assert parameters_that_fit(64000) == expected["floats_in_64000_bytes"]
    assert parameters_that_fit(65536) == expected["floats_in_65536_bytes"]
    assert filters_that_fit(64000, (21, 21)) == expected["filters_21x21_in_64000"]
    assert filters_that_fit(65536, (21, 21)) == expected["filters_21x21_in_65536"]
    assert filters_that_fit(64000, (17, 17)) == expected["filters_17x17_in_64000"]
    assert filters_that_fit(expected["bytes_for_55_21x21"], (21, 21)) == 55
    assert filters_that_fit(65536, (21, 21), itemsize=8) == 18


def test_the_printed_number_of_filters_does_not_fit() -> None:
    """X60: 55 filters of 21 x 21 need 97020 bytes."""
    one_map_each = constant_plan([21 * 21] * 55, 65536)
    assert one_map_each.launches == (range(37), range(37, 55))
    assert one_map_each.loads == (37 * 1764, 18 * 1764)
    assert one_map_each.reason == "the filters take 97020 bytes, constant memory has 65536: 2 launches"
    assert len(constant_plan([21 * 21] * 37, 65536).launches) == 1


@given(st.lists(st.integers(0, 9), min_size=1, max_size=9), st.integers(0, 90), st.sampled_from((1, 4, 8)))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_launches_cover_all_maps_fit_and_are_as_few_as_possible(
    parameters: list[int], limit: int, itemsize: int
) -> None:
    plan = constant_plan(parameters, limit, itemsize)
    assert [number for launch in plan.launches for number in launch] == list(range(len(parameters)))
    if max(parameters) * itemsize > limit:
        assert (plan.memory, len(plan.launches), plan.loads) == ("global", 1, (0,))
        assert f"constant memory has {limit}" in plan.reason
        return
    assert plan.memory == "constant"
    assert plan.loads == tuple(
        itemsize * sum(parameters[number] for number in launch) for launch in plan.launches
    )
    assert max(plan.loads) <= limit
    assert bool(plan.reason) == (len(plan.launches) > 1)
    for cuts in itertools.chain.from_iterable(
        itertools.combinations(range(1, len(parameters)), n) for n in range(len(plan.launches) - 1)
    ):
        ends = [0, *cuts, len(parameters)]
        assert any(itemsize * sum(parameters[a:b]) > limit for a, b in itertools.pairwise(ends))


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ShapeError, match="per output map"):
        constant_plan([], 65536)
    with pytest.raises(ShapeError, match="at least 0"):
        constant_plan([3, -1], 65536)
    with pytest.raises(ShapeError, match="taps must be at least 1"):
        filters_that_fit(65536, (3, 0))
    with pytest.raises(ShapeError, match="itemsize 0"):
        parameters_that_fit(65536, 0)

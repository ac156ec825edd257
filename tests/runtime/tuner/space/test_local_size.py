"""Algorithm 4 against its own loops, its fallback, and the printed forms, which fail."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from phiz.runtime.errors import ShapeError
from phiz.runtime.tuner.space import local_size
from phiz.runtime.tuner.space.local_size import (
    RULES,
    LocalSizeProblem,
    accesses,
    optimal_local_size,
    rejections,
)

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[3] / "data" / "cases.json").read_text())["cases"]
}
ALGORITHM_4 = sorted(name for name in CASES if name.startswith("alg4_"))

#: The choices in which the printed text differs from the corrected one; ``None`` is the corrected one.
VARIANTS: dict[str, dict[str, Any]] = {
    "recommended": {},
    "R_equals_F_plus_1_as_printed": {"border": 1},
    "second_term_without_Sz_as_printed": {"both_by_maps": False},
    "M_counted_in_elements": {"itemsize": 1},
    "U_counts_all_z_groups": {"all_groups": True},
    "fully_literal_objective_and_R": {"border": 1, "both_by_maps": False, "itemsize": 1},
}

Hypothesis = tuple[tuple[int, int, int, int], int]


def loops(
    problem: LocalSizeProblem,
    *,
    border: int = -1,
    both_by_maps: bool = True,
    itemsize: int | None = None,
    all_groups: bool | None = None,
    first: int = 1,
) -> Iterator[Hypothesis]:
    """The four loops of Algorithm 4: every feasible ((S_lx, S_ly, P_x, P_y), accesses), in their order."""
    (kx, ky), (dx, dy) = problem.stride, problem.dilation
    rx, ry = (dx * (problem.taps[0] + border), dy * (problem.taps[1] + border))
    itemsize = problem.itemsize if itemsize is None else itemsize
    slices = problem.maps if (problem.groups_over_maps if all_groups is None else all_groups) else 1
    for px, py in itertools.product(range(problem.max_padding + 1), repeat=2):
        ox, oy = (problem.size[0] - rx - 1) // kx + 1 + px, (problem.size[1] - ry - 1) // ky + 1 + py
        for lx in range(first, problem.max_local[0] + 1):
            if ox % lx:
                continue
            for ly in range(first, problem.max_local[1] + 1):
                groups, tile = ox * oy / (lx * ly), (kx * (lx - 1) + rx + 1) * (ky * (ly - 1) + ry + 1)
                if (
                    oy % ly
                    or lx * ly > problem.work_group
                    or groups * slices < problem.units
                    or itemsize * tile > problem.local_memory
                ):
                    continue
                yield (
                    (lx, ly, px, py),
                    problem.maps * ox * oy + (problem.maps if both_by_maps else 1) * int(groups) * tile,
                )


def first_minimiser(found: list[Hypothesis]) -> Hypothesis | None:
    """Corrected last lines of Algorithm 4: the first strict improvement wins."""
    best: Hypothesis | None = None
    for hypothesis in found:
        if best is None or hypothesis[1] < best[1]:
            best = hypothesis
    return best


def problem_of(name: str) -> LocalSizeProblem:
    given = CASES[name]["inputs"]
    (sx, sy, sz), (fx, fy), most = given["S"], given["F"], given["Lmax"]
    return LocalSizeProblem(
        (sx, sy),
        (fx, fy),
        sz,
        given["U"],
        given["WG"],
        given["Mbytes"],
        (most, most),
        max_padding=given["Pmax"],
    )


@pytest.mark.parametrize("name", ALGORITHM_4)
@pytest.mark.parametrize("all_groups", [False, True])
def test_the_worked_minimisers(name: str, all_groups: bool) -> None:
    expected = CASES[name]["expected"]["U_counts_all_z_groups" if all_groups else "recommended"]
    problem = replace(problem_of(name), groups_over_maps=all_groups)
    found = optimal_local_size(problem)
    assert [*found.local, *found.padding] == expected["first_minimiser"]
    assert found.accesses == expected["min_accesses"] == accesses(problem, found.local, found.padding)
    assert found.feasible and not found.reason
    assert rejections(problem, found.local, found.padding) == ()


@pytest.mark.parametrize("name", ALGORITHM_4)
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_loops_give_the_stored_answer_of_every_variant(name: str, variant: str) -> None:
    expected = CASES[name]["expected"][variant]
    found = list(loops(problem_of(name), **VARIANTS[variant]))
    best = first_minimiser(found)
    assert (
        best is not None
        and list(best[0]) == expected["first_minimiser"]
        and best[1] == expected["min_accesses"]
    )
    assert len(found) == expected["feasible"]
    assert sorted(list(h) for h, cost in found if cost == best[1]) == sorted(expected["all_minimisers"])


@pytest.mark.parametrize(
    "name, variant",
    [
        ("alg4_sz_weight_matters", "R_equals_F_plus_1_as_printed"),  # X51
        ("alg4_sz_weight_matters", "second_term_without_Sz_as_printed"),  # X53
        ("alg4_sz_weight_matters", "fully_literal_objective_and_R"),
        ("alg4_local_memory_binding", "M_counted_in_elements"),  # X55
        ("alg4_local_memory_binding", "R_equals_F_plus_1_as_printed"),
        ("alg4_prime_output_needs_padding", "R_equals_F_plus_1_as_printed"),
    ],
)
def test_the_printed_forms_choose_worse_or_impossible_groups(name: str, variant: str) -> None:
    problem = problem_of(name)
    printed = first_minimiser(list(loops(problem, **VARIANTS[variant])))
    best = optimal_local_size(problem)
    assert printed is not None
    local, padding = printed[0][:2], printed[0][2:]
    broken = rejections(problem, local, padding)
    assert broken or accesses(problem, local, padding) > best.accesses
    if variant == "M_counted_in_elements":
        assert broken == ("local_memory",)


def test_a_local_size_from_zero_divides_by_zero() -> None:
    """X57."""
    with pytest.raises(ZeroDivisionError):
        list(loops(problem_of(ALGORITHM_4[0]), first=0))
    with pytest.raises(ShapeError, match="at least 1"):
        rejections(problem_of(ALGORITHM_4[0]), (0, 1))


def test_the_printed_comparison_returns_nothing() -> None:
    """X58: ``if min < accesses`` with min = infinity never holds."""
    least, chosen = float("inf"), None
    for hypothesis, cost in loops(problem_of("alg4_sz_weight_matters")):
        if least < cost:
            least, chosen = cost, hypothesis
    assert chosen is None


def test_the_printed_range_of_padding_is_searched_all_the_same() -> None:
    """X59: 1000^4 loop bodies as printed; more padding never helps where the local size divides and the
    groups suffice.
    """
    problem = LocalSizeProblem((1004, 1004), (5, 5), 3, 8, 1024, 49152, (1000, 1000), max_padding=1000)
    found = optimal_local_size(problem)
    assert "max_padding" not in found.binding
    assert rejections(problem, found.local, found.padding) == ()
    fewer = optimal_local_size(replace(problem, max_padding=max(found.padding)))
    assert (fewer.local, fewer.padding, fewer.accesses) == (found.local, found.padding, found.accesses)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
problems = st.builds(
    lambda outputs, extra, **rest: LocalSizeProblem(
        size=tuple(
            k * (o - 1) + d * (f - 1) + 1 + min(extra, k - 1)
            for o, f, k, d in zip(outputs, rest["taps"], rest["stride"], rest["dilation"], strict=True)
        ),
        **rest,
    ),
    outputs=st.tuples(st.integers(1, 14), st.integers(1, 14)),
    extra=st.integers(0, 2),
    taps=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    maps=st.integers(1, 4),
    units=st.integers(1, 12),
    work_group=st.integers(1, 40),
    local_memory=st.integers(0, 1200),
    max_local=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    max_padding=st.integers(0, 5),
    itemsize=st.sampled_from((1, 4, 8)),
    stride=pairs,
    dilation=pairs,
    groups_over_maps=st.booleans(),
)


@given(problems)
@settings(max_examples=250, deadline=None, derandomize=True)
def test_the_search_is_the_exhaustive_one(problem: LocalSizeProblem) -> None:
    expected = first_minimiser(list(loops(problem)))
    found = optimal_local_size(problem)
    assert found.feasible == (expected is not None)
    if expected is not None:
        assert ((*found.local, *found.padding), found.accesses) == expected


SQUARES = [
    LocalSizeProblem((side, side), (taps, taps), 1, units, 24, 4096, (9, 9), max_padding=4)
    for side, taps, units in itertools.product(range(9, 24), (2, 3), (1, 3, 4, 6, 12))
]


@pytest.mark.parametrize("block", [1, 16, 1 << 16])
def test_ties_go_to_the_hypothesis_that_the_loops_meet_first(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Square problems tie with themselves, x and y exchanged; and the answer does not depend on the
    blocks of the search.
    """
    monkeypatch.setattr(local_size, "BLOCK", block)
    by_padding = by_size = 0
    for problem in SQUARES:
        every = list(loops(problem))
        expected = first_minimiser(every)
        assert expected is not None
        tied = [hypothesis for hypothesis, cost in every if cost == expected[1]]
        # Ties that the order of S_lx, S_ly, P_x, P_y, or its reverse, would settle otherwise.
        by_padding += min(tied) != expected[0]
        by_size += max(tied) != expected[0]
        found = optimal_local_size(problem)
        assert ((*found.local, *found.padding), found.accesses) == expected
    assert by_padding > 5 and by_size > 5


@given(problems)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_rule_refuses_exactly_what_the_loops_leave_out(problem: LocalSizeProblem) -> None:
    feasible = dict(loops(problem))
    paddings = itertools.product(range(problem.max_padding + 2), repeat=2)
    locals_ = list(itertools.product(range(1, problem.max_local[0] + 2), range(1, problem.max_local[1] + 2)))
    for padding in paddings:
        for local in locals_:
            allowed = not rejections(problem, local, padding)
            assert allowed == ((*local, *padding) in feasible)
            assert not allowed or accesses(problem, local, padding) == feasible[(*local, *padding)]


WIDER: dict[str, Callable[[LocalSizeProblem], LocalSizeProblem]] = {
    "units": lambda p: replace(p, units=1),
    "work_group": lambda p: replace(p, work_group=10**6),
    "local_memory": lambda p: replace(p, local_memory=10**9),
    "max_local": lambda p: replace(p, max_local=(p.outputs[0] + p.max_padding, p.outputs[1] + p.max_padding)),
    "max_padding": lambda p: replace(p, max_padding=max(p.max_local) * p.units),
}


@given(
    outputs=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    units=st.integers(1, 6),
    work_group=st.integers(1, 12),
    local_memory=st.integers(16, 250),
    most=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    max_padding=st.integers(0, 2),
    stride=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
@example(outputs=(1, 1), units=6, work_group=12, local_memory=250, most=(2, 2), max_padding=0, stride=(1, 1))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_a_limit_binds_where_the_count_falls_without_it(
    outputs: tuple[int, int],
    units: int,
    work_group: int,
    local_memory: int,
    most: tuple[int, int],
    max_padding: int,
    stride: tuple[int, int],
) -> None:
    size = stride[0] * (outputs[0] - 1) + 3, stride[1] * (outputs[1] - 1) + 2
    problem = LocalSizeProblem(
        size, (3, 2), 2, units, work_group, local_memory, most, max_padding=max_padding, stride=stride
    )
    best = first_minimiser(list(loops(problem)))
    expected = set()
    for rule, wider in WIDER.items():
        relaxed = first_minimiser(list(loops(wider(problem))))
        if relaxed is not None and (best is None or relaxed[1] < best[1]):
            expected.add(rule)
    assert set(optimal_local_size(problem).binding) == expected


def test_every_rule_can_bind() -> None:
    """The test above would not see a rule that never binds: each is reached here."""
    free = LocalSizeProblem((32, 32), (5, 5), 1, 1, 10**4, 10**6, (64, 64))
    assert optimal_local_size(free).binding == ()
    assert optimal_local_size(free).local == (28, 28)
    for rule, changed in {
        "units": replace(free, units=4),
        "work_group": replace(free, work_group=100),
        "local_memory": replace(free, local_memory=1600),
        "max_local": replace(free, max_local=(28, 7)),
        "max_padding": replace(free, size=(33, 33), max_local=(15, 15), max_padding=0),
    }.items():
        assert rule in optimal_local_size(changed).binding, rule
    assert set(WIDER) == set(RULES)


def test_too_few_outputs_for_the_units_leave_some_idle() -> None:
    problem = LocalSizeProblem((8, 8), (5, 5), 6, 2000, 256, 32768, (256, 256))
    found = optimal_local_size(problem)
    assert (found.fallback, found.feasible) == ("units", False)
    assert found.local == (4, 4) and found.padding == (0, 0)
    assert set(found.binding) == {"units", "max_padding"}
    assert "14 x 14 outputs" in found.reason and "2000" in found.reason
    assert found.accesses == first_minimiser(list(loops(replace(problem, units=1, max_local=(14, 14)))))[1]  # type: ignore[index]


def test_where_no_tile_fits_the_kernel_reads_naively() -> None:
    problem = LocalSizeProblem((9, 8), (5, 5), 6, 4, 256, 99, (256, 256))
    found = optimal_local_size(problem)
    assert (found.fallback, found.local, found.padding) == ("untiled", (1, 1), (0, 0))
    assert found.binding == ("local_memory",)
    assert found.reason == "the tile of one output takes 100 bytes, local memory has 99: read without a tile"
    assert found.accesses == 6 * 5 * 4 * 25 + 6 * 5 * 4
    assert optimal_local_size(replace(problem, local_memory=100)).feasible


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"size": (4, 9)}, r"\(5, 5\) taps with dilation \(1, 1\) do not fit into an image of \(4, 9\)"),
        ({"dilation": (3, 1)}, "do not fit"),
        ({"units": 0}, "units must be an integer of at least 1, not 0"),
        ({"max_local": (8,)}, "max_local must be two integers of at least 1"),
        ({"stride": (1, 1.5)}, "stride must be two integers"),
        ({"max_padding": -1}, "max_padding must be an integer of at least 0"),
    ],
)
def test_bad_problems_are_refused(changes: dict[str, Any], message: str) -> None:
    good = LocalSizeProblem((10, 9), (5, 5), 6, 4, 256, 4096, (16, 16))
    with pytest.raises(ShapeError, match=message):
        replace(good, **changes)


def test_a_long_signal_of_one_dimension() -> None:
    outputs, taps, most = 10**7, 101, 1024
    found = optimal_local_size(
        LocalSizeProblem((outputs + taps - 1, 1), (taps, 1), 1, 64, most, 32768, (most, most))
    )
    every = [
        (outputs + p + (outputs + p) // l * (l + taps - 1), p, l)
        for p in range(11)
        for l in range(1, most + 1)
    ]
    cost, padding, local = min(entry for entry in every if (outputs + entry[1]) % entry[2] == 0)
    assert (found.accesses, found.padding, found.local) == (cost, (padding, 0), (local, 1))
    assert found.binding == ("max_padding",)


def test_counts_beyond_64_bits_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"more than 2\^63"):
        optimal_local_size(LocalSizeProblem((10**8, 10**8), (101, 101), 1, 1, 64, 4096, (8, 8)))

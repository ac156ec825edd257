"""Planned memory: tensors that live together never overlap, and the plan is not far above what no plan
can be below.
"""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.backend import Request, calls
from phiz.runtime.network.architectures import NAMED
from phiz.runtime.network.network import Network
from phiz.runtime.program.memory_plan import MemoryLayout, Use, least_memory, lifetimes, plan_memory

KEYS = [f"t{n}" for n in range(12)]
SOME, ONE_OR_TWO = (
    st.lists(st.sampled_from(KEYS), min_size=low, max_size=high).map(tuple) for low, high in ((0, 3), (1, 2))
)
USES = st.lists(st.builds(Use, SOME, ONE_OR_TWO), max_size=12)
COUNTS = st.fixed_dictionaries({}, optional={key: st.integers(0, 100) for key in KEYS})


def live(uses: Sequence[Use], key: str, step: int, keep: set[str]) -> bool:
    """By the definition: written at or before ``step``, and touched at or after it (or kept)."""
    touched = [n for n, use in enumerate(uses) if key in use.reads or key in use.writes]
    written = [n for n, use in enumerate(uses) if key in use.writes]
    return bool(written) and written[0] <= step and (key in keep or step <= touched[-1])


@settings(max_examples=300, deadline=None)
@given(USES, COUNTS, st.sampled_from([1, 8, 32]), st.sets(st.sampled_from(KEYS), max_size=3))
def test_no_two_live_tensors_overlap(
    uses: list[Use], counts: dict[str, int], align: int, keep: set[str]
) -> None:
    layout = plan_memory(uses, counts, align, keep)
    assert set(layout.offsets) == {key for use in uses for key in use.writes} & set(counts)
    lower = 0
    for step in range(len(uses)):
        alive = [key for key in layout.offsets if live(uses, key, step, keep)]
        spans = sorted((layout.offsets[key], layout.offsets[key] + max(1, counts[key])) for key in alive)
        assert all(a[1] <= b[0] for a, b in pairwise(spans))
        assert all(start % align == 0 and stop <= layout.total for start, stop in spans)
        lower = max(lower, sum(stop - start for start, stop in spans))
    assert lower <= least_memory(uses, counts, align, keep) <= layout.total
    assert layout.total <= MemoryLayout.packed({k: counts[k] for k in layout.offsets}, align).total
    assert plan_memory(uses, dict(reversed(counts.items())), align, keep) == layout


def test_a_chain_needs_its_two_largest_neighbours() -> None:
    uses = [Use(("input",), ("a",)), Use(("a",), ("b",)), Use(("b",), ("c",)), Use(("c",), ("d",))]
    counts = {"a": 10, "b": 30, "c": 20, "d": 25}
    assert plan_memory(uses, counts, 1).total == 50 == least_memory(uses, counts, 1)
    assert plan_memory(uses, counts, 1, keep={"a"}).total == 60


def test_lifetimes() -> None:
    uses = [Use((), ("a", "unread")), Use(("a",), ("b",)), Use(("b", "input"), ("c",))]
    assert lifetimes(uses) == {"a": (0, 1), "unread": (0, 0), "b": (1, 2), "c": (2, 2)}
    assert lifetimes(uses, ["a"])["a"] == (0, 3)


def test_packed_tensors_are_aligned_and_never_empty() -> None:
    layout = MemoryLayout.packed({"a": 3, "b": 0, "c": 9}, 8)
    assert layout.offsets == {"a": 0, "b": 8, "c": 16} and layout.total == 32


@pytest.mark.parametrize("name", sorted(NAMED))
def test_networks_come_within_a_tenth_of_the_bound(name: str) -> None:
    """On real networks the greedy search finds (nearly) the least memory there is."""
    network = Network(NAMED[name].build(10, True), (1, 28, 28), "ce", backend="numpy")
    program = network.program
    for request in (
        Request(outputs=True),
        Request(losses=True, gradients="sum"),
        Request(gradients="sample", input_gradient=True),
    ):
        uses = [step.use for step in calls(program, request)]
        counts = {key: info.units for key, info in program.buffers.items() if "gradient" not in info.tensor}
        total, least = plan_memory(uses, counts, 1).total, least_memory(uses, counts, 1)
        assert total <= 1.1 * least
        plain = sum(counts[key] for use in uses for key in dict.fromkeys(use.writes) if key in counts)
        assert total < plain

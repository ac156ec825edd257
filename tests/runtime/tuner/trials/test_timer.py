"""Launches of a block: how many, and that cores which share one do not write the same memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.tuner.trials.timer import BLOCK, MOST_LAUNCHES, WallTimer, out_of_step


@given(times=st.integers(1, 40), units=st.integers(1, 8), each=st.integers(1, 6))
def test_units_that_share_a_launch_evenly_are_at_different_items(times: int, units: int, each: int) -> None:
    """Each takes a stretch of the repetitions of ``units * each`` items; at every step all are at items
    of their own.
    """
    found = out_of_step(times, units)
    assert times <= found < times + units
    items = units * each
    stretch = found * items // units
    for step in range(stretch):
        assert len({(unit * stretch + step) % items for unit in range(units)}) == units


class Steady:
    """Every launch takes the same, by a clock of its own."""

    config: KernelConfig = DEFAULT

    def __init__(self, each: float) -> None:
        self.each, self.now, self.counts = each, 0.0, list[int]()

    def launch(self, count: int) -> None:
        self.now += count * self.each
        self.counts.append(count)


@given(each=st.floats(1e-7, 1e-2), units=st.integers(1, 8))
def test_a_block_is_about_as_long_as_it_should_be(each: float, units: int) -> None:
    kernel = Steady(each)
    seconds = WallTimer(lambda: kernel.now, units).seconds(kernel)
    assert abs(seconds / each - 1) < 1e-6
    wanted = max(1, min(MOST_LAUNCHES, round(BLOCK / each)))
    assert wanted <= kernel.counts[-1] < wanted + units and kernel.counts[-1] % units == 1 % units

"""The search of one kernel: what it finds, in how many trials, and what it does not try twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import log2

import pytest
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.opencl.tuned.record import Trialled, canonical
from phiz.runtime.tuner.search import Search
from phiz.runtime.tuner.space import predicted
from phiz.runtime.tuner.space.space import Space

from tests.runtime.tuner.simulated import CPU, job_with_tiles


@pytest.fixture
def space() -> Space:
    job = job_with_tiles(samples=64, least=3)
    return Space(job.unit, job.kernel, job.dtype, job.samples, CPU, job.image)


def bowl(space: Space, goal: KernelConfig) -> Callable[[KernelConfig], float]:
    """The time of every configuration grows with its distance from ``goal``."""
    plan = space.plan(goal)

    def cost(config: KernelConfig) -> float:
        own = space.plan(config)
        apart = sum(abs(log2(own.tiles[macro] / plan.tiles[macro])) for macro in plan.tiles) + abs(
            log2(own.width / plan.width)
        )
        return 0.5 + 0.1 * apart + (0.02 if config.group != goal.group else 0)

    return cost


def searched(space: Space, goal: KernelConfig, most: int = 10_000) -> tuple[Search, list[KernelConfig]]:
    cost = bowl(space, goal)
    tried: list[KernelConfig] = []

    def judge(config: KernelConfig, best: float) -> Trialled:
        tried.append(config)
        ratio = cost(config) / cost(DEFAULT)
        return Trialled(config, ratio, ratio)

    search = Search(space, judge, lambda: len(tried) < most)
    list(search.run())
    return search, tried


def test_it_descends_to_the_best_tiles_and_width(space: Space) -> None:
    macros = list(space.kernel.tiles)
    goal = space.config(
        {macro: space.tile_values(macro, 4)[-1 if n == 0 else 0] for n, macro in enumerate(macros)}, 4
    )
    search, tried = searched(space, goal)
    assert search.complete
    assert search.best.config == goal
    assert len(tried) < 110 < len(space.tilings()) * len(CPU.widths)


def test_nothing_is_tried_twice(space: Space) -> None:
    _, tried = searched(space, space.config({}, 4))
    names = [canonical(config) for config in tried]
    assert len(set(names)) == len(names)
    assert canonical(space.config({})) not in names, "the default is what the others are compared with"


def test_a_search_goes_on_where_it_stopped(space: Space) -> None:
    goal = space.config(dict.fromkeys(space.kernel.tiles, 1))
    whole, everything = searched(space, goal)
    part, first = searched(space, goal, most=7)
    assert not part.complete
    assert len(first) == 7
    tried: list[KernelConfig] = []

    def judge(config: KernelConfig, best: float) -> Trialled:
        tried.append(config)
        return whole.known[canonical(config)]

    again = Search(space, judge, known=dict(part.known))
    list(again.run())
    assert again.complete
    assert first + tried == everything
    assert again.best == whole.best


def test_refused_candidates_are_never_the_best(space: Space) -> None:
    search = Search(space, lambda config, best: Trialled(config, refused="wrong", reason="planted"))
    list(search.run())
    assert search.complete
    assert search.best == Trialled(DEFAULT, ratio=1.0)


def test_a_small_budget_finds_most_of_a_gain_that_the_loads_predict(space: Space) -> None:
    """Where time follows the predicted cost of another register file, ten trials come near its optimum."""
    truth = replace(CPU, machine=Machine(12, 4))

    def cost(config: KernelConfig) -> float:
        tiles = space.plan(config).tiles
        return predicted.cost(
            space.unit, space.kernel, tiles, config.width or CPU.width, space.samples, truth
        )

    least = min(cost(config) for config in space.tilings())
    tried: list[float] = []

    def judge(config: KernelConfig, best: float) -> Trialled:
        tried.append(cost(config))
        return Trialled(config, tried[-1], tried[-1] / cost(DEFAULT))

    search = Search(space, judge, lambda: len(tried) < 10)
    list(search.run())
    assert min(*tried, cost(DEFAULT)) <= 1.15 * least

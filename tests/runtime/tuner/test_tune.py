"""A whole run: budget, order, the rule of 5 %, resuming, interruptions.  Times are simulated."""

from __future__ import annotations

from pathlib import Path

import pytest
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.opencl.tuned.cache import Cache
from phiz.runtime.tuner.trials.jobs import Job
from phiz.runtime.tuner.tune import Tuning, tune

from tests.runtime.tuner.simulated import Cost, Paper, job_with_tiles, some_jobs


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "tuning.json")


@pytest.fixture(scope="module")
def kernels() -> list[Job]:
    return some_jobs()


def narrow(gain: float) -> Cost:
    """Width 4 is faster by ``gain``, nothing else changes anything."""
    return lambda job, config: 1 - gain if config.width == 4 else 1.0


def run(kernels: list[Job], paper: Paper, cache: Cache, budget: float = 1e6, again: bool = False) -> Tuning:
    return tune(kernels, paper, cache, budget, again, clock=paper.clock)


@pytest.mark.parametrize(("gain", "chosen"), [(0.04, False), (0.06, True), (-0.5, False)])
def test_a_config_must_be_five_percent_faster(cache: Cache, gain: float, chosen: bool) -> None:
    found = run([job_with_tiles()], Paper(narrow(gain)), cache)
    ((_, entry),) = found.entries
    assert entry.complete
    assert (entry.config.width == 4) is chosen
    assert (entry.config != DEFAULT) is chosen
    assert entry.ratio == pytest.approx(1 - gain if chosen else 1.0)


def test_what_does_not_stand_a_second_measurement_is_not_chosen(cache: Cache) -> None:
    lucky = Paper(narrow(0.5), second=lambda job, config: 0.97)
    ((_, entry),) = run([job_with_tiles()], lucky, cache).entries
    assert entry.config == DEFAULT
    assert entry.ratio == 1.0
    assert any(trial.ratio == 0.5 for trial in entry.trials), (
        "what was measured first is kept, and not tried again"
    )


def test_the_budget_is_kept(cache: Cache, kernels: list[Job]) -> None:
    paper = Paper(narrow(0.2), each=2.0)
    found = run(kernels, paper, cache, budget=61.0)
    assert found.seconds <= 61.0 + 2.0, "the trial in hand is finished"
    assert found.seconds > 50.0, "and the time is used"
    assert found.left > 0
    assert found.tried == len(paper.tried)


def test_measuring_the_defaults_takes_half_of_a_small_budget(cache: Cache, kernels: list[Job]) -> None:
    paper = Paper(narrow(0.2), measuring=3.0)
    found = run(kernels, paper, cache, budget=20.0)
    assert found.seconds <= 20.0 + 1.0
    assert 1 < len(found.entries) < len(kernels)
    assert len(paper.tried) >= 8


def test_slow_kernels_get_most_of_the_time(cache: Cache, kernels: list[Job]) -> None:
    slow = kernels[2].name
    paper = Paper(narrow(0.0), seconds=lambda job: 1e-2 if job.name == slow else 1e-4)
    run(kernels, paper, cache, budget=20.0)
    assert paper.tried[0][0] == slow
    assert sum(name == slow for name, _ in paper.tried) > 10


def test_what_is_known_is_not_tried_again(cache: Cache, kernels: list[Job]) -> None:
    first = Paper(narrow(0.2), each=1.0)
    found = run(kernels, first, cache, budget=30.0)
    assert found.left > 0
    second = Paper(narrow(0.2))
    found = run(kernels, second, Cache(cache.path))
    assert found.left == 0
    pairs = [(name, str(config)) for name, config in first.tried + second.tried]
    assert len(set(pairs)) == len(pairs), "the second run goes on where the first stopped"
    third = Paper(narrow(0.2))
    found = run(kernels, third, Cache(cache.path))
    assert (third.tried, found.tried, found.left) == ([], 0, 0)
    assert len(found.entries) == len(kernels)
    assert all(entry.config.width == 4 for _, entry in found.entries if entry.kernel["kernel"] == "forward_Z")


def test_again_measures_all_again_and_forgets_the_old(cache: Cache) -> None:
    job = job_with_tiles()
    run([job], Paper(narrow(0.3)), cache)
    paper = Paper(narrow(0.0))
    ((_, entry),) = run([job], paper, cache, again=True).entries
    assert paper.tried
    assert entry.config == DEFAULT
    assert all(trial.ratio == 1.0 for trial in entry.trials)


def test_an_interruption_keeps_what_was_found(cache: Cache, kernels: list[Job]) -> None:
    paper = Paper(lambda job, config: 0.5 if config.tiles else 1.0, interrupt_after=25)
    found = run(kernels, paper, cache)
    assert found.interrupted
    entries = Cache(cache.path).entries()
    assert sum(len(entry.trials) for entry in entries.values()) == 25
    assert any(entry.config != DEFAULT for entry in entries.values() if not entry.complete), (
        "of the kernel in hand too"
    )
    after = Paper(lambda job, config: 0.5 if config.tiles else 1.0)
    assert run(kernels, after, cache).left == 0
    assert not {str(t) for t in paper.tried} & {str(t) for t in after.tried}


def test_wrong_candidates_are_recorded_and_a_wrong_default_is_told(cache: Cache, kernels: list[Job]) -> None:
    bad = kernels[1]

    def cost(job: Job, config: KernelConfig) -> float:
        if job.name == bad.name and config == DEFAULT:
            return -1.0
        return -1.0 if config.width == 4 else 0.8

    found = run(kernels, Paper(cost), cache)
    assert found.broken == ((bad.name, f"{bad.kernel.name}: planted"),)
    assert bad.name not in [name for name, _ in found.entries]
    assert found.left == 0
    for _, entry in found.entries:
        assert {trial.refused for trial in entry.trials if trial.config.width == 4} <= {"wrong"}
        assert entry.config.width != 4
        assert all(trial.reason == "planted" for trial in entry.refused)


def test_a_run_without_budget_changes_nothing(cache: Cache, kernels: list[Job]) -> None:
    paper = Paper(narrow(0.5))
    assert run(kernels, paper, cache, budget=0.0).entries == ()
    assert paper.tried == []

"""Comparisons: workers in processes of their own, agreement before timing, goals and ratios.

Slow because every worker is a process of its own, which starts, imports its library and answers, and some
wait in vain.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from phiz.benchmarks.cases import cases
from phiz.benchmarks.cases.cases import Case, Goal
from phiz.benchmarks.cases.models import MODELS
from phiz.benchmarks.comparison import comparison
from phiz.benchmarks.comparison.agreement import TOLERANCE, difference
from phiz.benchmarks.comparison.comparison import Entrant, PeerComparison, PeerRatio
from phiz.benchmarks.comparison.worker_process import WorkerError, WorkerProcess, environment
from phiz.benchmarks.peers.registry import Peer

CASE = Case(MODELS["digits"], 6, "gradient", "digits", (Goal("pytorch", 0.01),))


@contextmanager
def workers(monkeypatch: pytest.MonkeyPatch, **classes: str) -> Iterator[dict[str, WorkerProcess]]:
    """Processes that run the classes of ``fake_peers``; "phiz" is honest unless it is given."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with ExitStack() as stack:
        chosen = {"phiz": "Honest", **classes}
        yield {
            n: stack.enter_context(WorkerProcess(Peer(n, n, "fake_peers", c), 1)) for n, c in chosen.items()
        }


def run(found: dict[str, WorkerProcess], rounds: int = 2) -> PeerComparison:
    return comparison.run(CASE, found, [], rounds, 0.002, lambda line: None)


def test_sides_agree_and_are_timed_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    with workers(monkeypatch, torch="TwoForms") as found:
        result = run(found, rounds=3)
    forms = [(entrant.peer, entrant.form) for entrant in result.entrants]
    assert forms == [("phiz", "placed"), ("phiz", "host"), ("torch", "right")]
    assert all(len(entrant.seconds) == 3 and min(entrant.seconds) > 0 for entrant in result.entrants)
    (verdict,) = result.verdicts()
    assert verdict.against == "torch (right)" and verdict.met and verdict.reached > 0
    record = result.record()
    assert record["goals"][0]["reached"] == verdict.reached and record["entrants"][2]["difference"] == 0


def test_a_wrong_peer_is_refused_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with workers(monkeypatch, torch="Wrong", jax="TwoForms") as found:
        result = run(found)
    assert {entrant.peer for entrant in result.entrants} == {"phiz", "jax"}
    refused, of_two = result.wrong
    assert (
        refused.startswith("digits-gradient-6: torch differs from phiz by ")
        and "gradient of parameter" in refused
    )
    assert of_two.startswith("digits-gradient-6: jax wrong differs")
    assert not result.verdicts()


def test_peers_that_lack_a_layer_or_die_are_left_out_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with workers(monkeypatch, torch="Dying", jax="Lacking", numpy="Honest") as found:
        result = run(found)
        assert found["torch"].ask("versions") == "honest 1.0"  # a new process
    assert {entrant.peer for entrant in result.entrants} == {"phiz", "numpy"}
    assert "jax: no counterpart of layer 0" in result.notes
    assert any(note.startswith("torch: ended with status 3") for note in result.notes)


def test_a_side_that_cannot_be_imported_says_so() -> None:
    said = r"X: ended with status 1.*no_such_module"
    with WorkerProcess(Peer("x", "X", "no_such_module"), 1) as worker, pytest.raises(WorkerError, match=said):
        worker.ask("versions")


def test_a_side_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with workers(monkeypatch) as found, pytest.raises(WorkerError, match="phiz: no answer within 0 s"):
        found["phiz"].ask("prepare", CASE, [], 1, patience=0.0)


def test_the_environment_limits_every_library() -> None:
    found = environment(3)
    for name in (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "POCL_CPU_MAX_CU_COUNT",
        "NPROC",
        "NUM_CPU_THREADS",
    ):
        assert found[name] == "3"
    assert "intra_op_parallelism_threads=3" in found["XLA_FLAGS"]


# -------------------------------------------------------------------------------------------------- agreement
def test_agreement_counts_every_parameter_by_its_own_size() -> None:
    """The second parameter's gradient is a millionth of the first's: an error there must not hide
    behind the first.
    """
    ours = {"value": np.array([2.0]), "gradient": np.array([1e6, 2e6, 1.0, -2.0])}
    pieces = [slice(0, 2), slice(2, 4)]
    assert difference(ours, ours, pieces) == (0.0, "")
    wrong = {**ours, "gradient": np.array([1e6, 2e6, 1.0, -2.001])}
    gap, where = difference(ours, wrong, pieces)
    assert gap == pytest.approx(0.001 / 2.001) and gap > TOLERANCE and where == "gradient of parameter 1"


@pytest.mark.parametrize(
    "theirs",
    [
        {},
        {"outputs": np.zeros(3)},
        {"outputs": np.array([1.0, math.nan])},
        {"outputs": np.array([1.0, math.inf])},
    ],
    ids=["missing", "shape", "nan", "inf"],
)
def test_missing_misshapen_and_infinite_results_disagree(theirs: dict[str, np.ndarray]) -> None:
    assert difference({"outputs": np.array([1.0, 2.0])}, theirs, [])[0] == math.inf


# ---------------------------------------------------------------------------------------- ratios and verdicts
def entrant(peer: str, form: str, seconds: list[float]) -> Entrant:
    return Entrant(peer, form, 0.0, 1, False, seconds)


def test_ratios_are_taken_round_by_round() -> None:
    """Both slowed down in the second round by a third party: the ratio does not see it."""
    assert PeerRatio.of([4.0, 40.0, 4.0], [2.0, 20.0, 2.0]).median == 2.0
    assert PeerRatio.of([4.0], [2.0, 8.0, 9.0]) == PeerRatio(
        2.0, 2.0, 2.0
    )  # a slow worker takes part in the first rounds only


def test_goals_are_held_against_the_faster_form_that_they_name() -> None:
    goals = Goal("pytorch", 2), Goal("best", 1), Goal("jax", 8), Goal("tinygrad", 1)
    case = Case(MODELS["lenet"], 1, "gradient", "t", goals, "cdist")
    entrants = [
        entrant("phiz", "placed", [1.0]), entrant("phiz", "host", [9.0]),
        entrant("torch", "cdist", [5.0]), entrant("torch", "expanded", [0.5]),
        entrant("torch-compile", "cdist", [3.0]), entrant("jax", "", [4.0]),
    ]  # fmt: skip
    by_form = {
        v.goal.peer: (v.against, v.reached, v.met) for v in PeerComparison(case, entrants, [], []).verdicts()
    }
    assert by_form["pytorch"] == ("torch-compile (cdist)", 3.0, True)
    plain = PeerComparison(Case(case.model, 1, "gradient", "t", case.goals), entrants, [], [])
    found = {v.goal.peer: (v.against, v.reached, v.met) for v in plain.verdicts()}
    assert found["pytorch"] == (*found["best"][:2], False) == ("torch (expanded)", 0.5, False)
    assert found["jax"] == ("jax", 4.0, False) and "tinygrad" not in found


# ------------------------------------------------------------------------------------------------------ cases
def test_every_work_has_a_name_of_its_own_and_the_cases_of_the_table() -> None:
    names = [case.name for case in cases.CASES]
    assert len(set(names)) == len(names) == 11
    assert cases.choose(["lenet"], None) == [case for case in cases.CASES if case.model.name == "lenet"]


def test_other_batches_have_no_goals_and_one_pass() -> None:
    chosen = cases.choose(["convolution", "lenet"], [128, 5])
    assert {case.name for case in chosen} == {
        "lenet-gradient-128", "lenet-gradient-5", "lenet-predict-128", "lenet-predict-5",
        "convolution-forward-128", "convolution-forward-5", "convolution-pass-128", "convolution-pass-5",
    }  # fmt: skip
    assert {case.name for case in chosen if case.goals} == {"lenet-gradient-128"}
    assert all(case.model.micro_batch in (None, case.batch) for case in chosen)

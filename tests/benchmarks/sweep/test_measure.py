"""Measuring a draw: who is wrong where peers differ, and the command from end to end.

Slow because every worker is a process of its own, which starts and imports its library.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from phiz.benchmarks.comparison.worker_process import WorkerProcess
from phiz.benchmarks.peers.registry import Peer
from phiz.benchmarks.sweep import sweep
from phiz.benchmarks.sweep.draw import Draw
from phiz.benchmarks.sweep.judge import judgement
from phiz.benchmarks.sweep.measure import SweepRig, measure
from phiz.cli.main import main
from phiz.runtime.program.layer import layer

FAKES = Path(__file__).parents[1] / "comparison"
SPECS = (layer("dense", maps=5, activation="tanh"), layer("softmax", maps=3))
DRAW = Draw(3, 17, "dense", SPECS, (4,), "ce", 6, 1e4, 1000, 43, 3)


class Rigged(SweepRig):
    """phiz is a worker of ``fake_peers`` as well."""

    def phiz(self, caches: Path) -> WorkerProcess:
        return WorkerProcess(Peer("phiz", "phiz", "fake_peers", "Honest"), 1)


@contextmanager
def rig(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[SweepRig]:
    monkeypatch.setenv("PYTHONPATH", str(FAKES))
    with WorkerProcess(Peer("torch", "T", "fake_peers", name), 1) as worker:
        yield Rigged({"torch": worker}, [], 1, None, False, 2, 0.001, 0.0, startup=False)


@pytest.mark.parametrize(
    ("name", "wrong", "noted", "timed"),
    [
        ("Honest", "", "", True),
        ("Wrong", "torch differs from phiz, and nothing judges", "", False),
        ("Judged", "", "torch by 1.0e-03: rounding decides", True),
        ("FarOff", "", "torch is wrong", False),
        ("Lacking", "", "gradient: T: no counterpart of layer 0", False),
    ],
)
def test_float64_judges_where_peers_differ(
    name: str, wrong: str, noted: str, timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig(monkeypatch, name) as used:
        found = measure(DRAW, used)
    assert bool(found["wrong"]) == bool(wrong) and wrong in "".join(found["wrong"])
    assert bool(found["notes"]) == bool(noted) and noted in "".join(found["notes"])
    assert found["gradient"]["phiz"] > 0 and found["forward"]["phiz"] > 0
    assert ("torch" in found["gradient"]["peers"]) == timed
    if timed:
        one = found["gradient"]["peers"]["torch"]
        assert one["ratio"] == pytest.approx(one["seconds"] / found["gradient"]["phiz"])
    json.dumps(found)


def test_phiz_is_wrong_where_it_is_farther_from_float64() -> None:
    near, far = (1e-6, "value"), (3e-3, "gradient of parameter 2")
    assert judgement("c", "torch", far, near).peer_counts is None
    assert (
        "phiz differs by 3.0e-03 (gradient of parameter 2), torch by 1.0e-06"
        in judgement("c", "torch", far, near).said
    )
    assert judgement("c", "torch", near, far).peer_counts is True
    assert judgement("c", "torch", near, (2e-2, "value")).peer_counts is False
    assert judgement("c", "torch", (2e-3, "value"), far).peer_counts is True


def test_the_command_and_a_second_run_that_finds_all_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given = ["bench", "--sweep", "--seed", "0", "--only", "2", "--peers", "numpy", "--rounds", "1"]
    given += ["--block", "0.001", "--threads", "1", "--out", str(tmp_path / "new")]
    given += ["--json", str(tmp_path / "all.json")]
    assert main(given) == 0
    text = capsys.readouterr().out
    assert (
        "1 draws of seed 0." in text and "## Beside NumPy" in text and "## Predicted beside measured" in text
    )
    lines = (tmp_path / "new" / "sweep.jsonl").read_text().splitlines()
    head, drawn, run = (json.loads(line) for line in lines)
    one = drawn["draw"]
    assert json.loads((tmp_path / "all.json").read_text())["draws"] == [one]
    assert head["sweep"]["lanes"] > 0 and 0.3 < head["sweep"]["ghz"] < 8 and run["run"]["draws"] == 1
    assert one["number"] == 2 and one["gradient"]["peers"]["numpy"]["difference"] < 1e-4
    assert one["first"]["cold"]["first"] > 0 and one["first"]["cold"]["further"] > 0
    assert one["first"]["warm"]["first"] > 0
    steps = one["steps"]["gradient"]["steps"]
    assert len(steps) > 8 and all(step["seconds"] > 0 for step in steps)
    monkeypatch.setattr(sweep, "_rig", lambda *given: (None, head["sweep"]))  # it could measure nothing
    assert main(given) == 0
    assert (tmp_path / "new" / "sweep.jsonl").read_text().splitlines() == lines
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"sweep.jsonl", "sweep.md", "sweep.png"}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--draws", "0"], "phiz: expected --draws, --rounds, --threads and --block above 0"),
        (["--seed", "-1"], "phiz: expected --seed and --only of at least 0"),
        (["--cases", "lenet"], "phiz: --cases, --batches and --kernels do not go with --sweep, which draws"),
        (["--json", "no/such/file.json"], "phiz: --json no/such/file.json: its folder does not exist"),
        (["--peers", "mxnet"], "phiz: unknown peer 'mxnet', known are torch"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(
    given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "--sweep", *given]) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith(said) and printed.err.count("\n") == 1

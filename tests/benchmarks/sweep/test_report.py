"""What a sweep shows: means, quantiles, goals, the worst draws with their steps, and the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from phiz.benchmarks.sweep import summary, sweep
from phiz.benchmarks.sweep.report import markdown


def draw(number: int, forward: float | None, gradient: float | None, **more: Any) -> dict[str, Any]:
    """A draw in which phiz takes 2 ms, and its peer so many times as long."""

    def times(ratio: float | None) -> dict[str, Any]:
        if ratio is None:
            return {"phiz": 2e-3, "peers": {}}
        peer = {"form": "", "seconds": 2e-3 * ratio, "difference": 1e-6, "ratio": ratio}
        return {"phiz": 2e-3, "peers": {"torch": peer}}

    long = {
        "layer": "layer 0 (dense)",
        "kernel": "forward_Z",
        "seconds": 1.5e-3,
        "predicted": 1e-3,
        "flops": 6e6,
    }
    slow = long | {"kernel": "delta_Y", "seconds": 4e-4, "predicted": 1e-4}
    short = long | {"kernel": "gradient_b", "seconds": 1e-8, "predicted": 1e-10}
    steps = {"form": "rows", "samples": 5, "passes": 3, "steps": [slow, long, short]}
    return {
        "number": number,
        "kind": "dense",
        "title": "30: dense 50",
        "batch": 15,
        "notes": [],
        "wrong": [],
        "first": {"cold": {"first": 3.0, "further": 0.2}, "warm": {"first": 0.4, "further": None}},
        "steps": {"forward": steps, "gradient": steps},
        "forward": times(forward),
        "gradient": times(gradient),
        **more,
    }


@pytest.fixture
def record() -> dict[str, Any]:
    head = {
        "seed": 3, "processor": "a processor", "device": "a device", "driver": "1", "gpu": False, "lanes": 8,
        "ghz": 2.5, "threads": 2, "peers": ["torch"], "versions": {"phiz": "phiz 1"}, "missing": [],
    }  # fmt: skip
    draws = [
        draw(0, 4.0, 1.0),
        draw(1, 0.25, 9.0),
        draw(2, 1.0, 0.5, kind="user", batch=100),
        draw(3, None, None, notes=["gradient: PyTorch eager: no counterpart of layer 0"]),
    ]
    return {"head": head, "draws": draws, "runs": [{"seconds": 9.0, "draws": 4, "others": 0.02}]}


def test_the_report_names_machine_draws_and_seed(record: dict[str, Any]) -> None:
    text = markdown(record, "sweep.png")
    assert (
        "a processor at 2.50 GHz; phiz through OpenCL on a device (driver 1), vectors of 8 floats; " in text
    )
    assert "4 draws of seed 3." in text and "Not to be quoted" not in text and "](sweep.png)" in text
    record["runs"][0]["others"] = 0.3
    assert "up to 30% of the processors' time.  **Not to be quoted.**" in markdown(record)


def test_means_quantiles_and_goals(record: dict[str, Any]) -> None:
    text = markdown(record)
    assert "| forward | 3 | 1.00 | 0.25 |" in text and "| value and gradient | 3 | 1.65 | 0.50 |" in text
    assert "| forward | no draw below: 0.5 | 0.25 | missed |" in text
    assert "| forward | part of the draws ≥ 1: 0.9 | 0.67 | missed |" in text
    assert "| value and gradient | geometric mean: 2.5 | 1.65 | missed |" in text
    assert "| user | 1 | 1.00 | 1.00 | 1 | 0.50 | 0.50 |" in text
    assert "| 64 to 1000 samples | 1 | 1.00 |" in text and "| 1 to 7 samples | 0 | – | – | 0 |" in text
    assert "| cold caches | 4 | 3.00 |" in text and "| another batch size, after it | 4 | 0.20 |" in text


def test_the_worst_come_first_with_what_they_spent_their_time_on(record: dict[str, Any]) -> None:
    assert [one["number"] for one in summary.worst(record["draws"], "forward", "torch")] == [1, 2, 0]
    text = markdown(record)
    first = text[text.index("## The worst 3: forward") :]
    assert first.index("**0.25**: draw 1, batch 15") < first.index("**1.00**: draw 2, batch 100")
    assert (
        "phiz 2 ms, PyTorch eager 500 µs; samples in rows, 3 passes of 5; all steps of a pass 1.9 ms" in first
    )
    long = first.index("* 79% layer 0 (dense) forward_Z: 1.5 ms, predicted 1 ms, 4 GFLOP/s")
    assert long < first.index("* 21% layer 0 (dense) delta_Y: 400 µs, predicted 100 µs, 15 GFLOP/s")


def test_predictions_are_right_within_two_times(record: dict[str, Any]) -> None:
    found = summary.predictions(record["draws"], "forward")
    assert len(found) == 8  # the short step tells nothing
    by_number, by_time = summary.right(found)
    assert by_number == 0.5 and by_time == pytest.approx(15 / 19, abs=1e-4)
    assert len(summary.predictions(record["draws"], "forward", counted=False)) == 12
    assert "| 8 | 50% | 79% | 2.75 |" in markdown(record)


def test_wrong_numbers_are_listed_fail_and_have_no_ratio(record: dict[str, Any]) -> None:
    assert sweep.failures(record) == []
    record["draws"][1]["wrong"] = ["draw-3-1-gradient-15: from float64 phiz differs by 1.0e-01"]
    record["draws"][2]["forward"] = {"phiz": None, "peers": {}}
    record["draws"][2]["notes"] = ["forward: phiz: no answer within 20 s"]
    assert sweep.failures(record) == [
        "draw 1: draw-3-1-gradient-15: from float64 phiz differs by 1.0e-01",
        "draw 2: no time of forward: forward: phiz: no answer within 20 s",
    ]
    assert summary.ratios(record["draws"], "forward", "torch") == [4.0]
    text = markdown(record)
    assert "## Wrong numbers\n\n* draw 1: draw-3-1" in text and "* draw 2: forward: phiz: no answer" in text


def test_files_are_written(record: dict[str, Any], tmp_path: Path) -> None:
    sweep.write(record, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"sweep.md", "sweep.png"}
    data = (tmp_path / "sweep.png").read_bytes()
    assert data.startswith(b"\x89PNG") and len(data) > 20_000
    record["draws"], record["head"]["peers"] = [], []
    sweep.write(record, tmp_path)
    assert "beside no peer" in (tmp_path / "sweep.md").read_text()

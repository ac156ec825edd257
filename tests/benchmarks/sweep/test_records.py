"""The records of a sweep: written as they come, and read again after a kill."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from phiz.benchmarks.sweep.records import SAME, SweepRecords
from phiz.runtime.errors import PhizError

HEAD: dict[str, Any] = {
    "seed": 3,
    "processor": "p",
    "device": "d",
    "lanes": 8,
    "threads": 2,
    "peers": ["torch"],
    "missing": [],
}


def test_a_sweep_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    records = SweepRecords(path, HEAD)
    records.add({"number": 4})
    records.add({"number": 1, "title": "3×8: ¿"})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"draw": {"number": 7, "ti')
    again = SweepRecords(path, {**HEAD, "ghz": 2.0})
    assert path.read_bytes() == whole and set(again.draws) == {1, 4}
    again.add({"number": 0})
    again.end({"seconds": 1.0})
    third = SweepRecords(path, HEAD).record
    assert [one["number"] for one in third["draws"]] == [0, 1, 4] and third["runs"] == [{"seconds": 1.0}]
    assert all(json.loads(line) for line in path.read_text().splitlines())


@pytest.mark.parametrize("key", SAME)
def test_another_sweep_is_refused(key: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    SweepRecords(path, HEAD)
    with pytest.raises(PhizError, match=f"a sweep with {key} .*, expected 'other', or another folder"):
        SweepRecords(path, {**HEAD, key: "other"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}\n", "expected the records of a sweep"),
        ("", "expected the records"),
        ("no\n", "expected JSON lines"),
    ],
)
def test_another_file_is_refused_and_left_as_it_is(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    path.write_text(text)
    with pytest.raises(PhizError, match=said):
        SweepRecords(path, HEAD)
    assert path.read_text() == text


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    records = SweepRecords(None, HEAD)
    records.add({"number": 2})
    assert records.record["draws"] == [{"number": 2}] and not list(tmp_path.iterdir())

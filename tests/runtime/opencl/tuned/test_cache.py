"""The cache: what is kept, when it is not believed, and that nobody's findings are lost."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from phiz.runtime.doctor import examine
from phiz.runtime.errors import PhizError
from phiz.runtime.opencl.plan.config import DEFAULT, KernelConfig
from phiz.runtime.opencl.tuned import cache as module
from phiz.runtime.opencl.tuned.cache import Cache, cache_folder
from phiz.runtime.opencl.tuned.record import Entry, Trialled, config_from, config_record

FAST = Trialled(KernelConfig({"TILE_a": 4}, width=8, group=(1, 2, 3)), 0.5e-3, 0.5)
BAD = Trialled(
    KernelConfig({"TILE_a": 2}), refused="wrong", reason="forward_Z: Z[0, 1] is 2, the reference 1"
)


def entry(ratio: float = 0.5, *trials: Trialled, complete: bool = True) -> Entry:
    return Entry(
        {"file": "dense"}, {"device": "d"}, FAST.config, 1e-3, ratio / 1e3, trials or (FAST, BAD), complete
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "tuning.json"


def test_what_is_stored_is_found(path: Path) -> None:
    Cache(path).store({"k": entry()})
    assert Cache(path).entries() == {"k": entry()}
    assert not list(path.parent.glob("*.tmp"))


def test_a_change_by_another_is_seen(path: Path) -> None:
    cache = Cache(path)
    assert cache.entries() == {}
    Cache(path).store({"k": entry()})
    assert set(cache.entries()) == {"k"}


def test_searches_of_the_same_kernel_are_joined(path: Path) -> None:
    other = Trialled(KernelConfig({"TILE_a": 8}), 0.9e-3, 0.9)
    Cache(path).store({"k": entry(0.5, FAST, complete=False)})
    Cache(path).store({"k": entry(0.9, other, BAD)})
    (found,) = Cache(path).entries().values()
    assert found.ratio == pytest.approx(0.5)
    assert {t.refused for t in found.trials} == {"", "wrong"}
    assert len(found.trials) == 3
    assert found.complete
    Cache(path).store({"k": entry(0.9, other)}, replace=True)
    assert Cache(path).entries() == {"k": entry(0.9, other)}


WHOLE = {"format": "phiz tuning", "version": 1, "entries": {}}
NOT_OURS = {
    "cut": b'{"format": "phiz tuning", "ver',
    "binary": b"\xff\xfe\x00",
    "empty": b"",
    "list": b"[]",
    "foreign": b'{"entries": {}}',
    "newer": json.dumps({**WHOLE, "version": 2}).encode(),
    "no entries": json.dumps({**WHOLE, "entries": None}).encode(),
    "deep": b"[" * 100_000,
    "malformed entry": json.dumps({**WHOLE, "entries": {"x": {"kernel": {}}}}).encode(),
    "malformed configuration": json.dumps(
        {
            **WHOLE,
            "entries": {
                "x": {
                    "kernel": {},
                    "place": {},
                    "schedule": {"tiles": {"T": "four"}},
                    "default_ms": 1,
                    "ms": 1,
                    "complete": True,
                    "trials": [],
                }
            },
        }
    ).encode(),
}


@pytest.mark.parametrize("name", sorted(NOT_OURS))
def test_a_file_that_is_not_ours_is_ignored_with_one_warning_and_rewritten(
    path: Path, name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_warned", set())
    path.parent.mkdir()
    path.write_bytes(NOT_OURS[name])
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert Cache(path).entries() == {}
        Cache(path).store({"k": entry()})
        assert Cache(path).entries() == {"k": entry()}
    assert [str(path) in record.getMessage() for record in caplog.records] == [True]
    assert json.loads(path.read_bytes())["format"] == "phiz tuning"


def test_good_entries_beside_a_malformed_one_are_kept(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_warned", set())
    Cache(path).store({"k": entry(), "l": entry()})
    record = json.loads(path.read_bytes())
    record["entries"]["l"]["ms"] = "soon"
    path.write_text(json.dumps(record))
    assert Cache(path).entries() == {"k": entry()}


WRITER = """
import sys
from pathlib import Path
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.opencl.tuned.cache import Cache
from phiz.runtime.opencl.tuned.record import Entry, Trialled
path, name = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for n in range(25):
    mine = Trialled(KernelConfig({name: n + 1}), 1e-3, 1.0)
    own = Entry({}, {}, KernelConfig(), 1e-3, 1e-3, (mine,), False)
    Cache(path).store({f"{name}{n}": own, "shared": own})
"""


def test_two_processes_lose_nothing(path: Path) -> None:
    """Both write their own keys and one that they share, at the same time, in many small steps."""
    names = ("a", "b")
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), n],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in names
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
        assert writer.returncode == 0
    found = Cache(path).entries()
    assert set(found) == {f"{name}{n}" for name in names for n in range(25)} | {"shared"}
    assert {
        trial.config.tiles[name] for trial in found["shared"].trials for name in trial.config.tiles
    } == set(range(1, 26))
    assert len(found["shared"].trials) == 50


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PhizError, match="PHIZ_CACHE"):
        Cache(tmp_path / "file" / "tuning.json").store({"k": entry()})


def test_the_cache_lies_where_doctor_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIZ_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert Cache().path.parent == tmp_path / "own"
    (finding,) = (f for f in examine() if f.subject == "cache phiz")
    assert str(tmp_path / "own") in finding.detail
    monkeypatch.delenv("PHIZ_CACHE")
    assert cache_folder().name == "phiz"


CHOICES = KernelConfig(partial_sums=4, unroll=2, constant=True, local=16)


@pytest.mark.parametrize(
    "config", [DEFAULT, FAST.config, KernelConfig(width=1), KernelConfig({"T": 1}), CHOICES]
)
def test_configs_as_json(config: KernelConfig) -> None:
    record = json.loads(json.dumps(config_record(config)))
    assert config_from(record) == config


def test_a_record_from_before_there_were_choices_is_read(path: Path) -> None:
    """As phiz wrote it when a configuration was tiles, a width and a group."""
    old = {"tiles": {"TILE_a": 4}, "width": 8, "group": [1, 2, 3]}
    trials = [{"schedule": old, "ms": 0.5, "ratio": 0.5}]
    record = {
        "kernel": {},
        "place": {},
        "schedule": old,
        "default_ms": 1.0,
        "ms": 0.5,
        "complete": True,
        "trials": trials,
    }
    path.parent.mkdir()
    path.write_text(json.dumps({**WHOLE, "entries": {"k": record}}))
    found = Cache(path).entries()["k"]
    assert found.config == FAST.config == found.trials[0].config
    assert (found.config.partial_sums, found.config.unroll, found.config.constant, found.config.local) == (
        None,
        None,
        False,
        None,
    )
    Cache(path).store({"other": replace(entry(), config=CHOICES)})
    again = Cache(path).entries()
    assert again["k"] == found
    assert again["other"].config == CHOICES


@pytest.mark.parametrize(
    "record",
    [
        {"tile": 1},
        {"tiles": {"T": -1}},
        {"tiles": {"T": 1.5}},
        {"width": True},
        {"constant": 1},
        {"group": [1, "x"]},
    ],
)
def test_no_configs(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"has no|at least 0|true or false"):
        config_from(record)

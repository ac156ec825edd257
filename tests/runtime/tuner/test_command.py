"""``phiz tune`` from the outside."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from phiz.cli.main import main
from phiz.runtime.reference.backend import NumpyBackend
from phiz.runtime.tuner.suite import suite


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIZ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tuning.json"


LAYER = ["tune", "--layer", "dense maps=6 activation=tanh", "--input", "9", "--batch", "20", "--quiet"]


def test_a_layer_is_tuned_shown_and_not_tuned_again(
    cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*LAYER, "--budget", "3", "--json", str(tmp_path / "found.json")]) == 0
    out = capsys.readouterr().out
    assert "forward_Z" in out
    assert "one gradient of 20 samples" in out
    found = json.loads((tmp_path / "found.json").read_text())
    assert {kernel["kernel"] for kernel in found["kernels"]} >= {"layer 0 (dense): forward_Z"}
    assert found["gradient"]["samples"] == 20
    tried = sum(kernel["tried"] for kernel in found["kernels"])
    assert tried > 0
    before = json.loads(cache.read_text())["entries"]
    assert main(["tune", "--show", "--json", str(tmp_path / "shown.json")]) == 0
    out = capsys.readouterr().out
    assert "forward_Z" in out
    assert "default ms" in out
    assert len(json.loads((tmp_path / "shown.json").read_text())["kernels"]) == len(before)
    assert main([*LAYER, "--budget", "0.5"]) == 0
    after = json.loads(cache.read_text())["entries"]
    assert all(after[k]["trials"][: len(v["trials"])] == v["trials"] for k, v in before.items())


def test_nothing_tuned_yet(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--show"]) == 0
    assert "phiz tune" in capsys.readouterr().out


def test_the_network_for_digits_is_the_default(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--budget", "0.1", "--batch", "16"]) == 0
    captured = capsys.readouterr()
    assert "19 kernels" in captured.err
    assert "run again" in captured.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--layer", "dense maps=6"], "--input"),
        (["--layer", "dense maps", "--input", "9"], "NAME=VALUE"),
        (["--layer", "unknown maps=6", "--input", "9"], "unknown"),
        (["--network", "nothing"], "lenet-digits"),
        (["--network", "missing.json"], "missing.json"),
        (["--network", "lenet", "--input", "1,2,2"], "layer"),
        (["--budget", "-1"], "--budget"),
        (["--batch", "0"], "--batch"),
        (["--input", "0,3"], "--input"),
        (["--json", "/no/such/folder/file.json"], "folder"),
        (["--device", "no such device"], "no OpenCL device"),
    ],
)
def test_wrong_usage_is_one_line(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status = main(["tune", "--quiet", *options])
    except SystemExit as stopped:
        status = int(stopped.code or 0)
    captured = capsys.readouterr()
    assert status == 2
    assert words in captured.err
    assert len(captured.err.strip().splitlines()) == 1
    assert captured.out == ""


def test_a_network_file_says_its_shape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "net.json"
    file.write_text(
        json.dumps({"layers": [{"layer": "dense", "maps": 3}], "loss": "mse", "input_shape": [7]})
    )
    assert main(["tune", "--network", str(file), "--batch", "4", "--budget", "3", "--quiet"]) == 0
    assert "forward_Z" in capsys.readouterr().out


def test_shipping_from_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LAYER, "--budget", "0.5", "--ship", str(tmp_path / "class.json")]) == 0
    assert "wrote" in capsys.readouterr().out
    assert json.loads((tmp_path / "class.json").read_text())["format"] == "phiz tuning"


def test_every_work_of_the_suite_fits_the_kernels() -> None:
    found = suite()
    assert len(found) >= 6
    for work in found:
        network = work.network(NumpyBackend(), "float32")
        assert network.input_shape.axes[-1] == work.input[-1]
        assert all(batch >= 1 for batch in work.batches)

"""Data that are not those of the training: said, put in order by name, or refused; no part of them
passes for a test.
"""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.cli.main import main
from phiz.runtime.data.datasets import load
from phiz.runtime.data.split import split
from phiz.runtime.errors import PhizError
from phiz.runtime.training import checkpoint, training_file
from phiz.runtime.training.evaluate import evaluate
from phiz.runtime.training.settings import Settings
from phiz.runtime.training.train import train

from tests.cli.test_bad_input import refused
from tests.runtime.training.training_data import network

TRAIN = [
    "train",
    "--backend",
    "numpy",
    "--network",
    "linear",
    "--optimizer",
    "lbfgs",
    "--epochs",
    "20",
    "--quiet",
]
COLUMNS = ("width", "height", "depth", "kind")


def table(path: Path, rows: list[list[str]], columns: tuple[str, ...] = COLUMNS) -> str:
    """The named columns of ``rows``, in that order."""
    order = [COLUMNS.index(name) for name in columns]
    path.write_text(
        "".join(",".join(row) + "\n" for row in [list(columns), *([row[i] for i in order] for row in rows)])
    )
    return str(path)


@pytest.fixture
def rows() -> list[list[str]]:
    """80 samples whose class is which of three quantities in other units is large."""
    random = np.random.default_rng(0)
    kinds = np.arange(80) % 3
    values = random.normal(size=(80, 3)) * 0.3 + 2 * np.eye(3)[kinds]
    scaled = values * [1, 100, 0.01]
    return [
        [*(f"{value:.5g}" for value in row), ("oak", "ash", "elm")[kind]]
        for row, kind in zip(scaled, kinds, strict=True)
    ]


@pytest.fixture
def trained(rows: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """A table and the weights trained on it."""
    data = table(tmp_path / "data.csv", rows)
    assert main([*TRAIN, "--data", data, "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    return data, str(tmp_path / "run" / "weights.safetensors")


def scored(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", "--backend", "numpy", "--json", *arguments]) == 0, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_file_keeps_what_was_read(trained: tuple[str, str]) -> None:
    data, weights = trained
    read = checkpoint.load(weights).training["data"]["read"]
    assert (
        read["samples"] == 80 and read["columns"] == ["width", "height", "depth"] and read["target"] == "kind"
    )
    for dtype in ("float32", "float64"):
        source = load(data, dtype).source
        assert source is not None and source.digest == read["digest"]


def test_no_part_is_drawn_from_data_that_changed(
    trained: tuple[str, str], rows: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    assert scored(capsys, weights, "--data", data)["part"] == "test"
    table(Path(data), rows[:21])  # 59 rows deleted
    for part in ([], ["--part", "test"], ["--part", "train"], ["--part", "validation"]):
        line = refused(capsys, "evaluate", "--backend", "numpy", weights, "--data", data, *part)
        assert "samples were 80, now 21; digest was " in line and "--part all takes all of them" in line
    found = scored(capsys, weights, "--data", data, "--part", "all")
    assert found["samples"] == 21 and "changed since the training: samples were 80, now 21" in found["note"]
    assert main(["evaluate", "--backend", "numpy", weights, "--data", data, "--part", "all"]) == 0
    assert "changed since the training" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["value", "order", "class", "renamed"])
def test_every_change_is_seen(
    change: str, trained: tuple[str, str], rows: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    match change:
        case "value":
            rows[3][0] = "1.25"
        case "order":
            rows[3], rows[4] = rows[4], rows[3]
        case "class":
            rows = [row for row in rows if row[3] != "elm"]
        case "renamed":
            Path(data).write_text(Path(data).read_text().replace("kind", "sort"))
    if change != "renamed":
        table(Path(data), rows)
    line = refused(capsys, "evaluate", "--backend", "numpy", weights, "--data", data)
    assert {"class": "no samples of elm", "renamed": "expected a target column 'kind'"}.get(
        change, "digest was"
    ) in line


def test_a_copy_elsewhere_is_the_same_data_and_a_changed_copy_is_not(
    trained: tuple[str, str], rows: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    own = scored(capsys, weights, "--data", data)
    assert scored(capsys, weights, "--data", table(tmp_path / "copy.csv", rows)) == {
        **own,
        "data": str(tmp_path / "copy.csv"),
    }
    other = table(tmp_path / "other.csv", rows[:40])
    found = scored(capsys, weights, "--data", other)
    assert (found["part"], found["samples"]) == ("all", 40) and "note" not in found
    assert "not the samples that" in refused(
        capsys, "evaluate", "--backend", "numpy", weights, "--data", other, "--part", "test"
    )


def test_columns_are_put_in_the_order_of_the_training(
    trained: tuple[str, str], rows: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    own = scored(capsys, weights, "--data", data)
    assert own["accuracy"] > 0.9
    turned = table(tmp_path / "turned.csv", rows, ("kind", "depth", "width", "height"))
    assert scored(capsys, weights, "--data", turned) == {**own, "data": turned}
    everything = scored(capsys, weights, "--data", turned, "--part", "all")
    assert (
        everything["accuracy"] == scored(capsys, weights, "--data", data, "--part", "all")["accuracy"] > 0.9
    )


def test_missing_and_additional_columns_are_named(
    trained: tuple[str, str], rows: list[list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = trained[1]
    arguments = ["evaluate", "--backend", "numpy", weights, "--data"]
    fewer = table(tmp_path / "fewer.csv", rows, ("width", "depth", "kind"))
    assert "expected the columns width, height, depth as in training; missing height" in refused(
        capsys, *arguments, fewer
    )
    renamed = tmp_path / "renamed.csv"
    renamed.write_text(Path(trained[0]).read_text().replace("height", "tall"))
    assert "missing height; additional tall" in refused(capsys, *arguments, str(renamed))
    twice = tmp_path / "twice.csv"
    twice.write_text("width,height,depth,depth,kind\n1,2,3,4,oak\n")
    assert "a name stands above more than one column" in refused(capsys, *arguments, str(twice))
    bare = tmp_path / "bare.csv"
    bare.write_text("1,2,3,oak\n4,5,6,elm\n")
    assert "bare.csv: expected the columns" in refused(capsys, *arguments, str(bare), "--target", "4")


def test_arrays_and_images_have_a_digest_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    for name, x in (
        ("table", random.normal(size=(60, 3))),
        ("images", random.integers(0, 255, (60, 4, 4)).astype(np.uint8)),
    ):
        data = tmp_path / f"{name}.npz"
        np.savez(data, x=x, y=np.arange(60) % 2)
        assert main([*TRAIN, "--data", str(data), "--out", str(tmp_path / name)]) == 0
        weights = str(tmp_path / name / "weights.safetensors")
        capsys.readouterr()
        assert scored(capsys, weights, "--data", str(data))["part"] == "test"
        x[7] = x[8]
        np.savez(data, x=x, y=np.arange(60) % 2)
        assert "npz: not the samples that" in refused(
            capsys, "evaluate", "--backend", "numpy", weights, "--data", str(data)
        )


def test_a_source_with_its_own_test_part(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    parts = {
        "x_train": random.normal(size=(40, 3)),
        "y_train": np.arange(40) % 2,
        "x_test": np.ones((10, 3)),
        "y_test": np.arange(10) % 2,
    }
    np.savez(tmp_path / "d.npz", **parts)
    assert main([*TRAIN, "--data", str(tmp_path / "d.npz"), "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    weights = str(tmp_path / "run" / "weights.safetensors")
    assert scored(capsys, weights, "--data", str(tmp_path / "d.npz"))["samples"] == 10
    assert scored(capsys, weights, "--data", str(tmp_path / "d.npz"), "--part", "all")["samples"] == 50
    np.savez(tmp_path / "d.npz", **{**parts, "x_test": np.zeros((10, 3))})
    found = scored(
        capsys, weights, "--data", str(tmp_path / "d.npz")
    )  # not drawn: these were never trained on
    assert found["samples"] == 10 and "changed since the training: digest was" in found["note"]


@pytest.mark.parametrize("change", ["deleted", "test row", "turned"])
def test_a_run_is_not_resumed_on_data_that_changed(
    change: str, trained: tuple[str, str], rows: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    again = [*TRAIN, "--data", data, "--out", str(Path(weights).parent), "--resume"]
    before = Path(weights).read_bytes()
    if change == "turned":
        table(Path(data), rows, ("height", "width", "depth", "kind"))
        expected = "columns were width, height, depth, now height, width, depth"
    elif change == "deleted":
        table(Path(data), rows[:60])
        expected = "samples were 80, now 60; digest was"
    else:
        held_out = split(load(data), test=0.25, validation=0.1, seed=0).test
        assert held_out is not None
        first = f"{held_out.inputs[0, 0]:.5g}"
        number = next(number for number, row in enumerate(rows) if float(row[0]) == float(first))
        rows[number][0] = "1.25"
        table(Path(data), rows)
        expected = "digest was"
    line = refused(capsys, *again)
    assert "cannot resume" in line and expected in line
    assert Path(weights).read_bytes() == before


def test_large_numbers_are_evaluated_as_they_were_trained_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time stamps 1700000000 + i in float32, and a target that is linear in them, in equally large
    numbers.
    """
    text = "".join(f"{1_700_000_000 + i},{1_600_000_000 + 3 * i + (i % 7) / 8}\n" for i in range(400))
    (tmp_path / "t.csv").write_text("t,q\n" + text)
    data = ["--data", str(tmp_path / "t.csv")]
    options = ["--task", "regression", "--json", "--alpha", "0", "--out", str(tmp_path)]
    assert main([*TRAIN, *data, *options]) == 0
    trained = json.loads(capsys.readouterr().out)
    found = scored(capsys, str(tmp_path / "weights.safetensors"), *data)
    assert found["deviation"] == trained["test"]["deviation"] < 0.4  # of the steps of eighths, 0.25


# --------------------------------------------------------------------------------------------- what is opened
def test_a_recorded_path_is_opened_only_when_it_is_named(
    trained: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    line = refused(capsys, "evaluate", weights, "--backend", "numpy")
    typed = shlex.split(line.partition("so name it: phiz ")[2])
    assert typed == ["evaluate", weights, "--data", data]
    assert main([*typed, "--backend", "numpy"]) == 0
    assert "data.csv, test, 20 samples" in capsys.readouterr().out


def test_a_weights_file_does_not_choose_what_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phiz.runtime.training.evaluate.load_whole", lambda *_, **__: pytest.fail("opened"))
    os.mkfifo(tmp_path / "pipe.csv")
    parts = split(load("digits"), seed=0)
    file = tmp_path / "weights.safetensors"
    for source in (str(tmp_path / "pipe.csv"), "a\nb\0.csv"):
        train(network(parts), parts, Settings("lbfgs", epochs=2), file=file, data={"source": source})
        with pytest.raises(
            PhizError, match=r"is not opened unasked, so name it: phiz evaluate .* --data"
        ) as caught:
            evaluate(file, backend="numpy")
        assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------------- old files
def test_a_file_that_says_nothing_of_its_data_is_evaluated_with_a_note(
    trained: tuple[str, str], rows: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    data, weights = trained
    file, saved = training_file.load(weights)
    old = {name: value for name, value in saved.data.items() if name != "read"}
    net = evaluate(weights, data, backend="numpy").network
    training_file.save(weights, net, replace(saved, data=old))
    found = scored(capsys, weights, "--data", data)
    assert found["part"] == "test" and "nothing can be compared" in found["note"]
    assert main([*TRAIN, "--data", data, "--out", str(Path(weights).parent), "--resume"]) == 0
    capsys.readouterr()
    assert file.parameters.tobytes() == checkpoint.load(weights).parameters.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"task": "ranking"},
        {"classes": 3},
        {"seed": "x"},
        {"seed": -1},
        {"seed": float("inf")},
        {"read": 5},
        {"read": {}},
        {"read": {"columns": 1}},
        {"test": []},
    ],
)
def test_a_malformed_description_of_the_data_is_one_line(
    change: dict[str, Any], trained: tuple[str, str]
) -> None:
    data, weights = trained
    _, saved = training_file.load(weights)
    net = evaluate(weights, data, backend="numpy").network
    training_file.save(weights, net, replace(saved, data={**saved.data, **change}))
    with pytest.raises(PhizError, match=r"training: data\.|expected a description of the data, got none"):
        evaluate(weights, data, backend="numpy")

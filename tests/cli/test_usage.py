"""What is typed wrong: the one thing that is wrong, and what may have been meant; nothing lost unasked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from phiz.cli.main import main
from phiz.codegen.folder import write
from phiz.runtime.training import checkpoint, history, training_file
from phiz.runtime.training.history import Epoch, TrainingHistory
from phiz.runtime.training.plots import loss_curve

TRAIN = ["train", "--backend", "numpy", "--network", "linear", "--epochs", "2", "--quiet"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which ``phiz ARGUMENTS`` is refused."""
    capsys.readouterr()
    try:
        status = main(list(arguments))
    except SystemExit as caught:  # argparse
        status = caught.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert status == 2 and out == "" and len(err.splitlines()) == 1, err
    return err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "did you mean train?"),
        (["train", "--optimizer", "adam"], "got 'adam'; did you mean momentum?"),
        (["train", "--optimizer", "lbgfs"], "did you mean lbfgs?"),
        (["train", "--data", "digit"], "did you mean digits?"),
        (["train", "--network", "lenett"], "did you mean lenet?"),
        (["train", "--backend", "opncl"], "did you mean opencl?"),
        (["train", "--line-search", "brnt", "--optimizer", "cg"], "did you mean brent?"),
        (["train", "--option", "memry=3", "--optimizer", "lbfgs"], "did you mean memory?"),
        (["show", "dens"], "did you mean dense?"),
        (["show", "convolution_2"], "did you mean convolution"),
        (["verify", "sofmax"], "did you mean softmax?"),
        # abbreviations
        (["train", "--epoch", "3"], "unrecognized arguments: --epoch; did you mean --epochs?"),
        (["train", "--opt", "lm"], "--opt; did you mean --optimizer or --option?"),
        (["--vers"], "phiz"),
        # the one option that is wrong
        (["verify", "--jobs", "0"], "--jobs: expected at least 1, got 0"),
        (["verify", "--seed", "-1"], "--seed: expected at least 0, got -1"),
        (["tune", "--outputs", "0"], "--outputs: expected at least 1, got 0"),
        (["tune", "--budget", "nan"], "--budget: expected seconds above 0, got nan"),
        (["train", "--until", "nan"], "until: expected a number, got nan"),
        # no effect
        (["train", "--target", "x"], "digits: its targets are known, target 'x' has no effect"),
        (["train", "--task", "regression"], "digits: is a classification, task 'regression' has no effect"),
        (["train", "--classes", "7"], "digits: has 10 classes, 7 have no effect"),
        (["train", "--backend", "numpy", "--device", "0:0"], "device '0:0' has no effect with backend numpy"),
        (["show", "dense", "--latex", "--kernel", "numpy"], "--latex: has no effect with --kernel"),
    ],
)
def test_one_line_names_what_is_wrong(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")] if arguments[0] == "train" else []
    assert message in refused(capsys, *arguments, *out)


def test_an_interrupted_run_is_not_overwritten_unasked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [*TRAIN, "--out", str(tmp_path)]
    assert main(given) == 0
    assert main(given) == 0, "a run that has ended is no loss"
    file = tmp_path / "weights.safetensors"
    found, saved = training_file.load(file)
    for stopped in ("", "interrupted"):
        training = {**found.training, "history": {**found.training["history"], "stopped": stopped}}
        checkpoint.save(file, found.parameters, found.architecture, found.digests, found.arrays, training)
        before = file.read_bytes()
        assert "an interrupted run of 2 epochs lies there: --resume goes on with it" in refused(
            capsys, *given
        )
        assert file.read_bytes() == before
        assert main([*given, "--overwrite"]) == 0
    assert saved.history.stopped == "2 epochs done"


def test_generating_sweeps_up_after_a_kill(tmp_path: Path) -> None:
    (tmp_path / "numpy").mkdir()
    gone = next(n for n in range(4_000_000, 4_194_304) if not Path(f"/proc/{n}").exists())
    left = [tmp_path / f".manifest.json.{gone}.tmp", tmp_path / "numpy" / f".a.py.{gone}.tmp"]
    others = [tmp_path / f".b.py.{os.getpid()}.tmp", tmp_path / ".mine.tmp", tmp_path / "numpy" / "c.tmp"]
    for path in (*left, *others):
        path.write_text("")
    write(tmp_path, {"numpy/a.py": "x = 1\n"})
    assert not any(path.exists() for path in left) and all(path.exists() for path in others)
    assert sorted(path.name for path in (tmp_path / "numpy").iterdir()) == ["a.py", "c.tmp"]


def test_a_dollar_in_a_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    epochs = (Epoch(1, 2.0), Epoch(2, 1.0))
    about = {"network": "a$x", "data": r"$\frac{b$.csv"}
    drawn = TrainingHistory(epochs, about, unit=r"$\x$")
    loss_curve(drawn, tmp_path / "loss.png")
    history.save(drawn, tmp_path / "history.json")
    assert history.load(tmp_path / "history.json") == drawn
    assert np.frombuffer((tmp_path / "loss.png").read_bytes()[:8], "u1").tolist()[1:4] == list(b"PNG")

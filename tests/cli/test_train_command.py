"""`phiz train`, `evaluate` and `doctor` as a person runs them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from phiz.cli.main import COMMANDS, main
from phiz.runtime.errors import DeviceError
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.training import checkpoint, history

FAST = ["--network", "linear", "--backend", "numpy", "--epochs", "5"]


def train(out: Path, *more: str, quiet: bool = True) -> list[str]:
    return ["train", *FAST, "--out", str(out), *(["--quiet"] if quiet else []), *more]


def test_train_leaves_weights_history_and_pictures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tmp_path / "a" / "b", quiet=False)) == 0
    out, err = capsys.readouterr()
    rows = [line[:22].strip() for line in out.splitlines()]
    assert rows[:2] == ["ended", "best"] and rows[-5:] == ["seconds", "wrote", "wrote", "wrote", "wrote"]
    assert {"train loss", "validation accuracy", "test loss", "test accuracy"} < set(rows)
    assert "digits: 1797 samples, inputs (1, 8, 8): classification, 10 classes (0, 1, 2, 3, 4, 5, …)" in err
    assert (
        "epoch 5/5" in err and "linear: 650 parameters, 1168 training samples and 180 for validation" in err
    )
    folder = tmp_path / "a" / "b"
    assert sorted(file.name for file in folder.iterdir()) == [
        "filters.png",
        "history.json",
        "loss.png",
        "weights.safetensors",
    ]
    for picture in ("filters.png", "loss.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    found = history.load(folder / "history.json")
    assert (
        len(found.epochs) == 6 and found.about["optimizer"] == "momentum" and found.stopped == "5 epochs done"
    )
    assert checkpoint.load(folder / "weights.safetensors").parameters.shape == (650,)


def test_json_says_what_the_text_says_and_evaluate_agrees(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tmp_path, "--json", "--seed", "3")) == 0
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert err == ""
    assert document["ended"] == "finished" and document["seed"] == "3" and document["test"]["samples"] == 449
    weights = str(tmp_path / "weights.safetensors")
    for part in ("test", "validation", "train"):
        assert main(["evaluate", weights, "--backend", "numpy", "--json", "--part", part]) == 0
        found = json.loads(capsys.readouterr().out)
        assert found["part"] == part
        assert {key: found[key] for key in ("loss", "accuracy", "samples")} == {
            key: document[part][key] for key in ("loss", "accuracy", "samples")
        }
    assert main(["evaluate", weights, "--backend", "numpy"]) == 0
    assert f"{document['test']['accuracy']:.2%}" in capsys.readouterr().out
    assert main(["evaluate", weights, "--backend", "numpy", "--data", "digits", "--part", "all"]) == 0
    assert "digits, all, 1797 samples" in capsys.readouterr().out


@pytest.mark.parametrize("optimizer", ["gd", "sgd", "momentum", "cg", "bfgs", "lbfgs", "lm"])
def test_every_optimizer_trains(optimizer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random = np.random.default_rng(0)
    inputs = random.normal(size=(60, 3)).astype(np.float32)
    np.savez(tmp_path / "data.npz", x=inputs, y=(inputs @ [1.0, -2.0, 0.5]).astype(np.float32))
    options = ["--data", str(tmp_path / "data.npz"), "--optimizer", optimizer, "--json", "--alpha", "0"]
    assert main(train(tmp_path / "out", *options)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["optimizer"] == optimizer
    assert document["train"]["loss"] < 0.25  # standardised: 0.5 is the mean


def test_options_reach_the_method(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [
        "--optimizer",
        "lbfgs",
        "--line-search",
        "brent",
        "--option",
        "memory=4",
        "--option",
        "gtol=1.5",
        "--json",
    ]
    assert main(train(tmp_path, *options)) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["ended"] == "converged" and "gtol = 1.5" in document["reason"]


def test_a_table_is_evaluated_in_the_units_of_its_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(0)
    rows = [
        f"{a:.4f},{b:.4f},{'big' if a + b > 1000 else 'small'}"
        for a, b in random.normal(500, 40, size=(80, 2))
    ]
    (tmp_path / "data.csv").write_text("a,b,size\n" + "\n".join(rows) + "\n")
    (tmp_path / "new.csv").write_text("a,b,size\n" + "\n".join(rows[:20]) + "\n")
    arguments = [
        "--data",
        str(tmp_path / "data.csv"),
        "--target",
        "size",
        "--optimizer",
        "lbfgs",
        "--json",
        "--epochs",
        "30",
    ]
    assert main(train(tmp_path / "out", *arguments)) == 0
    assert json.loads(capsys.readouterr().out)["train"]["accuracy"] > 0.9
    weights = str(tmp_path / "out" / "weights.safetensors")
    assert (
        main(["evaluate", weights, "--data", str(tmp_path / "new.csv"), "--backend", "numpy", "--json"]) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["samples"] == 20 and found["accuracy"] > 0.8


def test_a_diverged_run_exits_1_and_keeps_good_weights(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(train(tmp_path, "--rate", "1e37", "--momentum", "0.99")) == 1
    out, err = capsys.readouterr()
    assert "layer 0 (softmax)" in err and len(err.splitlines()) == 1
    assert np.isfinite(checkpoint.load(tmp_path / "weights.safetensors").parameters).all()
    assert "not finite" not in out.splitlines()[-1]


# ----------------------------------------------------------------------------------------- real interruptions
def start(out: Path, *more: str) -> subprocess.Popen[str]:
    """A long run in a process of its own, with one checkpoint at least."""
    command = [
        sys.executable,
        "-m",
        "phiz.cli.main",
        *train(out, "--epochs", "400", "--schedule", "constant", *more),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (out / "weights.safetensors").exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.01)
    return process


def test_ctrl_c_ends_cleanly_and_keeps_the_best(tmp_path: Path) -> None:
    process = start(tmp_path)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "interrupted" in err and "Traceback" not in err
    assert "test accuracy" in out
    assert (tmp_path / "loss.png").exists()
    assert checkpoint.load(tmp_path / "weights.safetensors").parameters.shape == (650,)


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = start(tmp_path / "killed")
    process.kill()
    process.communicate(timeout=60)
    killed = history_of(tmp_path / "killed")
    epochs = str(killed + 10)
    rest = ["--schedule", "constant", "--epochs", epochs, "--json"]
    assert main(train(tmp_path / "killed", *rest, "--resume")) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert main(train(tmp_path / "whole", *rest)) == 0
    whole = json.loads(capsys.readouterr().out)
    assert 1 <= killed < resumed["epochs"] == whole["epochs"]
    assert resumed["test"] == whole["test"]
    files = [checkpoint.load(tmp_path / name / "weights.safetensors") for name in ("killed", "whole")]
    assert files[0].parameters.tobytes() == files[1].parameters.tobytes()
    assert files[0].arrays["state.x"].tobytes() == files[1].arrays["state.x"].tobytes()


def history_of(folder: Path) -> int:
    training = checkpoint.load(folder / "weights.safetensors").training
    return int(training["history"]["epochs"][-1]["number"])


def test_training_imports_neither_sympy_nor_mako(tmp_path: Path) -> None:
    program = (
        "import sys; from phiz.cli.main import main; "
        f"status = main({train(tmp_path)!r}); "
        "print([m for m in ('sympy', 'mako', 'phiz.derive', 'phiz.codegen') if m in sys.modules], "
        "file=sys.stderr); "
        "sys.exit(status)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (0, "[]")


# ------------------------------------------------------------------------------------------ doctor, the frame
def test_doctor_finds_a_device_that_runs_kernels(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert (
        "self-test" in out
        and "ok   threads " in out
        and "fp64" in out
        and "cache pocl" in out
        and "FAIL" not in out
    )
    if devices.kind(device := devices.choose()) == "cpu":
        found = devices.registers(device)
        assert (
            f"{found.lanes} floats or {found.doubles} doubles in each of {found.count} registers "
            f"({found.found})" in out
        )
        assert "ok   caches " in out and "says OpenCL" in out
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["well"] is True


def test_doctor_without_a_platform_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def none() -> list[object]:
        raise DeviceError('no OpenCL platform found; install one with: pip install "pyopencl[pocl]"')

    monkeypatch.setattr("phiz.runtime.opencl.device.device.all_devices", none)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "FAIL opencl" in out and 'pip install "pyopencl[pocl]"' in out


def test_the_commands_that_exist_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    there = {name for name in COMMANDS if (Path(__file__).parents[2] / "cli" / f"{name}.py").exists()}
    assert {"doctor", "train", "evaluate"} <= there
    listed = {
        line.split()[0]
        for line in out.splitlines()
        if line.startswith("    ") and not line.startswith("     ")
    }
    assert there == listed


def test_a_fault_of_the_program_is_not_passed_off_as_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> list[object]:
        raise ValueError("a bug")

    monkeypatch.setattr("phiz.runtime.doctor.examine", broken)
    with pytest.raises(ValueError, match="a bug"):
        main(["doctor"])


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m phiz.cli.main doctor | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=os.environ
    )
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr

"""Bad input: exit status 2, one clear line on stderr, nothing on stdout, nothing lost."""

from __future__ import annotations

import gzip
import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from phiz.cli.main import main
from phiz.runtime.errors import DeviceError
from phiz.runtime.manifest.loading import builtin_path

FAST = ["train", "--backend", "numpy", "--network", "linear", "--epochs", "2", "--quiet"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which ``phiz ARGUMENTS`` is refused."""
    capsys.readouterr()
    try:
        status = main(list(arguments))
    except SystemExit as caught:  # argparse
        status = caught.code  # type: ignore[assignment]
    out, err = capsys.readouterr()
    assert status == 2, err
    assert out == ""
    assert len(err.splitlines()) == 1 and err.startswith("phiz"), err
    assert "Traceback" not in err
    return err


@pytest.fixture
def weights(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A trained network."""
    assert main([*FAST, "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run" / "weights.safetensors"


def npz(path: Path, x: np.ndarray, y: np.ndarray) -> str:
    np.savez(path, x=x, y=y)
    return str(path)


# ---------------------------------------------------------------------------------------------------- options
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "phiz: the following arguments are required: COMMAND"),
        (["trian"], "invalid choice: 'trian'"),
        (["train", "--epochs", "ten"], "invalid int value: 'ten'"),
        (["train", "--frobnicate"], "unrecognized arguments: --frobnicate"),
        (["train", "--backend", "cuda"], "invalid choice: 'cuda'"),
        (["train", "--dtype", "float16"], "invalid choice: 'float16'"),
        (["train", "--option", "memory"], "expected NAME=VALUE, got 'memory'"),
        (["evaluate"], "the following arguments are required: WEIGHTS"),
        (
            [*FAST, "--optimizer", "adam"],
            "optimizer: expected one of gd, sgd, momentum, cg, bfgs, lbfgs, lm, got 'adam'",
        ),
        ([*FAST, "--optimizer", "lbfgs", "--rate", "0.1"], "lbfgs: takes no rate"),
        ([*FAST, "--line-search", "newton", "--batch", "0"], "line_search: expected one of strong-wolfe"),
        ([*FAST, "--seed", "-1"], "seed"),
        ([*FAST, "--epochs", "0"], "epochs: expected at least 1, got 0"),
        ([*FAST, "--validation", "1.5"], "expected a validation fraction in [0, 1), got 1.5"),
        ([*FAST, "--network", "lenett"], "network 'lenett': expected one of lenet-digits"),
        (
            [*FAST, "--data", "digit"],
            "digit: expected one of digits, diabetes, breast-cancer, or an existing file",
        ),
        ([*FAST, "--data", "diabetes", "--network", "lenet-digits"], "network lenet-digits: expected images"),
        ([*FAST, "--resume"], "weights.safetensors: there is no run to resume"),
        (
            [*FAST, "--optimizer", "lm", "--network", "mlp-digits", "--option", "damping=-1"],
            "lm: expected damping > 0",
        ),
    ],
)
def test_arguments(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "out")] if arguments[:3] == FAST[:3] else []
    assert message in refused(capsys, *arguments, *out)


# ------------------------------------------------------------------------------------------------------- data
def test_data_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    bad = x.copy()
    bad[7, 1] = np.nan
    cases = {
        npz(tmp_path / "nan.npz", bad, y): "nan",
        npz(tmp_path / "empty.npz", x[:0], y[:0]): "0",
        npz(tmp_path / "unequal.npz", x, y[:-1]): "39",
        npz(
            tmp_path / "label.npz", x, np.where(y == 1, -3, 0)
        ): "expected a label of at least 0, got -3 at sample 1",
        npz(tmp_path / "inf.npz", x, np.where(y == 1, np.inf, 0.5)): "inf",
    }
    whole = (tmp_path / "unequal.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    cases[str(tmp_path / "cut.npz")] = "cut.npz"
    (tmp_path / "cut.csv").write_text("a,b,c\n1,2,0\n3,4\n5,6,1\n")
    cases[str(tmp_path / "cut.csv")] = "cut.csv"
    (tmp_path / "nan.csv").write_text("a,b,c\n1,2,0\n3,nan,1\n5,6,1\n")
    cases[str(tmp_path / "nan.csv")] = "nan.csv"
    for file, message in cases.items():
        line = refused(capsys, *FAST, "--data", file, "--out", str(tmp_path / "out"))
        assert message.lower() in line.lower(), (file, line)


def test_labels_beyond_the_number_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = npz(tmp_path / "d.npz", np.zeros((30, 2)), np.arange(30) % 5)
    line = refused(capsys, *FAST, "--data", file, "--classes", "4", "--out", str(tmp_path / "out"))
    assert "expected a label in 0..3, got 4 at sample 4" in line


@pytest.mark.parametrize("cut", [3, 12, 200])
def test_truncated_idx_files(cut: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = struct.pack(">IIII", 0x803, 10, 8, 8) + bytes(640)
    labels = struct.pack(">II", 0x801, 10) + bytes(range(10))
    (tmp_path / "train-images-idx3-ubyte").write_bytes(images[:cut])
    with gzip.open(tmp_path / "train-labels-idx1-ubyte.gz", "wb") as stream:
        stream.write(labels)
    line = refused(capsys, *FAST, "--data", str(tmp_path), "--out", str(tmp_path / "out"))
    assert "train-images-idx3-ubyte" in line


def test_targets_that_the_loss_does_not_admit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = npz(tmp_path / "d.npz", np.ones((40, 2)), np.linspace(-1, 1, 40))
    (tmp_path / "net.toml").write_text(
        'loss = "binary_ce"\n[[layers]]\nlayer = "dense"\nmaps = 1\nactivation = "sigmoid"\n'
    )
    arguments = [
        *FAST,
        "--data",
        file,
        "--network",
        str(tmp_path / "net.toml"),
        "--out",
        str(tmp_path / "out"),
    ]
    assert "loss binary_ce admits [0, 1]" in refused(capsys, *arguments)


# --------------------------------------------------------------------------------------------------- networks
@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            '[{"layer": "convolution", "maps": 2, "kernel": 9}, {"layer": "softmax", "maps": 10}]',
            "layer 0 (convolution)",
        ),
        ('[{"layer": "convolution", "maps": 2, "kernel": 3, "stride": 0}]', "layer 0 (convolution): stride"),
        (
            '[{"layer": "dense", "maps": 10, "activation": "swish"}]',
            "layer 0 (dense): unknown activation 'swish'",
        ),
        ('[{"layer": "convolution", "kernel": 3, "connections": [[1]]}]', "layer 0 (convolution)"),
        ('[{"layer": "dense", "maps": 5}, {"layer": "max_pooling"}]', "layer 1 (max_pooling)"),
        ('[{"layer": "softmax", "maps": 7}]', "10 classes, but the network has 7 outputs"),
        ('[{"layer": "dense", "maps": 10, "activation": "tanh"}]', "loss ce admits outputs"),
        ("3", "layers: expected a list, got a whole number"),
    ],
)
def test_networks_that_do_not_fit(
    layers: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "net.json").write_text('{"layers": ' + layers + "}")
    line = refused(capsys, *FAST, "--network", str(tmp_path / "net.json"), "--out", str(tmp_path / "out"))
    assert message in line


# ---------------------------------------------------------------------------------------- kernels and devices
def test_kernels_of_another_version_or_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "generated"
    shutil.copytree(builtin_path(), folder, ignore=shutil.ignore_patterns("__pycache__"))
    arguments = [*FAST, "--kernels", str(folder), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    with open(folder / "numpy" / "softmax.py", "a") as stream:
        stream.write("\n")
    assert "softmax.py: was edited after it was generated" in refused(capsys, *arguments)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "version": 99}))
    assert "version 99" in refused(capsys, *arguments)
    (folder / "manifest.json").unlink()
    assert "manifest.json: cannot be read" in refused(capsys, *arguments)


def test_no_opencl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> list[object]:
        raise DeviceError('no OpenCL platform found; install one with: pip install "pyopencl[pocl]"')

    monkeypatch.setattr("phiz.runtime.opencl.device.device.all_devices", none)
    arguments = ["train", "--network", "linear", "--epochs", "1", "--quiet", "--out", str(tmp_path / "out")]
    assert "no OpenCL platform found; install one with" in refused(capsys, *arguments, "--backend", "opencl")
    assert main(arguments) == 0  # auto: NumPy serves


def test_no_double_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phiz.runtime.opencl.device.device.has_fp64", lambda device: False)
    arguments = [
        "train",
        "--network",
        "linear",
        "--epochs",
        "1",
        "--quiet",
        "--out",
        str(tmp_path / "out"),
        "--dtype",
        "float64",
    ]
    assert "has no double precision" in refused(capsys, *arguments, "--backend", "opencl")
    assert main(["doctor"]) == 1


def test_a_device_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for backend in ("opencl", "auto"):
        line = refused(
            capsys, "train", "--backend", backend, "--device", "9:9", "--out", str(tmp_path / "out")
        )
        assert "no OpenCL device matches '9:9'" in line


def test_a_folder_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    line = refused(capsys, *FAST, "--out", str(tmp_path / "file" / "out"))
    assert "expected a folder that can be written, got: not a directory" in line


def test_memory_that_the_method_would_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wide = (
        '{"layers": [{"layer": "dense", "maps": 5000, "activation": "tanh"}, {"layer": "softmax", '
        '"maps": 10}]}'
    )
    (tmp_path / "net.json").write_text(wide)
    line = refused(
        capsys,
        *FAST,
        "--optimizer",
        "bfgs",
        "--network",
        str(tmp_path / "net.json"),
        "--out",
        str(tmp_path / "out"),
    )
    assert "bfgs: 375,010 parameters need" in line and "GiB" in line


# ---------------------------------------------------------------------------------------------------- weights
def test_weights_that_do_not_fit(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate = ["evaluate", "--backend", "numpy"]
    assert "expected a readable checkpoint" in refused(capsys, *evaluate, str(tmp_path / "none.safetensors"))
    wide = npz(tmp_path / "wide.npz", np.zeros((20, 1, 9, 9)), np.arange(20) % 10)
    assert "wide.npz: samples of shape (1, 9, 9)" in refused(capsys, *evaluate, str(weights), "--data", wide)
    labels = npz(tmp_path / "labels.npz", np.zeros((20, 1, 8, 8)), np.arange(20) % 12)
    assert "expected a label in 0..9, got 10 at sample 10" in refused(
        capsys, *evaluate, str(weights), "--data", labels
    )
    whole = weights.read_bytes()
    for cut in (0, 7, 100, len(whole) - 1):
        weights.write_bytes(whole[:cut])
        assert "weights.safetensors" in refused(capsys, *evaluate, str(weights))
    weights.write_bytes(whole[:-2] + bytes([whole[-2] ^ 1]) + whole[-1:])
    assert "damaged" in refused(capsys, *evaluate, str(weights))


def test_a_run_is_only_resumed_as_it_was(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = [*FAST, "--out", str(weights.parent), "--resume"]
    before = weights.read_bytes()
    assert "rate was 0.05, now 0.2" in refused(capsys, *again, "--rate", "0.2")
    assert "saved for another network" in refused(capsys, *again, "--network", "mlp")
    assert "the training samples are not those" in refused(capsys, *again, "--test", "0.3")
    assert weights.read_bytes() == before
    assert main(again) == 0

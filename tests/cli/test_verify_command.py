"""``phiz verify`` as a person calls it: exit status, the table, JSON, definition files, edited kernels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from phiz.cli.main import main
from phiz.runtime.manifest.loading import builtin_path

DEFINITION = '''
from phiz.derive.language.activations import activation
from phiz.derive.language.layer import Layer, layer
from phiz.derive.language.stages import Definition
from phiz.derive.language.tensors import Sum


@layer()
def energy(L: Layer) -> Definition:
    """Squares of an affine map."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    A = L.stage("A", i)(Sum(w[i, j] * Y[j], j))
    return L.output(i)(A[i] ** 2)


@activation
def gentle(z):
    return z / 2 + z**3 / 50
'''


@pytest.fixture
def definition(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(DEFINITION)
    return path


def test_a_passing_layer(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "report.json"
    assert (
        main(["verify", "dense", "--backend", "numpy", "--cases", "4", "--jobs", "1", "--json", str(out)])
        == 0
    )
    printed = capsys.readouterr().out
    for word in (
        "dense_no_bias",
        "differences",
        "taylor",
        "delta_Y",
        "tolerance",
        "verdict",
        "7 samples",
        "0 failed",
    ):
        assert word in printed
    report = json.loads(out.read_text())
    assert report["passed"] is True and report["comparisons"] == len(report["rows"]) > 20
    row = report["rows"][0]
    wanted = {
        "layer",
        "configuration",
        "backend",
        "tensor",
        "index",
        "value",
        "reference",
        "step",
        "tolerance",
        "verdict",
    }
    assert wanted <= set(row)


def test_an_edited_kernel_fails_and_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = shutil.copytree(builtin_path(), tmp_path / "generated")
    file = folder / "numpy" / "dense.py"
    file.write_text(file.read_text().replace("delta_Z @ Y.T", "-delta_Z @ Y.T"))
    assert (
        main(
            ["verify", "dense", "--kernels", str(folder), "--backend", "numpy", "--cases", "2", "--jobs", "1"]
        )
        == 1
    )
    printed = capsys.readouterr().out
    assert "FAIL dense: kernel gradient_w differences" in printed
    assert "numpy/dense.py: error: was edited" in printed


def test_a_definition_file(capsys: pytest.CaptureFixture[str], definition: Path) -> None:
    assert (
        main(["verify", "--definition", str(definition), "--backend", "numpy", "--cases", "3", "--jobs", "1"])
        == 0
    )
    printed = capsys.readouterr().out
    assert "energy" in printed and "gentle" in printed
    assert "convolution" not in printed


def test_a_layer_of_a_definition_file_on_opencl(definition: Path) -> None:
    assert (
        main(
            [
                "verify",
                "energy",
                "--definition",
                str(definition),
                "--backend",
                "opencl",
                "--cases",
                "1",
                "--jobs",
                "1",
            ]
        )
        == 0
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["dance"], "unknown layer 'dance'"),
        (["--definition", "nowhere.py"], "no such definition file"),
        (["--kernels", "nowhere"], "cannot be read"),
        (["--cases", "0"], "--cases: expected at least 1"),
        (["--seed", "-1"], "--seed: expected at least 0"),
        (["dense", "--json", "no/such/folder/report.json"], "its folder does not exist"),
    ],
)
def test_usage_errors(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *arguments, "--backend", "numpy", "--jobs", "1"]) == 2
    error = capsys.readouterr().err
    assert message in error and len(error.splitlines()) == 1

"""``phiz verify`` as a person calls it: exit status, the table, JSON, definition files, edited kernels."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from phiz.cli.main import main
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.runtime.manifest.loading import builtin_path, load_folder
from phiz.runtime.verify.verify import Known, verify

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


def test_a_wrong_forward_kernel_is_named_not_its_gradients(
    capsys: pytest.CaptureFixture[str], definition: Path, tmp_path: Path
) -> None:
    """The definition knows the square; differences of a wrong forward only blame its gradients."""
    from phiz.codegen.oracle import DefinitionOracle
    from phiz.codegen.user_file import combined, load_definitions

    needed = combined(load_definitions([definition]))[0]
    folder = tmp_path / "mine"
    files = generate(needed.families, needed.activations, needed.losses).files
    wrong = files["numpy/energy.py"].replace("A[i] ** 2.0", "A[i] ** 3.0").replace("A ** 2.0", "A ** 3.0")
    assert wrong != files["numpy/energy.py"]
    write(folder, {**files, "numpy/energy.py": wrong})
    report = verify(["energy"], folder, "numpy", 1, known=Known(DefinitionOracle((definition,))))
    assert {row.kernel for row in report.failures if row.check == "definition"} == {"forward_Z"}
    plain = verify(["energy"], folder, "numpy", 1)
    assert "forward_Z" not in {row.kernel for row in plain.failures}


def test_the_default_run_draws_every_variant_once_and_takes_its_definitions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phiz.runtime.verify.verify.QUICK_LAYERS", 1)
    assert main(["verify", "--jobs", "1"]) == 0
    printed = capsys.readouterr().out
    known = load_folder(builtin_path()).layers
    assert all(name in printed for name in known)
    assert "definition" in printed and "opencl" in printed and " 0 failed" in printed


def test_fuzzing_goes_on_where_it_stopped(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    command = ["verify", "--seed", "4", "--backend", "numpy", "--journal", str(journal), "--fuzz"]
    assert main([*command, "3"]) == 0
    assert "0 of 3 definitions were tried before" in capsys.readouterr().err
    with journal.open("a") as stream:
        stream.write('{"number": 3, "outcome": "begun", "problems": ["again"]}\n')
        stream.write('{"number": 4, "outcome": "begun", "problems": []}\n{"number": 4, "outco')
    assert main([*command, "5"]) == 1
    out = capsys.readouterr()
    assert "3 of 5 definitions were tried before" in out.err
    assert "FAIL 3: the process ended twice while it was tried" in out.out and ", 1 differ, seed 4" in out.out
    lines = journal.read_text().splitlines()
    assert main([*command, "5"]) == 0  # what differed is tried again
    assert len(journal.read_text().splitlines()) == len(lines) + 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--fuzz", "0"], "--fuzz 0, expected at least 1"),
        (["--fuzz", "3", "--cases", "2"], "--fuzz draws its own definitions"),
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

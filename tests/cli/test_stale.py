"""Every command that uses a generated folder says where it is older than what it was generated from.

Slow because the commands run in a copy of the project, each in a process of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from phiz.cli.main import main
from phiz.cli.stale import stale
from phiz.runtime.manifest.loading import builtin_path

ROOT = Path(__file__).resolve().parent.parent.parent
ROOMS = ("derive", "codegen", "generated", "runtime", "cli")
TRAIN = ("train", "--backend", "numpy", "--network", "linear", "--epochs", "1", "--quiet", "--json")
LAYER = """
from phiz.derive import Sum, layer

@layer()
def own(L):
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    return L.output(i)(Sum(w[i, j] * Y[j], j))
"""


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The rooms as a wheel would lay them out, away from the repository."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / "phiz" / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def phiz(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``phiz ARGUMENTS`` of the copy in ``folder``."""
    return subprocess.run(
        [sys.executable, "-m", "phiz.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_edited_definition_is_told_by_show_verify_and_train(copied: Path) -> None:
    fresh = phiz(copied, "show", "dense")
    assert fresh.returncode == 0 and fresh.stderr == ""
    dense = copied / "phiz" / "derive" / "layers" / "dense.py"
    dense.write_text(dense.read_text().replace("w[i, j] * Y[j]", "2 * w[i, j] * Y[j]"))
    verified = ("verify", "tanh", "--cases", "1", "--backend", "numpy", "--jobs", "1")
    for arguments, status in ((("show", "dense"), 0), (verified, 1), ((*TRAIN, "--out", "run"), 0)):
        done = phiz(copied, *arguments)
        assert done.returncode == status, done.stderr
        (line,) = done.stderr.splitlines()
        assert line == (
            f"phiz: {copied / 'phiz' / 'generated'} is stale: derive/layers/dense.py changed since it was "
            "generated; run: phiz generate"
        )
    checked = phiz(copied, "generate", "--check")
    assert checked.returncode == 1 and '-  "derive/layers/dense.py": ' in checked.stdout


def test_generating_again_mends_it_even_where_a_merge_tore_the_manifest(copied: Path) -> None:
    pipeline, manifest = copied / "phiz" / "codegen" / "pipeline.py", "phiz/generated/manifest.json"
    pipeline.write_text(pipeline.read_text() + "# a comment counts: what is compared is text\n")
    torn = (copied / manifest).read_text()
    (copied / manifest).write_text("<<<<<<< ours\n" + torn + "=======\n{}\n>>>>>>> theirs\n")
    done = phiz(copied, "generate")
    assert done.returncode == 0 and done.stdout.split() == ["manifest.json"]
    assert phiz(copied, "show", "dense").stderr == ""


def test_a_folder_of_a_user_is_older_than_its_definition(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, folder = tmp_path / "my.py", tmp_path / "deep" / "mine"
    file.write_text(LAYER)
    assert main(["generate", str(file), "--out", str(folder)]) == 0
    record = json.loads((folder / "manifest.json").read_text())
    assert list(record["definitions"]) == ["../../my.py"], "found from the folder, wherever both are"
    assert stale(folder) == "" == stale(builtin_path())
    file.write_bytes(LAYER.replace("\n", "\r\n").encode())
    assert stale(folder) == ""
    file.write_text(LAYER.replace("Y[j], j", "Y[j] ** 2, j"))
    capsys.readouterr()
    assert main([*TRAIN, "--kernels", str(folder), "--out", str(tmp_path / "run")]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{folder} is stale: ../../my.py changed" in line and f"--out {folder}" in line
    file.unlink()
    assert stale(folder) == "", "there is nothing to compare with"


def test_a_folder_that_says_nothing_of_its_sources_is_stale(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"version": 3}')
    assert "does not say what it was generated from" in stale(tmp_path)
    for text in ("", "[]", "[" * 100_000):
        (tmp_path / "manifest.json").write_text(text)
        assert stale(tmp_path) == "", "whoever loads it refuses it"
    (tmp_path / "manifest.json").unlink()
    os.mkfifo(tmp_path / "manifest.json")
    assert stale(tmp_path) == ""

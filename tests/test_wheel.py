"""The wheel and the source distribution hold every file that they need, and train outside the repository.

Slow because both are built, installed in an environment of their own, and used there.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from email import message_from_bytes
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("derive", "codegen", "generated", "runtime", "cli", "benchmarks")
SUFFIXES = (".py", ".mako", ".cl", ".md", ".json", ".toml", ".typed")
SOURCE = (
    "*.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    ".pre-commit-config.yaml",
    ".ci/run",
    "docs/*",
    "notebooks/*.*",
)
"""What the source distribution holds beside the rooms and the tests."""
LAYER = """
from phiz.derive import Sum, layer, tanh

@layer()
def own(L):
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    return L.output(i)(tanh(Sum(w[i, j] * Y[j], j)))
"""


@dataclass(frozen=True)
class Built:
    """A source distribution, and the wheel that was built from it."""

    source: Path
    wheel: Path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The source distribution is built in the repository, and the wheel from what it holds, as an
    installer would.
    """
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], folder)
    (source,), (wheel,) = folder.glob("phiz-*.tar.gz"), folder.glob("phiz-*.whl")
    return Built(source, wheel)


def run(command: Sequence[str], folder: Path) -> str:
    """What the command prints; it runs in ``folder`` and sees no Python path of the tests."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def files(folder: Path) -> set[str]:
    """Paths from the root of what is written under ``folder``."""
    found = (
        path for path in folder.rglob("*") if path.suffix in SUFFIXES and "__pycache__" not in path.parts
    )
    return {path.relative_to(ROOT).as_posix() for path in found}


def test_the_wheel_holds_every_file_of_every_room(built: Built) -> None:
    kept_out = "benchmarks/results/"  # measured figures, which the pages show
    expected = {
        f"phiz/{name}" for room in ROOMS for name in files(ROOT / room) if not name.startswith(kept_out)
    }
    assert len(expected) > 100
    held = set(zipfile.ZipFile(built.wheel).namelist())
    assert not expected - held, sorted(expected - held)
    assert not [name for name in held if name.startswith(("tests/", "phiz/tests", "docs/"))]


def test_the_source_distribution_holds_what_a_clone_holds(built: Built) -> None:
    with tarfile.open(built.source) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    expected = set().union(*(files(ROOT / folder) for folder in (*ROOMS, "tests")))
    expected |= {path.relative_to(ROOT).as_posix() for pattern in SOURCE for path in ROOT.glob(pattern)}
    expected |= {path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/results/**/*.png")}
    assert not expected - held, sorted(expected - held)
    assert not [name for name in held if name.endswith(".pyc") or name.startswith((".venv", "build", "runs"))]


def test_the_metadata_names_licence_and_authors(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        names = archive.namelist()
        (described,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = message_from_bytes(archive.read(described))
    assert metadata["License-Expression"] == "MIT" and metadata["Author"] == "phiz contributors"
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    assert metadata.get_all("Project-URL") is None, "there is no address to name"
    assert str(metadata.get_payload()).startswith("# phiz")


def test_the_wheel_trains_outside_the_repository(built: Built, tmp_path: Path) -> None:
    """In an environment of its own, which sees the libraries of this one but not its phiz."""
    environment = tmp_path / "environment"
    run([sys.executable, "-m", "venv", "--without-pip", str(environment)], tmp_path)
    python, phiz = str(environment / "bin" / "python"), str(environment / "bin" / "phiz")
    (packages,) = environment.glob("lib/python*/site-packages")
    (packages / "libraries.pth").write_text(sysconfig.get_paths()["purelib"] + "\n", encoding="utf-8")
    options = ["--quiet", "--no-deps", "--no-index", "--force-reinstall"]
    run([sys.executable, "-m", "pip", "--python", python, "install", *options, str(built.wheel)], tmp_path)
    program = "import phiz.runtime as a, phiz.derive as b; print(a.__file__, b.__file__)"
    assert all(Path(file).is_relative_to(packages) for file in run([python, "-c", program], tmp_path).split())
    training = ["--data", "digits", "--network", "mlp-digits", "--epochs", "2", "--out", "run"]
    run([phiz, "train", *training, "--quiet"], tmp_path)
    score = json.loads(run([phiz, "evaluate", "run/weights.safetensors", "--json"], tmp_path))
    assert score["accuracy"] > 0.5
    (tmp_path / "own.py").write_text(LAYER, encoding="utf-8")
    run([phiz, "generate", "own.py", "--out", "own"], tmp_path)
    assert (tmp_path / "own" / "opencl" / "own.cl").is_file()

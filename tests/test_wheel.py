"""The wheel holds every file that the package needs, and nothing of the tests."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("derive", "codegen", "generated", "runtime", "cli", "benchmarks")
SUFFIXES = (".py", ".mako", ".cl", ".md", ".json", ".typed")


def test_the_wheel_holds_every_file_of_every_room(tmp_path: Path) -> None:
    tracked = subprocess.run(["git", "ls-files", *ROOMS], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    kept_out = "benchmarks/results/"  # measured figures, which the README shows
    expected = {f"phiz/{p}" for p in tracked if p.endswith(SUFFIXES) and not p.startswith(kept_out) and (ROOT / p).exists()}
    assert len(expected) > 100
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("phiz-*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert not expected - held, sorted(expected - held)
    assert not [n for n in held if n.startswith(("tests/", "phiz/tests"))]

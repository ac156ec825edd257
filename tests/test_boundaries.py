"""The walls between the rooms: who may import whom, and what the templates may know.

The rules within the rooms stand in ``tests/house``.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from phiz.derive.layers import LAYERS

from tests.house.source import files, imported_names, tree

ROOT = Path(__file__).resolve().parent.parent
FORBIDDEN = {
    "derive": ("codegen", "runtime", "cli", "benchmarks", "generated", "mako", "pyopencl"),
    "codegen": ("runtime", "cli", "benchmarks", "generated", "pyopencl"),
    "runtime": ("derive", "codegen", "cli", "benchmarks", "sympy", "mako"),
}
#: Files that know no layer by name.
NAMELESS = {
    "codegen": ("*.mako", "*.py"),
    "runtime": ("backend.py", "opencl/**/*.py", "reference/**/*.py", "program/**/*.py"),
}


def imported(path: Path, parsed: ast.Module) -> set[str]:
    """The rooms and packages that ``parsed`` imports if it stands at ``path``, which starts at the root."""
    return {parts[0] for parts in imported_names(path, parsed) if parts}


@pytest.mark.parametrize("room", sorted(FORBIDDEN))
def test_no_room_imports_what_it_must_not_know(room: str) -> None:
    assert len(files(room)) > 20
    for path in files(room):
        wrong = imported(path, tree(path)) & set(FORBIDDEN[room])
        assert not wrong, f"{path} imports {sorted(wrong)}"


@pytest.mark.parametrize(
    ("path", "line", "room"),
    [
        ("runtime/files.py", "from .. import derive", "derive"),
        ("runtime/files.py", "from phiz import derive", "derive"),
        ("runtime/files.py", "import phiz.codegen.pipeline as p", "codegen"),
        ("runtime/opencl/device/caches.py", "def f():\n    from ....derive import ir", "derive"),
        ("codegen/pipeline.py", "from .. import runtime", "runtime"),
        ("codegen/passes/rewrite.py", "from ... import runtime as r", "runtime"),
        ("codegen/passes/rewrite.py", "from ...runtime.files import x", "runtime"),
        ("derive/ir.py", "from mako.template import Template", "mako"),
    ],
)
def test_every_way_to_import_is_seen(path: str, line: str, room: str) -> None:
    found = imported(Path(path), ast.parse(line))
    assert room in found and found & set(FORBIDDEN[path.split("/")[0]])
    own = imported(
        Path("runtime/opencl/executor.py"), ast.parse("from . import mako\nfrom ..data import derive")
    )
    assert own == {"runtime"}


def test_runtime_runs_committed_kernels_without_sympy_and_mako() -> None:
    program = """
import sys
import numpy as np
from phiz.runtime import Network, layer
for backend in ("numpy", "opencl"):
    network = Network([layer("convolution", maps=2, kernel=3), layer("softmax", maps=3)], (1, 5, 5), loss="ce", backend=backend)
    network.value_and_gradient(network.parameters, np.ones((2, 1, 5, 5), np.float32), np.eye(3, dtype=np.float32)[:2])
loaded = [m for m in ("sympy", "mako", "phiz.derive", "phiz.codegen") if m in sys.modules]
assert not loaded, loaded
"""  # noqa: E501
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def words(text: str) -> set[str]:
    return {w.lower() for w in re.split(r"[^A-Za-z]+", text) if w}


@pytest.mark.parametrize("folder", ["codegen", "runtime"])
def test_no_template_and_no_pass_knows_a_layer(folder: str) -> None:
    """Layers are data: their names occur in no template and in no code that generates or runs kernels."""
    for pattern in NAMELESS[folder]:
        paths = sorted((ROOT / folder).rglob(pattern))
        assert paths, f"{pattern} is no file of {folder}"
        for path in paths:
            found = layers_named(path.read_text(encoding="utf-8"), path.suffix)
            assert not found, f"{path.relative_to(ROOT)} names {found}"


def test_a_layer_that_a_backend_knows_by_name_is_found() -> None:
    covered = {path for pattern in NAMELESS["runtime"] for path in (ROOT / "runtime").rglob(pattern)}
    for name in (
        "opencl/executor.py",
        "opencl/launch/calls.py",
        "reference/backend.py",
        "program/initial.py",
    ):
        assert ROOT / "runtime" / name in covered, name
    assert layers_named('"""As softmax."""\nif name == "softmax":  # convolution\n    pass\n', ".py") == [
        "softmax"
    ]


def layers_named(text: str, suffix: str) -> list[str]:
    """The layers that a text names, whose file ends in ``suffix``."""
    code = _code_only(text) if suffix == ".py" else text
    return [f.name for f in LAYERS if re.search(rf"\b{f.name}\b", code)]


def _code_only(text: str) -> str:
    """The Python text without docstrings and comments, which may give examples."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(node) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def test_templates_grep() -> None:
    """The same for every template, word by word, dense included."""
    names = {f.name for f in LAYERS}
    parts = names | {"convolution", "pooling", "subsampling", "softmax", "dense", "radial", "irregular"}
    for path in sorted((ROOT / "codegen" / "templates").rglob("*.mako")):
        assert not (words(path.read_text(encoding="utf-8")) & parts), path


def test_no_file_of_the_generator_knows_a_layer_by_name() -> None:
    """Comments and examples included, ``dense`` too."""
    names = "|".join(family.name for family in LAYERS)
    for pattern in NAMELESS["codegen"]:
        for path in sorted((ROOT / "codegen").rglob(pattern)):
            text = path.read_text(encoding="utf-8")
            assert not re.search(rf"(?<![A-Za-z])({names})(?![A-Za-z])", text), path

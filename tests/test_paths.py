"""Settings, texts and strings that name files and modules: whatever they name is there."""

from __future__ import annotations

import ast
import importlib.util
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from phiz.benchmarks.paper import paper
from phiz.benchmarks.peers import registry

from tests import conftest, test_boundaries, test_wheel

ROOT = Path(__file__).resolve().parent.parent
ROOMS = test_wheel.ROOMS
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
WRITTEN = tuple(room for room in ROOMS if room != "generated")
CODE = tuple(
    path for room in (*WRITTEN, "tests", "notebooks") for path in sorted((ROOT / room).rglob("*.py"))
)
TEMPLATES = tuple(path for room in WRITTEN for path in sorted((ROOT / room).rglob("*.mako")))
TEXTS = sorted(
    {*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")} - {ROOT / "CHANGELOG.md"}
)  # which names what is gone
PAGES = (ROOT / "Makefile", *TEXTS, *TEMPLATES)
MODULE = re.compile(r"\bphiz(?:\.[a-z_][a-z0-9_]*)+")
FILE = re.compile(
    rf"(?<![\w/.*{{}}-])(?:{'|'.join(ROOMS)}|tests|notebooks)(?:/\w+)+\.(?:py|cl|mako|json|toml|md)\b"
)
INVENTED = "no_such"
"""How tests call what is not there."""


def texts() -> Iterator[tuple[Path, str]]:
    """Every string of the code, docstrings and what is run in other processes among them; comments; and
    the pages.
    """
    for path in CODE:
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, node.value
        for line in source.splitlines():
            if line.lstrip().startswith("#"):
                yield path, line
    for path in PAGES:
        yield path, path.read_text(encoding="utf-8")


@cache
def resolves(name: str) -> bool:
    """Whether ``phiz.a.b.c`` is a module, or an attribute, at any depth, of one."""
    parts = name.split(".")
    for end in range(len(parts), 1, -1):
        try:
            found = importlib.util.find_spec(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        if found is not None:
            return end == len(parts) or _has(found.origin, parts[end])
    return parts[1] not in ROOMS  # such as the name of a logger, or of a distribution


def _has(origin: str | None, name: str) -> bool:
    """Whether the module in file ``origin`` binds ``name``."""
    tree = ast.parse(Path(origin).read_text(encoding="utf-8")) if origin else ast.Module([], [])
    bound = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    bound |= {
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    imported = [alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names]
    return name in bound | {alias.asname or alias.name for alias in imported}


def test_modules_and_attributes_in_strings_resolve() -> None:
    named = [(path, name) for path, text in texts() for name in MODULE.findall(text)]
    assert len(named) > 40
    assert resolves("phiz.runtime.network.network.Network") and resolves("phiz.generated.numpy")
    for wrong in (
        "phiz.runtime.no_such",
        "phiz.runtime.network.network.no_such",
        "phiz.codegen.no_such.module",
    ):
        assert not resolves(wrong)
    lost = sorted(
        {
            f"{path.relative_to(ROOT)}: {name}"
            for path, name in named
            if not resolves(name) and INVENTED not in name
        }
    )
    assert not lost, lost


def test_imports_in_strings_resolve() -> None:
    """``from phiz.a import b`` in a program for another process."""
    found = re.compile(r"\bfrom (phiz(?:\.\w+)+) import (\w+(?: as \w+)?(?:, \w+(?: as \w+)?)*)")
    lines = [(path, base, names) for path, text in texts() for base, names in found.findall(text)]
    named = [
        (path, f"{base}.{name.split(' ')[0]}") for path, base, names in lines for name in names.split(", ")
    ]
    assert len(named) > 10
    lost = sorted(
        {
            f"{path.relative_to(ROOT)}: {name}"
            for path, name in named
            if not resolves(name) and INVENTED not in name
        }
    )
    assert not lost, lost


def test_modules_that_are_loaded_by_name_are_there() -> None:
    for peer in (registry.PHIZ, *registry.PEERS.values()):
        assert importlib.util.find_spec(peer.module, registry.__package__) is not None, peer.module
    for name in paper.SECTIONS.values():
        assert importlib.util.find_spec(f"{paper.__package__}.{name}") is not None, name


def test_files_in_strings_and_pages_are_there() -> None:
    """From the root, or from the folder of the file that names them; of ``folder/FILE.json`` the folder."""
    named = {(path, name) for path, text in texts() for name in FILE.findall(text)}
    assert len(named) > 10

    def there(path: Path, name: str) -> bool:
        folder, _, file = name.rpartition("/")
        shown = folder if file.startswith("FILE.") else name
        return (ROOT / shown).exists() or (path.parent / shown).exists()

    assert there(ROOT / "README.md", "runtime/errors.py") and not there(
        ROOT / "README.md", "runtime/no_such.py"
    )
    lost = sorted(
        f"{path.relative_to(ROOT)}: {name}"
        for path, name in named
        if not there(path, name) and INVENTED not in name
    )
    assert not lost, lost


@pytest.mark.parametrize("setting", ["LONGEST", "QUICKLY_BUILT"])
def test_files_that_conftest_lists_are_there(setting: str) -> None:
    listed = getattr(conftest, setting)
    assert len(listed) > 5
    assert not [name for name in listed if not (conftest.TESTS / name).is_file()]


def test_packages_of_the_project_are_those_on_the_disk() -> None:
    listed = PROJECT["setuptools"]["packages"]
    found = [path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py")]
    there = {".".join(("phiz", *folder.relative_to(ROOT).parts)) for folder in found}
    assert len(listed) == len(set(listed))
    assert set(listed) == there
    holding = {path.parent for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    assert not [path for path in sorted(holding) if not (path / "__init__.py").is_file()]


def test_package_data_names_packages_and_files() -> None:
    for package, patterns in PROJECT["setuptools"]["package-data"].items():
        assert package in PROJECT["setuptools"]["packages"]
        folder = ROOT.joinpath(*package.split(".")[1:])
        for pattern in patterns:
            assert any(folder.glob(pattern)), f"{package}: {pattern}"
    for package, folder in PROJECT["setuptools"]["package-dir"].items():
        assert (ROOT / folder / "__init__.py").is_file(), package


def test_rooms_of_the_wheel_and_of_lint_are_all_rooms() -> None:
    rooms = set(PROJECT["setuptools"]["package-dir"].values())
    assert set(ROOMS) == rooms
    linked = re.search(r"for room in ([\w ]+); do ln ", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert linked is not None and set(linked[1].split()) == rooms


def test_globs_of_the_boundaries_match_files() -> None:
    for folder, patterns in test_boundaries.NAMELESS.items():
        for pattern in patterns:
            assert any((ROOT / folder).rglob(pattern)), f"{folder}: {pattern}"
    for room, names in test_boundaries.FORBIDDEN.items():
        assert (ROOT / room).is_dir()
        assert {name for name in names if name in ROOMS}, f"{room}: no room is forbidden"


def test_the_longest_files_say_why_they_are_slow() -> None:
    for name in conftest.LONGEST:
        said = ast.get_docstring(ast.parse((conftest.TESTS / name).read_text(encoding="utf-8"))) or ""
        assert re.search(r"^Slow because ", said, re.MULTILINE), name

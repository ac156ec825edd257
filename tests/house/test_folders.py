"""The shelves of the house: how full a folder is, what its names share, what it says of itself, which
room a test mirrors.
"""

from __future__ import annotations

import ast
from collections import Counter, defaultdict
from pathlib import Path

from tests.house import todo
from tests.house.source import ROOMS, ROOT, files, tree
from tests.house.todo import settled

MOST_FILES = 16
SHARED = 3
APART = {Path("tests/layers")}
"""One definition a file, as users write them: as many as there are."""

NO_ROOMS = {
    "tests/codegen/corpus": "definitions that once failed, one a file",
    "tests/cases": "the worked cases of the paper, which go through all rooms",
    "tests/data": "what tests read",
    "tests/house": "the rules of the house itself",
    "tests/layers": "definitions of layers that phiz does not have, for tests of every room",
}
"""Folders of the tests that mirror no room, with the reason."""

PLAIN = {
    "runtime/opencl/tuned/shipped/__init__.py": "data alone",
}
"""Folders without code, which import nothing and say so in one line."""


def by_folder() -> dict[Path, list[Path]]:
    """The hand-written files of every folder."""
    found: dict[Path, list[Path]] = defaultdict(list)
    for path in files(*ROOMS, "tests", "notebooks"):
        found[path.parent].append(path)
    return {folder: paths for folder, paths in found.items() if folder not in APART}


def test_no_folder_holds_more_than_sixteen_files() -> None:
    found = by_folder()
    assert len(found) > 50 and all((ROOT / folder).is_dir() for folder in APART)
    settled(
        {folder.as_posix() for folder, paths in found.items() if len(paths) > MOST_FILES}, todo.FULL_FOLDERS
    )


def test_a_prefix_that_three_files_share_is_a_folder() -> None:
    crowded = set()
    for folder, paths in by_folder().items():
        prefixes = Counter(
            p.stem.removeprefix("test_").split("_")[0] for p in paths if not p.stem.startswith("__")
        )
        crowded |= {f"{folder.as_posix()}/{prefix}_" for prefix, count in prefixes.items() if count >= SHARED}
    settled(crowded, todo.SHARED_PREFIXES)


def test_every_folder_says_in_three_lines_what_it_owns_what_it_may_import_and_what_never() -> None:
    """The three lines come first; an example or a table may follow."""
    silent = set()
    for path in (p for p in files(*ROOMS) if p.name == "__init__.py" and p.as_posix() not in PLAIN):
        lines = (ast.get_docstring(tree(path)) or "").splitlines()
        first, second, third, *rest = [*lines, "", "", ""]
        in_order = first.endswith(".") and second.startswith("May import ") and third.startswith("Never ")
        if not (in_order and rest[0] == ""):
            silent.add(path.as_posix())
    settled(silent, todo.SILENT_FOLDERS)
    assert all((ROOT / path).is_file() for path in PLAIN)


def test_every_folder_of_the_tests_mirrors_a_folder_of_a_room() -> None:
    folders = {path.parent.relative_to("tests") for path in files("tests")} - {Path(".")}
    assert len(folders) > 20
    lost = {f"tests/{f.as_posix()}" for f in folders if not (ROOT / f).is_dir() or f.parts[0] not in ROOMS}
    settled(lost, set(NO_ROOMS) - {"tests/data"} | todo.TESTS_WITHOUT_ROOM)
    assert all((ROOT / folder).is_dir() for folder in NO_ROOMS)

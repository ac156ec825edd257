"""Imports go down: at no level of the house do two neighbours import each other, over whatever way round.

``docs/rooms.md`` says which of two neighbours is above: what it lists first may import what it lists later.
The neighbours of a folder are its files and its folders, each folder taken as one.  Imports under
``TYPE_CHECKING`` and within functions count like all others.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from tests.house import todo
from tests.house.source import ROOMS, ROOT, files, imports, module_name
from tests.house.todo import settled

Graph = Mapping[str, Mapping[str, set[str]]]


def neighbours() -> Graph:
    """For every folder, which of its files and folders import which others of them."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in files(*ROOMS):
        own = module_name(path).split(".")
        for module in imports(path):
            other = module.split(".")
            shared = next((n for n, (a, b) in enumerate(zip(own, other, strict=False)) if a != b), None)
            if shared is not None:
                found["/".join(own[:shared])][own[shared]].add(other[shared])
    return found


def circles(graph: Mapping[str, set[str]]) -> set[str]:
    """Every largest set of nodes that all reach one another, named by its members."""
    reached = {node: _below(graph, node) for node in graph}
    rings = {
        frozenset(b for b in below if a in reached.get(b, ())) for a, below in reached.items() if a in below
    }
    return {" ".join(sorted(ring)) for ring in rings}


def _below(graph: Mapping[str, set[str]], node: str) -> set[str]:
    """What ``node`` reaches along one edge or more."""
    found: set[str] = set()
    pending = [node]
    while pending:
        new = graph.get(pending.pop(), set()) - found
        found |= new
        pending.extend(new)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}}) == set()
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"e"}, "e": {"d"}}) == {"a b c", "d e"}


def test_imports_go_down() -> None:
    graph = neighbours()
    assert "language" in graph["derive"]["adjoint"] and "tensors" in graph["derive/language"]["stages"]
    assert graph[""]["cli"] >= {"codegen", "runtime"}
    settled(
        {f"{folder}: {circle}" for folder, edges in graph.items() for circle in circles(edges)}, todo.CIRCLES
    )


def order(page: str) -> dict[str, list[str]]:
    """What the pictures of ``page`` show of each folder, from the top down: the names of its folders and
    files.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for picture in re.findall(r"^```\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        above: list[tuple[int, str]] = []
        for line in picture.splitlines():
            depth = len(line) - len(line.lstrip())
            for name in re.findall(r"(?<!\S)[a-z_]+(?:/|\.py)(?!\S)", line):
                above = [entry for entry in above if entry[0] < depth]
                found["/".join(folder for _, folder in above)].append(name.removesuffix(".py").rstrip("/"))
                if name.endswith("/"):
                    above.append((depth, name.rstrip("/")))
    found.pop("", None)  # every room has a picture of its own
    return found


def upward(graph: Graph, listed: Mapping[str, list[str]]) -> set[str]:
    """Imports of a neighbour that stands above."""
    return {
        f"{folder}: {name} imports {other}"
        for folder, names in listed.items()
        for name, others in graph.get(folder, {}).items()
        for other in others
        if name in names and other in names and names.index(other) < names.index(name)
    }


def test_upward_imports_are_found() -> None:
    listed = order("```\na/\n  c/   what it is for\n    d.py  e.py\n      prose\n  b/\n```\n")
    assert listed["a"] == ["c", "b"] and listed["a/c"] == ["d", "e"]
    assert upward({"a": {"b": {"c"}}, "a/c": {"d": {"e"}}}, listed) == {"a: b imports c"}


def test_no_folder_imports_one_that_the_picture_of_the_house_shows_above_it() -> None:
    """Where no circle is closed, too."""
    listed = order((ROOT / "docs/rooms.md").read_text(encoding="utf-8"))
    for folder in {path.parent for path in files(*ROOMS)} - {Path(room) for room in ROOMS}:
        assert folder.name in listed[folder.parent.as_posix()], f"docs/rooms.md does not place {folder}"
    assert listed["runtime"].index("optimize") < listed["runtime"].index("data")
    settled(upward(neighbours(), listed), set())

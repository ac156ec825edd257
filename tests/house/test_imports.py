"""Imports go down: at no level of the house do two neighbours import each other, over whatever way round.

The neighbours of a folder are its files and its folders, each folder taken as one.  Imports under
``TYPE_CHECKING`` and within functions count like all others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from tests.house import todo
from tests.house.source import ROOMS, files, imports, module_name
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

"""The hand-written Python of the project as data: files, functions, what they import and which names
they define.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
#: Characters of a line.
WIDTH = 110
ROOMS = ("derive", "codegen", "runtime", "cli", "benchmarks")

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def files(*rooms: str) -> tuple[Path, ...]:
    """The Python files of the rooms, relative to the root."""
    return tuple(p.relative_to(ROOT) for room in rooms for p in sorted((ROOT / room).rglob("*.py")))


@cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file."""
    return ast.parse((ROOT / path).read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Routine:
    """A function or method, named by its file and its qualified name."""

    path: Path
    name: str
    node: Function

    def __str__(self) -> str:
        return f"{self.path.as_posix()}::{self.name}"

    @property
    def lines(self) -> int:
        """Lines of ``WIDTH`` characters that the code fills, without docstring and comments.

        How it is laid out does not count: a call with an argument a line is as long as its text.
        """
        node = copy(self.node)
        node.body = node.body[ast.get_docstring(node) is not None :] or [ast.Pass()]
        return sum(-(-len(line) // WIDTH) for line in ast.unparse(node).splitlines())

    @property
    def arguments(self) -> int:
        """Arguments that a caller gives: all but ``self`` and ``cls``."""
        given = [
            a.arg for a in (*self.node.args.posonlyargs, *self.node.args.args, *self.node.args.kwonlyargs)
        ]
        return len(given) - (given[:1] in (["self"], ["cls"]))

    @property
    def complexity(self) -> int:
        """McCabe's number as radon counts it: one more than the decisions, those of inner functions not
        included.
        """
        return 1 + sum(_decisions(node) for node in self.node.body)


def _decisions(node: ast.AST) -> int:
    """The decisions in ``node`` and below, down to the functions in it."""
    if isinstance(node, Function | ast.ClassDef):
        return 0
    return _own_decisions(node) + sum(_decisions(child) for child in ast.iter_child_nodes(node))


def _own_decisions(node: ast.AST) -> int:
    match node:
        case ast.If() | ast.IfExp() | ast.Assert():
            return 1
        case ast.For(orelse=orelse) | ast.AsyncFor(orelse=orelse) | ast.While(orelse=orelse):
            return 1 + bool(orelse)
        case ast.Try(handlers=handlers, orelse=orelse):
            return len(handlers) + bool(orelse)
        case ast.BoolOp(values=values):
            return len(values) - 1
        case ast.comprehension(ifs=ifs):
            return 1 + len(ifs)
        case ast.Match(cases=cases):
            return len(cases) - any(
                isinstance(c.pattern, ast.MatchAs) and c.pattern.pattern is None for c in cases
            )
    return 0


def routines(*rooms: str) -> Iterator[Routine]:
    """Every function and method of the rooms, those within others too."""
    for path in files(*rooms):
        yield from _routines(path, tree(path), "")


def _routines(path: Path, node: ast.AST, prefix: str) -> Iterator[Routine]:
    for child in ast.iter_child_nodes(node):
        inner = prefix
        if isinstance(child, Function | ast.ClassDef):
            inner = f"{prefix}{child.name}."
        if isinstance(child, Function):
            yield Routine(path, prefix + child.name, child)
        yield from _routines(path, child, inner)


def module_name(path: Path) -> str:
    """``derive.adjoint.solver`` of ``derive/adjoint/solver.py``; a folder's own module ends in
    ``__init__``.
    """
    return ".".join(path.with_suffix("").parts)


@cache
def imports(path: Path) -> frozenset[str]:
    """The modules of the rooms that a file imports, wherever in it, those under ``TYPE_CHECKING``
    included.
    """
    ours = (_module(list(parts)) or _module(list(parts[:-1])) for parts in imported_names(path, tree(path)))
    return frozenset(module for module in ours if module is not None)


def imported_names(path: Path, parsed: ast.Module) -> Iterator[tuple[str, ...]]:
    """The parts of every dotted name that ``parsed`` imports if it stands at ``path``, from the root.

    The last part of ``from a import b`` is ``b``; ``phiz``, by which the root is imported, is left out.
    """
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (_from_root(alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = (node.module or "").split(".") if node.module else []
            if node.level:
                base = [*path.parts[: len(path.parts) - node.level], *base]
            yield from (_from_root([*base, alias.name]) for alias in node.names)


def _from_root(parts: list[str]) -> tuple[str, ...]:
    return tuple(parts[1:] if parts[:1] == ["phiz"] else parts)


def _module(parts: list[str]) -> str | None:
    """The name of the module or folder that ``parts`` name; None for what is none of ours."""
    if not parts or parts[0] not in ROOMS:
        return None
    place = ROOT.joinpath(*parts)
    if place.with_suffix(".py").is_file():
        return ".".join(parts)
    return ".".join((*parts, "__init__")) if (place / "__init__.py").is_file() else None


@cache
def defined(path: Path) -> set[str]:
    """The names that a file gives to modules, classes, functions, arguments, fields and what it assigns
    at its top.
    """
    found = {path.parent.name, path.stem}
    for node in ast.walk(tree(path)):
        if isinstance(node, Function | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef | ast.Module):
            found |= {name for statement in node.body for name in _bound(statement)}
        if isinstance(node, ast.arg):
            found.add(node.arg)
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    """The names that an assignment binds."""
    targets = statement.targets if isinstance(statement, ast.Assign) else ()
    for target in (*targets, *([statement.target] if isinstance(statement, ast.AnnAssign) else ())):
        yield from (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def words(name: str) -> set[str]:
    """The words of an identifier, in small letters: those between underscores, and those that begin
    with a capital.
    """
    spaced = "".join(f" {c}" if c.isupper() else " " if c == "_" else c for c in name)
    return set(spaced.lower().split())

"""How large a function may be: lines, decisions, arguments; and of a docstring the first sentence."""

from __future__ import annotations

import ast
import re

import pytest

from tests.house import todo
from tests.house.source import ROOMS, Function, Routine, files, routines, tree
from tests.house.todo import settled

MOST_LINES, MOST_COMPLEXITY, MOST_ARGUMENTS, MOST_WORDS = 40, 15, 8, 20

TABLES = {
    "tests/codegen/reference/test_printer.py::test_convolution": "the whole text that is expected",
}
"""Functions that are tables of data, with what the table holds."""

WIDE = {
    "runtime/network/network.py::Network.__init__": "the public constructor: everything that a network "
    "is made of",
    "runtime/optimize/minimize.py::minimize": "the public function: everything that a run is made of",
}
"""Functions whose callers give more than eight arguments, with the reason."""


def routine(text: str) -> Routine:
    """The first function of ``text``."""
    node = next(n for n in ast.walk(ast.parse(text)) if isinstance(n, Function))
    return Routine(next(iter(files("derive"))), node.name, node)


def test_what_is_counted() -> None:
    for decisions, body in {
        5: "if a and a > 1 or a < 0: return [b for b in a if b]",
        1: "return 1 if a else lambda: 0",
        2: "match a:\n  case 1: pass\n  case 2: pass\n  case _: pass",
        0: "def g(b): return 1 if b else 2",
        3: "for b in a: assert b\n else: pass",
    }.items():
        assert routine(f"def f(a):\n {body}\n").complexity == 1 + decisions, body
    assert routine('def f(a):\n    """One.\n\n    Two."""\n    return a\n').lines == 2
    assert routine("class A:\n    def f(self, a, /, b, *, c):\n        pass\n").arguments == 3


def test_no_function_is_longer_than_forty_lines() -> None:
    long = {str(r) for r in routines(*ROOMS, "tests") if r.lines > MOST_LINES}
    settled(long, set(TABLES) | todo.LONG_FUNCTIONS)


def test_no_function_decides_more_than_fifteen_times() -> None:
    found = list(routines(*ROOMS))
    assert len(found) > 2000
    settled({str(r) for r in found if r.complexity > MOST_COMPLEXITY}, todo.COMPLEX_FUNCTIONS)


def test_no_function_has_more_than_eight_arguments() -> None:
    settled(
        {str(r) for r in routines(*ROOMS, "tests") if r.arguments > MOST_ARGUMENTS},
        set(WIDE) | todo.MANY_ARGUMENTS,
    )


def first_sentence(docstring: str) -> str:
    """Up to the first full stop before a space, or to an empty line; a colon does not end it."""
    return re.split(r"(?<=[.!?])(?:\s|$)|\n\s*\n", docstring.strip(), maxsplit=1)[0]


def long_first_sentences(room: str) -> set[str]:
    """Whatever in the room has a first sentence of more than twenty words."""
    found = set()
    for path in files(room):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Module | ast.ClassDef | Function):
                sentence = first_sentence(ast.get_docstring(node) or "")
                if len(sentence.split()) > MOST_WORDS:
                    found.add(f"{path.as_posix()}::{getattr(node, 'name', '')}".removesuffix("::"))
    return found


def test_where_a_first_sentence_ends() -> None:
    assert first_sentence("A thing.  More of it.") == "A thing."
    assert first_sentence("A thing of version 1.2: what it is") == "A thing of version 1.2: what it is"
    assert first_sentence("No stop\n\nMore.") == "No stop"


@pytest.mark.parametrize("room", ROOMS)
def test_the_first_sentence_of_a_docstring_has_at_most_twenty_words(room: str) -> None:
    settled(
        long_first_sentences(room), {entry for entry in todo.LONG_SENTENCES if entry.startswith(f"{room}/")}
    )


FIELD = r"(?:``[^`]+``(?:, ``[^`]+``)*|[a-z_]+(?:, [a-z_]+)*): "
"""A name, or several, and the colon before what is said of it."""


def crowded(docstring: str) -> list[str]:
    """The lines that begin with the entry of a field and hold that of another one."""
    return [
        line.strip()
        for line in docstring.splitlines()
        if re.match(rf"\s*{FIELD}.*(?:[;.]\s+{FIELD}|``[^`]+``: )", line)
        or re.search(r"``[^`]+``: .*``[^`]+``: ", line)
    ]


def test_a_second_field_on_a_line_is_found() -> None:
    for line in (
        "``a``: one.  ``b``: two",
        "a: (n,); b: two",
        "As C; ``a``: one; ``b``: two",
        "a: x.  b, c: y",
    ):
        assert crowded(f"A thing.\n\n    {line}\n"), line
    for line in (
        "``a``, ``b``: one.  Two: three",
        "``a``: one, or ``b``",
        "a: f: R -> R",
        "One thing: a list",
    ):
        assert not crowded(f"A thing.\n\n    {line}\n"), line


def test_a_docstring_explains_one_field_a_line() -> None:
    found = set()
    for path in files(*ROOMS):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Module | ast.ClassDef | Function):
                found |= {f"{path}: {line}" for line in crowded(ast.get_docstring(node) or "")}
    settled(found, set())

"""What holds for every function of the generator: short sentences first, no layer by name, C text in
templates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from phiz.codegen import pipeline
from phiz.derive.layers import LAYERS

ROOT = Path(pipeline.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MOST_LINES, MOST_ARGUMENTS, MOST_WORDS = 40, 8, 20


def documented(path: Path) -> Iterator[ast.Module | ast.ClassDef | ast.FunctionDef]:
    """Modules, classes and functions of a file."""
    yield from (
        n
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_functions_are_short_and_their_first_sentences_too(path: Path) -> None:
    for node in documented(path):
        text = " ".join((ast.get_docstring(node) or "").split())
        first = re.split(r"(?<=[.:?])\s", text)[0]
        assert len(first.split()) <= MOST_WORDS, first
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None and node.end_lineno - node.lineno < MOST_LINES, node.name
            assert len([a for a in node.args.args if a.arg != "self"]) <= MOST_ARGUMENTS, node.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_long_c_text_lies_in_templates(path: Path) -> None:
    strings = [
        n.value
        for n in ast.walk(ast.parse(path.read_text()))
        if isinstance(n, ast.Constant) and isinstance(n.value, str)
    ]
    assert not [
        s
        for s in strings
        if s.count("\n") > 3 and re.search(r"^(static|__kernel|typedef|#define)\b", s, re.MULTILINE)
    ]


def test_no_layer_is_known_by_name() -> None:
    names = "|".join(family.name for family in LAYERS)
    for path in (*FILES, *ROOT.rglob("*.mako")):
        assert not re.search(rf"(?<![A-Za-z])({names})(?![A-Za-z])", path.read_text()), path

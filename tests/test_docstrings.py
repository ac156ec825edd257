"""Docstrings: the first sentence has at most 20 words.

    python tests/test_docstrings.py [FOLDER ...]

lists those that are longer, also in the rooms where ``TO_DO`` still allows them.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("derive", "codegen", "runtime", "cli", "benchmarks")
MOST = 20
#: What ends a sentence: a full stop and the like before white space, but not that of an abbreviation.
_END = re.compile(r"(?<!\be\.g)(?<!\bi\.e)(?<!\bcf)(?<!\bvs)[.!?](?=\s|$)")
#: Rooms that are still to be rewritten.
TO_DO = ("codegen/", "derive/", "runtime/manifest/", "runtime/optimize/")


def first_sentence(docstring: str) -> str:
    """The text up to the first full stop, or the first paragraph where it has none."""
    paragraph = " ".join(docstring.strip().split("\n\n")[0].split())
    return _END.split(paragraph, maxsplit=1)[0]


def long_sentences(path: Path) -> Iterator[tuple[int, int, str]]:
    """Line, number of words and text of every first sentence of ``path`` that is too long."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            sentence = first_sentence(ast.get_docstring(node) or "")
            words = len(sentence.split())
            if words > MOST:
                yield getattr(node, "lineno", 1), words, sentence


def found(rooms: Sequence[str]) -> dict[str, list[tuple[int, int, str]]]:
    """The sentences that are too long, by file."""
    files = sorted(file for room in rooms for file in (ROOT / room).rglob("*.py"))
    listed = {file.relative_to(ROOT).as_posix(): list(long_sentences(file)) for file in files}
    return {name: sentences for name, sentences in listed.items() if sentences}


def test_first_sentences_are_short() -> None:
    longer = {name: sentences for name, sentences in found(ROOMS).items() if not name.startswith(TO_DO)}
    assert not longer, "\n".join(f"{name}:{line}: {words} words: {text}" for name in longer for line, words, text in longer[name])


def test_what_is_still_to_do_has_something_to_do() -> None:
    longer = found(ROOMS)
    done = [room for room in TO_DO if not any(name.startswith(room) for name in longer)]
    assert not done, f"take {', '.join(done)} from TO_DO"


def test_sentences_end_where_they_do() -> None:
    assert first_sentence("One, e.g. two.  Three.") == "One, e.g. two"
    assert first_sentence("A line\nand 0.5 more\n\nElse.") == "A line and 0.5 more"
    assert first_sentence("Is it?  It is.") == "Is it"


if __name__ == "__main__":
    for name, sentences in found(sys.argv[1:] or ROOMS).items():
        for line, words, text in sentences:
            print(f"{name}:{line}: {words} words: {text}")

"""Lays out generated Python text: breaks long statements and wraps docstrings and comments."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

WIDTH = 120


def wrapped(line: str) -> list[str]:
    """The lines of one statement, which is broken inside brackets if it is longer than ``WIDTH``."""
    if len(line) <= WIDTH:
        return [line]
    indent = line[: len(line) - len(line.lstrip())]
    if not line.rstrip().endswith(":") and not _bracketed(line):
        line = _in_parentheses(line)
    first, *rest = _broken(line, WIDTH, indent + "    ")
    return [first, *rest]


def _in_parentheses(line: str) -> str:
    for mark in (" += ", " = ", "return "):
        before, found, after = line.partition(mark)
        if found and "(" not in before:
            return f"{before}{found}({after})"
    return line


def _bracketed(line: str) -> bool:
    """True if the outermost brackets hold so much of the line that it can be broken there."""
    start = line.find("(")
    return (
        start >= 0
        and len(line) - start > WIDTH // 2
        and line.endswith(")")
        and _depths(line)[start + 1 : -1].count(0) == 0
    )


def _depths(line: str) -> list[int]:
    depths, depth, quoted = [], 0, ""
    for character in line:
        if quoted:
            quoted = "" if character == quoted else quoted
        elif character in "\"'":
            quoted = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        depths.append(99 if quoted else depth)
    return depths


def _broken(line: str, width: int, indent: str) -> list[str]:
    lines: list[str] = []
    depths = _depths(line)
    while len(line) > width:
        least = len(indent) if lines else len(line) - len(line.lstrip())
        places = [n for n in range(least + 8, width) if line[n] == " " and 0 < depths[n] < 99]
        if not places:
            break
        shallow = min(depths[n] for n in places)
        place = max(n for n in places if depths[n] == shallow)
        lines.append(line[:place])
        line, depths = indent + line[place + 1 :], [99] * len(indent) + depths[place + 1 :]
    return [*lines, line]


def docstring(text: str, indent: str = "    ") -> list[str]:
    """The lines of a docstring with ``text``, each line of which is wrapped."""
    lines: list[str] = []
    for line in text.strip().splitlines() or [""]:
        lines += textwrap.wrap(line.strip(), WIDTH - len(indent) - 8, subsequent_indent="    ") or [""]
    raw = "r" if any("\\" in line for line in lines) else ""
    safe = [line.replace('"""', "'''") for line in lines]
    if len(safe) == 1:
        return [f'{indent}{raw}"""{_ended(safe[0])}"""']
    return [f'{indent}{raw}"""{safe[0]}', *(f"{indent}{line}".rstrip() for line in safe[1:]), f'{indent}"""']


def _ended(line: str) -> str:
    return line + " " if line.endswith(('"', "\\")) else line


def comments(header: Mapping[str, str]) -> list[str]:
    """The entries of ``header`` as comment lines ``key: value``."""
    lines: list[str] = []
    for key, value in header.items():
        for line in f"{key}: {value}".splitlines():
            indent = "" if line.startswith(f"{key}:") else "    "
            lines += [
                f"# {part}"
                for part in textwrap.wrap(line, WIDTH - 2, initial_indent=indent, subsequent_indent="    ")
            ]
    return lines

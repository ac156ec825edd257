"""Text under construction: lines at a growing depth, and what waits until the names that it uses are
known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....derive.ir import Condition, Let, names
from .frame import Line
from .printer import condition, integer


class Text:
    """Lines at a growing depth."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.depth = 0

    def add(self, texts: Sequence[str]) -> None:
        """Adds lines at the current depth."""
        self.lines += [Line(self.depth, text) for text in texts]

    def open(self, texts: Sequence[str]) -> None:
        """Adds lines; a line that ends with a brace opens a block."""
        for text in texts:
            self.add([text])
            self.depth += text.endswith("{")

    def extend(self, lines: Sequence[Line]) -> None:
        """Adds lines whose depth is relative to the current one."""
        self.lines += [Line(self.depth + line.depth, line.text) for line in lines]

    def branch(self, test: str, branches: Sequence[Sequence[Line]]) -> None:
        """Adds an ``if`` with two branches."""
        for opening, lines in zip((f"if ({test}) {{", "} else {"), branches, strict=True):
            self.add([opening])
            self.extend([Line(line.depth + 1, line.text) for line in lines])
        self.add(["}"])

    def closed(self) -> list[Line]:
        """All lines, with the closing braces."""
        return [*self.lines, *(Line(self.depth - 1 - n, "}") for n in range(self.depth))]


@dataclass
class PendingStatements:
    """Lets and guards that wait until the names that they use are known."""

    lets: list[Let]
    guards: list[Condition]
    known: set[str]

    def copy(self) -> PendingStatements:
        """One that can settle by itself."""
        return PendingStatements(list(self.lets), list(self.guards), set(self.known))

    def settle(self, text: Text) -> None:
        """Writes the lets and guards whose names are all known."""
        progress = True
        while progress:
            progress = False
            for let in [let for let in self.lets if names(let.value) <= self.known]:
                text.add([f"const integer {let.name} = {integer(let.value)};"])
                self.known.add(let.name)
                self.lets.remove(let)
                progress = True
            ready = [g for g in self.guards if names(g) <= self.known]
            if ready:
                text.open([f"if ({' && '.join(condition(g) for g in ready)}) {{"])
                self.guards = [g for g in self.guards if g not in ready]
                progress = True

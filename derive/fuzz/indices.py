"""Random affine index expressions and conditions as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class IndexText:
    """An index variable by the text that names it; ``extent`` is the text of its range, empty if it differs.

    ``rows``: runs over the rows of a relation.
    """

    name: str
    extent: str
    rows: bool = False


@dataclass(frozen=True)
class IndexScope:
    """The index variables that an expression may use."""

    variables: tuple[IndexText, ...]


def affine(random: Random, variables: Sequence[IndexText], most: int = 3) -> str:
    """A sum of multiples of variables and a constant."""
    chosen = random.sample(list(variables), random.randint(1, min(most, len(variables))))
    terms = [f"{random.choice(('', '', '', '', '-', '2*', '-2*', 'k*'))}{v.name}" for v in chosen]
    text = " + ".join(terms).replace("+ -", "- ")
    constant = random.choice((0, 0, 1, -1, 2, -2))
    return text if not constant else f"{text} {'+' if constant > 0 else '-'} {abs(constant)}"


def condition(random: Random, scope: IndexScope) -> str:
    """An equation or a comparison of affine expressions."""
    numbers = [v for v in scope.variables if not v.rows]
    left, right = affine(random, numbers, 2), affine(random, numbers, 1)
    return (
        f"Eq({left}, {right})"
        if random.random() < 0.3
        else f"{left} {random.choice(('<=', '<', '>='))} {right}"
    )

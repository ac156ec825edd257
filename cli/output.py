"""How results look on stdout: rows of names and values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runtime.training.evaluation_set import Score


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    for name, value in rows:
        print(f"{name:22}{value}")


def score_row(score: Score, prefix: str = "") -> tuple[str, str]:
    """Accuracy in percent, or the root mean square error of a regression."""
    if score.accuracy is not None:
        return f"{prefix}accuracy", f"{score.accuracy:.2%}"
    return f"{prefix}rms error", f"{score.deviation:.6g}"

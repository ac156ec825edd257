"""The record of a measured claim, and its Markdown.

A claim holds the paper's words, measured figures, and a verdict that is computed from the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["holds", "does not hold here", "depends"]


@dataclass(frozen=True)
class Verdict:
    """Whether a claim holds on the device, and a sentence with the figures that show it."""

    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class ClaimTable:
    """A table of printed cells, whose first column is left-aligned."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table as Markdown."""
        lines = [self.header, ("---", *["---:"] * (len(self.header) - 1)), *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)


@dataclass(frozen=True)
class Series:
    """One data series of a panel.

    points: whether it is drawn as points, without a line between them.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    points: bool = False


@dataclass(frozen=True)
class Panel:
    """Axes with their units, and what is drawn on them.

    log: which axes are logarithmic: "x", "y", "xy" or "".
    level: a horizontal line that means "the same", such as 1.
    ticks: ticks of the lower axis; if empty, the library chooses them.
    """

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    log: str = ""
    level: float | None = None
    ticks: tuple[float, ...] = ()


@dataclass(frozen=True)
class Plot:
    """A picture of several panels, ``columns`` of them in a row."""

    name: str
    panels: tuple[Panel, ...]
    columns: int = 2


@dataclass(frozen=True)
class Claim:
    """One measured claim of section 9.

    quote: the paper's words.
    how: what was run.
    """

    title: str
    quote: str
    how: str
    verdict: Verdict
    tables: tuple[ClaimTable, ...] = ()
    plot: Plot | None = None


def markdown(device: str, claims: Sequence[Claim]) -> str:
    """The report: a summary, then every claim with its tables and its picture."""
    summary = ClaimTable(
        ("claim", "verdict", "figures"),
        tuple((c.title, c.verdict.outcome, c.verdict.sentence) for c in claims),
    )
    lines = [
        "# The paper's claims of section 9, re-measured",
        f"Device: {device}. float32. Medians of alternating runs; a ratio is the median of the rounds' "
        "ratios, with its "
        "quartiles in brackets. Every variant's numbers are compared with brute force before it is timed.",
        summary.markdown().replace("| --- | ---: | ---: |", "| --- | --- | --- |"),
    ]
    for claim in claims:
        lines += [f"## {claim.title}", f"> {claim.quote}", claim.how]
        lines += [f"**{claim.verdict.outcome.capitalize()}.** {claim.verdict.sentence}"]
        lines += [table.markdown() for table in claim.tables]
        lines += [f"![{claim.title}]({claim.plot.name}.png)"] if claim.plot else []
    return "\n\n".join(lines) + "\n"


def microseconds(seconds: float) -> str:
    """Prints seconds as microseconds with three digits."""
    value = seconds * 1e6
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

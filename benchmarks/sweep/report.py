"""The records of a sweep as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..comparison.other_work import MUCH
from ..report.report import TITLES, table
from . import summary
from .summary import GOALS, MODES, NAMED, RIGHT, WAITS, SweepGoal

Record = Mapping[str, Any]
PARTS = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.95)
COUNTED = "steps of at least 1 µs and 1 % of their pass"
#: Steps of a slow draw that are shown.
SHOWN = 4
BATCHES = ((1, 7), (8, 63), (64, 1000))


def markdown(record: Record, picture: str = "") -> str:
    """The whole report; ``picture``: the file beside it that shows it."""
    draws, head = record["draws"], record["head"]
    parts = [f"# Random networks beside {_peers(head)}", _head(record)]
    parts += [f"![All draws]({picture})"] if picture else []
    for peer in head["peers"]:
        parts += _beside(draws, peer)
    parts += _waits(draws) + _predictions(draws)
    for peer in head["peers"][:1]:
        for mode in MODES:
            parts += _worst(draws, mode, peer)
    return "\n\n".join([*parts, *_notes(record)]) + "\n"


def _peers(head: Record) -> str:
    return " and ".join(TITLES[name] for name in head["peers"]) or "no peer"


def _head(record: Record) -> str:
    head, runs = record["head"], record["runs"]
    lanes = f", vectors of {head['lanes']} floats" if head["lanes"] else ""
    clock = f" at {head['ghz']:.2f} GHz" if head["ghz"] else ""
    versions = "; ".join(head["versions"].values())
    threads = "" if head["gpu"] else f" {head['threads']} threads each;"
    others = [run["others"] for run in runs if run["others"] is not None]
    busy = f"  Other processes took up to {max(others):.0%} of the processors' time." if others else ""
    busy += "  **Not to be quoted.**" if others and max(others) > MUCH else ""
    return (
        f"{head['processor']}{clock}; phiz through OpenCL on {head['device']} (driver {head['driver']})"
        f"{lanes}; {versions};{threads} float32.\n"
        f"{len(record['draws'])} draws of seed {head['seed']}.{busy}\n\n"
        "A figure is the peer's time over phiz's, so above 1 phiz is faster.  Samples lie on the device, and "
        "results are read back.  Peers and phiz take turns; the fastest call of each counts."
    )


def _beside(draws: Sequence[Record], peer: str) -> list[str]:
    """Quantiles, goals, and how they change with the kind and the batch."""
    found = {mode: summary.ratios(draws, mode, peer) for mode in MODES}
    if not all(found.values()):
        return []
    rows = [[NAMED[mode], *_spread(found[mode])] for mode in MODES]
    header = ["", "draws", "geometric mean", "least", "5 %", "10 %", "25 %", "median", "75 %", "95 %", "≥ 1"]
    parts = [f"## Beside {TITLES[peer]}", table(header, rows), _goals(found)]
    return [*parts, _groups(draws, peer)]


def _spread(found: Sequence[float]) -> list[str]:
    values = [summary.geometric_mean(found), *summary.quantiles(found, PARTS)]
    return [str(len(found)), *(f"{value:.2f}" for value in values), f"{summary.as_fast(found):.0%}"]


def _goals(found: Mapping[str, Sequence[float]]) -> str:
    rows = []
    for goal in GOALS:
        reached = goal.reached(found[goal.mode])
        met = "reached" if reached >= goal.factor else "missed"
        rows.append([NAMED[goal.mode], _goal(goal), f"{reached:.2f}", met])
    return table(["", "goal", "measured", ""], rows, left=2)


def _goal(goal: SweepGoal) -> str:
    named = {"mean": "geometric mean", "least": "no draw below"}
    return f"{named.get(goal.what, 'part of the draws ≥ 1')}: {goal.factor:g}"


def _groups(draws: Sequence[Record], peer: str) -> str:
    """Geometric mean and least by kind and by batch."""
    kinds = sorted({draw["kind"] for draw in draws})
    groups = [(kind, [draw for draw in draws if draw["kind"] == kind]) for kind in kinds]
    for low, high in BATCHES:
        inside = [draw for draw in draws if low <= draw["batch"] <= high]
        groups.append((f"{low} to {high} samples", inside))
    rows = []
    for name, mine in groups:
        row = [name]
        for mode in MODES:
            found = summary.ratios(mine, mode, peer)
            row += (
                [str(len(found)), f"{summary.geometric_mean(found):.2f}", f"{min(found):.2f}"]
                if found
                else ["0", "–", "–"]
            )
        rows.append(row)
    header = ["", "forward: draws", "geometric mean", "least", "gradient: draws", "geometric mean", "least"]
    return table(header, rows)


def _waits(draws: Sequence[Record]) -> list[str]:
    rows = []
    for which, name in WAITS.items():
        found = summary.first_calls(draws, which)
        if found:
            values = summary.quantiles(found, (0.5, 0.75, 0.95, 1.0))
            rows.append([name, str(len(found)), *(f"{value:.2f}" for value in values)])
    given_up = sum("first call" in note for draw in draws for note in draw["notes"])
    said = f"\n\n{given_up} first calls were given up." if given_up else ""
    header = ["", "draws", "median s", "75 %", "95 %", "longest"]
    text = "## First value and gradient\n\nIn a new process, imports not included.\n\n"
    return [text + table(header, rows) + said] if rows else []


def _predictions(draws: Sequence[Record]) -> list[str]:
    rows = []
    for mode in MODES:
        for counted, name in ((True, COUNTED), (False, "all steps")):
            found = summary.predictions(draws, mode, counted)
            if found:
                count, weighted = summary.right(found)
                said = [f"{count:.0%}", f"{weighted:.0%}", f"{summary.error(found):.2f}"]
                rows.append([NAMED[mode], name, str(len(found)), *said])
    header = ["", "", "steps", f"within {RIGHT:g} times", "of their time", "median measured / predicted"]
    return ["## Predicted beside measured\n\n" + table(header, rows, left=2)] if rows else []


def _worst(draws: Sequence[Record], mode: str, peer: str) -> list[str]:
    found = summary.worst(draws, mode, peer)
    if not found:
        return []
    parts = [f"## The worst {len(found)}: {NAMED[mode]}"]
    for draw in found:
        ours, theirs = draw[mode]["phiz"], draw[mode]["peers"][peer]
        parts.append(
            f"**{theirs['ratio']:.2f}**: draw {draw['number']}, batch {draw['batch']}: {draw['title']}\n\n"
            f"phiz {_time(ours)}, {TITLES[peer]} {_time(theirs['seconds'])}"
            f"{' (' + theirs['form'] + ')' if theirs['form'] else ''}{_steps(draw, mode)}"
        )
    return parts


def _steps(draw: Record, mode: str) -> str:
    """What the longest steps took, and what was not spent in steps."""
    found = draw["steps"].get(mode)
    if not found:
        return "; its steps were not measured"
    total = sum(step["seconds"] for step in found["steps"])
    form = f"samples in {found['form']}" if found["form"] else "launches of their own"
    passes = f", {found['passes']} passes of {found['samples']}" if found["passes"] > 1 else ""
    lines = [f"; {form}{passes}; all steps of a pass {_time(total)}", ""]
    for step in sorted(found["steps"], key=lambda step: -step["seconds"])[:SHOWN]:
        rate = step["flops"] / step["seconds"] / 1e9
        lines.append(
            f"* {step['seconds'] / total:.0%} {step['layer']} {step['kernel']}: {_time(step['seconds'])}, "
            f"predicted {_time(step['predicted'])}, {rate:.3g} GFLOP/s"
        )
    return "\n".join(lines)


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms" if seconds >= 1e-3 else f"{1e6 * seconds:.3g} µs"


def _notes(record: Record) -> list[str]:
    draws = record["draws"]
    wrong = [f"* draw {draw['number']}: {line}" for draw in draws for line in draw["wrong"]]
    notes = [f"* {line}" for line in record["head"]["missing"]]
    notes += [f"* draw {draw['number']}: {line}" for draw in draws for line in draw["notes"]]
    parts = ["## Wrong numbers\n\n" + "\n".join(wrong)] if wrong else []
    return [*parts, *(["## Not measured, or left out\n\n" + "\n".join(notes)] if notes else [])]

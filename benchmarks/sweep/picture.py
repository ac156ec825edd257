"""The picture of a sweep: all ratios, predictions beside measured times, and first calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..report.plots import COLOURS, MARKERS
from ..report.report import TITLES
from . import summary
from .networks import KINDS
from .summary import MODES, NAMED, RIGHT, WAITS

Record = Mapping[str, Any]
GREY = "#444444"


def save_picture(record: Record, path: Path) -> None:
    """A PNG of four panels; the first peer's times count."""
    from matplotlib.figure import Figure

    head, draws = record["head"], record["draws"]
    figure = Figure(figsize=(13, 9.5), layout="constrained")
    panels = figure.subplots(2, 2)
    for axes, mode in zip(panels[0], MODES, strict=True):
        _ratios(axes, draws, mode, head["peers"][0] if head["peers"] else "")
    _predictions(panels[1][0], draws)
    _waits(panels[1][1], draws)
    lanes = f", vectors of {head['lanes']} floats" if head["lanes"] else ""
    figure.suptitle(
        f"{len(draws)} random networks, seed {head['seed']}: {head['processor']}, {head['device']}{lanes}, "
        f"{head['threads']} threads",
        fontsize=11,
    )
    figure.savefig(path, dpi=120)


def _ratios(axes: Any, draws: Sequence[Record], mode: str, peer: str) -> None:
    """A mark for each draw, over the batch; kinds differ in colour and shape."""
    for number, kind in enumerate(KINDS):
        mine = [d for d in draws if d["kind"] == kind and summary.ratio(d, mode, peer) is not None]
        axes.scatter(
            [draw["batch"] for draw in mine],
            [summary.ratio(draw, mode, peer) for draw in mine],
            s=26,
            color=COLOURS[number],
            marker=MARKERS[number],
            edgecolors="black",
            linewidths=0.4,
            label=kind,
            zorder=3,
        )
    found = summary.ratios(draws, mode, peer)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(0.8, 1300)
    axes.axhline(1, color="black", linewidth=1.2, zorder=1)
    axes.set_ylim(min([0.5, *found]) / 1.3, max([2.0, *found]) * 1.3)
    axes.axhspan(axes.get_ylim()[0], 1, color="#f3f3f3", zorder=0)
    if found:
        mean = summary.geometric_mean(found)
        axes.axhline(mean, color=GREY, linestyle="--", linewidth=1, zorder=1)
        where = (0.99, mean * 1.05)
        axes.text(
            *where, f"geometric mean {mean:.2f}", transform=axes.get_yaxis_transform(), ha="right", fontsize=8
        )
    axes.set_title(f"{NAMED[mode]}: time of {TITLES.get(peer, 'the peer')} / time of phiz", fontsize=10)
    axes.set_xlabel("samples of the batch")
    axes.legend(fontsize=8)
    _plain(axes)


def _predictions(axes: Any, draws: Sequence[Record]) -> None:
    """Measured over predicted seconds of every step that counts, and the band that is right."""
    for number, mode in enumerate(MODES):
        found = summary.predictions(draws, mode)
        if not found:
            continue
        name = f"{NAMED[mode]}: {summary.right(found)[0]:.0%} within {RIGHT:g} times"
        axes.scatter(
            [one.predicted for one in found],
            [one.measured for one in found],
            s=9,
            alpha=0.6,
            color=COLOURS[number],
            marker=MARKERS[number],
            linewidths=0,
            label=name,
            zorder=3,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = min(axes.get_xlim()[0], axes.get_ylim()[0]), max(axes.get_xlim()[1], axes.get_ylim()[1])
    for factor, style in ((1.0, "-"), (RIGHT, ":"), (1 / RIGHT, ":")):
        axes.plot([low, high], [low * factor, high * factor], color="black", linewidth=1, linestyle=style)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_title("steps of at least 1 µs and 1 % of their pass", fontsize=10)
    axes.set_xlabel("predicted seconds")
    axes.set_ylabel("measured seconds")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    axes.grid(which="major", color="#dddddd", linewidth=0.6, zorder=0)


def _waits(axes: Any, draws: Sequence[Record]) -> None:
    """Which part of the draws has its first value and gradient after how many seconds."""
    for number, (which, name) in enumerate(WAITS.items()):
        found = sorted(summary.first_calls(draws, which))
        if found:
            parts = [(index + 1) / len(found) for index in range(len(found))]
            axes.step(found, parts, where="post", color=COLOURS[number], label=name)
    axes.set_xscale("log")
    axes.set_ylim(0, 1.02)
    axes.set_title("first value and gradient in a new process", fontsize=10)
    axes.set_xlabel("seconds")
    axes.set_ylabel("part of the draws")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8)
    _plain(axes)


def _plain(axes: Any) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    if axes.get_yscale() == "log":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.grid(which="major", color="#dddddd", linewidth=0.6, zorder=0)

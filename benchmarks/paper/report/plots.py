"""The pictures of the report."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....runtime.files import write_atomically
from .report import Panel, Plot

#: Colours that the colour-blind can tell apart (Okabe and Ito), and a marker each.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def save(plot: Plot, folder: Path) -> Path:
    """Write ``plot`` into ``folder`` as PNG; its path."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(plot.columns, len(plot.panels))
    rows = math.ceil(len(plot.panels) / columns)
    figure = Figure(figsize=(5.2 * columns, 3.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    labels = dict.fromkeys(series.label for panel in plot.panels for series in panel.series)
    styles = {label: (COLOURS[n % len(COLOURS)], MARKERS[n % len(MARKERS)]) for n, label in enumerate(labels)}
    for number, panel in enumerate(plot.panels, 1):
        draw(panel, figure.add_subplot(rows, columns, number), styles)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    path = folder / f"{plot.name}.png"
    write_atomically(path, stream.getvalue())
    return path


def draw(panel: Panel, axes: Any, styles: Mapping[str, tuple[str, str]]) -> None:
    """Draw ``panel`` into matplotlib axes; a label has the same colour and marker in all panels."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    if "x" in panel.log:
        axes.set_xscale("log", base=2 if panel.ticks else 10)
    if "y" in panel.log:
        axes.set_yscale("log")
    if panel.level is not None:
        axes.axhline(panel.level, color="#888888", linewidth=1, linestyle="--", zorder=1)
    for series in panel.series:
        colour, marker = styles[series.label]
        line, size = ("none", 6.0) if series.points else ("-", 4.5)
        axes.plot(
            series.x,
            series.y,
            color=colour,
            marker=marker,
            markersize=size,
            linewidth=1.6,
            linestyle=line,
            label=series.label,
        )
    if panel.ticks:
        axes.xaxis.set_major_locator(FixedLocator(list(panel.ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    for axis, named in ((axes.xaxis, "x"), (axes.yaxis, "y")):
        if named in panel.log and not (named == "x" and panel.ticks):
            axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=20))
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
    if "y" not in panel.log:
        axes.set_ylim(bottom=0)
    axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(panel.series) > 1:
        axes.legend(fontsize=8, frameon=False)


def short(number: float) -> str:
    """1024 as 1k, 1048576 as 1M; others as they are."""
    for unit, name in ((2**20, "M"), (2**10, "k")):
        if number >= unit and number % unit == 0:
            return f"{number / unit:g}{name}"
    return f"{number:g}"

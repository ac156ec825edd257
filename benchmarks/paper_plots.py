"""The pictures of the report."""

from __future__ import annotations

import io
import math
from pathlib import Path

from ..runtime.files import write_atomically
from .paper_report import Panel, Plot, Series

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
    for number, panel in enumerate(plot.panels, 1):
        draw(panel, figure.add_subplot(rows, columns, number))
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=120)
    path = folder / f"{plot.name}.png"
    write_atomically(path, stream.getvalue())
    return path


def draw(panel: Panel, axes: object) -> None:
    """Draw ``panel`` into matplotlib axes."""
    from matplotlib.axes import Axes
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    assert isinstance(axes, Axes)
    if "x" in panel.log:
        axes.set_xscale("log", base=2 if panel.ticks else 10)
    if "y" in panel.log:
        axes.set_yscale("log")
    if panel.level is not None:
        axes.axhline(panel.level, color="#999999", linewidth=1, linestyle="--", zorder=1)
    for number, series in enumerate(panel.series):
        _draw(series, COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)], axes)
    if panel.ticks:
        axes.xaxis.set_major_locator(FixedLocator(list(panel.ticks)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    if "y" in panel.log:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axes.set_ylim(bottom=0)
    axes.set(title=panel.title, xlabel=panel.x, ylabel=panel.y)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if len(panel.series) > 1:
        axes.legend(fontsize=8, frameon=False)


def _draw(series: Series, colour: str, marker: str, axes: object) -> None:
    style = "none" if series.points else "-"
    size = 6 if series.points else 4.5
    axes.plot(series.x, series.y, color=colour, marker=marker, markersize=size, linewidth=1.6, linestyle=style, label=series.label)  # type: ignore[attr-defined]


def short(number: float) -> str:
    """1024 as 1k, 1048576 as 1M; others as they are."""
    for unit, name in ((2**20, "M"), (2**10, "k")):
        if number >= unit and number % unit == 0:
            return f"{number / unit:g}{name}"
    return f"{number:g}"

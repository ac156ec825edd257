"""Pictures of a training run: the loss curve, and the filters of the first layer.

Figures are drawn on their own canvas, without pyplot: no global state, no window, no display needed.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from ..errors import PhizError
from ..files import write_atomically
from .history import TrainingHistory

MOST_FILTERS = 400
"""Filters drawn at most; more would be smaller than the eye reads."""

_TRAIN, _VALIDATION = "#1f6fb4", "#d1601f"
_DPI = 150


def loss_curve(history: TrainingHistory, path: str | os.PathLike[str]) -> None:
    """PNG of loss over epochs on a logarithmic axis and, for a classification, accuracy beside it.

    Training and validation are drawn where the history has them; the best epoch is marked.  Values that are
    not finite leave gaps.  Raises: PhizError when there is no finite loss to draw, or the file cannot be
    written.
    """
    losses = [epoch.loss for epoch in history.epochs]
    if not any(math.isfinite(loss) for loss in losses):
        raise PhizError(
            f"{path}: expected a history with a finite loss to draw, got {len(losses)} epochs without one"
        )
    accurate = any(
        epoch.accuracy is not None or epoch.validation_accuracy is not None for epoch in history.epochs
    )
    figure = Figure(figsize=(10.5 if accurate else 6.5, 4.2), dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, 2 if accurate else 1, squeeze=False)[0]
    numbers = [epoch.number for epoch in history.epochs]
    _curves(panels[0], numbers, losses, [epoch.validation_loss for epoch in history.epochs])
    _logarithmic(panels[0])
    _finish(panels[0], history, "mean loss")
    panels[0].legend(frameon=False)
    if accurate:
        training = [epoch.accuracy for epoch in history.epochs]
        _curves(panels[1], numbers, training, [epoch.validation_accuracy for epoch in history.epochs])
        panels[1].yaxis.set_major_formatter(PercentFormatter(1.0))
        _finish(panels[1], history, "accuracy")
    _head(figure, history)
    _save(figure, path)


def _head(figure: Figure, history: TrainingHistory) -> None:
    """Network, data and optimizer above the panels, as far as the history knows them."""
    heading = " · ".join(
        history.about[name] for name in ("network", "data", "optimizer") if history.about.get(name)
    )
    if heading:
        figure.suptitle(_literal(heading), fontsize=12)


def filters(weights: npt.ArrayLike, path: str | os.PathLike[str], title: str = "first-layer filters") -> None:
    """PNG of filters as a grid on one diverging colour scale, symmetric about 0 (white).

    weights: `(I, J, h, w)`, one row of the grid for each input map j where J > 1; `(I, J, w)` as rows of
    height 1; `(I, J, d, h, w)` slice by slice; `(I, n)` as squares when n is a square number, else as one
    matrix I by n.
    Raises: PhizError for another rank, nothing to draw, NaN or infinity, or a file that cannot be written.
    """
    array = np.asarray(weights, dtype=np.float64)
    if array.ndim not in (2, 3, 4, 5) or array.size == 0:
        raise PhizError(f"{path}: expected filters (I, J, h, w) or (I, n), got shape {array.shape}")
    if not np.isfinite(array).all():
        raise PhizError(f"{path}: expected finite weights to draw, got NaN or infinity")
    grid = _as_grid(array)
    shown = grid[: max(1, MOST_FILTERS // grid.shape[1])]
    matrix = array.ndim == 2 and grid.shape[0] == 1 < array.shape[0]
    labels = ("input", "unit") if matrix else ("filter", "input map") if grid.shape[1] > 1 else ("", "")
    limit = float(np.abs(array).max()) or 1.0
    _draw(shown, limit, title + _count_note(len(shown), len(grid)), labels, path)


def _literal(text: str) -> str:
    """A text that is drawn as it is: its dollars begin no formula."""
    return text.replace("$", r"\$")


def _curves(
    axes: Axes, numbers: list[int], training: Sequence[float | None], validation: Sequence[float | None]
) -> None:
    for values, name, colour in ((training, "training", _TRAIN), (validation, "validation", _VALIDATION)):
        heights = [math.nan if value is None or not math.isfinite(value) else value for value in values]
        if not all(math.isnan(height) for height in heights):
            marker = "o" if len(numbers) <= 30 else ""
            axes.plot(
                numbers, heights, color=colour, label=name, linewidth=1.8, marker=marker, markersize=3.5
            )


def _logarithmic(axes: Axes) -> None:
    """A logarithmic axis with plain numbers, and enough of them however many decades it spans."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.min() <= 0:  # an exact fit, or a loss that may be negative
        return
    decades = math.log10(drawn.max()) - math.log10(drawn.min())
    axes.set_yscale("log")
    if decades < 0.8:
        axes.yaxis.set_major_locator(MaxNLocator(5))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if decades < 3.5 else (1,), numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.6g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _finish(axes: Axes, history: TrainingHistory, label: str) -> None:
    best = history.best()
    if best is not None and len(history.epochs) > 1:
        axes.axvline(
            best.number,
            color="0.6",
            linewidth=1,
            linestyle=":",
            label=_literal(f"best: {history.unit} {best.number}"),
        )
    axes.set_xlabel(_literal(history.unit))
    axes.set_ylabel(label)
    if len(history.epochs) == 1:
        axes.set_xlim(history.epochs[0].number - 1, history.epochs[0].number + 1)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(True, which="major", color="0.9")
    axes.spines[["top", "right"]].set_visible(False)


def _as_grid(array: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """`(I, J, h, w)` of whatever rank came."""
    if array.ndim == 2:
        side = math.isqrt(array.shape[1])
        return array.reshape(-1, 1, side, side) if side * side == array.shape[1] else array[None, None]
    if array.ndim == 3:
        return array[:, :, None, :]
    if array.ndim == 5:
        return array.reshape(array.shape[0], -1, *array.shape[3:])
    return array


@dataclass(frozen=True)
class _Mosaic:
    """Where tiles of one size go, in units of weights: columns by rows, a gap between them."""

    columns: int
    rows: int
    height: int
    width: int

    @property
    def gap(self) -> float:
        return 0.1 * max(self.height, self.width) if self.height > 1 else 0.4

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the whole picture, without an outer gap."""
        return (
            self.columns * (self.width + self.gap) - self.gap,
            self.rows * (self.height + self.gap) - self.gap,
        )

    def corner(self, column: int, row: int) -> tuple[float, float]:
        return column * (self.width + self.gap), row * (self.height + self.gap)


def _arrange(count: int, maps: int, height: int, width: int) -> _Mosaic:
    """Columns i by rows j where there are several maps; else a rectangle with few holes."""
    if maps > 1:
        return _Mosaic(count, maps, height, width)

    def cost(columns: int) -> float:
        rows = -(-count // columns)
        holes = (columns * rows - count) / count
        return abs(math.log(columns * width / (rows * height) / 1.6)) + 2 * holes

    columns = min(range(1, count + 1), key=cost)
    return _Mosaic(columns, -(-count // columns), height, width)


def _draw(
    grid: npt.NDArray[np.float64],
    limit: float,
    title: str,
    labels: tuple[str, str],
    path: str | os.PathLike[str],
) -> None:
    """Measures in inches: the picture fills the figure but for title, scale and (where there are any)
    axis labels.
    """
    count, maps = grid.shape[:2]
    mosaic = _arrange(*grid.shape)
    width, height = mosaic.extent
    scale = min(8.0 / width, 5.5 / height, 0.45)
    size = (max(width * scale, 1.0), max(height * scale, 1.0))
    left, bottom, top, right = (0.5 if labels[1] else 0.1), (0.5 if labels[0] else 0.1), 0.4, 0.85
    total = (left + size[0] + right, bottom + size[1] + top)
    figure = Figure(figsize=total, dpi=_DPI)
    axes = figure.add_axes((left / total[0], bottom / total[1], size[0] / total[0], size[1] / total[1]))
    for index in range(count * maps):
        row, column = divmod(index, mosaic.columns)
        tile = grid[column, row] if maps > 1 else grid[index, 0]
        x, y = mosaic.corner(column, row)
        box = (x, x + mosaic.width, y + mosaic.height, y)
        image = axes.imshow(tile, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="nearest", extent=box)
        axes.add_patch(
            Rectangle(
                (x, y), mosaic.width, mosaic.height, fill=False, edgecolor="0.7", linewidth=0.6, clip_on=False
            )
        )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    _label(axes, mosaic, labels)
    bar = figure.add_axes(
        ((left + size[0] + 0.12) / total[0], bottom / total[1], 0.14 / total[0], size[1] / total[1])
    )
    figure.colorbar(image, cax=bar).outline.set_visible(False)
    figure.text(left / total[0], 1 - 0.13 / total[1], _literal(title), fontsize=10, va="top")
    _save(figure, path)


def _label(axes: Axes, mosaic: _Mosaic, labels: tuple[str, str]) -> None:
    """Names and numbers (from 1) of columns and rows, where the two axes mean something."""
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7)
    axes.set_xticks([])
    axes.set_yticks([])
    if not any(labels):
        return
    one = mosaic.columns * mosaic.rows == 1  # a matrix: its own rows and columns are numbered
    columns, rows = (mosaic.width, mosaic.height) if one else (mosaic.columns, mosaic.rows)
    across, down = (1.0, 1.0) if one else (mosaic.width + mosaic.gap, mosaic.height + mosaic.gap)
    half = (0.5, 0.5) if one else (mosaic.width / 2, mosaic.height / 2)
    shown = range(0, columns, -(-columns // 20))
    axes.set_xticks([index * across + half[0] for index in shown], [str(index + 1) for index in shown])
    shown = range(0, rows, -(-rows // 20))
    axes.set_yticks([index * down + half[1] for index in shown], [str(index + 1) for index in shown])
    axes.set_xlabel(labels[0], fontsize=9)
    axes.set_ylabel(labels[1], fontsize=9)


def _count_note(shown: int, there: int) -> str:
    return "" if shown == there else f" (the first {shown} of {there})"


def _save(figure: Figure, path: str | os.PathLike[str]) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})  # the same picture, the same bytes
    write_atomically(path, buffer.getvalue())

"""Plots: the pixels show the numbers, the figures leave no global state, and what cannot be drawn is
refused.
"""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from phiz.runtime.errors import PhizError
from phiz.runtime.training.history import Epoch, TrainingHistory
from phiz.runtime.training.plots import _arrange, filters, loss_curve

BLUE, ORANGE = (0x1F, 0x6F, 0xB4), (0xD1, 0x60, 0x1F)


def pixels(path: Path) -> np.ndarray:
    """Colours `(h, w, 3)` 0..255."""
    return np.round(imread(path)[..., :3] * 255).astype(int)


def is_colour(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture - np.array(colour)).max(axis=-1) <= 3


def run(count: int, **fields: float) -> TrainingHistory:
    return TrainingHistory(tuple(Epoch(n, 2.0**-n, **fields) for n in range(1, count + 1)))  # type: ignore[arg-type]


def test_a_curve_that_halves_is_a_straight_line_on_the_logarithmic_axis(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    loss_curve(run(40), path)
    rows, columns = np.nonzero(is_colour(pixels(path), BLUE))
    upper = columns > np.percentile(
        columns, 10
    )  # the legend's sample of the line lies below the left end of the curve
    heights = {column: rows[columns == column].min() for column in np.unique(columns[upper])}
    x, y = np.array(list(heights)), np.array(list(heights.values()))
    slope, offset = np.polyfit(x, y, 1)
    assert slope > 0.3 and np.abs(y - slope * x - offset).max() < 3


def test_validation_and_accuracy_appear_when_they_are_there(tmp_path: Path) -> None:
    path = tmp_path / "loss.png"
    loss_curve(run(10), path)
    plain = pixels(path)
    assert not is_colour(plain, ORANGE).any()
    loss_curve(run(10, validation_loss=0.5, accuracy=0.9, validation_accuracy=0.8), path)
    both = pixels(path)
    assert both.shape[1] > 1.4 * plain.shape[1]
    half = both.shape[1] // 2
    for panel in (both[:, :half], both[:, half:]):
        assert is_colour(panel, BLUE).any() and is_colour(panel, ORANGE).any()


@pytest.mark.parametrize(
    "losses", [[0.5], [1.0, 0.0], [2.0, -1.0], [math.nan, 1.0, math.inf, 0.5], [1.0, 1.0], [1e100, 1e-100]]
)
def test_awkward_losses_are_drawn(tmp_path: Path, losses: list[float]) -> None:
    path = tmp_path / "loss.png"
    loss_curve(TrainingHistory(tuple(Epoch(n, loss) for n, loss in enumerate(losses))), path)
    assert is_colour(pixels(path), BLUE).any()


def test_the_same_history_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        loss_curve(run(3), tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_filters_show_sign_and_size_on_a_symmetric_scale(tmp_path: Path) -> None:
    path = tmp_path / "filters.png"
    weights = np.zeros((1, 1, 1, 3))
    weights[0, 0, 0] = [-1.0, 0.0, 0.25]
    filters(weights, path)
    picture = pixels(path)
    row = picture[int(picture.shape[0] * 0.6)]
    left = np.nonzero(row.min(axis=1) < 250)[0][0]
    reds_and_blues = [tuple(colour) for colour in row[left + 5 :: 10]]
    strong_blue, strong_red = (5, 48, 97), (103, 0, 31)  # the ends of the scale
    assert any(is_colour(np.array(colour), strong_blue) for colour in reds_and_blues)
    middle = [colour for colour in reds_and_blues if colour[0] > colour[2] + 20]
    assert middle and not any(
        is_colour(np.array(colour), strong_red) for colour in middle
    )  # 0.25 is far from 1


@pytest.mark.parametrize(
    "shape",
    [
        (1, 1, 1, 1),
        (6, 1, 5, 5),
        (16, 6, 5, 5),
        (7, 3, 1, 9),
        (8, 64),
        (10, 30),
        (1, 3),
        (4, 2, 7),
        (3, 2, 2, 3, 3),
    ],
)
def test_every_shape_of_filters_fills_its_picture(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "filters.png"
    filters(np.random.default_rng(0).normal(size=shape), path)
    coloured = pixels(path).min(axis=2) < 250
    assert (
        coloured.any(axis=0).nonzero()[0][0] < 90
        and coloured.any(axis=1).nonzero()[0][-1] > coloured.shape[0] - 90
    )
    assert coloured.mean() > (
        0.3 if min(shape[-2:]) > 3 and len(shape) != 3 else 0.18
    )  # of thin strips a title is much


def test_arrangement_leaves_few_holes() -> None:
    for count in range(1, 130):
        mosaic = _arrange(count, 1, 5, 5)
        assert count <= mosaic.columns * mosaic.rows <= 1.35 * count + 1
        assert mosaic.columns <= 4.5 * mosaic.rows or count < 12
    assert (_arrange(16, 6, 5, 5).columns, _arrange(16, 6, 5, 5).rows) == (16, 6)


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for record in (TrainingHistory(), TrainingHistory((Epoch(1, math.nan),))):
        with pytest.raises(PhizError, match="finite loss"):
            loss_curve(record, path)
    for weights, expected in (
        (np.ones(3), r"got shape \(3,\)"),
        (np.ones((0, 4)), "shape"),
        (np.full((1, 4), np.nan), "finite"),
    ):
        with pytest.raises(PhizError, match=expected):
            filters(weights, path)
    assert not path.exists()
    with pytest.raises(PhizError, match="cannot be written"):
        loss_curve(run(2), tmp_path / "absent" / "a.png")
    with pytest.raises(PhizError, match="cannot be written"):
        filters(np.ones((1, 4)), tmp_path / "absent" / "a.png")


def test_no_pyplot_is_imported() -> None:
    code = "import sys, phiz.runtime.training.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

"""Checks of a user's arrays: large ones are checked piece by piece and still named by their own sample number."""

from __future__ import annotations

import numpy as np
import pytest
from phiz.runtime.batch import PIECE, admissible, finite
from phiz.runtime.errors import DataError, NotFiniteError
from phiz.runtime.generated import builtin


@pytest.mark.parametrize("sample", [0, PIECE // 3 - 1, PIECE // 3, PIECE // 3 + 1, PIECE - 1])
def test_the_sample_is_named_across_pieces(sample: int) -> None:
    values = np.zeros((PIECE, 3), np.float32)
    finite(values, "inputs", "unit")
    values[sample, 2] = np.inf
    with pytest.raises(NotFiniteError, match=f"inputs: inf at sample {sample}, unit 2"):
        finite(values, "inputs", "unit")
    values[sample, 2] = -0.25
    with pytest.raises(DataError, match=f"targets: -0.25 at sample {sample}, unit 2; loss ce admits"):
        admissible(values, builtin().loss("ce"))


def test_rows_longer_than_a_piece_and_plain_vectors() -> None:
    wide = np.zeros((2, PIECE + 1))
    wide[1, PIECE] = np.nan
    with pytest.raises(NotFiniteError, match=f"inputs: nan at sample 1, unit {PIECE}"):
        finite(wide, "inputs", "unit")
    weights = np.ones(2 * PIECE)
    weights[PIECE] = np.nan
    with pytest.raises(NotFiniteError, match=f"weights: nan at sample {PIECE}$"):
        finite(weights, "weights", "")

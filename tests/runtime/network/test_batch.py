"""Checks of a user's arrays: large ones are checked piece by piece and still named by their own sample
number.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.errors import DataError, NotFiniteError
from phiz.runtime.manifest.loading import builtin
from phiz.runtime.network.batch import GRAIN, PIECE, Batch, admissible, even_parts, finite


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


@given(samples=st.integers(1, 5000), size=st.integers(1, 2000), longer=st.integers(0, 1000))
def test_parts_are_about_as_long_as_they_should_be(samples: int, size: int, longer: int) -> None:
    """Never longer than they may be; as many as come closest to the size, or more."""
    length = even_parts(samples, size, size + longer)
    if size < GRAIN:  # too short to be evened out
        assert length == min(samples, size)
        return
    pieces = -(-samples // length)
    assert length <= min(samples, size + longer)
    assert pieces <= max(-(-samples // (size + longer)), round(samples / size))
    assert pieces == 1 or length % GRAIN == 0 or length == size + longer


@given(samples=st.integers(1, 5000), size=st.integers(1, 2000))
def test_parts_are_as_few_and_as_even_as_grains_allow(samples: int, size: int) -> None:
    parts = [len(cut) for _, cut in Batch(np.zeros((samples, 1))).cut(even_parts(samples, size))]
    assert sum(parts) == samples and max(parts) <= size
    assert len(parts) <= -(-samples // size)
    assert all(part == parts[0] for part in parts[:-1])
    assert parts[0] % GRAIN == 0 or parts[0] in (size, samples)
    assert max(parts) - -(-samples // len(parts)) < GRAIN or parts[0] == size


def test_a_part_that_would_be_short_shares_with_the_others() -> None:
    assert [even_parts(1347, size) for size in (512, 1024, 2048)] == [512, 704, 1347]
    assert [even_parts(130, size) for size in (128, 64, 100)] == [128, 64, 100]
    assert even_parts(50, 11) == 11
    assert [even_parts(n, 1024, 1536) for n in (1347, 1535, 1537, 2048, 2500, 3000)] == [
        1347,
        1535,
        832,
        1024,
        1280,
        1024,
    ]

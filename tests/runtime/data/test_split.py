"""Splits: every sample once, classes in proportion, the same seed the same samples, and no leak into
the scaling.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.data.datasets import from_arrays, load
from phiz.runtime.data.scaling import Scaling
from phiz.runtime.data.split import load_split, split
from phiz.runtime.errors import DataError


def numbered_samples(labels: np.ndarray):  # type: ignore[no-untyped-def]
    """A data set whose single feature is the sample's own number."""
    return from_arrays(np.arange(labels.size, dtype=float), labels, np.float64)


def test_every_sample_lands_in_one_part_in_proportion() -> None:
    labels = np.repeat([0, 1, 2], [50, 30, 20])
    parts = split(numbered_samples(labels), test=0.3, validation=0.2, seed=1)
    assert parts.test is not None and parts.validation is not None
    everything = np.concatenate([part.inputs[:, 0] for part in (parts.train, parts.validation, parts.test)])
    assert sorted(everything) == list(range(100))
    for part, expected in (
        (parts.train, [25, 15, 10]),
        (parts.validation, [10, 6, 4]),
        (parts.test, [15, 9, 6]),
    ):
        assert np.bincount(part.labels).tolist() == expected
        np.testing.assert_array_equal(labels[part.inputs[:, 0].astype(int)], part.labels)
        np.testing.assert_array_equal(part.targets, np.eye(3)[part.labels])


def test_seeds() -> None:
    data = load("digits")
    one, same, other = split(data, seed=5), split(data, seed=5), split(data, seed=6)
    np.testing.assert_array_equal(one.train.inputs, same.train.inputs)
    assert (one.train.inputs != other.train.inputs).any() and (one.test.inputs != other.test.inputs).any()  # type: ignore
    assert len(one.test) == 449 and one.validation is None  # type: ignore[arg-type]


def test_without_parts_everything_trains_in_shuffled_order() -> None:
    data = numbered_samples(np.arange(50) % 2)
    parts = split(data, test=0, seed=1)
    order = parts.train.inputs[:, 0]
    assert parts.test is None and parts.validation is None
    assert sorted(order) == list(range(50)) and order.tolist() != list(range(50))


def test_regression_needs_no_classes() -> None:
    parts = split(load("diabetes"), test=0.5)
    assert len(parts.train) == len(parts.test) == 221  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("labels", "arguments", "expected"),
    [
        ([0, 1] * 5, {"test": 1.0}, r"test fraction in \[0, 1\), got 1"),
        ([0, 1] * 5, {"validation": -0.1}, "validation fraction"),
        ([0, 1] * 5, {"test": float("nan")}, "fraction"),
        ([0, 1] * 5, {"test": 0.5, "validation": 0.5}, "left for training"),
        ([0, 1] * 5, {"test": 0.01}, "got 0 from 0.01 of 10"),
        ([0], {"test": 0.9}, "left for training"),
        ([0] * 9 + [1], {"test": 0.3}, "two samples or more of class '1'"),
        ([0, 1, 2] * 2, {"test": 0.2}, "expected 3 samples or more"),
    ],
)
def test_splits_that_cannot_be(labels: list[int], arguments: dict, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        split(numbered_samples(np.array(labels)), **arguments)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tables_are_standardised_by_the_training_part_alone(dtype: str) -> None:
    raw, parts = split(load("diabetes", dtype), seed=2), load_split("diabetes", dtype, 2)
    assert parts.test is not None and raw.test is not None and parts.scaling is not None
    mean, deviation = raw.train.inputs.astype(float).mean(axis=0), raw.train.inputs.astype(float).std(axis=0)
    np.testing.assert_allclose(parts.test.inputs, (raw.test.inputs - mean) / deviation, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(parts.train.inputs.astype(float).mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(parts.train.inputs.astype(float).std(axis=0), 1, rtol=1e-6)
    assert abs(parts.test.inputs.mean()) > 1e-4  # standardised by its own statistics this would be 0
    assert parts.test.inputs.dtype == dtype
    np.testing.assert_allclose(parts.scaling.restore_targets(parts.test.targets), raw.test.targets, rtol=1e-5)


def test_a_scaling_survives_a_dictionary_of_arrays_and_constant_columns() -> None:
    data = from_arrays(np.array([[0.1, 1.0], [0.1, 3.0], [0.1, 8.0]]), np.array([0, 1, 0]), np.float64)
    scaling = Scaling.of(data)
    assert scaling.apply(data).inputs[:, 0].tolist() == [0, 0, 0]
    assert Scaling.from_arrays({}) is None
    again = Scaling.from_arrays(scaling.arrays())
    assert again is not None and again.target_mean is None
    np.testing.assert_array_equal(again.apply(data).inputs, scaling.apply(data).inputs)
    with pytest.raises(DataError, match="expected 2 columns as in training"):
        scaling.apply(from_arrays(np.ones((2, 3)), np.array([0, 1]), np.float64))


def offset_table(folder: Path, kind: str, large_target: bool) -> Path:
    """400 samples, one column of which is 1700000000 + i: the input or the target."""
    large, small = 1_700_000_000 + np.arange(400), np.arange(400) / 7
    inputs, targets = (small, large) if large_target else (large, small)
    path = folder / f"t.{kind}"
    if kind == "npz":
        np.savez(path, x=inputs[:, None], y=targets)
    else:
        path.write_text(
            "a,b\n" + "".join(f"{a},{b!r}\n" for a, b in zip(inputs.tolist(), targets.tolist(), strict=True))
        )
    return path


@pytest.mark.parametrize("kind", ["csv", "npz"])
@pytest.mark.parametrize("large_target", [False, True])
def test_a_table_keeps_its_digits_until_it_is_centred(tmp_path: Path, kind: str, large_target: bool) -> None:
    path = offset_table(tmp_path, kind, large_target)
    small = load_split(path, "float32", task="regression").train
    double = load_split(path, "float64", task="regression").train
    assert small.inputs.dtype == small.targets.dtype == np.float32
    assert np.unique(small.inputs).size == np.unique(small.targets).size == 300
    np.testing.assert_array_equal(small.inputs, double.inputs.astype("f4"))
    np.testing.assert_array_equal(small.targets, double.targets.astype("f4"))
    assert load(path, "float32", task="regression").inputs.dtype == np.float64


def test_arrays_in_memory_keep_their_digits_until_they_are_centred() -> None:
    data = from_arrays(1_700_000_000 + np.arange(400), np.arange(400) / 7, "float32")
    parts = split(data).standardised()
    assert parts.train.inputs.dtype == np.float32 and np.unique(parts.train.inputs).size == 300
    assert parts.test is not None and parts.test.targets.dtype == np.float32


@pytest.mark.parametrize("column", [np.array([1e200, -1e200, 1.0]), np.array([1.7e308, 1.7e308, 1.0])])
def test_numbers_too_large_to_be_centred_are_named(column: np.ndarray) -> None:
    data = from_arrays(np.stack([np.ones(3), column], axis=1), np.arange(3.0))
    with pytest.raises(
        DataError, match=r"inputs: expected numbers whose squares float64 can hold, got 1.*in column 1"
    ):
        Scaling.of(data)


def test_a_value_far_outside_the_training_samples_is_named() -> None:
    scaling = Scaling.of(from_arrays(np.array([0.0, 1e-30]), np.arange(2)))
    with pytest.raises(
        DataError, match=r"inputs: expected numbers that float32 can hold, got .* at sample 0, column 0"
    ):
        scaling.apply(from_arrays(np.array([1e30]), np.zeros(1, int)))


def test_images_are_not_standardised() -> None:
    parts = load_split("digits")
    assert parts.scaling is None and parts.train.inputs.max() == 1 and parts.train.inputs.min() == 0


def test_a_source_with_its_own_test_part_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    rng = np.random.default_rng(0)
    x_test = rng.normal(size=(4, 3))
    np.savez(
        path,
        x_train=rng.normal(size=(20, 3)),
        y_train=np.arange(20) % 4,
        x_test=x_test,
        y_test=np.array([0, 1, 0, 1]),
    )
    parts = load_split(path, np.float64, validation=0.2)
    assert parts.validation is not None and parts.test is not None and parts.scaling is not None
    assert (len(parts.train), len(parts.validation), len(parts.test)) == (16, 4, 4)
    assert parts.test.targets.shape == (4, 4)  # as many classes as in training, though two do not occur
    np.testing.assert_allclose(parts.test.inputs * parts.scaling.deviation + parts.scaling.mean, x_test)
    np.savez(
        path, x_train=np.ones((9, 3)), y_train=np.arange(9) % 2, x_test=np.ones((1, 2)), y_test=np.array([0])
    )
    with pytest.raises(DataError, match=r"expected samples \(3,\) as for training, got \(2,\)"):
        load_split(path)

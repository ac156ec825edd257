"""Data sets: bundled ones against scikit-learn's own arrays, files by content, and checks of what a set
may hold.
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.data import datasets
from phiz.runtime.data.datasets import Dataset, from_arrays, load
from phiz.runtime.data.labels import one_hot
from phiz.runtime.errors import DataError
from sklearn import datasets as bundled


def idx_bytes(array: np.ndarray) -> bytes:
    return (
        bytes([0, 0, 8, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.astype("u1").tobytes()
    )


def write_mnist(folder: Path, part: str, images: np.ndarray, labels: np.ndarray, suffix: str = "") -> None:
    pack = gzip.compress if suffix else bytes
    (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(idx_bytes(images)))
    (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(idx_bytes(labels)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_digits(dtype: str) -> None:
    data, source = load("digits", dtype), bundled.load_digits()
    assert data.inputs.shape == (1797, 1, 8, 8) and data.inputs.dtype == dtype == data.targets.dtype
    np.testing.assert_array_equal(data.inputs.reshape(1797, 64) * 16, source.data)
    np.testing.assert_array_equal(data.labels, source.target)
    np.testing.assert_array_equal(data.targets.argmax(axis=1), source.target)
    assert (data.targets.sum(axis=1) == 1).all() and data.classes == tuple("0123456789")
    assert data.task == "classification" and not data.tabular and data.sample_shape == (1, 8, 8)


def test_diabetes_and_breast_cancer() -> None:
    data, source = load("diabetes", np.float64), bundled.load_diabetes(scaled=False)
    np.testing.assert_array_equal(data.inputs, source.data)
    np.testing.assert_array_equal(data.targets[:, 0], source.target)
    assert data.task == "regression" and data.labels is None and data.classes == () and data.tabular
    data, tumours = load("breast-cancer"), bundled.load_breast_cancer()
    assert data.inputs.shape == (569, 30) and data.classes == ("malignant", "benign")
    np.testing.assert_array_equal(data.labels, tumours.target)


def test_a_seed_shuffles_the_samples_with_their_targets() -> None:
    plain, shuffled, again = load("digits"), load("digits", seed=3), load("digits", seed=3)
    np.testing.assert_array_equal(shuffled.inputs, again.inputs)
    assert (shuffled.labels != plain.labels).any() and sorted(shuffled.labels) == sorted(plain.labels)  # type: ignore
    order = np.random.default_rng(3).permutation(1797)
    np.testing.assert_array_equal(shuffled.inputs, plain.inputs[order])
    np.testing.assert_array_equal(shuffled.targets, plain.targets[order])


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_or_file_of_idx(tmp_path: Path, suffix: str) -> None:
    images = np.arange(6 * 2 * 3).reshape(6, 2, 3) * 7
    write_mnist(tmp_path, "train", images, np.array([0, 2, 1, 2, 0, 1]), suffix)
    write_mnist(tmp_path, "t10k", images[:2], np.array([1, 0]), suffix)
    assert datasets.has_test_part(tmp_path)
    data = load(tmp_path, np.float64)
    assert (
        data.inputs.shape == (6, 1, 2, 3) and data.targets.shape == (6, 3) and data.classes == ("0", "1", "2")
    )
    np.testing.assert_allclose(data.inputs[:, 0], images / 255, rtol=1e-15)
    test = load(tmp_path, part="test", classes=data.classes)
    assert len(test) == 2 and test.targets.shape == (2, 3)
    by_file = load(tmp_path / f"t10k-labels-idx1-ubyte{suffix}", classes=3)
    np.testing.assert_array_equal(by_file.inputs, test.inputs)
    with pytest.raises(DataError, match=r"expected a label in 0..1, got 2 at sample 1"):
        load(tmp_path, classes=2)


def test_csv_tasks(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b,target\n1,2,3\n3,4,1\n5,6,3\n")
    data = load(path)
    assert data.task == "classification" and data.classes == ("1", "3")
    assert data.labels is not None and data.labels.tolist() == [1, 0, 1]
    assert load(path, task="regression").targets.tolist() == [[3], [1], [3]]
    assert load(path, classes=["1", "2", "3"]).targets.tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    assert load(path, target="a", task="regression").inputs.tolist() == [[2, 3], [4, 1], [6, 3]]
    with pytest.raises(DataError, match=r"column 'target': expected a label in 0..2, got 3.0 at sample 0"):
        load(path, classes=3)
    with pytest.raises(DataError, match="expected one of the classes 1, 2, got '3'"):
        load(path, classes=["1", "2"])
    path.write_text("a,target\n1,0.5\n3,1.5\n")
    assert load(path).task == "regression"
    with pytest.raises(DataError, match=r"expected a whole number, got 0.5 at sample 0"):
        load(path, task="classification")
    path.write_text("a,kind\n1,red\n3,blue\n5,red\n")
    assert load(path).classes == ("blue", "red")
    with pytest.raises(DataError, match="numbers for a regression"):
        load(path, task="regression")
    path.write_text("a,price\n" + "".join(f"{n},{n}\n" for n in range(101)))
    assert load(path).task == "regression"


def test_numbers_that_float32_cannot_hold_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1e300,2\n")
    with pytest.raises(
        DataError, match=r"inputs: expected numbers that float32 can hold, got 1e\+300 at sample 0, column 0"
    ):
        load(path).cast()
    assert load(path, np.float64).cast().inputs[0, 0] == 1e300
    with pytest.raises(DataError, match=r"float32 can hold, got 1e\+300 at sample 1, index \(0, 0\)"):
        from_arrays(np.array([1, 1e300]).reshape(2, 1, 1), np.arange(2))


def test_whole_numbers_that_float64_would_round_are_refused(tmp_path: Path) -> None:
    stamps = 2**60 + np.arange(4)
    with pytest.raises(
        DataError, match="float64 holds exactly, got 1152921504606846977 at sample 1, column 0: subtract"
    ):
        from_arrays(stamps[:, None], np.arange(4))
    np.testing.assert_array_equal(from_arrays(stamps[:1, None], np.zeros(1, int)).inputs, [[2.0**60]])
    path = tmp_path / "t.csv"
    path.write_text(f"t,y\n{2**60},1\n{2**60 + 1},2\n")
    with pytest.raises(
        DataError, match=r"row 2 \(line 3\), column 't': expected a whole number that float64 holds exactly"
    ):
        load(path)


def test_npz_images_and_targets(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    images = np.full((4, 2, 2), 51, np.uint8)
    np.savez(path, x=images, y=np.array([0, 1, 3, 1]))
    data = load(path)
    assert data.inputs.shape == (4, 1, 2, 2) and data.targets.shape == (4, 4)
    np.testing.assert_allclose(data.inputs, 0.2, rtol=1e-7)
    assert not datasets.has_test_part(path)
    plain = path.rename(tmp_path / "renamed")  # told by its first bytes
    assert len(load(plain)) == 4


def test_from_arrays_tells_the_task() -> None:
    x = np.ones((3, 2))
    assert from_arrays(x, np.array([0, 1, 1])).task == "classification"
    assert from_arrays(x, np.array([[0], [1], [1]])).targets.shape == (3, 2)
    assert from_arrays(x, np.array([0.0, 1.0, 1.0])).task == "regression"
    one_hot_rows = from_arrays(x, np.eye(4)[[0, 2, 1]])
    assert one_hot_rows.task == "classification" and one_hot_rows.targets.shape == (3, 4)
    assert from_arrays(x, np.full((3, 2), 0.5)).targets.shape == (3, 2)
    assert from_arrays(x, np.array(["b", "a", "b"])).classes == ("a", "b")
    assert from_arrays(np.ones(3), np.ones(3)).inputs.shape == (3, 1)
    assert from_arrays(np.ones((3, 4, 5)), np.ones(3)).inputs.shape == (3, 4, 5)  # maps and one coordinate
    assert from_arrays(x, np.float16([0, 2, 1]), task="classification").classes == ("0", "1", "2")
    with pytest.raises(DataError, match="a label of at least 0, got -1 at sample 1"):
        from_arrays(x, np.array([0, -1, 1]))
    with pytest.raises(DataError, match="a label 1000000 among 3 samples"):
        from_arrays(x, np.array([0, 1, 1_000_000]))
    with pytest.raises(DataError, match=r"expected labels \(N,\) or one-hot"):
        from_arrays(x, np.full((3, 2), 0.5), task="classification")


@pytest.mark.parametrize("name", ["unknown.xyz", "empty.csv", "broken.npz", "empty.idx", "text.txt.gz"])
def test_files_that_are_nothing_are_refused_by_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"" if name.startswith("empty") else b"%PDF-1.4 not data\n")
    with pytest.raises(DataError, match=name) as caught:
        load(path)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_nothing_lists_what_is_there() -> None:
    with pytest.raises(DataError, match="digits, diabetes, breast-cancer, or an existing file"):
        load("digitz")
    with pytest.raises(DataError, match="float32 or float64, got float16"):
        load("digits", np.float16)
    with pytest.raises(DataError, match="float32 or float64, got float33"):
        load("digits", "float33")


def test_an_idx_file_alone_is_told_to_have_no_partner(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(idx_bytes(np.ones((2, 3, 3))))
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: expected a pair .* no partner"):
        load(path)


def make(**changes: object) -> Dataset:
    fields: dict = {
        "name": "made", "inputs": np.ones((2, 3)), "targets": np.eye(2), "labels": np.array([0, 1]),
        "task": "classification", "classes": ("a", "b"),
    }  # fmt: skip
    return Dataset(**{**fields, **changes})


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"inputs": np.ones((0, 3))}, "at least one sample, got 0"),
        ({"inputs": np.ones(2)}, "coordinates"),
        ({"inputs": np.ones((2, 0))}, "coordinates"),
        ({"inputs": np.ones((2, 3), int)}, "float32 or float64"),
        ({"inputs": np.array([[1, 2, 3], [4, np.nan, 6]])}, "nan at sample 1, column 1"),
        ({"targets": np.eye(3)}, r"targets \(2, k\)"),
        ({"targets": np.eye(2, dtype="f4")}, "targets of float64"),
        ({"targets": np.array([[1, np.inf], [0, 1]])}, "inf at sample 0, column 1"),
        ({"labels": None}, "labels"),
        ({"labels": np.array([0, 2])}, r"labels in 0..1, got 2 at sample 1"),
        ({"labels": np.array([-1, 0])}, "got -1 at sample 0"),
        ({"classes": ("a",)}, "2 class names"),
        ({"task": "ranking"}, "'ranking'"),
        ({"task": "regression"}, "no labels"),
    ],
)
def test_a_data_set_holds_only_what_fits(changes: dict, expected: str) -> None:
    assert len(make()) == 2
    with pytest.raises(DataError, match=expected):
        make(**changes)


def test_one_hot_refuses_what_is_out_of_range() -> None:
    assert one_hot([2, 0], 3, np.float64).tolist() == [[0, 0, 1], [1, 0, 0]]
    for labels, expected in (
        ([0, 3], "0..2, got 3 at sample 1"),
        ([-1], "got -1"),
        ([0.5], "whole"),
        ([[0]], "shape"),
    ):
        with pytest.raises(DataError, match=expected):
            one_hot(labels, 3)
    with pytest.raises(DataError, match="whole number, got nan"):
        one_hot([np.nan], 3)


def test_a_line_says_what_was_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("2019,2020,2021\n0.5,1.5,2.5\n3.5,4.5,5.5\n")
    data = load(path)
    assert (data.columns, data.target) == (("2019", "2020"), "2021")
    assert (
        data.describe("t.csv")
        == "t.csv: 2 samples, 2 input columns (2019, 2020), target 2021: regression, 1 quantity"
    )
    path.write_text("0.5,1.5,red\n3.5,4.5,blue\n")
    assert load(path).describe("t.csv") == (
        "t.csv: 2 samples, no header, 2 input columns, target column 3: classification, 2 classes (blue, red)"
    )
    path.write_text('"a\nb",' + "x" * 50 + ",c,d,e,f,g,target\n1,2,3,4,5,6,7,8.5\n")
    line = load(path).describe("t.csv")
    assert (
        "7 input columns ('a\\nb', " + "x" * 39 + "…, c, d, e, f, …), target target" in line
        and "\n" not in line
    )
    np.savez(tmp_path / "a.npz", x_train=np.ones((4, 2)), y_train=np.full((4, 3), 0.5))
    assert load(tmp_path / "a.npz").describe("a.npz") == (
        "a.npz: 4 samples, inputs (2,) in array x_train, target array y_train: regression, 3 quantities"
    )
    assert (
        load("digits")
        .describe()
        .startswith("digits: 1797 samples, inputs (1, 8, 8): classification, 10 classes (0, 1, ")
    )
    arrays = from_arrays(np.ones((3, 2)), np.ones(3))
    assert (
        arrays.columns == ()
        and arrays.target == ""
        and arrays.describe() == "arrays: 3 samples, inputs (2,): regression, 1 quantity"
    )
    assert (
        load("diabetes").columns[:3] == ("age", "sex", "bmi")
        and load("diabetes").subset([3, 4]).columns[9] == "s6"
    )

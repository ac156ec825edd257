"""IDX files: written here byte by byte from the format's description, read back, and damaged in every way."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.data import idx
from phiz.runtime.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def encode(array: np.ndarray, code: str) -> bytes:
    header = bytes([0, 0, CODES[code], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(">" + code).tobytes()


def write_pair(
    folder: Path, part: str, count: int = 5, size: int = 3, suffix: str = ""
) -> tuple[np.ndarray, np.ndarray]:
    images = (np.arange(count * size * size) % 251).reshape(count, size, size)
    labels = np.arange(count) % 3
    pack = gzip.compress if suffix == ".gz" else bytes
    (folder / f"{part}-images-idx3-ubyte{suffix}").write_bytes(pack(encode(images, "u1")))
    (folder / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(pack(encode(labels, "u1")))
    return images, labels


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("compressed", [False, True])
def test_every_element_type_reads_back_in_native_order(tmp_path: Path, code: str, compressed: bool) -> None:
    array = np.array([[1, 2, 3], [4, 5, 100]])
    data = encode(array, code)
    path = tmp_path / "values.idx"  # compression is told by content, not by the name
    path.write_bytes(gzip.compress(data) if compressed else data)
    read = idx.read(path)
    assert read.dtype == np.dtype(code) and read.dtype.isnative
    np.testing.assert_array_equal(read, array)


def test_the_bytes_of_a_known_file(tmp_path: Path) -> None:
    path = tmp_path / "known.idx"
    path.write_bytes(bytes([0, 0, 0x0B, 1, 0, 0, 0, 2, 0x01, 0x02, 0xFF, 0xFF]))
    assert idx.read(path).tolist() == [258, -1]


@pytest.mark.parametrize("compressed", [False, True])
def test_every_prefix_is_refused_and_the_whole_loads(tmp_path: Path, compressed: bool) -> None:
    array = np.arange(24).reshape(2, 3, 4)
    data = encode(array, "i2")
    data = gzip.compress(data, mtime=0) if compressed else data
    path = tmp_path / "a.idx"
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(DataError) as caught:
            idx.read(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(data)
    np.testing.assert_array_equal(idx.read(path), array)


def test_every_flipped_byte_loads_or_is_refused(tmp_path: Path) -> None:
    data = gzip.compress(encode(np.arange(12).reshape(3, 4), "u1"), mtime=0)
    path = tmp_path / "a.gz"
    refused = 0
    for place in range(len(data)):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            idx.read(path)
        except DataError:
            refused += 1
    assert refused > len(data) // 2  # gzip's checksum sees what lies behind its header


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "truncated"),
        (b"\x00\x01\x08\x01\x00\x00\x00\x00", "magic 0x00010801"),
        (b"\x00\x00\x07\x01\x00\x00\x00\x00", "magic 0x00000701"),
        (b"\x00\x00\x08\x00", "rank"),
        (b"\x00\x00\x08\x01\x00\x00\x00\x01\x05\x06", "got more"),
        (
            b"\x00\x00\x0e\x03" + b"\xff" * 12 + b"\x00" * 50,
            "truncated",
        ),  # declares 6e29 bytes: nothing is allocated
    ],
)
def test_what_is_not_idx_is_named(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "bad.idx"
    path.write_bytes(data)
    with pytest.raises(DataError, match=expected):
        idx.read(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        idx.read(tmp_path / "absent.idx")
    with pytest.raises(DataError, match="directory"):
        idx.read(tmp_path)
    with pytest.raises(DataError, match="got none"):
        idx.find_pairs(tmp_path)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_pairs_of_a_folder(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "README.txt").write_text("images and labels")
    images, labels = write_pair(tmp_path, "train", suffix=suffix)
    write_pair(tmp_path, "t10k", count=2, suffix=suffix)
    pairs = {pair.part: pair for pair in idx.find_pairs(tmp_path)}
    assert set(pairs) == {"train", "test"}
    read_images, read_labels = idx.read_pair(pairs["train"])
    np.testing.assert_array_equal(read_images, images)
    np.testing.assert_array_equal(read_labels, labels)


def test_the_plain_file_is_taken_before_the_compressed_one(tmp_path: Path) -> None:
    write_pair(tmp_path, "train", suffix=".gz")
    write_pair(tmp_path, "train", count=4)
    (pair,) = idx.find_pairs(tmp_path)
    assert pair.images.suffix != ".gz" and len(idx.read_pair(pair)[0]) == 4


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    write_pair(tmp_path, "train")
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="labels file"):
        idx.find_pairs(tmp_path)


@pytest.mark.parametrize(
    ("images", "labels", "expected"),
    [
        (np.zeros((3, 2, 2)), np.zeros(4), "expected 3 labels .* got 4"),
        (np.zeros(3), np.zeros(3), "rank 2 or more"),
        (np.zeros((3, 2)), np.zeros((3, 1)), "rank 1"),
        (np.zeros((0, 2, 2)), np.zeros(0), "at least one sample"),
    ],
)
def test_pairs_that_do_not_fit(tmp_path: Path, images: np.ndarray, labels: np.ndarray, expected: str) -> None:
    (tmp_path / "images.idx").write_bytes(encode(images, "u1"))
    (tmp_path / "labels.idx").write_bytes(encode(labels, "u1"))
    (pair,) = idx.find_pairs(tmp_path)
    with pytest.raises(DataError, match=expected):
        idx.read_pair(pair)

"""Checkpoints: bit-identical, whole or absent, and refused when they are damaged or belong elsewhere."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from phiz.runtime import files
from phiz.runtime.errors import CheckpointError
from phiz.runtime.training import checkpoint
from safetensors.numpy import save_file

ARCHITECTURE = {
    "input": [1, 8, 8],
    "layers": [{"kind": "convolution", "maps": 6, "kernel": [5, 5]}, {"kind": "dense"}],
}
DIGESTS = {"convolution": "a" * 64, "dense": "b" * 64}


def bits(array: np.ndarray) -> bytes:
    return array.tobytes()


def written(path: Path, parameters: np.ndarray | None = None) -> bytes:
    checkpoint.save(path, np.arange(4.0) if parameters is None else parameters, ARCHITECTURE, DIGESTS)
    return path.read_bytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_is_bit_identical(tmp_path: Path, dtype: str) -> None:
    path = tmp_path / "network.safetensors"
    rng = np.random.default_rng(0)
    raw = rng.integers(0, 256, 4096 * np.dtype(dtype).itemsize, dtype=np.uint8).view(dtype)
    parameters = raw[np.isfinite(raw)]  # every kind of finite bit pattern: subnormal, negative zero, largest
    parameters[:3] = [-0.0, np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max]
    arrays = {
        "velocity": raw.copy(),  # with NaN payloads
        "step": np.array(7),
        "empty": np.zeros((0, 3), np.float32),
        "mask": np.array([True, False]),
        "transposed": np.arange(6).reshape(2, 3).T,
        "big-endian": np.arange(3, dtype=">i4"),
        "scaling.mean": np.array([1.5]),
        "parameters": np.array([9.0]),  # does not collide with the network's own
    }
    training = {"epoch": 3, "rng": {"state": 2**127 + 1}, "best": float("inf"), "text": "η=0.1\n"}
    checkpoint.save(path, parameters, ARCHITECTURE, DIGESTS, arrays, training)
    loaded = checkpoint.load(path)
    assert loaded.parameters.dtype == dtype == loaded.dtype and bits(loaded.parameters) == bits(parameters)
    assert loaded.architecture == ARCHITECTURE and loaded.digests == DIGESTS and loaded.training == training
    assert set(loaded.arrays) == set(arrays)
    for name, array in arrays.items():
        assert loaded.arrays[name].shape == array.shape
        native = array.astype(array.dtype.newbyteorder("="))
        assert loaded.arrays[name].dtype == native.dtype and bits(loaded.arrays[name]) == bits(native), name
    loaded.parameters[0] = 1  # writable, and no view into the others
    loaded.require(ARCHITECTURE, DIGESTS, parameters.size)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    assert written(tmp_path / "one") == written(tmp_path / "two")


def test_every_prefix_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    data = written(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_every_changed_byte_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n.safetensors"
    data = written(path)
    for place in range(len(data)):
        for change in (0x01, 0x80):
            path.write_bytes(data[:place] + bytes([data[place] ^ change]) + data[place + 1 :])
            try:
                loaded = checkpoint.load(path)
            except CheckpointError as error:
                assert "\n" not in str(error)
                continue
            # Only JSON that means the same may pass, such as another white-space character.
            assert bits(loaded.parameters) == bits(np.arange(4.0)) and loaded.architecture == ARCHITECTURE, (
                place
            )


def test_foreign_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(b"\x80\x04\x95 a pickle, perhaps, and long enough to be parsed")
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        checkpoint.load(path)
    save_file({"w": np.ones(3)}, path)
    with pytest.raises(CheckpointError, match="of another program"):
        checkpoint.load(path)
    save_file({"w": np.ones(3)}, path, {"format": "pt"})
    with pytest.raises(CheckpointError, match="of another program"):
        checkpoint.load(path)
    header = json.dumps({"w": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(CheckpointError, match="expected a safetensors file"):
        checkpoint.load(path)
    save_file({"w": np.ones(3)}, path, {"format": checkpoint.FORMAT, "version": "2"})
    with pytest.raises(CheckpointError, match="expected checkpoint version 1, got '2'"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("changes", "tensors", "expected"),
    [
        ({"architecture": "[1]"}, {}, "JSON object in 'architecture'"),
        ({"training": "{"}, {}, "JSON in 'training'"),
        ({"training": "[" * 100_000}, {}, "JSON in 'training'"),
        ({"digests": '{"a": 1}'}, {}, "digests that are text"),
        ({}, {"parameters": np.ones((2, 2))}, "flat float32 or float64"),
        ({}, {"parameters": np.ones(2, np.int64)}, "flat float32 or float64"),
        ({}, {"parameters": np.array([1.0, np.nan])}, "NaN or infinity"),
    ],
)
def test_hand_made_files_with_a_right_checksum_are_checked_too(
    tmp_path: Path, changes: dict, tensors: dict, expected: str
) -> None:
    path = tmp_path / "made"
    metadata = {
        "format": checkpoint.FORMAT,
        "version": "1",
        "architecture": "{}",
        "digests": "{}",
        "training": "{}",
    }
    metadata |= changes
    arrays = {"parameters": np.ones(2)} | tensors
    metadata["sha256"] = checkpoint._checksum(metadata, arrays)
    save_file(arrays, path, metadata)
    with pytest.raises(CheckpointError, match=expected):
        checkpoint.load(path)


def test_unreadable_and_unwritable_places(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent.*no such file"):
        checkpoint.load(tmp_path / "absent")
    with pytest.raises(CheckpointError, match="directory"):
        checkpoint.load(tmp_path)
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    for path in (tmp_path / "absent" / "n", blocked / "n", tmp_path):
        with pytest.raises(CheckpointError, match="cannot be written"):
            written(path)
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "n.safetensors"
    data = written(path)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    def interrupted(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(CheckpointError, match="no space left"):
        written(path, np.zeros(9))
    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        written(path, np.zeros(9))
    monkeypatch.undo()
    assert path.read_bytes() == data and os.listdir(tmp_path) == [path.name]
    with pytest.raises(CheckpointError, match="parameter 1 is nan; the file there stays"):
        written(path, np.array([1.0, np.nan]))
    assert path.read_bytes() == data


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"parameters": np.ones((2, 2))}, r"flat float32 or float64 vector, got float64 \(2, 2\)"),
        ({"parameters": np.ones(2, np.float16)}, "got float16"),
        ({"arrays": {"a": np.array([object()])}}, "numbers in array 'a', got dtype object"),
        ({"arrays": {"a": np.array(["x"])}}, "numbers in array 'a'"),
        ({"architecture": {"a": np.ones(2)}}, "JSON in 'architecture'"),
        ({"training": {"a": object()}}, "JSON in 'training'"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path: Path, arguments: dict, expected: str) -> None:
    content: dict = {"parameters": np.ones(2), "architecture": {}, "digests": {}} | arguments
    with pytest.raises(CheckpointError, match=expected):
        checkpoint.save(tmp_path / "n", **content)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("architecture", "digests", "count", "expected"),
    [
        (
            {**ARCHITECTURE, "input": [1, 8, 9]},
            DIGESTS,
            4,
            r"architecture.input\[2\]: the file has 8, the network 9",
        ),
        (
            {**ARCHITECTURE, "input": [1, 8]},
            DIGESTS,
            4,
            r"architecture.input: the file has 3 entries, the network 2",
        ),
        (
            {**ARCHITECTURE, "loss": "mse"},
            DIGESTS,
            4,
            'architecture.loss: the file has "nothing", the network "mse"',
        ),
        ({"input": [1, 8, 8]}, DIGESTS, 4, 'architecture.layers: the file has .*, the network "nothing"'),
        (
            ARCHITECTURE,
            {**DIGESTS, "dense": "c" * 64},
            4,
            "'dense' is not .* the file has bbbbbbbbbbbb, the network ccc",
        ),
        (ARCHITECTURE, {"dense": "b" * 64}, 4, "'convolution' .* the network none"),
        (ARCHITECTURE, {**DIGESTS, "pool": "d" * 64}, 4, "'pool' .* the file has none"),
        (ARCHITECTURE, DIGESTS, 5, "expected 5 parameters for this network, the file has 4"),
    ],
)
def test_require_names_the_first_difference(
    tmp_path: Path, architecture: dict, digests: dict, count: int, expected: str
) -> None:
    path = tmp_path / "n"
    written(path)
    with pytest.raises(CheckpointError, match=expected) as caught:
        checkpoint.load(path).require(architecture, digests, count)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_require_reads_tuples_as_lists_and_tells_one_from_true(tmp_path: Path) -> None:
    path = tmp_path / "n"
    checkpoint.save(path, np.ones(1), {"shape": (1, 2), "bias": True}, {})
    loaded = checkpoint.load(path)
    loaded.require({"bias": True, "shape": (1, 2)}, {}, 1)
    with pytest.raises(CheckpointError, match="bias: the file has true, the network 1"):
        loaded.require({"bias": 1, "shape": (1, 2)}, {}, 1)

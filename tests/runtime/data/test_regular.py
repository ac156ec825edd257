"""What is no regular file, or would swell when it is read, ends in one line: nothing hangs, nothing is
decompressed.
"""

from __future__ import annotations

import gzip
import io
import os
import signal
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.data import idx, room, tables
from phiz.runtime.data.datasets import load
from phiz.runtime.data.split import load_split
from phiz.runtime.errors import PhizError
from phiz.runtime.network.architectures import architecture
from phiz.runtime.training import checkpoint, history


@pytest.fixture(autouse=True)
def nothing_hangs() -> Iterator[None]:
    """A signal ends a call that waits for the writer of a pipe."""

    def give_up(number: int, frame: Any) -> None:
        raise AssertionError("waited for five seconds")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(5)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


READERS: dict[str, tuple[str, Callable[[Path], Any]]] = {
    "csv": ("d.csv", load),
    "txt": ("d.txt", load_split),
    "npz": ("d.npz", load),
    "idx": ("train-images-idx3-ubyte", load),
    "no suffix": ("d", load),
    "weights": ("weights.safetensors", checkpoint.load),
    "history": ("history.json", history.load),
    "network": ("net.toml", lambda path: architecture(str(path), load("digits"))),
}


def a_pipe(path: Path) -> str:
    os.mkfifo(path)
    return "a named pipe, not a regular file"


def a_device(path: Path) -> str:
    path.symlink_to("/dev/zero")
    return "a character device, not a regular file"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [a_pipe, a_device])
def test_only_regular_files_are_opened(name: str, make: Callable[[Path], str], tmp_path: Path) -> None:
    file, read = READERS[name]
    expected = make(tmp_path / file)
    with pytest.raises(PhizError, match=expected) as caught:
        read(tmp_path / file)
    assert str(tmp_path / file) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["weights", "history", "network"])
def test_a_folder_is_no_file(name: str, tmp_path: Path) -> None:
    file, read = READERS[name]
    (tmp_path / file).mkdir()
    with pytest.raises(PhizError, match="is a directory, not a file"):
        read(tmp_path / file)


def test_a_link_to_a_file_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "real.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    assert len(load(tmp_path / "link.csv")) == 2


# ------------------------------------------------------------------------------------------------------ bombs
def idx_header(*shape: int) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


class Counted:
    """What was decompressed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        for kind in (gzip.GzipFile, zipfile.ZipExtFile):
            monkeypatch.setattr(kind, "read", self._counting(kind.read))

    def _counting(self, read: Callable[..., bytes]) -> Callable[..., bytes]:
        def counted(stream: Any, *size: int) -> bytes:
            data = read(stream, *size)
            self.bytes += len(data)
            return data

        return counted


def test_a_compressed_idx_file_is_read_no_further_than_its_header_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx_header(2, 2, 2) + bytes(50 << 20)))
    counted = Counted(monkeypatch)
    with pytest.raises(PhizError, match=r"a.gz: expected 8 bytes for shape \(2, 2, 2\), got more"):
        idx.read(path)
    assert counted.bytes < 1000


def test_an_idx_header_that_declares_more_than_the_file_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx_header(60_000, 1000, 1000) + bytes(1 << 20)))
    counted = Counted(monkeypatch)
    with pytest.raises(
        PhizError, match=r"shape \(60000, 1000, 1000\): expected 60000000000 bytes, the file can hold at most"
    ):
        idx.read(path)
    assert counted.bytes < 1000


def test_what_the_memory_cannot_hold_is_not_decompressed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(idx_header(50, 1000, 1000) + bytes(50_000_000)))
    np.savez_compressed(tmp_path / "a.npz", x=np.zeros((50, 10**6), "u1"), y=np.arange(50))
    monkeypatch.setattr(room, "available_memory", lambda: 10**7)
    counted = Counted(monkeypatch)
    for read, file in ((idx.read, "a.gz"), (tables.read_npz, "a.npz")):
        with pytest.raises(
            PhizError, match="expected an array that the memory can hold, 10000000 bytes, got 50000000 bytes"
        ):
            read(tmp_path / file)
    assert counted.bytes < 10_000


def npz_of(path: Path, x: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(4))
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("x.npy", x)
        archive.writestr("y.npy", buffer.getvalue())
    return path


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


LONG_HEADER = b"\x93NUMPY\x02\x00" + (40 << 20).to_bytes(4, "little") + b" " * (40 << 20)


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (
            npy(np.ones((4, 2))) + bytes(40 << 20),
            "array 'x': expected 64 bytes after the header, as it declares, got 41943104",
        ),
        (LONG_HEADER, "array 'x': expected a header of at most 10000 bytes, got 41943040"),
        (bytes(40 << 20), "array 'x': expected an array in NumPy's format, got another member"),
        (npy(np.ones((4, 2)))[:-8], "array 'x': expected 64 bytes after the header, as it declares, got 56"),
    ],
)
def test_a_member_that_swells_is_not_decompressed(
    x: bytes, expected: str, compression: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = npz_of(tmp_path / "a.npz", x, compression)
    counted = Counted(monkeypatch)
    with pytest.raises(PhizError, match=expected):
        tables.read_npz(path)
    assert counted.bytes < 100_000

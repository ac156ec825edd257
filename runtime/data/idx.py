"""IDX files, the format of MNIST: http://yann.lecun.com/exdb/mnist, plain or compressed with gzip.

Two zero bytes, one byte for the element type, one for the rank, one big-endian 32-bit size a dimension, then
the elements in row-major order, big-endian.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..files import open_regular, reason
from .room import MOST_DEFLATED, require_room

ELEMENT_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_CHUNK = 1 << 20
_Stream = IO[bytes] | gzip.GzipFile


@dataclass(frozen=True)
class Pair:
    """An images file with its labels file; `part` is "train", "test" or "" where the names do not say."""

    images: Path
    labels: Path
    part: str


def is_idx(path: Path) -> bool:
    """Whether the file starts like IDX, perhaps inside gzip (no more than the first bytes are read)."""
    try:
        with _open(path) as stream:
            head = stream.read(4)
    except (OSError, EOFError, zlib.error):
        return False
    return len(head) == 4 and head[:2] == b"\0\0" and head[2] in ELEMENT_TYPES


def read(path: str | os.PathLike[str]) -> npt.NDArray:
    """The array of one IDX file, in the shape and (native) dtype that its header declares.

    Raises: DataError when the file is unreadable, is not IDX, ends early, or goes on after its last element.
    """
    try:
        with _open(Path(path)) as stream:
            return _parse(stream, path, os.path.getsize(path))
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a readable IDX file, got: {reason(error)}") from error


def read_pair(pair: Pair) -> tuple[npt.NDArray, npt.NDArray]:
    """Images `(N, coords...)` and labels `(N,)` of a pair, as stored.

    Raises: DataError for a damaged file, another rank, other element types, no samples, or counts that
    differ.
    """
    images, labels = read(pair.images), read(pair.labels)
    if images.ndim < 2:
        raise DataError(f"{pair.images}: expected images of rank 2 or more, got shape {images.shape}")
    if labels.ndim != 1:
        raise DataError(f"{pair.labels}: expected labels of rank 1, got shape {labels.shape}")
    if labels.dtype.kind == "f":
        raise DataError(f"{pair.labels}: expected labels of an integer type, got {labels.dtype}")
    if len(images) != len(labels):
        raise DataError(
            f"{pair.labels}: expected {len(images)} labels for {pair.images.name}, got {len(labels)}"
        )
    if len(images) == 0:
        raise DataError(f"{pair.images}: expected at least one sample, got 0")
    return images, labels


def find_pairs(folder: str | os.PathLike[str]) -> tuple[Pair, ...]:
    """The pairs of images and labels in a folder, by name: `train-images-idx3-ubyte` with
    `train-labels-idx1-ubyte`.

    Where a file lies there both plain and compressed, the plain one is taken.
    Raises: DataError when the folder is unreadable, or an images file has no labels file, or there is no
    pair.
    """
    try:
        files = sorted(
            (file for file in Path(folder).iterdir() if file.is_file()), key=lambda file: file.name
        )
    except OSError as error:
        raise DataError(f"{folder}: expected a readable folder, got: {reason(error)}") from error
    images = _by_key(files, "images")
    labels = _by_key(files, "labels")
    for key, file in images.items():
        if key not in labels:
            raise DataError(f"{file}: expected a labels file of the same name beside it, got none")
    if not images:
        raise DataError(f"{folder}: expected IDX files named like train-images-idx3-ubyte[.gz], got none")
    return tuple(Pair(file, labels[key], _part(key)) for key, file in images.items())


def _by_key(files: list[Path], kind: str) -> dict[str, Path]:
    """Files of a kind by what remains of their names without the words that differ between images and
    labels.
    """
    found: dict[str, Path] = {}
    for file in files:  # sorted, so the plain file comes before its .gz
        name = file.name.lower()
        if kind in name and not name.startswith(".") and is_idx_name(name):
            found.setdefault(re.sub(r"images|labels|idx\d?|ubyte|gz|[^a-z0-9]", "", name), file)
    return found


def is_idx_name(name: str) -> bool:
    """Whether a file name is one that IDX files have: `...idx3-ubyte`, `....idx`, `...ubyte`, perhaps
    with `.gz`.
    """
    return re.search(r"(idx\d?|ubyte)(\.gz)?$", name.lower()) is not None


def _part(key: str) -> str:
    if "train" in key:
        return "train"
    return "test" if "t10k" in key or "test" in key else ""


@contextmanager
def _open(path: Path) -> Iterator[_Stream]:
    """The bytes of the file, decompressed when it starts like gzip, whatever its name says."""
    with open_regular(path) as file:
        compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        if not compressed:
            yield file
            return
        with gzip.open(file, "rb") as stream:
            yield stream


def _parse(stream: _Stream, path: str | os.PathLike[str], size: int) -> npt.NDArray:
    """Read the array of a file of `size` bytes; what its header declares is checked before any element
    is read.
    """
    head = stream.read(4)
    if len(head) < 4:
        raise DataError(f"{path}: expected an IDX header of 4 bytes, got {len(head)}: the file is truncated")
    if head[:2] != b"\0\0" or head[2] not in ELEMENT_TYPES:
        raise DataError(
            f"{path}: expected IDX (two zero bytes and an element type), got magic 0x{head.hex()}"
        )
    rank = head[3]
    if not 1 <= rank <= 8:
        raise DataError(f"{path}: expected an IDX rank of 1 to 8, got {rank}")
    sizes = stream.read(4 * rank)
    if len(sizes) < 4 * rank:
        raise DataError(
            f"{path}: expected {4 * rank} bytes of IDX sizes, got {len(sizes)}: the file is truncated"
        )
    shape = struct.unpack(f">{rank}I", sizes)
    dtype = np.dtype(ELEMENT_TYPES[head[2]])
    expected = math.prod(shape) * dtype.itemsize
    require_room(
        f"{path}: shape {shape}",
        expected,
        size * MOST_DEFLATED if isinstance(stream, gzip.GzipFile) else size,
    )
    data = _read_at_most(stream, expected + 1)
    if len(data) < expected:
        raise DataError(
            f"{path}: expected {expected} bytes for shape {shape}, got {len(data)}: the file is truncated"
        )
    if len(data) > expected:
        raise DataError(f"{path}: expected {expected} bytes for shape {shape}, got more")
    return np.frombuffer(bytes(data), dtype=dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _read_at_most(stream: _Stream, limit: int) -> bytearray:
    """By chunks: a header that declares terabytes must not allocate them before the file has shown that
    it has them.
    """
    data = bytearray()
    while len(data) < limit:
        chunk = stream.read(min(_CHUNK, limit - len(data)))
        if not chunk:
            break
        data += chunk
    return data

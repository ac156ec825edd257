"""One safetensors file for a trained network: its parameters, what they belong to, and what resuming needs.

The file holds the flat parameter vector, any other named arrays, and JSON in the metadata: format version,
architecture, digests of the layer definitions, training state.  A SHA-256 over all of it tells damage that
the format alone does not.  Nothing read from a file is ever executed.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as format_tensors

from ..errors import CheckpointError
from ..files import as_path, read_regular, reason, write_atomically

FORMAT = "phiz checkpoint"
VERSION = "1"
_PARAMETERS = "parameters"
_PREFIX = "array."
_STORED = (
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
)
_FIELDS = ("architecture", "digests", "training")


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What one file holds.

    path: the file.
    parameters: `(count,)` float32 or float64, bit for bit as saved.
    architecture: JSON of the network.
    digests: layer definition name to digest of the definition.
    arrays: other arrays by name (optimizer state, scaling).
    training: JSON of the run.

    JSON makes lists of tuples and strings of keys.
    """

    path: Path
    parameters: npt.NDArray[np.floating]
    architecture: dict[str, Any]
    digests: dict[str, str]
    arrays: dict[str, npt.NDArray] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    @property
    def dtype(self) -> str:
        """ "float32" or "float64"."""
        return str(self.parameters.dtype)

    def require(self, architecture: Mapping[str, Any], digests: Mapping[str, str], count: int) -> None:
        """Refuse, unless the file belongs to the network with this architecture, definitions and parameter
        count.

        Raises: CheckpointError with one line that names the first difference: its place, what the file has,
        what the network has.
        """
        wanted = json.loads(_json(architecture, "architecture", self.path))
        difference = _difference(self.architecture, wanted, "architecture")
        if difference:
            raise CheckpointError(f"{self.path}: saved for another network: {difference}")
        for name in sorted(set(self.digests) | set(digests)):
            if self.digests.get(name) != digests.get(name):
                raise CheckpointError(
                    f"{self.path}: the definition of {name!r} is not the one that was trained: "
                    f"the file has {_short(self.digests.get(name))}, the network {_short(digests.get(name))}"
                )
        if self.parameters.size != count:
            raise CheckpointError(
                f"{self.path}: expected {count} parameters for this network, the file has "
                f"{self.parameters.size}"
            )


def save(
    path: str | os.PathLike[str],
    parameters: npt.NDArray[np.floating],
    architecture: Mapping[str, Any],
    digests: Mapping[str, str],
    arrays: Mapping[str, npt.NDArray] | None = None,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write one checkpoint, whole or not at all.

    A kill at any moment leaves the old file or the new one.

    parameters: `(count,)` float32 or float64, finite: a file with good weights is never replaced by NaN.
    arrays: any shape, real numbers or bool; infinities and NaN keep their bits.  architecture, training:
    JSON.
    Raises: CheckpointError when something cannot be stored or the file cannot be written.
    """
    vector = np.asarray(parameters)
    if vector.ndim != 1 or vector.dtype not in (np.float32, np.float64):
        raise CheckpointError(
            f"{path}: expected a flat float32 or float64 vector, got {vector.dtype} {vector.shape}"
        )
    bad = ~np.isfinite(vector)
    if bad.any():
        where = int(np.argmax(bad))
        raise CheckpointError(
            f"{path}: not saved: parameter {where} is {vector[where]}; the file there stays as it was"
        )
    tensors = {_PARAMETERS: _storable(path, _PARAMETERS, vector)}
    for name, array in (arrays or {}).items():
        tensors[_PREFIX + name] = _storable(path, name, np.asarray(array))
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "dtype": str(tensors[_PARAMETERS].dtype),
        "architecture": _json(architecture, "architecture", path),
        "digests": _json(digests, "digests", path),
        "training": _json(training or {}, "training", path),
    }
    metadata["sha256"] = _checksum(metadata, tensors)
    write_atomically(path, _in_order(format_tensors(tensors, metadata)), CheckpointError)


def load(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint that `save` wrote.

    Raises: CheckpointError with one line when the file is unreadable, truncated, damaged (its checksum
    differs), from another program, or of another version.
    """
    try:
        data = read_regular(as_path(path, "checkpoint"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: expected a readable checkpoint, got: {reason(error)}") from error
    try:
        tensors = parse_tensors(data)
        metadata = _metadata(data)
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected a safetensors file, got a truncated, damaged or other one: {reason(error)}"
        ) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path}: expected a file that phiz saved, got a safetensors file of another program"
        )
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"{path}: expected checkpoint version {VERSION}, got {metadata.get('version')!r}"
        )
    if metadata.get("sha256") != _checksum(metadata, tensors):
        raise CheckpointError(
            f"{path}: the content does not have the checksum that was saved with it: damaged"
        )
    return _checked(path, metadata, tensors)


def _checked(
    path: str | os.PathLike[str], metadata: dict[str, str], tensors: dict[str, npt.NDArray]
) -> Checkpoint:
    """Check the content of a file, whose checksum is no seal: a file made by hand can have one."""
    documents = {}
    for name in _FIELDS:
        try:
            documents[name] = json.loads(metadata[name])
        except (KeyError, ValueError, RecursionError) as error:
            raise CheckpointError(
                f"{path}: expected JSON in {name!r} of the metadata, got: {reason(error)}"
            ) from error
        if not isinstance(documents[name], dict):
            raise CheckpointError(
                f"{path}: expected a JSON object in {name!r} of the metadata, got another value"
            )
    if not all(isinstance(digest, str) for digest in documents["digests"].values()):
        raise CheckpointError(f"{path}: expected digests that are text")
    # Copies: what the parser returns are read-only views into the whole file's bytes.
    arrays = {
        name.removeprefix(_PREFIX): array.copy()
        for name, array in tensors.items()
        if name.startswith(_PREFIX)
    }
    parameters = tensors.get(_PARAMETERS)
    if parameters is None or parameters.ndim != 1 or parameters.dtype not in (np.float32, np.float64):
        raise CheckpointError(f"{path}: expected a flat float32 or float64 array {_PARAMETERS!r}")
    if not np.isfinite(parameters).all():
        raise CheckpointError(f"{path}: expected finite parameters, got NaN or infinity")
    return Checkpoint(Path(path), parameters.copy(), arrays=arrays, **documents)


def _storable(path: str | os.PathLike[str], name: str, array: npt.NDArray) -> npt.NDArray:
    native = array.astype(array.dtype.newbyteorder("="), order="C", copy=False)
    if str(native.dtype) not in _STORED:
        raise CheckpointError(f"{path}: expected numbers in array {name!r}, got dtype {array.dtype}")
    return native


def _in_order(data: bytes) -> bytes:
    """The same file with its metadata sorted.

    The library writes them in a random order, and equal runs give equal files.
    """
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the arrays stay aligned
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def _metadata(data: bytes) -> dict[str, str]:
    """The text entries of a header that the parser has found valid: its length in 8 bytes, then JSON."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    return header.get("__metadata__") or {}


def _checksum(metadata: Mapping[str, str], tensors: Mapping[str, npt.NDArray]) -> str:
    """SHA-256 over every metadata entry but itself and every array with its name, dtype and shape, in
    sorted order.
    """
    digest = hashlib.sha256()
    for name in sorted(metadata):
        if name != "sha256":
            digest.update(json.dumps([name, metadata[name]]).encode())
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(json.dumps([name, str(array.dtype), list(array.shape)]).encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _json(value: Mapping[str, Any], name: str, path: str | os.PathLike[str]) -> str:
    try:
        return json.dumps(dict(value), sort_keys=True)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected JSON in {name!r}, got: {reason(error)}") from error


def _difference(saved: Any, wanted: Any, place: str) -> str | None:
    """The first place where two JSON values differ, with both values, or None."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        keys = [*wanted, *(key for key in saved if key not in wanted)]
        pairs = ((saved.get(key, "nothing"), wanted.get(key, "nothing"), f"{place}.{key}") for key in keys)
    elif isinstance(saved, list) and isinstance(wanted, list):
        if len(saved) != len(wanted):
            return f"{place}: the file has {len(saved)} entries, the network {len(wanted)}"
        pairs = (
            (one, other, f"{place}[{index}]")
            for index, (one, other) in enumerate(zip(saved, wanted, strict=True))
        )
    else:
        same = type(saved) is type(wanted) and saved == wanted
        return None if same else f"{place}: the file has {_brief(saved)}, the network {_brief(wanted)}"
    return next((found for pair in pairs if (found := _difference(*pair))), None)


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _short(digest: str | None) -> str:
    return "none" if digest is None else digest[:12]

"""The state of a run as a file: written whole or not at all, read without executing anything."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..files import require_replaceable

_FORMAT = "phiz-optimizer-1"


def save_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Writes arrays, numbers and strings to `path` (NumPy's .npz) through a temporary file beside it."""
    require_replaceable(path)
    target = Path(path)
    arrays: dict[str, Any] = {key: np.asarray(value) for key, value in state.items()}
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=target.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez(file, format=np.array(_FORMAT), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_state` wrote; scalars come back as Python values.

    Raises CheckpointError for any other file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise CheckpointError(f"{path}: expected a saved optimizer state, there is no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise CheckpointError(
            f"{path}: expected a saved optimizer state, the file is damaged ({error})"
        ) from None
    found = str(arrays.pop("format", "another format"))
    if found != _FORMAT:
        raise CheckpointError(f"{path}: expected {_FORMAT}, got {found}")
    return {key: value.item() if value.ndim == 0 else value for key, value in arrays.items()}

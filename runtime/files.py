"""Files that are whole or absent: written under a temporary name, flushed to the disk, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from .errors import PhizError


def reason(error: BaseException) -> str:
    """The cause of `error` as one short line: an OS error's text without its path, else its message's first line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def write_atomically(path: str | os.PathLike[str], data: bytes, error: type[PhizError] = PhizError) -> None:
    """Write `data` to `path` whole or not at all.

    A reader, or a kill, sees either the old file or the whole new one.

    The temporary file lies in the same folder (a rename across file systems is not atomic).  The folder must exist.

    Raises: `error` with one line when the file cannot be written; the file that was there before is then unchanged.
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
    try:
        _write_and_rename(temporary, target, data)
    except OSError as cause:
        raise error(f"{path}: cannot be written: {reason(cause)}") from cause


def _write_and_rename(temporary: Path, target: Path, data: bytes) -> None:
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
    except BaseException:  # Ctrl-C as well: no temporary file stays behind
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _flush_folder(target.parent)


def _flush_folder(folder: Path) -> None:
    """Make the rename itself durable; where a folder cannot be opened (Windows) the rename stands without it."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

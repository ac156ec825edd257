"""Writes files whole or not at all, under a temporary name; reads regular files and nothing else."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path
from typing import Any, BinaryIO

from .errors import PhizError


def reason(error: BaseException) -> str:
    """The cause of `error` as one short line: an OS error's text without its path, else its message's
    first line.
    """
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def as_path(given: Any, what: str) -> Path:
    """A path of text or of an object that stands for one.  Raises: PhizError for anything else."""
    try:
        return Path(given)
    except TypeError:
        raise PhizError(f"{what}: expected a path, got {type(given).__name__}") from None


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; a name that no file can have is not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFSOCK: "a socket",
}


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading, behind a link too; never waits, as opening a pipe would.

    Raises: OSError that says what it is instead: a folder, a named pipe, a device, a socket.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a name that no file can have
        raise OSError(errno.EINVAL, str(error), os.fspath(path)) from None
    _require_regular(mode, path)  # a device that is only opened may act on it
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _require_regular(os.fstat(descriptor).st_mode, path)  # it may have been replaced meanwhile
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Read all bytes of a regular file.  Raises: OSError as `open_regular`."""
    with open_regular(path) as stream:
        return stream.read()


def require_replaceable(path: str | os.PathLike[str]) -> None:
    """Raise OSError where ``path`` is there and is no regular file, which a renamed file would replace."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return
    _require_regular(mode, path)


def _require_regular(mode: int, path: str | os.PathLike[str]) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory, not a file", os.fspath(path))
    if not stat.S_ISREG(mode):
        what = _KINDS.get(stat.S_IFMT(mode), "something special")
        raise OSError(errno.EINVAL, f"{what}, not a regular file", os.fspath(path))


def write_atomically(path: str | os.PathLike[str], data: bytes, error: type[PhizError] = PhizError) -> None:
    """Write `data` to `path` whole or not at all.

    A reader, or a kill, sees either the old file or the whole new one.

    The temporary file lies in the same folder (a rename across file systems is not atomic).  The folder must
    exist.

    A device, a pipe or a socket is refused, never replaced by a file.

    Raises: `error` with one line when the file cannot be written; the file that was there before is then
    unchanged.
    """
    target = Path(os.path.realpath(path))
    try:
        require_replaceable(path)
        temporary = target.with_name(f".{target.name[:100]}.{secrets.token_hex(6)}.tmp")
        _write_and_rename(temporary, target, data)
    except (OSError, ValueError) as cause:
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
    """Make the rename itself durable; where a folder cannot be opened (Windows) the rename stands
    without it.
    """
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

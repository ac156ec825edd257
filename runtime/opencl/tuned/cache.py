"""The user's tuning cache: one JSON file, whole or absent, that any number of processes may write at once.

It lies in the user's cache folder (``platformdirs``), or in the folder that ``PHIZ_CACHE`` names.  A file
that cannot be read as one of ours is ignored with one warning, and replaced by the next that is written.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import platformdirs

from ...errors import PhizError
from ...files import reason, write_atomically
from .record import Entry, entry_from, entry_record

log = logging.getLogger(__name__)

FORMAT, VERSION = "phiz tuning", 1
MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RecursionError)

_warned: set[str] = set()


def cache_folder() -> Path:
    """Where phiz keeps what it can find out again."""
    return Path(os.environ.get("PHIZ_CACHE") or platformdirs.user_cache_dir("phiz"))


class Cache:
    """The entries of one file, by key.  ``path``: by default the user's."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or cache_folder() / "tuning.json"
        self._stamp: tuple[int, int] | None = None
        self._entries: dict[str, Entry] = {}

    def entries(self) -> Mapping[str, Entry]:
        """All that is known; read again where the file has changed."""
        try:
            state = self.path.stat()
        except OSError:
            self._stamp, self._entries = None, {}
            return self._entries
        stamp = (state.st_mtime_ns, state.st_size)
        if stamp != self._stamp:
            self._entries, self._stamp = self._read(), stamp
        return self._entries

    def store(self, new: Mapping[str, Entry], replace: bool = False) -> None:
        """Add entries to those of the file; what others wrote meanwhile stays.

        ``replace``: drop older searches of the same key.

        Raises PhizError where the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhizError(
                f"{self.path.parent}: cannot be made: {reason(error)}; set PHIZ_CACHE to another folder"
            ) from error
        with _locked(self.path.with_name(f".{self.path.name}.lock")):
            entries = self._read() if self.path.exists() else {}
            for key, entry in new.items():
                entries[key] = entry if replace or key not in entries else entry.merged(entries[key])
            write_atomically(self.path, encoded(entries))
            self._entries, self._stamp = entries, None

    def _read(self) -> dict[str, Entry]:
        try:
            found, malformed = decoded(self.path.read_bytes())
        except OSError as error:
            return self._ignored(reason(error))
        except MALFORMED as error:
            return self._ignored(str(error).splitlines()[0] if str(error) else type(error).__name__)
        if malformed:
            self._warn(f"{malformed} malformed entries are ignored; the next phiz tune replaces them")
        return found

    def _ignored(self, why: str) -> dict[str, Entry]:
        self._warn(f"is no tuning cache ({why}) and is ignored; the next phiz tune replaces it")
        return {}

    def _warn(self, message: str) -> None:
        if str(self.path) not in _warned:
            _warned.add(str(self.path))
            log.warning("%s: %s", self.path, message)


def encoded(entries: Mapping[str, Entry], **header: Any) -> bytes:
    """A file of entries, keys sorted; ``header`` are further fields."""
    records = {key: entry_record(entries[key]) for key in sorted(entries)}
    return (
        json.dumps({"format": FORMAT, "version": VERSION, **header, "entries": records}, indent=1) + "\n"
    ).encode()


def decoded(data: bytes) -> tuple[dict[str, Entry], int]:
    """The entries of a file, and how many were malformed; one of ``MALFORMED`` where it is no file of
    ours.
    """
    record = json.loads(data)
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError("its format is another")
    if record.get("version") != VERSION:
        raise ValueError(f"version {record.get('version')!r}, this phiz reads version {VERSION}")
    found: dict[str, Entry] = {}
    malformed = 0
    for key, entry in record["entries"].items():
        try:
            found[str(key)] = entry_from(entry)
        except MALFORMED:
            malformed += 1
    return found, malformed


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that holds it."""
    with open(path, "a+b") as stream:
        if sys.platform == "win32":
            import msvcrt

            stream.seek(0)
            msvcrt.locking(stream.fileno(), msvcrt.LK_LOCK, 1)
            try:
                yield
            finally:
                stream.seek(0)
                msvcrt.locking(stream.fileno(), msvcrt.LK_UNLCK, 1)
        else:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX)
            yield

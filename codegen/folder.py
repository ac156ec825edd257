"""Writing a generated folder, and comparing it with what would be generated now."""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import platformdirs

MANIFEST = "manifest.json"


def existing(folder: Path, expected: Iterable[str] = ()) -> dict[str, str]:
    """The generated files that ``folder`` holds now, by relative path: those its manifest lists, and those in
    ``expected``.

    Anything else in the folder is not ours and is left alone.
    """
    paths = {MANIFEST, *expected, *_listed(folder / MANIFEST)}
    return {p: (folder / p).read_text(encoding="utf-8") for p in sorted(paths) if (folder / p).is_file()}


def _listed(manifest: Path) -> set[str]:
    if not manifest.is_file():
        return set()
    try:
        files = json.loads(manifest.read_text(encoding="utf-8"))["files"]
        return {p for p in files if _is_plain(p)}
    except (ValueError, KeyError, TypeError):
        return set()  # a damaged manifest lists nothing, and is overwritten


def _is_plain(path: str) -> bool:
    parts = Path(path).parts
    return not Path(path).is_absolute() and ".." not in parts and len(parts) <= 2


def difference(folder: Path, files: Mapping[str, str]) -> list[str]:
    """A unified diff from ``folder`` to ``files``; empty when they agree.  Orphans count as differences."""
    now = existing(folder, files)
    lines: list[str] = []
    for path in sorted(set(now) | set(files)):
        old, new = now.get(path), files.get(path)
        if old == new:
            continue
        if new is None:
            lines.append(f"{path}: is no longer generated")
            continue
        before = [] if old is None else old.splitlines()
        after = new.splitlines()
        lines.extend(
            difflib.unified_diff(
                before, after, f"{folder / path}", f"{path} (generated now)", lineterm="", n=2
            )
        )
    return lines


def write(folder: Path, files: Mapping[str, str]) -> list[str]:
    """Write changed files and delete orphans; returns the paths that changed.

    Each file is written to a temporary name and renamed, the manifest last, so that a folder with a valid
    manifest is whole.  Raises OSError where the folder cannot be written.
    """
    _sweep(folder)
    now = existing(folder, files)
    changed = [p for p in files if now.get(p) != files[p]]
    for path in sorted(changed, key=lambda p: (p == MANIFEST, p)):
        _replace(folder / path, files[path])
    orphans = sorted(set(now) - set(files))
    for path in orphans:
        (folder / path).unlink()
    if MANIFEST in files:
        _vouch(files[MANIFEST])
    return sorted([*changed, *orphans])


def _vouch(manifest: str) -> None:
    """Notes in the user's own list that a manifest, which has the digests of all files, was generated here.

    The runtime, which reads the list, runs no other folder unasked.  Without a place for the list, it asks.
    """
    own = Path(os.environ.get("PHIZ_CACHE") or platformdirs.user_cache_dir("phiz")) / "generated"
    with contextlib.suppress(OSError):
        own.mkdir(parents=True, exist_ok=True)
        (own / hashlib.sha256(manifest.encode()).hexdigest()).touch(mode=0o600)


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file, and not replaced by one", str(path))
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _sweep(folder: Path) -> None:
    """Deletes the temporary files of processes that were killed while they wrote."""
    for path in (*folder.glob(".*.tmp"), *folder.glob("*/.*.tmp")):
        owner = path.name.split(".")[-2]
        if owner.isdecimal() and not _runs(int(owner)):
            path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        return True
    return True

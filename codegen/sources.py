"""The files that generated code comes from, and their digests, which the manifest records.

A digest is of a file's text, comments included, so that comparing a hundred files takes milliseconds.  Where
only comments changed, ``phiz generate`` writes the manifest again and nothing else.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

#: Which files of which rooms decide what is generated.
ROOMS = {"derive": ("*.py",), "codegen": ("*.py", "*.mako")}
HOME = Path(__file__).resolve().parent.parent


def text_digest(data: bytes) -> str:
    """The SHA-256 of a text, the same for either kind of line ends."""
    return hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()


def generator_digests(home: Path = HOME) -> dict[str, str]:
    """The digest of every file of the rooms in ``home``, by its path from there."""
    paths = {path for room, names in ROOMS.items() for name in names for path in (home / room).rglob(name)}
    return {path.relative_to(home).as_posix(): text_digest(path.read_bytes()) for path in sorted(paths)}


def definition_digests(files: Iterable[str | Path], folder: Path) -> dict[str, str]:
    """The digests of definition files by their paths from ``folder``, which is generated from them."""
    return {
        Path(os.path.relpath(path, folder.resolve())).as_posix(): text_digest(path.read_bytes())
        for path in (Path(file).resolve() for file in files)
    }

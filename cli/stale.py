"""Says that a generated folder is older than the files that it was generated from.

The manifest has their digests; they are compared by path, and nothing that derives or generates is imported.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..runtime.errors import ManifestError
from ..runtime.files import read_regular
from ..runtime.manifest.loading import builtin_path

MOST_NAMES = 2
HOME = Path(__file__).resolve().parent.parent


def say_stale(folders: Iterable[str | Path] = (), builtin_too: bool = True) -> bool:
    """Prints a line on stderr for each folder that is stale; returns whether there is one."""
    lines = [line for path in (*([builtin_path()] if builtin_too else []), *folders) if (line := stale(path))]
    for line in lines:
        print(f"phiz: {line}", file=sys.stderr)
    return bool(lines)


def stale(folder: str | Path) -> str:
    """What changed since ``folder`` was generated, in one line; "" where nothing did.

    A folder that cannot be read is not judged: whoever loads it says why.
    """
    root = Path(folder)
    try:
        manifest = json.loads(read_regular(root / "manifest.json"))
    except (OSError, ValueError, RecursionError):
        return ""
    if not isinstance(manifest, dict):
        return ""
    own, definitions = _recorded(manifest, "sources"), _recorded(manifest, "definitions")
    command = f"phiz generate {' '.join(str(root / name) for name in definitions)} --out {root}"
    if _is_builtin(root):
        command = "phiz generate"
    if not own:
        return f"{root} is stale: it does not say what it was generated from; run: {command}"
    changed = [name for name, digest in own.items() if _now(HOME / name) != digest]
    changed += [name for name, digest in definitions.items() if _now(root / name) not in ("", digest)]
    if not changed:
        return ""
    more = f" and {len(changed) - MOST_NAMES} more" if len(changed) > MOST_NAMES else ""
    return (
        f"{root} is stale: {', '.join(changed[:MOST_NAMES])}{more} changed since it was generated; "
        f"run: {command}"
    )


def _is_builtin(folder: Path) -> bool:
    try:
        return folder.resolve() == builtin_path().resolve()
    except ManifestError:
        return False


def _recorded(manifest: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = manifest.get(key)
    return found if isinstance(found, dict) else {}


def _now(file: Path) -> str:
    """The digest of a text, the same for either kind of line ends; "" where the file is not there."""
    try:
        return hashlib.sha256(read_regular(file).replace(b"\r\n", b"\n")).hexdigest()
    except (OSError, ValueError):
        return ""

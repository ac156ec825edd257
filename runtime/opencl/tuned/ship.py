"""Kernel configurations that come with phiz.

They are written from what was tuned on a machine of the class that they are for.

``phiz tune --budget SECONDS --ship runtime/opencl/tuned/shipped/FILE.json`` measures the networks of
``shipped/suite.toml``, for that long each; with ``--network`` or ``--layer`` that one alone.  It adds what
wins, replaces what is measured again, and drops configurations of kernels that have changed since: run it
after the kernels changed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import PhizError
from ...files import reason, write_atomically
from ..plan.config import DEFAULT
from .cache import MALFORMED, decoded, encoded
from .identity import current, device_class, key
from .record import Entry


def ship(path: Path, entries: Iterable[Entry], device: Any) -> int:
    """Add to ``path`` those of ``entries`` that win, for the class of ``device``; returns how many the file
    then has.

    Raises PhizError where the file is there and is none of ours, or cannot be written.
    """
    where = device_class(device).record()
    known = {name: entry for name, entry in _read(path).items() if current(entry.kernel)}
    for entry in entries:
        name = key(entry.kernel, where)
        known.pop(name, None)
        if entry.config != DEFAULT:
            known[name] = replace(entry, place=where, trials=())
    write_atomically(path, encoded(known))
    return len(known)


def _read(path: Path) -> dict[str, Entry]:
    if not path.exists():
        return {}
    try:
        return decoded(path.read_bytes())[0]
    except OSError as error:
        raise PhizError(f"{path}: cannot be read: {reason(error)}") from error
    except MALFORMED as error:
        raise PhizError(f"{path}: expected shipped configurations, got: {reason(error)}") from None

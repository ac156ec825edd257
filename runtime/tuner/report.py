"""What was found, as rows of a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..opencl.tuned.identity import current
from ..opencl.tuned.record import Entry, entry_record, words


@dataclass(frozen=True)
class TunedRow:
    """One kernel: milliseconds a launch with the default and tuned, what was chosen, how many were tried and refused.

    ``samples``: about how many a launch computes, or a block of a fused pass.

    ``outdated``: the kernel's text or the defaults have changed since, so that the entry is not used.
    """

    kernel: str
    sizes: str
    samples: int
    dtype: str
    default_ms: float
    ms: float
    ratio: float
    schedule: str
    tried: int
    refused: tuple[tuple[str, str, str], ...]
    complete: bool
    outdated: bool


def row(entry: Entry, name: str = "") -> TunedRow:
    """The row of an entry.

    ``name``: the kernel's in its network, else by its file.
    """
    kernel = entry.kernel
    return TunedRow(
        name or f"{kernel.get('file')}: {kernel.get('kernel')}",
        _sizes(kernel.get("sizes", {})),
        int(kernel.get("samples", 0)),
        str(kernel.get("dtype", "")),
        entry.default_seconds * 1e3,
        entry.seconds * 1e3,
        entry.ratio,
        words(entry.config),
        len(entry.trials),
        tuple((words(trial.config), trial.refused, trial.reason) for trial in entry.refused),
        entry.complete,
        not current(kernel),
    )


def _sizes(sizes: Mapping[str, Any]) -> str:
    """Sizes as a table shows them: ``I 16, J 6, X 8×8``.

    The axes of one letter stand together; 1 and 0, strides and borders that do nothing, are left out.
    """
    groups: dict[str, list[int]] = {}
    for name, value in sizes.items():
        groups.setdefault(name.rstrip("0123456789"), []).append(int(value))
    plain = {letter: values for letter, values in groups.items() if any(v > 1 for v in values) and len(letter) == 1}
    return ", ".join(f"{letter} {'×'.join(map(str, values))}" for letter, values in plain.items())


def grouped(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """The entries by device."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        where = entry.place
        found.setdefault(f"{where.get('platform')}: {where.get('cpu') or where.get('device')}", []).append(entry)
    return found


def document(entries: Iterable[tuple[str, Entry]]) -> list[dict[str, Any]]:
    """JSON form: the rows, and everything that the cache knows of each."""
    return [asdict(row(entry, name)) | {"entry": entry_record(entry)} for name, entry in entries]

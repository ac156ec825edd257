"""Reports what the tuner found, as rows of a table and as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..opencl.tuned.identity import current
from ..opencl.tuned.record import Entry, entry_record, words


@dataclass(frozen=True)
class TunedRow:
    """One tuned kernel.

    ``kernel``: its name in its network, or its file and name.
    ``sizes``: its sizes as text.
    ``samples``: about how many samples a launch computes; in a fused pass, a block.
    ``default_ms``, ``ms``: milliseconds of a launch with the default and with the chosen configuration.
    ``ratio``: the chosen configuration's time divided by the default's.
    ``configuration``: the chosen configuration in words.
    ``tried``: how many candidates were tried.
    ``refused``: the candidates that were refused: configuration, kind of refusal and reason.
    ``complete``: whether there is nothing left to try.
    ``outdated``: whether the entry is unused because the kernel's text or the defaults have changed since.
    """

    kernel: str
    sizes: str
    samples: int
    dtype: str
    default_ms: float
    ms: float
    ratio: float
    configuration: str
    tried: int
    refused: tuple[tuple[str, str, str], ...]
    complete: bool
    outdated: bool


def row(entry: Entry, name: str = "") -> TunedRow:
    """Makes the row of an entry.

    ``name``: the kernel's name in its network; if "", its file and name are shown.
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

    Axes with the same letter are joined.  Sizes of 0 and 1 are left out, such as strides and borders that do
    nothing.
    """
    groups: dict[str, list[int]] = {}
    for name, value in sizes.items():
        groups.setdefault(name.rstrip("0123456789"), []).append(int(value))
    plain = {
        letter: values for letter, values in groups.items() if any(v > 1 for v in values) and len(letter) == 1
    }
    return ", ".join(f"{letter} {'×'.join(map(str, values))}" for letter, values in plain.items())


def grouped(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
    """Groups the entries by device, a CPU's by the lanes of its vectors too."""
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        where = entry.place
        lanes = f", {where['lanes']} lanes" if where.get("lanes") else ""
        name = f"{where.get('platform')}: {where.get('cpu') or where.get('device')}{lanes}"
        found.setdefault(name, []).append(entry)
    return found


def document(entries: Iterable[tuple[str, Entry]]) -> list[dict[str, Any]]:
    """The entries as JSON: each row, and all that the cache knows about it."""
    return [asdict(row(entry, name)) | {"entry": entry_record(entry)} for name, entry in entries]

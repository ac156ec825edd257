"""The records of a sweep as JSON lines: a head, then a line for each draw, written as it ends.

A sweep that was killed goes on where it stopped: a last line that is not whole is cut off.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...runtime.errors import PhizError
from ...runtime.files import read_regular, write_atomically

Record = dict[str, Any]
#: What a sweep that goes on must share with the one that began.
SAME = ("seed", "processor", "device", "lanes", "threads", "peers")


class SweepRecords:
    """The head and the draws of a sweep; ``path`` is None where nothing is written.

    PhizError for a file that is not of the same sweep, or that cannot be read or written.
    """

    def __init__(self, path: Path | None, head: Record) -> None:
        self.path, self.head = path, head
        self.draws: dict[int, Record] = {}
        self.runs: list[Record] = []
        if path is None:
            return
        if not path.exists():
            write_atomically(path, _line({"sweep": head}))
            return
        lines, whole = read(path)
        if whole < path.stat().st_size:
            os.truncate(path, whole)
        self._take(lines)

    def _take(self, lines: list[Record]) -> None:
        """What an earlier run wrote."""
        if not lines or "sweep" not in lines[0]:
            raise PhizError(f"{self.path}: expected the records of a sweep")
        known = lines[0]["sweep"]
        for key in SAME:
            there, here = known.get(key), self.head.get(key)
            if there != here:
                raise PhizError(
                    f"{self.path}: a sweep with {key} {there!r}, expected {here!r}, or another folder"
                )
        for line in lines[1:]:
            if "draw" in line:
                self.draws[line["draw"]["number"]] = line["draw"]
            elif "run" in line:
                self.runs.append(line["run"])

    def add(self, draw: Record) -> None:
        """Keeps a draw, and writes it so that it is there after a kill."""
        self.draws[draw["number"]] = draw
        self._append({"draw": draw})

    def end(self, run: Record) -> None:
        """Keeps what is known at the end of a run: its seconds, and how busy others were."""
        self.runs.append(run)
        self._append({"run": run})

    def _append(self, record: Mapping[str, Any]) -> None:
        if self.path is None:
            return
        try:
            with open(self.path, "ab") as stream:
                stream.write(_line(record))
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise PhizError(f"{self.path}: cannot be written: {error.strerror}") from None

    @property
    def record(self) -> Record:
        """All of it, draws by their number: what reports are made from."""
        return {
            "head": self.head,
            "draws": [self.draws[number] for number in sorted(self.draws)],
            "runs": self.runs,
        }


def read(path: Path) -> tuple[list[Record], int]:
    """The whole lines of a file, and the bytes that they take; PhizError where it cannot be read."""
    try:
        data = read_regular(path)
    except OSError as error:
        raise PhizError(f"{path}: cannot be read: {error.strerror}") from None
    whole = data.rfind(b"\n") + 1
    try:
        return [json.loads(line) for line in data[:whole].splitlines()], whole
    except ValueError:
        raise PhizError(f"{path}: expected JSON lines") from None


def _line(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, ensure_ascii=False) + "\n").encode()

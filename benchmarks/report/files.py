"""The record of ``phiz bench`` on disk: Markdown, JSON and plots, each whole or absent."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ...runtime.errors import PhizError
from ...runtime.files import require_replaceable, write_atomically
from ...runtime.training.pictures import prepare_folder
from .plots import save_peers, save_roofline
from .report import Record, markdown


def check(folder: Path | None, file: Path | None) -> None:
    """PhizError, before anything is measured, where what is measured could not be written."""
    if folder is not None:
        prepare_folder(folder)
    if file is not None and not file.absolute().parent.is_dir():
        raise PhizError(f"--json {file}: its folder does not exist")


def write(record: Record, folder: Path | None, file: Path | None) -> None:
    """``bench.md``, ``bench.json``, ``peers.png`` and (with kernels) ``roofline.png`` into ``folder``;
    the JSON to ``file``.
    """
    if file is not None:
        write_json(record, file)
    if folder is None:
        return
    write_json(record, folder / "bench.json")
    write_atomically(folder / "bench.md", markdown(record, pictures=True).encode())
    if any(
        entrant["ratio"] and entrant["peer"] != "phiz"
        for case in record["cases"]
        for entrant in case["entrants"]
    ):
        save_whole(folder / "peers.png", lambda path: save_peers(record, path))
    if record.get("kernels"):
        save_whole(folder / "roofline.png", lambda path: save_roofline(record, path))


def write_json(record: Record, file: Path) -> None:
    """The whole record, whole or absent."""
    write_atomically(file, (json.dumps(record, indent=1) + "\n").encode())


def save_whole(path: Path, save: Callable[[Path], None]) -> None:
    """A picture that ``save`` draws, whole or absent."""
    require_replaceable(path)
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(6)}.png")
    try:
        save(temporary)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

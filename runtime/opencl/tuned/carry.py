"""Carries shipped configurations over to kernels whose text, names or macros changed but whose loops did not.

    python -m phiz.runtime.opencl.tuned.carry OLD NEW FILE.json ...
        [--rename KIND:OLD=NEW ...] [--defaults VERSION]

``OLD`` and ``NEW`` are generated folders; ``git worktree add`` checks out the old one.  An entry that was
measured with the text of ``OLD`` gets the digest of ``NEW``, the new names and a new key.  Older entries stay
as they are.

A kind of name is form, file, kernel, macro or size.  A kernel may be named ``file/kernel``.  Renaming a
kernel also renames its macros ``TILE_kernel_…``.  It is not checked that the loops are the same: if they are
not, measure again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import PhizError
from ...files import write_atomically
from ...manifest.loading import load_folder
from .cache import decoded, encoded
from .identity import DEFAULTS_VERSION, key
from .record import Entry

KINDS = ("form", "file", "kernel", "macro", "size")


@dataclass(frozen=True)
class Carrier:
    """Carries entries from the kernels of one generated folder to those of another.

    ``old``, ``new``: digests of the files in either folder.
    ``tiles``: the tile macros of the new kernels, by file and name of the kernel.
    ``names``: for each kind, new names by old ones.
    ``defaults``: the version of the defaults that entries must have.
    """

    old: Mapping[str, str]
    new: Mapping[str, str]
    tiles: Mapping[tuple[str, str], frozenset[str]]
    names: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    defaults: int | str = DEFAULTS_VERSION

    def carried(self, entry: Entry) -> Entry | None:
        """The entry for the new kernels; None if it was not current.

        Raises PhizError if its kernel or one of its macros no longer exists.
        """
        kernel = entry.kernel
        if (
            kernel["source"] != self.old.get(f"{kernel['form']}/{kernel['file']}.cl")
            or kernel["defaults"] != self.defaults
        ):
            return None
        form, file = self._name("form", kernel["form"]), self._name("file", kernel["file"])
        own = f"{kernel['file']}/{kernel['kernel']}"
        name = self.names.get("kernel", {}).get(own) or self._name("kernel", kernel["kernel"])
        tiles = {
            self._macro(macro, kernel["kernel"], name): size for macro, size in entry.config.tiles.items()
        }
        sizes = {self._name("size", size): value for size, value in kernel["sizes"].items()}
        source = self.new.get(f"{form}/{file}.cl")
        if source is None or (file, name) not in self.tiles or not tiles.keys() <= self.tiles[file, name]:
            raise PhizError(
                f"{own}: the new folder has no kernel {name} in {form}/{file}.cl, or not with tiles "
                f"{', '.join(tiles)}"
            )
        changed = {"form": form, "file": file, "kernel": name, "source": source, "defaults": DEFAULTS_VERSION}
        changed["sizes"] = {size: sizes[size] for size in sorted(sizes)}
        return replace(entry, kernel={**kernel, **changed}, config=replace(entry.config, tiles=tiles))

    def _name(self, kind: str, name: str) -> str:
        return self.names.get(kind, {}).get(name, name)

    def _macro(self, macro: str, old: str, new: str) -> str:
        prefix = f"TILE_{old}_"
        moved = f"TILE_{new}_{macro.removeprefix(prefix)}" if macro.startswith(prefix) else macro
        return self.names.get("macro", {}).get(macro, moved)


def carrier(
    old: Path, new: Path, names: Mapping[str, Mapping[str, str]], defaults: int | str = DEFAULTS_VERSION
) -> Carrier:
    """Makes a carrier between two folders on disk.

    Only the list of files of the old folder is read, so it may have any version.
    """
    manifest = load_folder(new, trust=True)  # its kernels are compared, and not run
    found = {layer.file: layer for layer in manifest.layers.values()} | {
        loss.file: loss for loss in manifest.losses.values()
    }
    tiles: dict[tuple[str, str], frozenset[str]] = {}
    for file, owner in found.items():
        for kernel in owner.kernels:
            tiles[file, kernel.name] = frozenset(kernel.tiles) | frozenset(
                kernel.rows.tiles if kernel.rows else ()
            )
    new_files = json.loads((new / "manifest.json").read_bytes())["files"]
    return Carrier(
        json.loads((old / "manifest.json").read_bytes())["files"], new_files, tiles, names, defaults
    )


def carry(path: Path, over: Carrier) -> tuple[int, int]:
    """Rewrites a file of shipped configurations.

    Returns how many entries were carried over, and how many stayed as they were.
    """
    entries, _ = decoded(path.read_bytes())
    moved = {name: over.carried(entry) for name, entry in entries.items()}
    current = {key(entry.kernel, entry.place): entry for entry in moved.values() if entry is not None}
    left = {name: entry for name, entry in entries.items() if moved[name] is None}
    write_atomically(path, encoded(left | current))
    return len(current), len(left)


def _rename(text: str) -> tuple[str, str, str]:
    kind, colon, names = text.partition(":")
    old, equals, new = names.partition("=")
    if kind not in KINDS or not (colon and old and equals and new):
        raise argparse.ArgumentTypeError(
            f"expected KIND:OLD=NEW with a kind of {', '.join(KINDS)}, got {text!r}"
        )
    return kind, old, new


def main(given: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit status."""
    parser = argparse.ArgumentParser(
        description="Carry shipped configurations over to kernels whose text or names changed."
    )
    parser.add_argument("old", type=Path, help="the generated folder that they were measured with")
    parser.add_argument("new", type=Path, help="the generated folder of now")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE.json")
    parser.add_argument("--rename", type=_rename, action="append", default=[], metavar="KIND:OLD=NEW")
    parser.add_argument(
        "--defaults",
        type=_version,
        default=DEFAULTS_VERSION,
        help="the version of the defaults that entries hold",
    )
    options = parser.parse_args(given)
    names: dict[str, dict[str, str]] = {kind: {} for kind in KINDS}
    for kind, old, new in options.rename:
        names[kind][old] = new
    try:
        over = carrier(options.old, options.new, names, options.defaults)
        for path in options.files:
            carried, left = carry(path, over)
            print(f"{path}: {carried} carried over, {left} were not current and stay")
    except (PhizError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _version(text: str) -> Any:
    return int(text) if text.isdecimal() else text


if __name__ == "__main__":
    sys.exit(main())

"""``phiz generate``: derives layers and emits their kernels."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

SUMMARY = "derive every layer and emit NumPy and OpenCL kernels, equations and the manifest"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz generate``."""
    parser.add_argument(
        "files", nargs="*", metavar="FILE.py", help="definition files; without one the built-in layers"
    )
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="folder to write (built-in layers: generated/)"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; exit 1 with a diff where the folder is stale"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0, or 1 when ``--check`` finds differences."""
    from ..codegen.folder import difference, write
    from ..codegen.generate import generate
    from ..codegen.sources import definition_digests
    from ..codegen.user_file import BUILT_IN, combined, load_definitions
    from ..runtime.errors import PhizError

    started = time.perf_counter()
    if arguments.files and arguments.out is None:
        raise PhizError("phiz generate FILE.py needs --out DIR: the folder to write the user's layers to")
    definitions = combined(load_definitions(arguments.files))[0] if arguments.files else BUILT_IN
    folder = (
        arguments.out if arguments.out is not None else Path(__file__).resolve().parent.parent / "generated"
    )
    files = generate(
        definitions.families, definitions.activations, definitions.losses,
        definition_digests(arguments.files, folder),
    ).files  # fmt: skip
    if arguments.check:
        lines = difference(folder, files)
        print("\n".join(lines) if lines else f"{folder}: up to date ({len(files)} files)")
        return 1 if lines else 0
    try:
        changed = write(folder, files)
    except OSError as error:
        raise PhizError(f"{folder}: cannot be written: {error.strerror or error}") from error
    for path in changed:
        print(path)
    print(
        f"{len(files)} files, {len(changed)} changed, {time.perf_counter() - started:.1f} s", file=sys.stderr
    )
    return 0

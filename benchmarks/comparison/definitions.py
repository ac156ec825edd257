"""Kernels for the tests' definitions, which phiz does not come with, generated for a measurement."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def generate_into(folder: Path, files: Sequence[Path]) -> None:
    """Writes the generated folder of all layers that ``files`` define."""
    from ...codegen.folder import write
    from ...codegen.generate import generate
    from ...codegen.user_file import combined, load_definitions

    found = combined(load_definitions(files))[0]
    write(folder, generate(found.families, found.activations, found.losses).files)

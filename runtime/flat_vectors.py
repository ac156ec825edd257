"""The two flat vectors of a program, its parameters and their gradient, and where each parameter lies in them."""

from __future__ import annotations

from collections.abc import Mapping

from .program import Program

PARAMETERS, GRADIENT = "parameters", "gradient"

#: Key of a tensor that is a part of a vector -> the vector's key, and the part.
Parts = Mapping[str, tuple[str, slice]]


def parts_of_vectors(program: Program) -> Parts:
    """Every parameter and its gradient."""
    found = {}
    for piece in program.parameters:
        part = slice(piece.offset, piece.stop)
        found[f"{piece.layer}:{piece.name}"] = PARAMETERS, part
        found[f"{piece.layer}:gradient_{piece.name}"] = GRADIENT, part
    return found

"""The two flat vectors of a program, its parameters and their gradient, and where each parameter lies
in them.
"""

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
        found[piece.key()] = PARAMETERS, piece.part
        found[piece.key("sum")] = GRADIENT, piece.part
    return found

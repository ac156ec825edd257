"""Random definitions, derived and printed, and what is wrong with their NumPy kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from ..derive.fuzz.draw import drawn_definition
from ..derive.ir import IRError
from ..derive.language.layer import Family
from ..derive.pipeline import derive_definition
from ..derive.symbols.errors import DefinitionError
from .generate import generate
from .reference.comparison import differences
from .reference.printer import numpy_source
from .user_file import BUILT_IN

#: Random shapes of a definition: one of ordinary values, one of ties, one of saturated values.
SHAPES = 3


@dataclass(frozen=True)
class Tried:
    """A definition file and what came of it.

    * ``refused``: why it cannot be derived, in the words that a user would read.
    * ``problems``: kernels that do not give what the definition says.
    """

    text: str
    refused: str = ""
    problems: tuple[str, ...] = ()


def tried(text: str, random: Random, shapes: int = SHAPES) -> Tried:
    """Derive the layers of a definition file, and hold every NumPy kernel against the definition."""
    problems: list[str] = []
    try:
        for family in families_of(text):
            for options in family.variants():
                derivation = derive_definition(family, options)
                printed = numpy_source(derivation.kernels, derivation.tensors, {})
                problems += map(str, differences(derivation, printed, random, shapes))
    except (DefinitionError, IRError) as error:
        return Tried(text, refused=" ".join(str(error).split()))
    except Exception as error:  # whatever it is, it is what was looked for
        problems.append(f"{type(error).__name__}: {error}")
    return Tried(text, problems=tuple(problems))


def drawn(seed: int, number: int, name: str = "drawn", small: bool = False) -> tuple[str, Random]:
    """The text of random definition ``number`` of ``seed``, and what draws its shapes."""
    random = Random(f"{seed} {number}")
    return drawn_definition(random, name, small), random


def families_of(text: str) -> list[Family]:
    """The layers of a definition file that is text."""
    names: dict[str, object] = {}
    exec(compile(text, "<drawn>", "exec"), names)
    return [family for family in names.values() if isinstance(family, Family)]


def files_of(texts: Sequence[str]) -> dict[str, str]:
    """The generated files of several definition files together, with the linear activation and no loss."""
    families = [family for text in texts for family in families_of(text)]
    return generate(families, BUILT_IN.activations[:1], ()).files

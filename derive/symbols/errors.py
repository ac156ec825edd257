"""Errors of the definition language."""

from __future__ import annotations


class DefinitionError(ValueError):
    """A layer, activation or loss that the language refuses; the message names it and says why."""

    def __str__(self) -> str:
        text = super().__str__()
        return " ".join(text.split()) if "\n" in text else text

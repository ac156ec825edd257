"""Errors of the definition language."""

from __future__ import annotations


class DefinitionError(ValueError):
    """A layer, activation or loss that the language refuses; the message names it and says why."""

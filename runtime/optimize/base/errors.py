"""Errors of the optimizers that a user can cause."""

from __future__ import annotations

from ...errors import PhizError


class OptionError(PhizError):
    """An option, method or objective that does not fit; the message names what was expected and what came."""


class MemoryRefusedError(PhizError):
    """A method that needs more memory than there is; the message gives both figures."""

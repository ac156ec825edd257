"""Errors that a user can cause, and that tell the user what to do about them."""

from __future__ import annotations


class PhizError(Exception):
    """Base of every user-facing error: one line that says what was expected and what came."""

    def __str__(self) -> str:
        text = super().__str__()
        return " ".join(text.split()) if "\n" in text else text


class ShapeError(PhizError):
    """Shapes, sizes or connections that do not fit the layer that is named in the message."""


class DataError(PhizError):
    """A data file or array that cannot be used: truncated, of another format, NaN, out of range."""


class ManifestError(PhizError):
    """A generated folder that is missing, of another version, or edited after it was generated."""


class DeviceError(PhizError):
    """No OpenCL platform or device, or a capability that the device lacks."""


class NotFiniteError(PhizError):
    """NaN or infinity; the message names the layer and tensor where it first appeared."""


class CheckpointError(PhizError):
    """A saved file that is damaged or belongs to another network."""

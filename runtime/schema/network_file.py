"""The types of a network's record: as a file states it, and as weights hold it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

Shape = int | list[int | list[int]]


class NetworkFile(Struct, forbid_unknown_fields=True):
    """A network in JSON or TOML."""

    layers: list[dict[str, Any]]
    name: str | None = None
    format: int | None = None
    dtype: str | None = None
    input_shape: Shape | None = None
    loss: str | None = None


class ArchitectureRecord(Struct, forbid_unknown_fields=True):
    """What ``Network.architecture`` writes."""

    format: int
    input_shape: Shape
    layers: list[dict[str, Any]]
    loss: str
    dtype: str

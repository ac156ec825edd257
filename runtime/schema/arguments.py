"""Types of arguments that Python programs pass, and of the entries of a layer, wherever they come from."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

#: No size of a layer is larger, nor smaller than its negative: kernels count with 32 bits.
LARGEST = 2**31 - 1

Whole = Annotated[int, Meta(ge=-LARGEST, le=LARGEST)]
Size = Whole | float | str | None
Sizes = list[Whole | float | list[Whole | float] | None]
Ids = str | list[Whole | list[Whole]]
Connections = str | list[list[Whole]] | dict[str, Ids | dict[str, list[Whole]]] | None
Sharing = Ids | dict[str, Ids] | None


class LayerEntry(Struct):
    """What every layer may be given; its sizes and options are ``Keywords``."""

    layer: str
    activation: str = "linear"
    name: str | None = None
    connections: Connections = None
    sharing: Sharing = None
    initial: dict[str, dict[str, str | float]] = {}


Keywords = dict[str, bool | Size | Sizes]


class NetworkArguments(Struct):
    """Arguments of ``Network`` beside its layers."""

    loss: str
    dtype: str
    seed: Annotated[int, Meta(ge=0)]
    micro_batch: Annotated[int, Meta(ge=1, le=LARGEST)] | None
    device: str | None


class MinimizeArguments(Struct):
    """Arguments of ``minimize`` that are plain values."""

    state_file: str | None
    save_every: Annotated[int, Meta(ge=0)]
    resume: bool
    keep_errors: bool
    memory_limit: float | None


class Folders(Struct):
    """Paths of generated folders."""

    manifests: list[str]


class SettingsArguments(Struct):
    """Fields of ``Settings`` that are plain values."""

    optimizer: str
    line_search: str | None
    epochs: Whole | None
    batch: Whole | None
    rate: float | None
    schedule: str | None
    momentum: float | None
    alpha: float
    patience: Whole | None
    until: float | None
    time_limit: float | None
    seed: int
    options: dict[str, bool | int | float | str | None]


class JobArguments(Struct):
    """Fields of ``TrainingJob`` beside its settings."""

    data: str
    network: str | None
    dtype: str
    device: str | None
    seed: int
    test: float
    validation: float
    target: str | None
    task: str | None
    classes: Whole | list[str] | None
    manifests: str | list[str]
    out: str
    overwrite: bool
    trust: bool


class DataArguments(Struct):
    """Arguments of those who read data and draw its parts."""

    source: str
    target: str | None = None
    test: float = 0.0
    validation: float = 0.0
    seed: Annotated[int, Meta(ge=0, lt=2**32)] | None = None

"""The types of what a checkpoint says of its training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

Share = Annotated[float, Meta(ge=0, le=1)]
Scalar = bool | int | float | str | None


class EpochRecord(Struct, forbid_unknown_fields=True):
    """One epoch."""

    number: int
    loss: float
    accuracy: Share | None = None
    validation_loss: float | None = None
    validation_accuracy: Share | None = None
    seconds: float = 0.0
    evaluations: int = 0
    rate: float | None = None


class HistoryRecord(Struct, forbid_unknown_fields=True):
    """All epochs."""

    epochs: list[EpochRecord]
    about: dict[str, str] = {}
    unit: str = "epoch"
    stopped: str = ""


class SourceRecord(Struct, forbid_unknown_fields=True):
    """What data were read from."""

    samples: int
    digest: str
    columns: list[str] = []
    target: str = ""
    header: bool = False
    array: str = ""


class DataRecord(Struct, forbid_unknown_fields=True):
    """What the samples were."""

    name: str
    task: Literal["classification", "regression"]
    classes: list[str]
    digest: str
    read: SourceRecord | None = None
    source: str | None = None
    seed: int = 0
    test: float = 0.25
    validation: float = 0.0
    target: str | None = None
    sample_shape: list[int] = []


class TrainingRecord(Struct, forbid_unknown_fields=True):
    """All that resuming needs beside arrays."""

    state: dict[str, Scalar]
    history: HistoryRecord
    early_stop: dict[str, Scalar]
    settings: dict[str, Any]
    data: DataRecord

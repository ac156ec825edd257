"""Saved weights on data: what a trained network is worth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from ..data.datasets import Dataset
from ..data.split import draw, load_whole
from ..errors import DataError, PhizError
from ..manifest.loading import load_manifest
from ..network.network import Network
from . import training_file
from .checkpoint import Checkpoint
from .evaluation_set import EvaluationSet, Score
from .trained_on import TrainedOn, differences

Which = Literal["train", "validation", "test", "all"]


@dataclass(frozen=True)
class Evaluation:
    """A score, and of what: ``data`` is the source, ``part`` which of its samples.

    note: where the source is the one of the training, how it has changed since, or that this cannot be told.
    """

    score: Score
    data: str
    part: Which
    network: Network
    note: str = ""


def evaluate(
    file: str | os.PathLike[str],
    data: str | None = None,
    part: Which | None = None,
    *,
    backend: str = "auto",
    device: str | None = None,
    target: str | None = None,
    manifests: Sequence[str] = (),
    trust: bool = False,
) -> Evaluation:
    """The score of the weights in ``file``, in the dtype that they were trained in.

    data: what to evaluate on; None for the built-in data set that it was trained on (a path must be named).
    part: by default the test samples of the data of the training, drawn again as then, and all samples of
    other data.  A table has its columns brought into the order of the training by name, and is put in the
    standard units of its samples.
    Raises: CheckpointError, DataError or ShapeError in one line where file, definitions and data do not fit
    together; so too where a part is to be drawn from data that are not those of the training: it would hold
    samples trained on.
    """
    if part is not None and not (isinstance(part, str) and part in get_args(Which)):
        raise PhizError(f"part: expected one of {', '.join(get_args(Which))}, got {part!r}")
    checkpoint, saved = training_file.load(file)
    known = TrainedOn.of(file, saved.data)
    source = known.source_to_open(file) if data is None else data
    kernels = load_manifest(manifests, trust=trust)
    network = _network(checkpoint, backend=backend, device=device, manifests=kernels)
    whole, held_out = _read(source, known, target, checkpoint.dtype)
    if whole.sample_shape != network.input_shape.axes:
        raise DataError(
            f"{source}: samples of shape {whole.sample_shape}, {file} was trained on "
            f"{network.input_shape.axes}"
        )
    own = known.is_at(source) or (known.read is not None and known.read == whole.source)
    chosen: Which = part or ("test" if own else "all")
    note = _compared(
        file, source, known, whole, own, drawn=chosen != "all" and not (chosen == "test" and held_out)
    )
    samples = _samples(source, chosen, known, whole, held_out)
    samples = samples if saved.scaling is None else saved.scaling.apply(samples)
    return Evaluation(
        EvaluationSet(network, samples, saved.scaling).score(network.parameters),
        source,
        chosen,
        network,
        note,
    )


def _network(saved: Checkpoint, **options: Any) -> Network:
    network = Network.from_architecture(saved.architecture, dtype=saved.dtype, **options)
    saved.require(network.architecture(), network.digests, network.parameter_count)
    network.parameters = saved.parameters
    return network


def _read(source: str, known: TrainedOn, target: str | None, dtype: str) -> tuple[Dataset, Dataset | None]:
    whole, held_out = load_whole(
        source, dtype, target=known.target_for(target), task=known.task, classes=known.classes or None
    )  # fmt: skip
    if known.read is None:
        return whole, held_out
    return whole.arranged(known.read.columns), None if held_out is None else held_out.arranged(
        known.read.columns
    )


def _compared(
    file: str | os.PathLike[str], source: str, known: TrainedOn, whole: Dataset, own: bool, drawn: bool
) -> str:
    """Note how data that should be those of the training differ.

    Raises: DataError where a part is drawn from others.
    """
    if known.read is None:
        return f"nothing can be compared: {file} does not say what its data were" if own else ""
    found = differences(known.read, known.classes, whole)
    if drawn and whole.source is not None and whole.source.digest != known.read.digest:
        raise DataError(
            f"{source}: not the samples that {file} was trained on: {found}; no part can be drawn from "
            "them that is free of "
            "training samples; --part all takes all of them"
        )
    return f"{source} changed since the training: {found}" if found and own else ""


def _samples(source: str, part: Which, known: TrainedOn, whole: Dataset, held_out: Dataset | None) -> Dataset:
    if part == "all":
        return whole if held_out is None else _joined(whole, held_out)
    split = draw(whole, held_out, test=known.test, validation=known.validation, seed=known.seed)
    found: Dataset | None = getattr(split, part)
    if found is None:
        raise DataError(f"{source}: has no {part} samples, the network was trained without")
    return found


def _joined(one: Dataset, other: Dataset) -> Dataset:
    inputs, targets = np.concatenate([one.inputs, other.inputs]), np.concatenate([one.targets, other.targets])
    labels = (
        None if one.labels is None or other.labels is None else np.concatenate([one.labels, other.labels])
    )
    return replace(one, inputs=inputs, targets=targets, labels=labels)

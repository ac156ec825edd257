"""Saved weights on data: what a trained network is worth."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..data.datasets import Dataset, load
from ..data.scaling import Scaling
from ..data.split import load_split
from ..errors import CheckpointError, DataError, PhizError
from ..network.network import Network
from . import training_file
from .evaluation_set import EvaluationSet, Score

Which = Literal["train", "validation", "test", "all"]


@dataclass(frozen=True)
class Evaluation:
    """A score, and of what: ``data`` is the source, ``part`` which of its samples."""

    score: Score
    data: str
    part: Which
    network: Network


def evaluate(
    file: str | os.PathLike[str],
    data: str | None = None,
    part: Which | None = None,
    *,
    backend: str = "auto",
    device: str | None = None,
    target: str | None = None,
    manifests: Sequence[str] = (),
) -> Evaluation:
    """The score of the weights in ``file``, in the dtype that they were trained in.

    data: None for what it was trained on, and then ``part`` is its test samples, drawn again as for training.  Of other
    data all samples are taken, in the standard units of the training samples where these were a table.
    Raises: CheckpointError, DataError or ShapeError in one line where file, definitions and data do not fit together.
    """
    if part is not None and part not in get_args(Which):
        raise PhizError(f"part: expected one of {', '.join(get_args(Which))}, got {part!r}")
    checkpoint, saved = training_file.load(file)
    network = Network.from_architecture(
        checkpoint.architecture, backend=backend, device=device, manifests=manifests, dtype=checkpoint.dtype
    )  # fmt: skip
    checkpoint.require(network.architecture(), network.digests, network.parameter_count)
    network.parameters = checkpoint.parameters
    known = saved.data
    source = str(known.get("source")) if data is None else data
    if data is None and "source" not in known:
        raise CheckpointError(f"{file}: does not say what it was trained on, name the data")
    chosen: Which = part or ("test" if source == known.get("source") else "all")
    samples = _samples(source, chosen, known, target, checkpoint.dtype, saved.scaling)
    if samples.sample_shape != network.input_shape.axes:
        raise DataError(f"{source}: samples of shape {samples.sample_shape}, {file} was trained on {network.input_shape.axes}")
    return Evaluation(EvaluationSet(network, samples, saved.scaling).score(network.parameters), source, chosen, network)


def _samples(
    source: str, part: Which, known: Mapping[str, Any], target: str | None, dtype: str, scaling: Scaling | None
) -> Dataset:  # fmt: skip
    target = known.get("target") if target is None else target
    classes = [str(name) for name in known["classes"]] or None
    task = known["task"]
    if part == "all":
        samples = load(source, dtype, target=target, task=task, classes=classes)
        return samples if scaling is None else scaling.apply(samples)
    fractions = {"test": float(known.get("test", 0.25)), "validation": float(known.get("validation", 0.0))}
    split = load_split(
        source, dtype, int(known.get("seed", 0)), target=target, task=task, classes=classes, **fractions
    )  # fmt: skip
    found: Dataset | None = getattr(split, part)
    if found is None:
        raise DataError(f"{source}: has no {part} samples, the network was trained without")
    return found

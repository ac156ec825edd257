"""A whole training run from names and paths: data, network, settings, and the folder that it leaves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.datasets import Task
from ..data.split import Split, load_split
from ..errors import CheckpointError, PhizError
from ..network.architectures import architecture, default_network
from ..network.network import Network
from . import pictures
from .settings import Settings
from .train import Observer, Outcome, train
from .trained_on import SEEDS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recipe:
    """What ``phiz train`` is told.

    data: a source of ``datasets.load``; target, task, classes as there.  network: a name or file of ``architectures``,
    None for the one that fits the data.  test, validation: fractions of the samples.  backend, dtype, device: of
    ``Network``; manifests: generated folders on top of the built-in one.  out: the folder for weights and pictures.
    seed: of the split, the initial parameters and the mini-batches.
    """

    data: str = "digits"
    network: str | None = None
    settings: Settings = field(default_factory=Settings)
    backend: str = "auto"
    dtype: str = "float32"
    device: str | None = None
    seed: int = 0
    test: float = 0.25
    validation: float = 0.1
    target: str | None = None
    task: Task | None = None
    classes: int | None = None
    manifests: Sequence[str] = ()
    out: str = "runs/latest"


@dataclass(frozen=True)
class Trained:
    """What a recipe gave; files: the paths that were written."""

    network: Network
    outcome: Outcome
    files: tuple[Path, ...]


def carry_out(recipe: Recipe, resume: bool = False, observer: Observer | None = None) -> Trained:
    """Train, and leave weights, history and pictures in ``recipe.out``.  Raises: PhizError."""
    if not 0 <= recipe.seed < SEEDS:
        raise PhizError(f"seed: expected 0 to {SEEDS - 1}, got {recipe.seed}")
    folder = pictures.prepare_folder(recipe.out)
    file = folder / pictures.WEIGHTS
    if resume and not file.exists():
        raise CheckpointError(f"{file}: there is no run to resume")
    parts = load_split(
        recipe.data, recipe.dtype, recipe.seed, test=recipe.test, validation=recipe.validation,
        target=recipe.target, task=recipe.task, classes=recipe.classes,
    )  # fmt: skip
    settings = replace(recipe.settings, seed=recipe.seed).resolved(len(parts.train))
    network, name = _network(recipe, parts, settings)
    about = {
        "network": name, "data": recipe.data, "optimizer": settings.optimizer, "backend": network.backend.name,
        "device": network.backend.describe(), "dtype": recipe.dtype, "seed": str(recipe.seed),
    }  # fmt: skip
    log.info("%s", parts.train.describe(recipe.data))  # behind all that could still be refused, in one line
    log.info(
        "%s: %d parameters, %d training samples%s, %s on %s", name, network.parameter_count, len(parts.train),
        "" if parts.validation is None else f" and {len(parts.validation)} for validation", recipe.dtype, about["device"],
    )  # fmt: skip
    source = {
        "source": str(recipe.data), "seed": recipe.seed, "test": recipe.test, "validation": recipe.validation,
        "target": recipe.target, "sample_shape": list(parts.train.sample_shape),
    }  # fmt: skip
    outcome = train(network, parts, settings, file=file, resume=resume, about=about, data=source, observer=observer)
    written = pictures.write(folder, network, outcome.history)
    return Trained(network, outcome, tuple([file] if file.exists() else []) + tuple(written))


def _network(recipe: Recipe, parts: Split, settings: Settings) -> tuple[Network, str]:
    chosen = architecture(recipe.network or default_network(parts.train), parts.train)
    # One micro-batch size for training and scoring: on OpenCL every size means kernels of its own.
    network = Network(
        chosen.layers, chosen.input_shape, chosen.loss, recipe.backend, recipe.dtype, recipe.seed, recipe.manifests,
        micro_batch=settings.batch or None, device=recipe.device,
    )  # fmt: skip
    return network, chosen.name

"""A whole training run from names and paths: data, network, settings, and the folder that it leaves."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..data.datasets import Task
from ..data.split import Split, load_split
from ..errors import CheckpointError, PhizError
from ..manifest.loading import load_manifest
from ..network.architectures import architecture, default_network
from ..network.network import Network
from ..schema.check import checked
from . import pictures, training_file
from .settings import Settings
from .train import Observer, Outcome, train
from .trained_on import SEEDS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingJob:
    """What ``phiz train`` is told.

    data: a source of ``datasets.load``.
    target, task, classes: as there.
    network: a name or file of ``architectures``, None for the one that fits the data.
    test, validation: fractions of the samples.
    backend, dtype, device: of ``Network``.
    manifests: generated folders on top of the built-in one.
    out: the folder for weights and pictures.
    seed: of the split, the initial parameters and the mini-batches.
    overwrite: whether an interrupted run in ``out`` may be lost.
    trust: of ``load_manifest``.
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
    overwrite: bool = False
    trust: bool = False


@dataclass(frozen=True)
class Trained:
    """What a job gave; files: the paths that were written."""

    network: Network
    outcome: Outcome
    files: tuple[Path, ...]


def run(job: TrainingJob, resume: bool = False, observer: Observer | None = None) -> Trained:
    """Train, and leave weights, history and pictures in ``job.out``.  Raises: PhizError."""
    from ..schema.arguments import JobArguments

    if not isinstance(job.settings, Settings):
        raise PhizError(f"settings: expected Settings, got {type(job.settings).__name__}")
    given = {key: value for key, value in vars(job).items() if key != "settings"}
    found = checked(given, JobArguments, "job")
    job = replace(job, **{name: getattr(found, name) for name in ("seed", "test", "validation", "classes")})
    if not 0 <= job.seed < SEEDS:
        raise PhizError(f"seed: expected 0 to {SEEDS - 1}, got {job.seed}")
    folder = pictures.prepare_folder(job.out)
    file = folder / pictures.WEIGHTS
    if resume and not file.exists():
        raise CheckpointError(f"{file}: there is no run to resume")
    if not resume and not job.overwrite:
        _refuse_to_lose(file)
    parts = load_split(
        job.data, job.dtype, job.seed, test=job.test, validation=job.validation,
        target=job.target, task=job.task, classes=job.classes,
    )  # fmt: skip
    settings = replace(job.settings, seed=job.seed).resolved(len(parts.train))
    settings.method(len(parts.train))  # an option that it lacks is refused before anything is said
    settings.rules(len(parts.train))
    network, name = _network(job, parts, settings)
    about = {
        "network": name, "data": job.data, "optimizer": settings.optimizer, "backend": network.backend.name,
        "device": network.backend.describe(), "dtype": job.dtype, "seed": str(job.seed),
    }  # fmt: skip
    log.info("%s", parts.train.describe(job.data))  # behind all that could still be refused, in one line
    log.info(
        "%s: %d parameters, %d training samples%s, %s on %s",
        name,
        network.parameter_count,
        len(parts.train),
        "" if parts.validation is None else f" and {len(parts.validation)} for validation",
        job.dtype,
        about["device"],
    )
    source = {
        "source": str(job.data), "seed": job.seed, "test": job.test, "validation": job.validation,
        "target": job.target, "sample_shape": list(parts.train.sample_shape),
    }  # fmt: skip
    outcome = train(
        network, parts, settings, file=file, resume=resume, about=about, data=source, observer=observer
    )
    written = pictures.write(folder, network, outcome.history)
    return Trained(network, outcome, tuple([file] if file.exists() else []) + tuple(written))


def _refuse_to_lose(file: Path) -> None:
    """Raise CheckpointError where ``file`` holds a run that was interrupted: nobody asked to lose it."""
    if not file.is_file():
        return
    try:
        _, saved = training_file.load(file)
    except CheckpointError as error:
        log.info("%s is overwritten: %s", file, error)
        return
    if saved.history.stopped in ("", "interrupted"):
        epochs = saved.history.epochs[-1].number if saved.history.epochs else 0
        raise CheckpointError(
            f"{file}: an interrupted run of {epochs} {saved.history.unit}s lies there: --resume goes on "
            "with it, --overwrite loses it"
        )


def _network(job: TrainingJob, parts: Split, settings: Settings) -> tuple[Network, str]:
    chosen = architecture(job.network or default_network(parts.train), parts.train)
    # One micro-batch size for training and scoring: on OpenCL every size means kernels of its own.
    network = Network(
        chosen.layers, chosen.input_shape, chosen.loss, job.backend, job.dtype, job.seed,
        load_manifest(job.manifests, trust=job.trust),
        micro_batch=settings.batch or None, device=job.device,
    )  # fmt: skip
    return network, chosen.name

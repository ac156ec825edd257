"""``phiz verify``: every kernel of a generated folder against differences, against itself, and backend
against backend.

Layers are drawn in random legal configurations, losses with every activation that they admit, activations at
random points. A seed and a number of cases always give the same configurations.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import DeviceError, ManifestError, PhizError
from ..manifest.folder import Folder
from ..manifest.loading import builtin, builtin_path, load_folder, require_trust
from ..manifest.reading import parse
from ..manifest.records import Manifest
from ..nearest import did_you_mean
from .borders import activation_border, not_finite_anywhere
from .definition import LINEAR, DefinitionCheck, Oracle, opencl_backend
from .layer import LayerCheck
from .loss import HeadCheck, PairCheck, activation_rows
from .random_configuration import random_configuration
from .verdict import CheckRow, Report, RowLabels, concatenated

if TYPE_CHECKING:
    from ..opencl.backend import OpenCLBackend

Backends = Literal["numpy", "opencl", "all"]
BACKENDS = ("numpy", "opencl", "all")
MOST_CASES = 1_000_000
#: (units, samples) of the losses' checks, and the one of them that OpenCL runs too: all its kernels are built
#: for it.
LOSS_SIZES = ((1, 1), (2, 4), (3, 5), (7, 9))
LOSS_SIZE_OPENCL = (3, 5)
#: Layers that a quick run builds for OpenCL: a kernel takes a tenth of a second.
QUICK_LAYERS = 2
#: How often a configuration is drawn again whose stages are not finite.
REDRAWN = 20


@dataclass(frozen=True)
class Task:
    """One configuration, named by the seed and number that draw it."""

    kind: Literal["layer", "head", "loss", "activation"]
    name: str
    case: int = 0
    activation: str = LINEAR
    lower: str = LINEAR
    loss: str = ""


@dataclass(frozen=True)
class Known:
    """What the caller knows of a folder.

    ``oracle``: its definitions, which forward kernels are held against, so that a wrong one is named.
    ``trust``: whether it may run although the user did not generate it, see ``load_folder``.
    """

    oracle: Oracle | None = None
    trust: bool = False


@dataclass(frozen=True)
class Setting:
    """What all tasks of a run share; read again in every process."""

    folder: Path
    backend: Backends
    seed: int
    known: Known


def verify(
    names: Sequence[str] = (),
    folder: str | Path | None = None,
    backend: Backends = "all",
    cases: int = 20,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    known: Known | None = None,
) -> Report:
    """Check layers (families or variants), losses and activations by name; everything where ``names`` is
    empty.

    ``folder``: a generated folder (default: the built-in kernels).
    ``cases``: random configurations per family, shared out evenly among its variants, or per variant where a
    variant is named.
    ``workers``: processes.
    ``progress(done, all)``: called after every configuration.
    ``known``: what the caller knows of the folder.

    A file that was edited after it was generated is checked as it is, and its digest is a failure of its own.

    Raises PhizError for an unknown name, ManifestError for an unreadable folder, DeviceError without OpenCL
    (or its float64).
    """
    started = time.perf_counter()
    if not 1 <= cases <= MOST_CASES:
        raise PhizError(f"cases = {cases}, expected 1 to {MOST_CASES}")
    if backend not in BACKENDS:
        raise PhizError(f"unknown backend {backend!r}, expected numpy, opencl or all")
    known = known or Known()
    setting = Setting(Path(folder) if folder is not None else builtin_path(), backend, seed, known)
    opened.cache_clear()  # the folder may have changed since the last run
    manifest, edited = opened(setting.folder, setting.known.trust)
    tasks = plan(manifest, names, cases)
    if backend != "numpy":
        for dtype in ("float64", "float32"):
            opencl_backend().require(dtype)
    found = _pooled(setting, tasks, workers, progress) if workers > 1 else _in_turn(setting, tasks, progress)
    changed = [
        RowLabels(name, "", "", "").error("", "", "was edited after it was generated; run: phiz generate")
        for name in edited
    ]
    return Report((*changed, *concatenated(found)), seed, time.perf_counter() - started)


def verify_quickly(
    folder: str | Path | None = None,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    known: Known | None = None,
) -> Report:
    """Check everything in seconds: every variant once with NumPy, and a few drawn by ``seed`` with OpenCL.

    Raises what ``verify`` raises; without OpenCL, NumPy's part is all.
    """
    trust = known is not None and known.trust
    manifest, _ = opened(Path(folder) if folder is not None else builtin_path(), trust)
    report = verify((), folder, "numpy", 1, seed, workers, progress, known)
    small = sorted(manifest.layers, key=lambda name: len(manifest.layers[name].kernels))
    chosen = np.random.default_rng(seed).permutation(small[: len(small) // 2 + 1])[:QUICK_LAYERS]
    try:
        further = verify([str(n) for n in chosen], folder, "opencl", 1, seed, workers, progress, known)
    except DeviceError:
        return report
    return Report((*report.rows, *further.rows), seed, report.seconds + further.seconds)


# ------------------------------------------------------------------------------------------------- the folder
@lru_cache(maxsize=8)
def opened(path: Path, trust: bool = False) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest of a folder, and the files that differ from what it says of them."""
    try:
        return load_folder(path, trust), ()
    except ManifestError:
        try:
            content = (path / "manifest.json").read_bytes()
            require_trust(path, content, trust)
            data = json.loads(content)
            digests = {
                str(name): hashlib.sha256((path / name).read_bytes()).hexdigest() for name in data["files"]
            }
            edited = tuple(name for name, digest in digests.items() if digest != data["files"][name])
            manifest = parse(data, Folder(path, digests))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, PhizError):
            edited = ()
        if not edited:
            raise
        return manifest, edited


# --------------------------------------------------------------------------------------------------- the plan
def plan(manifest: Manifest, names: Sequence[str], cases: int) -> list[Task]:
    """What is checked, in order."""
    known = {*manifest.families, *manifest.layers, *manifest.losses, *manifest.activations}
    unknown = [name for name in names if name not in known]
    if unknown:
        near = did_you_mean(unknown[0], known)
        raise PhizError(f"unknown layer {unknown[0]!r}, known are {', '.join(manifest.families)}{near}")
    tasks: list[Task] = []
    for name in names or (*manifest.activations, *manifest.losses, *manifest.families):
        if name in manifest.families or name in manifest.layers:
            tasks += _layer_tasks(manifest, name, cases)
        elif name in manifest.losses:
            tasks += [Task("loss", name, case) for case in range(len(LOSS_SIZES))]
        else:
            tasks.append(Task("activation", name))
            tasks += _inside_layers(manifest, name, cases) if names else []
    return list(dict.fromkeys(tasks))


def _layer_tasks(manifest: Manifest, name: str, cases: int) -> Iterator[Task]:
    variants = [info for info in manifest.layers.values() if name in (info.family, info.name)]
    activations = tuple(manifest.activations)
    start = zlib.crc32(name.encode())
    each = math.ceil(cases / len(variants))
    for number, info in enumerate(variants):
        for case in range(each):
            turn = number * each + case
            own = activations[(start + turn) % len(activations)]
            lower = activations[(start // 7 + 2 * turn + turn // len(activations)) % len(activations)]
            yield Task("layer", info.name, case, own, lower)
        for loss in info.heads:
            for case in range(min(each, 3)):
                yield Task("head", info.name, case, loss=loss)


def _inside_layers(manifest: Manifest, activation: str, cases: int) -> Iterator[Task]:
    """A named activation around the folder's smallest layer (else a built-in one), and in every loss."""
    layers = manifest.layers or builtin().layers
    infos = sorted(layers.values(), key=lambda info: (not info.parameters, len(info.kernels)))
    for case in range(cases if infos else 0):
        yield Task("layer", infos[0].name, case, activation, activation)
    for loss in manifest.losses:
        for case in range(len(LOSS_SIZES)):
            yield Task("loss", loss, case)


# ------------------------------------------------------------------------------------------------ the running
def perform(setting: Setting, task: Task) -> list[CheckRow]:
    """The rows of one task."""
    with np.errstate(all="ignore"):  # a NaN is judged, not warned of
        return _perform(setting, task)


def _perform(setting: Setting, task: Task) -> list[CheckRow]:
    manifest, _ = opened(setting.folder, setting.known.trust)
    key = zlib.crc32(f"{task.kind} {task.name} {task.loss}".encode())
    generator = np.random.default_rng([setting.seed, key, task.case])
    opencl = opencl_backend() if setting.backend != "numpy" else None
    numpy = setting.backend != "opencl"
    if task.kind == "activation":
        activation = manifest.activation(task.name)
        return [*activation_rows(activation, generator), activation_border(activation)] if numpy else []
    if task.kind == "loss":
        return _loss_rows(manifest, task, generator, opencl, numpy)
    if task.name not in manifest.layers:  # an activation of a folder that has no layers
        manifest = manifest.over(builtin())
    info = manifest.layers[task.name]
    lower = manifest.activation(task.lower)
    configuration = random_configuration(manifest, info, task.activation, task.lower, generator)
    if task.kind == "head":
        head = HeadCheck(configuration, manifest.loss(task.loss), manifest.activation(LINEAR), generator)
        return list(head.rows(opencl, numpy))
    check = LayerCheck(configuration, lower, generator, opencl, numpy)
    empty: list[CheckRow] = []
    for _ in range(REDRAWN):
        if not check.undefined:
            break
        empty = [not_finite_anywhere(configuration.layer, str(configuration))]
        configuration = random_configuration(manifest, info, task.activation, task.lower, generator)
        check = LayerCheck(configuration, lower, generator, opencl, numpy)
    found = [*empty, *check.rows()]
    if setting.known.oracle is not None:
        found += _against_definition(check, setting.known.oracle)
    return found


def _against_definition(check: LayerCheck, oracle: Oracle) -> list[CheckRow]:
    """The forward kernels of one configuration against its definition, in float64, at the check's point."""
    steps, about = check.placed("float64")
    return list(DefinitionCheck(check.configuration.layer, oracle, about).rows(steps))


def _loss_rows(
    manifest: Manifest, task: Task, generator: np.random.Generator, opencl: OpenCLBackend | None, numpy: bool
) -> list[CheckRow]:
    units, samples = LOSS_SIZES[task.case]
    loss, plain = manifest.loss(task.name), manifest.activation(LINEAR)
    device = opencl if (units, samples) == LOSS_SIZE_OPENCL else None
    rows: list[CheckRow] = []
    for name in loss.pairs:
        check = PairCheck(loss, manifest.activation(name), plain, units, samples, generator)
        rows += check.rows(device, numpy)
    return rows


def _in_turn(
    setting: Setting, tasks: Sequence[Task], progress: Callable[[int, int], None] | None
) -> list[list[CheckRow]]:
    found = []
    for number, task in enumerate(tasks):
        found.append(perform(setting, task))
        if progress is not None:
            progress(number + 1, len(tasks))
    return found


def _pooled(
    setting: Setting, tasks: Sequence[Task], workers: int, progress: Callable[[int, int], None] | None
) -> list[list[CheckRow]]:
    """Processes, because building kernels takes nearly all of the time and does not run in threads."""
    with ProcessPoolExecutor(min(workers, max(1, len(tasks))), mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(perform, setting, task) for task in tasks]
        try:
            for done, future in enumerate(as_completed(futures)):
                future.result()
                if progress is not None:
                    progress(done + 1, len(tasks))
        except BrokenProcessPool:
            left = [
                task.name
                for task, future in zip(tasks, futures, strict=True)
                if future.cancelled() or future.exception()
            ]
            raise PhizError(
                f"a process ended abruptly while checking {' or '.join(dict.fromkeys(left[:workers]))} "
                "(an OpenCL driver may abort on a kernel); try: --backend numpy"
            ) from None
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


__all__ = ["BACKENDS", "CheckRow", "Report", "Task", "verify"]

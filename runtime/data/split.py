"""Seeded splits into training, validation and test samples, stratified by class; tables standardised
without leaks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..schema.check import checked
from .datasets import Dataset, Task, has_test_part, load
from .labels import Classes
from .scaling import Scaling
from .source import digest_of_parts


@dataclass(frozen=True, eq=False)
class Split:
    """Disjoint parts of one data set; validation and test are None where their fraction was 0.

    scaling: what was applied to all three, None when nothing was.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    scaling: Scaling | None = None

    def standardised(self) -> Split:
        """All parts in the standard units of the training part; images, which are no table, stay as
        they are.
        """
        if not self.train.tabular or self.scaling is not None:
            return self
        scaling = Scaling.of(self.train)
        validation, test = (
            None if part is None else scaling.apply(part) for part in (self.validation, self.test)
        )
        return Split(scaling.apply(self.train), validation, test, scaling)


def split(data: Dataset, *, test: float = 0.25, validation: float = 0.0, seed: int = 0) -> Split:
    """Parts of `round(test·N)` and `round(validation·N)` samples, the rest for training, drawn with `seed`.

    test, validation: fractions of all N samples, each in [0, 1), together below 1; 0 leaves that part out.
    Classes keep their proportions in every part (scikit-learn's stratified draw).  The same seed gives the
    same samples.

    Raises: DataError when a fraction is out of range or leaves a part without samples, or when a class has
    too few samples to appear in every part.
    """
    sizes = {"test": _size(data, "test", test), "validation": _size(data, "validation", validation)}
    if test + validation >= 1 or sum(sizes.values()) >= len(data):
        raise DataError(
            f"{data.name}: expected samples left for training, got test {test:g} and validation "
            f"{validation:g} "
            f"of {len(data)} samples"
        )
    rest = np.arange(len(data))
    parts: dict[str, Dataset | None] = {}
    for name, size in sizes.items():
        rest, drawn = _draw(data, rest, size, name, seed)
        parts[name] = data.subset(drawn) if size else None
    return Split(data.subset(rest), parts["validation"], parts["test"])


def load_split(
    source: str | os.PathLike[str],
    dtype: npt.DTypeLike = np.float32,
    seed: int = 0,
    *,
    test: float = 0.25,
    validation: float = 0.0,
    target: str | None = None,
    task: Task | None = None,
    classes: Classes = None,
) -> Split:
    """`load` and `split` in one, tables standardised: what training wants.

    A source that says itself which samples are for testing (an MNIST folder, an NPZ file with `x_test`) keeps
    them as the test part, and `test` is not used; validation is then a fraction of its training part.
    Raises: DataError.
    """
    from ..schema.arguments import DataArguments

    given = {"source": source, "target": target, "test": test, "validation": validation, "seed": seed}
    found = checked(given, DataArguments, "data", DataError)
    test, validation, seed = found.test, found.validation, found.seed or 0
    data, held_out = load_whole(source, dtype, target=target, task=task, classes=classes)
    return draw(data, held_out, test=test, validation=validation, seed=seed).standardised()


def draw(data: Dataset, held_out: Dataset | None, *, test: float, validation: float, seed: int) -> Split:
    """Draw the parts of what `load_whole` gave: `held_out` is the test part where there is one.

    Raises: DataError.
    """
    if held_out is None:
        return split(data, test=test, validation=validation, seed=seed)
    return replace(split(data, test=0, validation=validation, seed=seed), test=held_out)


def load_whole(
    source: str | os.PathLike[str],
    dtype: npt.DTypeLike = np.float32,
    *,
    target: str | None = None,
    task: Task | None = None,
    classes: Classes = None,
) -> tuple[Dataset, Dataset | None]:
    """Load a source, with the test samples apart where it names them itself; both know the whole source.

    Raises: DataError.
    """
    if not has_test_part(source):
        return load(source, dtype, target=target, task=task, classes=classes), None
    train = load(source, dtype, target=target, task=task, classes=classes, part="train")
    known = train.classes if train.task == "classification" else None
    held_out = load(source, dtype, target=target, task=train.task, classes=known, part="test")
    if held_out.sample_shape != train.sample_shape:
        raise DataError(
            f"{held_out.name}: expected samples {train.sample_shape} as for training, got "
            f"{held_out.sample_shape}"
        )
    assert train.source is not None and held_out.source is not None
    digest = digest_of_parts((train.source.digest, held_out.source.digest))
    whole = replace(train.source, samples=len(train) + len(held_out), digest=digest)
    return replace(train, source=whole), replace(held_out, source=whole)


def _size(data: Dataset, name: str, fraction: float) -> int:
    if not 0 <= fraction < 1:
        raise DataError(f"{data.name}: expected a {name} fraction in [0, 1), got {fraction}")
    size = round(fraction * len(data))
    if fraction > 0 and size == 0:
        raise DataError(
            f"{data.name}: expected a {name} sample or more, got 0 from {fraction:g} of {len(data)} samples"
        )
    return size


def _draw(
    data: Dataset, samples: npt.NDArray[np.int64], size: int, name: str, seed: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`(rest, drawn)`: `size` of the given samples drawn, both shuffled."""
    if size == 0:
        return np.random.default_rng(seed).permutation(samples), samples[:0]
    from sklearn.model_selection import train_test_split

    labels = None if data.labels is None else data.labels[samples]
    if labels is not None:
        _refuse_rare(data, labels, size, name)
    rest, drawn = train_test_split(samples, test_size=size, random_state=seed, stratify=labels)
    return rest, drawn


def _refuse_rare(data: Dataset, labels: npt.NDArray[np.int64], size: int, name: str) -> None:
    present, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        rare = data.classes[present[int(np.argmin(counts))]]
        raise DataError(
            f"{data.name}: expected two samples or more of class {rare!r} to draw the {name} part, got one"
        )
    if min(size, labels.size - size) < present.size:
        raise DataError(
            f"{data.name}: expected {present.size} samples or more, one a class, in the {name} part and "
            "beside it, "
            f"got {size} and {labels.size - size}"
        )

"""Data sets: checked arrays of samples and targets, from scikit-learn's bundled data or from the user's
files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..files import as_path, exists, open_regular, reason
from ..nearest import did_you_mean
from . import idx, tables
from .labels import Classes, named, numbered, one_hot
from .numbers import as_array
from .source import Source, describe, digest_of_arrays, digest_of_table, listing

Task = Literal["classification", "regression"]
DatasetPart = Literal["train", "test"]

BUILT_IN = ("digits", "diabetes", "breast-cancer")
MOST_GUESSED_CLASSES = 100
"""Whole numbers with more distinct values than this are taken for quantities, unless the task is given."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples with targets, checked once here so that nothing downstream has to.

    name: where it came from.
    inputs: `(N, maps, coordinates...)` or `(N, features)`, float32 or float64, finite.
    targets: `(N, k)` of the same dtype, finite; one-hot for a classification.
    labels: `(N,)` int64 in 0..k-1, None for a regression.
    classes: the k names, empty for a regression.
    dtype: of the run, None for that of the inputs.  A table stays in float64, whatever the run's dtype, until
    it was centred (`Scaling.apply`) or reaches a network (`cast`).
    source: what all of it was read from.

    Raises: DataError for 0 samples, shapes or dtypes that do not fit, NaN or infinity, labels out of range.
    """

    name: str
    inputs: npt.NDArray[np.floating]
    targets: npt.NDArray[np.floating]
    labels: npt.NDArray[np.int64] | None
    task: Task
    classes: tuple[str, ...] = ()
    dtype: np.dtype | None = None
    source: Source | None = None

    def __post_init__(self) -> None:
        _check_task(self.task, self.name)
        if any(np.ma.isMaskedArray(array) for array in (self.inputs, self.targets)):
            raise DataError(
                f"{self.name}: expected arrays of numbers, got a masked one: fill it, or leave out what "
                "is masked"
            )
        if len(self.inputs) == 0:
            raise DataError(f"{self.name}: expected at least one sample, got 0")
        if self.inputs.ndim < 2 or 0 in self.inputs.shape:
            raise DataError(
                f"{self.name}: expected inputs (N, maps, coordinates...), got shape {self.inputs.shape}"
            )
        if self.targets.ndim != 2 or len(self.targets) != len(self.inputs) or self.targets.shape[1] == 0:
            raise DataError(
                f"{self.name}: expected targets ({len(self.inputs)}, k), got shape {self.targets.shape}"
            )
        _float_dtype(self.inputs.dtype, self.name)
        if self.targets.dtype != self.inputs.dtype:
            raise DataError(f"{self.name}: expected targets of {self.inputs.dtype}, got {self.targets.dtype}")
        tables.check_finite(self.inputs, f"{self.name}: inputs")
        tables.check_finite(self.targets, f"{self.name}: targets")
        self._check_labels()

    def _check_labels(self) -> None:
        if self.task == "regression":
            if self.labels is not None or self.classes:
                raise DataError(f"{self.name}: expected no labels and no classes for a regression")
            return
        count = self.targets.shape[1]
        if self.labels is None or self.labels.shape != (len(self.inputs),):
            got = "none" if self.labels is None else f"shape {self.labels.shape}"
            raise DataError(
                f"{self.name}: expected labels ({len(self.inputs)},) for a classification, got {got}"
            )
        if len(self.classes) != count:
            raise DataError(
                f"{self.name}: expected {count} class names, one for each target, got {len(self.classes)}"
            )
        if self.labels.min() < 0 or self.labels.max() >= count:
            bad = int(np.argmax((self.labels < 0) | (self.labels >= count)))
            raise DataError(
                f"{self.name}: expected labels in 0..{count - 1}, got {self.labels[bad]} at sample {bad}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def sample_shape(self) -> tuple[int, ...]:
        """`(maps, coordinates...)` or `(features,)`."""
        return self.inputs.shape[1:]

    @property
    def tabular(self) -> bool:
        """Whether a sample is a list of features of different kinds, which is standardised before
        training.
        """
        return self.inputs.ndim == 2

    @property
    def columns(self) -> tuple[str, ...]:
        """Name the features of a table, in order; empty for arrays."""
        return () if self.source is None else self.source.columns

    @property
    def target(self) -> str:
        """Give the name of the target column or array; empty for arrays in memory."""
        return "" if self.source is None else self.source.target

    def describe(self, place: str | None = None) -> str:
        """Say in one line what was read: samples, columns, target and task; `place` stands for the name."""
        source = self.source or Source(len(self), "")
        return describe(place or self.name, source, self.sample_shape, self.classes, self.targets.shape[1])

    def arranged(self, columns: Sequence[str]) -> Dataset:
        """Put the features of a table in the order of these names; itself where either gives none.

        Raises: DataError naming the columns that are missing, and those that are too many.
        """
        if self.source is None or not columns or not self.columns or self.columns == tuple(columns):
            return self
        problem = _other_columns(columns, self.columns)
        if problem:
            header = "" if self.source.header else " (it has no header)"
            raise DataError(
                f"{self.name}: expected the columns {listing(columns)} as in training; {problem}{header}"
            )
        order = [self.columns.index(name) for name in columns]
        return replace(
            self, inputs=self.inputs[:, order], source=replace(self.source, columns=tuple(columns))
        )

    def cast(self, dtype: npt.DTypeLike | None = None) -> Dataset:
        """Bring the samples into `dtype`, by default the run's; itself where they have it.

        Raises: DataError naming the first number that overflows there.
        """
        wanted = next((one for one in (dtype, self.dtype) if one is not None), self.inputs.dtype)
        chosen = _float_dtype(wanted, self.name)
        if chosen == self.inputs.dtype:
            return self
        inputs = _cast(self.inputs, chosen, f"{self.name}: inputs")
        return replace(
            self, inputs=inputs, targets=_cast(self.targets, chosen, f"{self.name}: targets"), dtype=chosen
        )

    def subset(self, samples: npt.ArrayLike) -> Dataset:
        """The samples at the given indices, copied, in that order."""
        chosen = np.asarray(samples, dtype=np.int64)
        labels = None if self.labels is None else self.labels[chosen]
        return replace(self, inputs=self.inputs[chosen], targets=self.targets[chosen], labels=labels)


def _other_columns(expected: Sequence[str], there: Sequence[str]) -> str:
    """What keeps the columns that are there from being put in the expected order; "" where nothing does."""
    missing = [name for name in expected if name not in there]
    more = [name for name in there if name not in expected]
    found = "; ".join(
        f"{what} {listing(names)}" for what, names in (("missing", missing), ("additional", more)) if names
    )
    twice = len(there) != len(set(there)) or len(expected) != len(there)
    return found or ("a name stands above more than one column" if twice else "")


def load(
    source: str | os.PathLike[str],
    dtype: npt.DTypeLike = np.float32,
    seed: int | None = None,
    *,
    target: str | None = None,
    task: Task | None = None,
    classes: Classes = None,
    part: DatasetPart | None = None,
) -> Dataset:
    """A built-in data set by name, or a file or folder by what it holds.

    source: "digits" (1797 images (1, 8, 8), pixels 0..16 divided by 16), "diabetes" (442 patients, 10
    features, regression), "breast-cancer" (569 tumours, 30 features, 2 classes); a folder of IDX files or one
    of its files; an `.npz` file; a `.csv`, `.tsv`, `.data` or `.txt` table.  A file is told by its first
    bytes, a table by its name.
    dtype: float32 or float64, of the run: images have it at once, tables once they are standardised or cast.
    seed: shuffles the samples; None keeps the order of the source.
    target: name of the target column or array.
    task: overrides the guess (text, and whole numbers of at most
    100 distinct values, are classes; a float array of an NPZ file is a regression, unless its rows are
    one-hot).
    classes: their number or their names; labels must then be among them.
    part: of a source that has several.

    Images of bytes (IDX, and uint8 arrays of rank 3 or more) are divided by 255; `(N, h, w)` images become
    `(N, 1, h, w)`.  Tables stay in their units: `runtime.data.split` standardises them with the statistics of
    the training part alone.

    Raises: DataError with one line that names the file, what was expected and what came.
    """
    path = as_path(source, "data")
    float_dtype = _float_dtype(dtype, str(path))
    _check_task(task, str(path))
    data = _load(source, float_dtype, target, task, classes, part)
    return data if seed is None else data.subset(np.random.default_rng(seed).permutation(len(data)))


def has_test_part(source: str | os.PathLike[str]) -> bool:
    """Whether the source itself says which samples are for testing, as MNIST does.

    Raises: DataError as `load`.
    """
    path = as_path(source, "data")
    if str(source) in BUILT_IN or not exists(path):
        return False
    if path.is_dir():
        return {"train", "test"} <= {pair.part for pair in idx.find_pairs(path)}
    return _is_npz(path) and all(tables.npz_has_part(path, part) for part in get_args(DatasetPart))


def _load(
    source: str | os.PathLike[str],
    dtype: np.dtype,
    target: str | None,
    task: Task | None,
    classes: Classes,
    part: DatasetPart | None,
) -> Dataset:
    path = Path(source)
    if str(source) in BUILT_IN:
        if target is not None:
            raise DataError(f"{source}: its targets are known, target {target!r} has no effect")
        return _agreeing(_built_in(str(source), dtype), task, classes)
    if not exists(path):
        raise DataError(
            f"{source}: expected one of {', '.join(BUILT_IN)}, or an existing file or folder"
            f"{did_you_mean(source, BUILT_IN)}"
        )
    images = path.is_dir() or (not _is_npz(path) and (idx.is_idx_name(path.name) or idx.is_idx(path)))
    if images and target is not None:
        raise DataError(
            f"{source}: images in IDX files have one array of labels, target {target!r} has no effect"
        )
    if path.is_dir():
        return _from_pair(_choose_pair(path, part), dtype, classes)
    if _is_npz(path):
        return _from_npz(path, dtype, target, task, classes, part)
    if images:
        return _from_pair(_pair_of(path), dtype, classes)
    if path.suffix.lower() in (".csv", ".tsv", ".data", ".txt"):
        return _from_csv(path, dtype, target, task, classes)
    raise DataError(
        f"{source}: expected IDX (by its first bytes), .npz, .csv, .tsv, .data or .txt, got another format"
    )


def _from_npz(
    path: Path,
    dtype: np.dtype,
    target: str | None,
    task: Task | None,
    classes: Classes,
    part: DatasetPart | None,
) -> Dataset:
    table = tables.read_npz(path, target, part)
    data = from_arrays(table.inputs, table.targets, dtype, task=task, classes=classes, name=str(path))
    assert data.source is not None
    return replace(data, source=replace(data.source, target=table.target, array=table.array))


def from_arrays(
    inputs: npt.ArrayLike,
    targets: npt.ArrayLike,
    dtype: npt.DTypeLike = np.float32,
    *,
    task: Task | None = None,
    classes: Classes = None,
    name: str = "arrays",
) -> Dataset:
    """A data set from arrays in memory: the rules and scalings that `load` has for an NPZ file.

    inputs: `(N, maps, coordinates...)`, `(N, features)`, `(N,)`, or uint8 images `(N, h, w)`.  targets:
    `(N,)` class numbers or names, `(N, k)` one-hot rows, `(N,)` or `(N, k)` quantities.  Raises: DataError.
    """
    float_dtype = _float_dtype(dtype, name)
    _check_task(task, name)
    given, values = as_array(inputs, f"{name}: inputs"), as_array(targets, f"{name}: targets")
    if given.ndim == 0 or values.ndim == 0:
        raise DataError(
            f"{name}: expected arrays with one row a sample, got shapes {given.shape} and {values.shape}"
        )
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    samples = _samples(given, float_dtype, name)
    data = _from_values(name, samples, values, float_dtype, task, classes)
    return _with_source(data, samples if data.tabular else given, values)


def _with_source(data: Dataset, inputs: npt.NDArray, values: npt.NDArray) -> Dataset:
    """Note in `data` the digest of what was read: images as they were given, tables and targets in
    float64.
    """
    targets = values.astype(np.float64) if values.dtype.kind in "iufb" else values
    return replace(data, source=Source(len(data), digest_of_arrays(inputs, targets)))


def _from_values(
    name: str,
    samples: npt.NDArray[np.floating],
    values: npt.NDArray,
    float_dtype: np.dtype,
    task: Task | None,
    classes: Classes,
) -> Dataset:
    if task is None:
        task = "classification" if _holds_classes(values) else "regression"
    if task == "regression":
        return _regression(name, samples, values, float_dtype)
    if values.ndim == 2:
        if not _is_one_hot(values):
            raise DataError(
                f"{name}: expected labels (N,) or one-hot rows, got targets of shape {values.shape}"
            )
        classes = values.shape[1] if classes is None else classes
        values = np.argmax(values, axis=1)
    labels, names = (named if values.dtype.kind == "U" else numbered)(values, classes, name)
    return _classification(name, samples, labels, names, float_dtype)


def _holds_classes(values: npt.NDArray) -> bool:
    if values.ndim == 2:
        return _is_one_hot(values)
    if values.dtype.kind in "iub":
        return np.unique(values).size <= MOST_GUESSED_CLASSES
    return values.dtype.kind == "U"


def _is_one_hot(values: npt.NDArray) -> bool:
    if values.ndim != 2 or values.shape[1] < 2 or values.dtype.kind not in "iufb":
        return False
    numbers = values.astype(np.float64)
    return bool(np.isin(numbers, (0.0, 1.0)).all() and (numbers.sum(axis=1) == 1).all())


def _samples(inputs: npt.NDArray, dtype: np.dtype, name: str) -> npt.NDArray[np.floating]:
    if inputs.dtype.kind not in "iufb":
        raise DataError(f"{name}: expected inputs that are numbers, got dtype {inputs.dtype}")
    image = inputs.dtype == np.uint8 and inputs.ndim >= 3
    if inputs.ndim == 1:
        inputs = inputs[:, None]
    if image and inputs.ndim == 3:
        inputs = inputs[:, None]
    if inputs.ndim == 2:
        return _exact(inputs, f"{name}: inputs")
    samples = _cast(inputs, dtype, f"{name}: inputs")
    if image:
        samples /= dtype.type(255)
    return samples


def _cast(values: npt.NDArray, dtype: np.dtype, place: str) -> npt.NDArray[np.floating]:
    """`values` in `dtype`, new and contiguous; a finite number that overflows there is refused by name."""
    with np.errstate(over="ignore"):
        cast = values.astype(dtype, order="C")
    if not np.isfinite(cast).all():
        lost = np.isinf(cast) & np.isfinite(values)
        if lost.any():
            raise DataError(
                f"{place}: expected numbers that {dtype} can hold, got {values[lost][0]}{_where(lost)}"
            )
    return cast


def _exact(values: npt.NDArray, place: str) -> npt.NDArray[np.floating]:
    """Bring a table into float64; a whole number that would be rounded there, beyond 2^53, is refused
    by name.
    """
    cast = _cast(values, np.dtype(np.float64), place)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        lost = (
            cast.astype(object) != values.astype(object)
            if np.abs(cast).max(initial=0) >= 2**53
            else np.zeros(1, bool)
        )
        if lost.any():
            raise DataError(
                f"{place}: expected whole numbers that float64 holds exactly, got "
                f"{values[lost][0]}{_where(lost)}: "
                "subtract an offset first"
            )
    return cast


def _where(marked: npt.NDArray[np.bool_]) -> str:
    """Say where a sample-first array is first marked."""
    sample, *index = np.unravel_index(int(np.argmax(marked)), marked.shape)
    at = (
        f", column {index[0]}"
        if len(index) == 1
        else f", index {tuple(int(i) for i in index)}"
        if index
        else ""
    )
    return f" at sample {sample}{at}"


def _regression(
    name: str, samples: npt.NDArray[np.floating], values: npt.NDArray, dtype: np.dtype
) -> Dataset:
    if values.dtype.kind not in "iufb":
        raise DataError(
            f"{name}: expected targets that are numbers for a regression, got dtype {values.dtype}"
        )
    place = f"{name}: targets"
    targets = _exact(values, place) if samples.ndim == 2 else _cast(values, samples.dtype, place)
    return Dataset(
        name, samples, targets[:, None] if targets.ndim == 1 else targets, None, "regression", dtype=dtype
    )


def _classification(
    name: str,
    samples: npt.NDArray[np.floating],
    labels: npt.NDArray[np.int64],
    classes: Sequence[str],
    dtype: np.dtype,
) -> Dataset:
    targets = one_hot(labels, len(classes), samples.dtype, name)
    return Dataset(name, samples, targets, labels, "classification", tuple(classes), dtype)


def _built_in(name: str, dtype: np.dtype) -> Dataset:
    from sklearn import datasets as bundled  # takes a second to import: only when asked for

    if name == "diabetes":
        patients = bundled.load_diabetes(scaled=False)
        data = _regression(name, patients.data.astype(np.float64), patients.target, dtype)
        return _bundled(data, patients.data, patients.target, patients.feature_names, "progression")
    if name == "breast-cancer":
        tumours = bundled.load_breast_cancer()
        classes = [str(label) for label in tumours.target_names]
        data = _classification(
            name, tumours.data.astype(np.float64), tumours.target.astype(np.int64), classes, dtype
        )
        return _bundled(data, tumours.data, tumours.target, tumours.feature_names, "diagnosis")
    digits = bundled.load_digits()
    pixels = (digits.images[:, None] / 16).astype(dtype)
    data = _classification(
        name, pixels, digits.target.astype(np.int64), [str(digit) for digit in range(10)], dtype
    )
    return _with_source(data, digits.images, digits.target)


def _bundled(
    data: Dataset, inputs: npt.NDArray, targets: npt.NDArray, columns: Sequence[str], target: str
) -> Dataset:
    names = tuple(str(name) for name in columns)
    digest = digest_of_table(names, inputs.astype(np.float64), targets.astype(np.float64))
    return replace(data, source=Source(len(data), digest, names, target))


def _from_csv(
    path: Path, dtype: np.dtype, target: str | None, task: Task | None, classes: Classes
) -> Dataset:
    table = tables.read_csv(path, target)
    names, values = table.names, table.targets
    source = Source(
        len(values), digest_of_table(names, table.inputs, values), names, table.target, table.header
    )
    return replace(_from_table(path, table, dtype, task, classes), source=source)


def _from_table(
    path: Path, table: tables.Table, dtype: np.dtype, task: Task | None, classes: Classes
) -> Dataset:
    samples, values = table.inputs, table.targets
    if task is None:
        whole = values.dtype.kind == "U" or bool((values == np.round(values)).all())
        task = "classification" if whole and np.unique(values).size <= MOST_GUESSED_CLASSES else "regression"
        task = "classification" if values.dtype.kind == "U" else task
    if task == "regression":
        return _regression(f"{path}: column {table.target!r}", samples, values, dtype)
    labels, names = named(values, classes, f"{path}: column {table.target!r}")
    return _classification(str(path), samples, labels, names, dtype)


def _is_npz(path: Path) -> bool:
    if path.suffix.lower() == ".npz":
        return True
    try:
        with open_regular(path) as stream:
            return stream.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise DataError(f"{path}: expected a readable file, got: {reason(error)}") from error


def _choose_pair(folder: Path, part: DatasetPart | None) -> idx.Pair:
    pairs = idx.find_pairs(folder)
    wanted = [pair for pair in pairs if pair.part == (part or "train")]
    if not wanted and part is None:
        wanted = list(pairs)
    if len(wanted) == 1:
        return wanted[0]
    there = ", ".join(pair.images.name for pair in pairs)
    raise DataError(f"{folder}: expected one pair of IDX files{f' for {part}' if part else ''}, got {there}")


def _pair_of(path: Path) -> idx.Pair:
    if not idx.is_idx(path):
        idx.read(path)  # raises, and says better than a missing partner what is wrong with the file
    try:
        pairs = idx.find_pairs(path.parent)
    except DataError:
        pairs = ()
    for pair in pairs:
        if path.name in (
            pair.images.name,
            pair.labels.name,
            pair.images.name + ".gz",
            pair.labels.name + ".gz",
        ):
            return pair
    raise DataError(
        f"{path}: expected a pair such as train-images-idx3-ubyte and train-labels-idx1-ubyte, got no partner"
    )


def _from_pair(pair: idx.Pair, dtype: np.dtype, classes: Classes) -> Dataset:
    images, labels = idx.read_pair(pair)
    numbers, names = numbered(labels, classes, str(pair.labels))
    if images.ndim == 3:
        images = images[:, None]
    data = _classification(str(pair.images), _samples(images, dtype, str(pair.images)), numbers, names, dtype)
    return _with_source(data, images, labels)


def _check_task(task: Task | None, name: str) -> None:
    if task is not None and not (isinstance(task, str) and task in get_args(Task)):
        raise DataError(f"{name}: expected the task {' or '.join(get_args(Task))}, got {task!r}")


def _float_dtype(dtype: npt.DTypeLike, name: str) -> np.dtype:
    try:
        chosen = np.dtype(dtype)
    except (TypeError, ValueError):
        raise DataError(f"{name}: expected float32 or float64, got {dtype}") from None
    if chosen not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise DataError(f"{name}: expected float32 or float64, got {chosen}")
    return chosen


def _agreeing(data: Dataset, task: Task | None, classes: Classes) -> Dataset:
    """Built-in data.  Raises: DataError where the task or the classes asked for are others."""
    if task is not None and task != data.task:
        raise DataError(f"{data.name}: is a {data.task}, task {task!r} has no effect")
    count = classes if isinstance(classes, int) or classes is None else len(classes)
    if count is not None and count != len(data.classes):
        raise DataError(f"{data.name}: has {len(data.classes)} classes, {count} have no effect")
    return data

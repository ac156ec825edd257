"""Kernels against the definition that they were derived from, kernel by kernel, so that a wrong one is named.

The definition itself is somebody else's: the runtime knows no SymPy, and is handed an ``Oracle``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

from ..backend import Array
from ..manifest.records import KernelInfo, LayerInfo, Manifest
from ..program.layer import Layer
from .kernel_run import PHI, KernelError, KernelFixture, KernelRun, NumpyRun, OpenCLRun, layer_fixture, value
from .layer_run import LayerPoint, LayerRun
from .random_configuration import random_configuration
from .verdict import SAMPLE_OUTER, CheckRow, RowLabels

if TYPE_CHECKING:
    from ..opencl.backend import OpenCLBackend

Run = tuple[str, str]
LINEAR = "linear"
#: Every form of the kernels in both precisions.
RUNS: tuple[Run, ...] = tuple(
    (b, d) for b in ("numpy", "opencl", SAMPLE_OUTER) for d in ("float64", "float32")
)

#: Errors relative to the size of what is added up.
DEFINITION = {"float64": 1e-9, "float32": 2e-4}
#: What is added up counts as at least this large: 1 - tanh² has the rounding of 1.
LEAST = {"float64": 1e-3, "float32": 1.0}
#: Beyond these a precision has lost its digits.
LARGEST = {"float64": 1e300, "float32": 1e36}
#: How far arguments are moved, and how often, to see whether rounding in float32 crosses a kink.
ROUNDING, NEIGHBOURS = 3e-7, 12
#: Of a maximum, a lead that is no more than this part of the largest value is rounding.
LEAD = {"float64": 1e-12, "float32": 1e-5}
#: Halves and small integers meet in zeros and ties, and both precisions hold their sums and products exactly.
TIES = (-2.0, -1.0, -0.5, 0.0, 0.0, 0.0, 0.5, 1.0, 2.0)
KINDS = ("ordinary", "tied", "saturated")


class Answer(Protocol):
    """What the definition says of one kernel: see ``derive/interpreter/definition.py``."""

    @property
    def value(self) -> Array: ...
    @property
    def size(self) -> Array: ...
    @property
    def position(self) -> Array | None: ...
    @property
    def lead(self) -> Array | None: ...


class Oracle(Protocol):
    """A folder's definitions."""

    def kernel(
        self,
        variant: str,
        kernel: str,
        sizes: Mapping[str, int | Sequence[int]],
        tables: Mapping[str, Mapping[str, Sequence[int]]],
        tensors: Mapping[str, Array],
    ) -> Answer | None:
        """What kernel ``kernel`` of layer ``variant`` is to give, before phi; None where nothing says so."""


def drawn_point(layer: Layer, samples: int, kind: str, generator: np.random.Generator) -> LayerPoint:
    """Input, parameters and delta of the output: ordinary ones, ties and zeros, or saturated ones."""

    def drawn(*shape: int) -> Array:
        if kind == "ordinary":
            return generator.normal(size=shape).astype(np.float32).astype(np.float64)
        return generator.choice(np.array(TIES if kind == "tied" else (*TIES, -20.0, 20.0)), size=shape)

    parameters = {name: drawn(units) for name, units in layer.parameters}
    deltas = generator.normal(size=(layer.output.units, samples)).astype(np.float32).astype(np.float64)
    return LayerPoint(drawn(layer.input.units, samples), parameters, deltas)


@dataclass
class DefinitionCheck:
    """A layer's kernels held against ``oracle``, each on the arguments that the definition gives."""

    layer: Layer
    oracle: Oracle
    about: RowLabels

    def rows(self, steps: LayerRun, delta: Array | None = None) -> Iterator[CheckRow]:
        """A row for every forward kernel at the point that is placed in ``steps``.

        Given the output's ``delta``, the other kernels as well; layers below and above are linear then.
        """
        roles = ("forward",) if delta is None else ("forward", "delta", "gradient", "sample_gradient")
        tensors = {
            name: steps.run.get(name).astype(np.float64)
            for name in (steps.info.input, *(name for name, _ in self.layer.parameters))
        }
        if delta is not None:
            name = f"delta_{steps.info.output}"
            steps.run.put(name, delta)
            tensors[name] = steps.run.get(name).astype(np.float64)
        for kernel in steps.kernels(*roles):
            answer = self._answer(kernel, tensors)
            if answer is None:
                continue
            try:
                steps.run.run(kernel)
            except KernelError as error:
                yield self.about.error(error.kernel, kernel.output, str(error))
            else:
                if all(np.isfinite(tensors[name]).all() for name in kernel.arguments if name in tensors):
                    yield from self._compared(steps, kernel, answer, tensors)
            self._place(steps.run, kernel, answer, tensors)

    def _answer(self, kernel: KernelInfo, tensors: Mapping[str, Array]) -> Answer | None:
        sizes = {n: s if isinstance(s, int) else [int(v) for v in s] for n, s in self.layer.sizes.items()}
        tables = {
            name: {column: values.tolist() for column, values in table.columns.items()}
            for name, table in self.layer.connection_tables.items()
        }
        with np.errstate(all="ignore"):
            return self.oracle.kernel(self.layer.info.name, kernel.name, sizes, tables, tensors)

    def _place(self, run: KernelRun, kernel: KernelInfo, answer: Answer, tensors: dict[str, Array]) -> None:
        """Go on with what the definition says, rounded to the run's precision."""
        found = {kernel.output: answer.value}
        if kernel.position is not None and answer.position is not None:
            found[kernel.position] = answer.position
        for name, array in found.items():
            with np.errstate(all="ignore"):
                narrow = array.astype(run.dtype)
            tensors[name] = narrow.astype(np.float64)
            if kernel.finish != "phi":
                run.put(name, narrow)

    def _nearest(self, kernel: KernelInfo, tensors: Mapping[str, Array], got: Array) -> Array:
        """What is nearest to ``got`` of the values around the arguments, where rounding may cross a kink."""
        generator = np.random.default_rng(0)
        values = []
        for _ in range(NEIGHBOURS):
            moved = {
                name: array + ROUNDING * (1 + np.abs(array)) * generator.choice([-1.0, 0.0, 1.0], array.shape)
                for name, array in tensors.items()
                if not name.startswith("position_")
            }
            answer = self._answer(kernel, {**tensors, **moved})
            assert answer is not None
            values.append(answer.value)
        return np.clip(got, np.min(values, axis=0), np.max(values, axis=0))

    def _compared(
        self, steps: LayerRun, kernel: KernelInfo, answer: Answer, tensors: Mapping[str, Array]
    ) -> Iterator[CheckRow]:
        dtype, run = self.about.dtype, steps.run
        right, size, name = answer.value, answer.size, kernel.output
        if kernel.finish == "phi" and not self.layer.linear:
            right, name = value(steps.activation)(right), PHI
            size = np.maximum(np.abs(right), 1.0)
        elif kernel.finish == "phi":
            name = PHI
        got = run.get(name).astype(np.float64)
        row = self._row(kernel, name, got, right, size)
        if not row.passed and dtype == "float32" and self.layer.linear:
            row = self._row(kernel, name, got, self._nearest(kernel, tensors, got), size)
        yield row
        if kernel.position is not None and answer.position is not None and answer.lead is not None:
            found = run.get(kernel.position).astype(np.float64)
            largest = np.max(np.abs(right[np.isfinite(right)]), initial=1.0)
            clear = np.isfinite(right) & (answer.lead > LEAD[dtype] * largest)
            errors = np.where(clear & (found != answer.position), np.inf, 0.0)
            yield self.about.row(
                "definition", kernel.name, kernel.position, found, answer.position, errors, 0.5
            )

    def _row(self, kernel: KernelInfo, name: str, got: Array, right: Array, size: Array) -> CheckRow:
        dtype = self.about.dtype
        known = np.isfinite(right) & (size < LARGEST[dtype])
        scale = max(float(np.max(size[known], initial=0.0)), LEAST[dtype])
        with np.errstate(all="ignore"):
            errors = np.where(known, np.abs(got - right) / scale, 0.0)
        errors = np.where(np.isnan(errors), np.inf, errors)
        row = self.about.row("definition", kernel.name, name, got, right, errors, DEFINITION[dtype])
        return row if known.all() else replace(row, note="not finite everywhere in the definition")


def definition_rows(
    manifest: Manifest, info: LayerInfo, oracle: Oracle, generator: np.random.Generator, runs: Sequence[Run]
) -> Iterator[CheckRow]:
    """All kernels of one random configuration of a layer, at every kind of point, in each of ``runs``.

    A run is a backend (numpy, opencl, opencl-rows) and a dtype.
    """
    configuration = random_configuration(manifest, info, LINEAR, LINEAR, generator)
    layer, samples = configuration.layer, configuration.samples
    fixture = layer_fixture(layer, manifest.activation(LINEAR), False)
    points = {kind: drawn_point(layer, samples, kind, generator) for kind in KINDS}
    for backend, dtype in runs:
        if backend == SAMPLE_OUTER and not fixture.unit.has_sample_outer:
            continue
        run = made_run(fixture, backend, dtype, samples)
        for kind, point in points.items():
            if (kind, dtype) == ("saturated", "float32"):
                continue  # of which exp(-400) is 0
            steps = LayerRun(run, info)
            steps.place(point)
            about = RowLabels(info.name, f"{configuration}, {kind} values", backend, dtype)
            yield from DefinitionCheck(layer, oracle, about).rows(steps, point.weights)


def made_run(fixture: KernelFixture, backend: str, dtype: str, samples: int) -> KernelRun:
    """A run of ``fixture`` on a backend by its name."""
    if backend == "numpy":
        return NumpyRun(fixture, dtype, samples)
    return OpenCLRun(fixture, dtype, samples, opencl_backend(), backend == SAMPLE_OUTER)


@lru_cache(maxsize=1)
def opencl_backend() -> OpenCLBackend:
    """The device of all runs of a process."""
    from ..opencl.backend import OpenCLBackend

    return OpenCLBackend()

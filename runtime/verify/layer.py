"""The gradient check of one configuration of a layer, on every kernel that it has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..backend import Array
from ..manifest.records import ActivationInfo, KernelInfo, LayerInfo
from .borders import Borders
from .gradient import Gradients
from .kernel_run import PHI, KernelError, KernelFixture, KernelRun, NumpyRun, OpenCLRun, layer_fixture
from .layer_run import FLOOR, LayerPoint, LayerRun, sizes_of
from .random_configuration import Configuration
from .verdict import BACKENDS, SAMPLE_OUTER, CheckRow, RowLabels, relative

if TYPE_CHECKING:
    from ..opencl.backend import OpenCLBackend

DRAWS = 12
#: The relative change of arguments that shows how large a kernel's terms are.
CHANGE = 1e-6


@dataclass
class LayerCheck:
    """One configuration: the point is drawn once, for all backends and dtypes."""

    configuration: Configuration
    lower: ActivationInfo
    generator: np.random.Generator
    opencl: OpenCLBackend | None = None
    numpy: bool = True

    def rows(self) -> Iterator[CheckRow]:
        """All comparisons.  A kernel that cannot be run is a row of its own."""
        runs: list[tuple[str, str]] = [("numpy", dtype) for dtype in BACKENDS if self.numpy]
        if self.opencl is not None:
            runs += [("opencl", dtype) for dtype in BACKENDS]
            if self.fixture.unit.has_sample_outer:  # in one precision, which the number of samples picks
                runs.append((SAMPLE_OUTER, tuple(BACKENDS)[self.configuration.samples % len(BACKENDS)]))
        for backend, dtype in runs:
            about = self._row_labels(backend, dtype)
            try:
                for row in self._one(backend, dtype, about):
                    yield replace(row, tensor=self.info.shown(row.tensor))
            except KernelError as error:
                yield about.error(error.kernel, "", str(error))

    def _one(self, backend: str, dtype: str, about: RowLabels) -> Iterator[CheckRow]:
        layer = LayerRun(self._run(backend, dtype), self.info)
        if backend != "numpy":
            yield from self._against_numpy(layer, dtype, about)
        if backend == SAMPLE_OUTER:
            return
        gradients = Gradients(layer, self.point, self.generator, about)
        if dtype == "float64":
            yield from gradients.differences()
            yield from gradients.adjoint()
        yield from gradients.taylor()
        yield from Borders(layer, self.point, about).rows()

    @property
    def info(self) -> LayerInfo:
        """The variant."""
        return self.configuration.layer.info

    @cached_property
    def fixture(self) -> KernelFixture:
        """The layer's unit; every second one keeps Z without need."""
        return layer_fixture(self.configuration.layer, self.lower, bool(self.generator.integers(2)))

    def _row_labels(self, backend: str, dtype: str) -> RowLabels:
        return RowLabels(self.info.name, str(self.configuration), backend, dtype)

    def _run(self, backend: str, dtype: str) -> KernelRun:
        if backend == "numpy":
            return NumpyRun(self.fixture, dtype, self.configuration.samples)
        assert self.opencl is not None
        return OpenCLRun(
            self.fixture, dtype, self.configuration.samples, self.opencl, backend == SAMPLE_OUTER
        )

    def placed(self, dtype: str) -> tuple[LayerRun, RowLabels]:
        """The point in a run of the first backend that is checked, before any kernel has run."""
        backend = "numpy" if self.numpy else "opencl"
        steps = LayerRun(self._run(backend, dtype), self.info)
        steps.place(self.point)
        return steps, self._row_labels(backend, dtype)

    # ---------------------------------------------------------------------------------------------- the point
    @cached_property
    def point(self) -> LayerPoint:
        """Drawn again while a value is not finite, float32 does not determine it, or a gradient all but
        vanishes.

        What cannot be had in ``DRAWS`` draws (a gradient that is 0 by nature) is left as it is.
        """
        point = self._draw(0)
        for attempt in range(1, DRAWS):
            if self._well_conditioned(point):
                break
            point = self._draw(attempt)
        return point

    def _draw(self, attempt: int) -> LayerPoint:
        layer, generator, samples = self.configuration.layer, self.generator, self.configuration.samples
        spread = 0.8**attempt

        def normal(*shape: int) -> Array:
            drawn = spread * generator.normal(size=shape)
            return (
                np.abs(drawn) + 0.1 if attempt >= DRAWS // 2 else drawn
            )  # roots and logarithms want positive values

        parameters = {}
        for name, units in layer.parameters:
            rule = self.info.initial.get(name, {})
            parameters[name] = float(rule.get("value", 0.0)) + 0.5 * normal(units)
        return LayerPoint(
            normal(layer.input.units, samples),
            parameters,
            generator.normal(size=(layer.output.units, samples)),
        )

    def _well_conditioned(self, point: LayerPoint) -> bool:
        kernels = [kernel for kernel in self.info.kernels if kernel.role in ("forward", "delta", "gradient")]
        names = [kernel.output for kernel in kernels]
        wanted = [f"delta_{self.info.input}", *(f"gradient_{name}" for name in self.info.parameters)]
        try:
            with np.errstate(all="ignore"):
                found = {dtype: self._evaluated(point, dtype, names) for dtype in BACKENDS}
                run = self._placed(point, "float64").run
                terms = {kernel.output: self._terms(run, kernel)[kernel.output] for kernel in kernels}
        except KernelError:
            return True  # a kernel that cannot be run is reported where it is checked
        wide, narrow = found["float64"], found["float32"]
        if not all(np.isfinite(array).all() for array in wide.values()):
            return False
        if any(
            (relative(narrow[name], wide[name], terms[name]) > BACKENDS["float32"] / 5).any()
            for name in names
        ):
            return False
        size = float(np.max(sizes_of(point, wide[PHI]), initial=0.0))
        return all(
            np.max(np.abs(wide[name]), initial=0.0) >= FLOOR * size for name in wanted if wide[name].size
        )

    @property
    def undefined(self) -> bool:
        """Whether a stage is not finite at any point, so that it has no derivative.

        The largest, or the mean, of no value is such a stage.
        """
        try:
            stages = [kernel.output for kernel in self.info.kernels if kernel.role == "forward"]
            found = self._evaluated(self.point, "float64", stages)
        except KernelError:
            return False
        return any(not np.isfinite(array).all() for array in found.values())

    def _placed(self, point: LayerPoint, dtype: str) -> LayerRun:
        layer = LayerRun(self._run("numpy", dtype), self.info)
        layer.place(point)
        layer.outputs()
        layer.backward(point.weights)
        return layer

    def _evaluated(self, point: LayerPoint, dtype: str, names: Sequence[str]) -> dict[str, Array]:
        layer = self._placed(point, dtype)
        return {name: layer.got(name) for name in (*names, PHI)}

    # ------------------------------------------------------------------------------------------ both backends
    def _against_numpy(self, opencl: LayerRun, dtype: str, about: RowLabels) -> Iterator[CheckRow]:
        """Kernel by kernel, each on the arguments that NumPy's kernels gave."""
        numpy = LayerRun(self._run("numpy", dtype), self.info)
        numpy.place(self.point)
        opencl.place(self.point)
        names = [kernel.output for kernel in self.info.kernels if kernel.finish == "phi"]
        yield from self._compared(numpy, opencl, numpy.kernels("forward"), dtype, about)
        delta = numpy.delta(self.point.weights)
        for run in (numpy.run, opencl.run):
            run.put(f"delta_{self.info.output}", delta)
            if self.fixture.unit.store_z:
                for name in names:
                    run.put(name, numpy.run.get(name))
        kernels = numpy.kernels("delta", "gradient", "sample_gradient")
        yield from self._compared(numpy, opencl, kernels, dtype, about)

    def _compared(
        self, numpy: LayerRun, opencl: LayerRun, kernels: Sequence[KernelInfo], dtype: str, about: RowLabels
    ) -> Iterator[CheckRow]:
        tolerance = BACKENDS[dtype]
        for kernel in kernels:
            terms = self._terms(numpy.run, kernel)
            numpy.run.run(kernel)
            written = self._written(kernel)
            for name in written:
                opencl.run.clear(name)  # type: ignore[attr-defined]
            opencl.run.run(kernel)
            for name in written:
                ours, theirs = opencl.got(name), numpy.got(name)
                errors = relative(ours, theirs, terms.get(name, 0.0))
                yield about.row("backends", kernel.name, name, ours, theirs, errors, tolerance)
                opencl.run.put(name, numpy.run.get(name))

    def _written(self, kernel: KernelInfo) -> list[str]:
        names = [PHI] if kernel.finish == "phi" else [kernel.output]
        if kernel.finish == "phi" and self.fixture.unit.store_z:
            names.append(kernel.output)
        return names + ([kernel.position] if kernel.position is not None else [])

    def _terms(self, run: KernelRun, kernel: KernelInfo) -> dict[str, float]:
        """How large the terms are that make up a kernel's output: its change under relative changes of its
        arguments.

        Sums that cancel to 0 (the derivative by a mean) have no other scale.  The lesser of two random
        changes counts, so that a jump that one of them crosses does not.
        """
        assert isinstance(run, NumpyRun)
        fresh = NumpyRun(self.fixture, "float64", run.samples)
        fresh.arrays = {name: array.astype(np.float64) for name, array in run.arrays.items()}
        start = dict(fresh.arrays)
        fresh.run(kernel)
        names = [kernel.output, PHI] if kernel.finish == "phi" else [kernel.output]
        still = {name: fresh.arrays[name] for name in names}
        found = dict.fromkeys(names, np.inf)
        for _ in range(2):
            fresh.arrays = dict(start)
            for name in kernel.arguments:
                tensor = self.info.tensors.get(name)
                if tensor is None or tensor.kind != "position":
                    given = fresh.get(name)
                    fresh.put(name, given * (1 + CHANGE * self.generator.choice([-1.0, 1.0], given.shape)))
            fresh.run(kernel)
            for name in names:
                change = float(np.max(np.abs(fresh.arrays[name] - still[name]), initial=0.0)) / CHANGE
                found[name] = min(found[name], change) if np.isfinite(change) else found[name]
        return {name: size if np.isfinite(size) else 0.0 for name, size in found.items()}

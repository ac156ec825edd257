"""The gradient check of one configuration of a layer, on every kernel that it has.

E = <c, phi(Z)> with random c per sample: its delta at the layer is c phi'(Z).  The activation below is part of the check:
what is perturbed is its Z, so that the input's delta must contain phi' of the layer below (equations 6 and 7).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Array
from .finite_differences import STEPS, Moved, central, compare, taylor_slope
from .kernel_run import FACTOR, PHI, Bench, KernelError, KernelRun, NumpyRun, OpenCLRun, derivative, layer_bench, value
from .manifest import ActivationInfo, KernelInfo, LayerInfo
from .random_configuration import Configuration
from .verdict import ADJOINT, BACKENDS, DIFFERENCES, ORDER, Row, Subject, relative

if TYPE_CHECKING:
    from .backend_opencl import OpenCLBackend

TAYLOR_STEPS = {
    "float64": [2.0**-n for n in range(4, 17)],
    "float32": [2.0**-n for n in range(1, 15)],
}
#: A direction along which the rounding of E is measured: too small a move for its curvature to show.
STILL = {"float64": 2.0**-36, "float32": 2.0**-18}
#: Differences are relative to at least this part of the sum of |c Y|.
FLOOR = 1e-3
#: Outputs count as at least this large: what cancels to 0 exactly (a normalised single value) leaves rounding of its parts.
LEAST = 0.1
DRAWS = 12
DIRECTIONS = 8


@dataclass(frozen=True)
class Point:
    """Where a layer is checked: Z below ``(units, samples)``, parameters, and the weights c of its outputs."""

    below: Array
    parameters: Mapping[str, Array]
    weights: Array


class LayerRun:
    """A layer's kernels at a point, in one dtype on one backend."""

    def __init__(self, run: KernelRun, info: LayerInfo) -> None:
        self.run, self.info, self.bench = run, info, run.bench
        assert self.bench.activation is not None and self.bench.lower is not None
        self.activation: ActivationInfo = self.bench.activation
        self.lower: ActivationInfo = self.bench.lower

    def kernels(self, *roles: str) -> list[KernelInfo]:
        """Those of the roles, in order."""
        return [kernel for kernel in self.info.kernels if kernel.role in roles]

    def place(self, point: Point) -> None:
        """Set the input and all parameters."""
        self.place_below(point.below)
        for name, values in point.parameters.items():
            self.run.put(name, values)

    def place_below(self, below: Array) -> None:
        """Set the input to phi of ``below``, rounded to the dtype first."""
        z = below.astype(self.run.dtype)
        y = value(self.lower)(z)
        self.run.put(self.info.input, y)
        self.run.put(FACTOR, z if self.lower.derivative_in == "z" else y)

    def outputs(self) -> Array:
        """phi(Z), float64, of what was placed."""
        for kernel in self.kernels("forward"):
            self.run.run(kernel)
        return self.run.get(PHI).astype(np.float64)

    def delta(self, weights: Array) -> Array:
        """delta of Z for E = <weights, phi(Z)>, after ``outputs``."""
        source = self.run.get(self.info.output if self.activation.derivative_in == "z" else PHI)
        return weights * derivative(self.activation)(source)

    def backward(self, weights: Array) -> None:
        """Deltas, gradients and sample gradients, after ``outputs``."""
        self.run.put(f"delta_{self.info.output}", self.delta(weights))
        for kernel in self.kernels("delta", "gradient", "sample_gradient"):
            self.run.run(kernel)

    def got(self, name: str) -> Array:
        """A tensor, float64."""
        return self.run.get(name).astype(np.float64)


@dataclass
class LayerCheck:
    """One configuration: the point is drawn once, for all backends and dtypes."""

    configuration: Configuration
    lower: ActivationInfo
    generator: np.random.Generator
    opencl: OpenCLBackend | None = None
    numpy: bool = True

    def rows(self) -> Iterator[Row]:
        """All comparisons.  A kernel that cannot be run is a row of its own."""
        runs: list[tuple[str, str]] = [("numpy", dtype) for dtype in BACKENDS if self.numpy]
        runs += [("opencl", dtype) for dtype in BACKENDS if self.opencl is not None]
        for backend, dtype in runs:
            about = self._subject(backend, dtype)
            try:
                yield from self._one(backend, dtype, about)
            except KernelError as error:
                yield about.error(error.kernel, "", str(error))

    def _one(self, backend: str, dtype: str, about: Subject) -> Iterator[Row]:
        layer = LayerRun(self._run(backend, dtype), self.info)
        if backend == "opencl":
            yield from self._against_numpy(layer, dtype, about)
        gradients = Gradients(layer, self.point, self.generator, about)
        if dtype == "float64":
            yield from gradients.differences()
            yield from gradients.adjoint()
        yield from gradients.taylor()

    @property
    def info(self) -> LayerInfo:
        """The variant."""
        return self.configuration.layer.info

    @cached_property
    def bench(self) -> Bench:
        """The layer's unit; every second one keeps Z without need."""
        return layer_bench(self.configuration.layer, self.lower, bool(self.generator.integers(2)))

    def _subject(self, backend: str, dtype: str) -> Subject:
        return Subject(self.info.name, str(self.configuration), backend, dtype)

    def _run(self, backend: str, dtype: str) -> KernelRun:
        if backend == "numpy":
            return NumpyRun(self.bench, dtype, self.configuration.samples)
        assert self.opencl is not None
        return OpenCLRun(self.bench, dtype, self.configuration.samples, self.opencl)

    # ---------------------------------------------------------------------------------------------------- the point
    @cached_property
    def point(self) -> Point:
        """Drawn again while a value is not finite, float32 does not determine it, or a gradient all but vanishes.

        What cannot be had in ``DRAWS`` draws (a gradient that is 0 by nature) is left as it is.
        """
        point = self._draw(0)
        for attempt in range(1, DRAWS):
            if self._well_conditioned(point):
                break
            point = self._draw(attempt)
        return point

    def _draw(self, attempt: int) -> Point:
        layer, generator, samples = self.configuration.layer, self.generator, self.configuration.samples
        spread = 0.8**attempt

        def normal(*shape: int) -> Array:
            drawn = spread * generator.normal(size=shape)
            return np.abs(drawn) + 0.1 if attempt >= DRAWS // 2 else drawn  # roots and logarithms want positive values

        parameters = {}
        for name, units in layer.parameters:
            rule = self.info.initial.get(name, {})
            parameters[name] = float(rule.get("value", 0.0)) + 0.5 * normal(units)
        return Point(normal(layer.input.units, samples), parameters, generator.normal(size=(layer.output.units, samples)))

    def _well_conditioned(self, point: Point) -> bool:
        names = [kernel.output for kernel in self.info.kernels if kernel.role in ("forward", "delta", "gradient")]
        wanted = [f"delta_{self.info.input}", *(f"gradient_{name}" for name in self.info.parameters)]
        try:
            with np.errstate(all="ignore"):
                found = {dtype: self._evaluated(point, dtype, names) for dtype in BACKENDS}
        except KernelError:
            return True  # a kernel that cannot be run is reported where it is checked
        wide, narrow = found["float64"], found["float32"]
        if not all(np.isfinite(array).all() for array in wide.values()):
            return False
        if any((relative(narrow[name], wide[name]) > BACKENDS["float32"] / 5).any() for name in names):
            return False
        size = float(np.max(sizes_of(point, wide[PHI]), initial=0.0))
        return all(np.max(np.abs(wide[name]), initial=0.0) >= FLOOR * size for name in wanted if wide[name].size)

    @property
    def undefined(self) -> bool:
        """True where a stage is not finite at any point (the largest, or the mean, of no value): it has no derivative."""
        try:
            stages = [kernel.output for kernel in self.info.kernels if kernel.role == "forward"]
            found = self._evaluated(self.point, "float64", stages)
        except KernelError:
            return False
        return any(not np.isfinite(array).all() for array in found.values())

    def _evaluated(self, point: Point, dtype: str, names: Sequence[str]) -> dict[str, Array]:
        layer = LayerRun(self._run("numpy", dtype), self.info)
        layer.place(point)
        layer.outputs()
        layer.backward(point.weights)
        return {name: layer.got(name) for name in (*names, PHI)}

    # ------------------------------------------------------------------------------------------------ both backends
    def _against_numpy(self, opencl: LayerRun, dtype: str, about: Subject) -> Iterator[Row]:
        """Kernel by kernel, each on the arguments that NumPy's kernels gave."""
        numpy = LayerRun(self._run("numpy", dtype), self.info)
        numpy.place(self.point)
        opencl.place(self.point)
        names = [kernel.output for kernel in self.info.kernels if kernel.finish == "phi"]
        yield from self._compared(numpy, opencl, numpy.kernels("forward"), dtype, about)
        delta = numpy.delta(self.point.weights)
        for run in (numpy.run, opencl.run):
            run.put(f"delta_{self.info.output}", delta)
            if self.bench.unit.store_z:
                for name in names:
                    run.put(name, numpy.run.get(name))
        kernels = numpy.kernels("delta", "gradient", "sample_gradient")
        yield from self._compared(numpy, opencl, kernels, dtype, about)

    def _compared(
        self, numpy: LayerRun, opencl: LayerRun, kernels: Sequence[KernelInfo], dtype: str, about: Subject
    ) -> Iterator[Row]:
        tolerance = BACKENDS[dtype]
        for kernel in kernels:
            numpy.run.run(kernel)
            written = self._written(kernel)
            for name in written:
                opencl.run.clear(name)  # type: ignore[attr-defined]
            opencl.run.run(kernel)
            for name in written:
                ours, theirs = opencl.got(name), numpy.got(name)
                yield about.row("backends", kernel.name, name, ours, theirs, relative(ours, theirs), tolerance)
                opencl.run.put(name, numpy.run.get(name))

    def _written(self, kernel: KernelInfo) -> list[str]:
        names = [PHI] if kernel.finish == "phi" else [kernel.output]
        if kernel.finish == "phi" and self.bench.unit.store_z:
            names.append(kernel.output)
        return names + ([kernel.position] if kernel.position is not None else [])


def sizes_of(point: Point, outputs: Array) -> Array:
    """The size of E of every sample, ``(samples,)``: the sum of its terms' absolute values."""
    return np.sum(np.abs(point.weights) * np.maximum(np.abs(outputs), LEAST), axis=0)


@dataclass
class Gradients:
    """Gradients of one layer on one backend, against the function values of the same backend."""

    layer: LayerRun
    point: Point
    generator: np.random.Generator
    about: Subject

    def __post_init__(self) -> None:
        layer, info = self.layer, self.layer.info
        layer.place(self.point)
        outputs = layer.outputs()
        layer.backward(self.point.weights)
        sizes = sizes_of(self.point, outputs)
        self.size, self.total = float(np.max(sizes, initial=0.0)), float(np.sum(sizes))
        self.slopes: dict[str, Array] = {"": layer.got(f"delta_{info.input}")}
        self.slopes |= {name: layer.got(f"gradient_{name}") for name in info.parameters}
        self.samples = {name: layer.got(f"samplegradient_{name}") for name in info.parameters}

    def _kernel(self, tensor: str) -> str:
        return next((kernel.name for kernel in self.layer.info.kernels if kernel.output == tensor), "")

    def _errors(self) -> Array:
        """E of every sample, of what is placed."""
        return np.sum(self.point.weights * self.layer.outputs(), axis=0)

    def _start(self, name: str) -> Array:
        return self.point.parameters[name] if name else self.point.below

    def _put(self, name: str, values: Array) -> None:
        if name:
            self.layer.run.put(name, values)
        else:
            self.layer.place_below(values)

    # -------------------------------------------------------------------------------------------------- differences
    def differences(self) -> Iterator[Row]:
        """Every entry of the input's delta, of every sample gradient, and of every gradient."""
        floor = FLOOR * self.size
        for name, slope in self.slopes.items():
            values = slope if not name else self.samples[name]
            found = compare(self._moved(name), values, floor, DIFFERENCES)
            tensor = f"samplegradient_{name}" if name else f"delta_{self.layer.info.input}"
            note = "one-sided at a kink" if found.kinks.any() else ""
            yield self.about.row(
                "differences", self._kernel(tensor), tensor, values, found.numeric, found.errors(values), DIFFERENCES,
                found.steps, note,
            )  # fmt: skip
            if name:
                total = found.numeric.sum(axis=1)
                errors = relative(slope, total, found.scale)
                tensor = f"gradient_{name}"
                yield self.about.row(
                    "differences", self._kernel(tensor), tensor, slope, total, errors, DIFFERENCES,
                    found.steps.min(axis=1, initial=STEPS[0]), note,
                )  # fmt: skip

    def _moved(self, name: str) -> Moved:
        start = self._start(name)

        def moved(entry: int, offset: float) -> Array:
            values = start.copy()
            values[entry] += offset
            self._put(name, values)
            errors = self._errors()
            self._put(name, start)
            return errors

        return moved

    # -------------------------------------------------------------------------------------------------- along a line
    def _direction(self, names: Sequence[str]) -> dict[str, Array]:
        drawn = {name: self.generator.normal(size=self._start(name).shape) for name in names}
        length = np.sqrt(sum(float(np.sum(v * v)) for v in drawn.values()))
        return {name: v / max(length, 1e-300) for name, v in drawn.items()}

    def _along(self, direction: Mapping[str, Array], offset: float) -> tuple[Array, float, float]:
        """E of every sample, and <g, move> and <|g|, |move|> of the move that the dtype's rounding left."""
        linear = bound = 0.0
        dtype = self.layer.run.dtype
        for name, v in direction.items():
            start = self._start(name)
            target = (start + offset * v).astype(dtype)
            move = target.astype(np.float64) - start.astype(dtype).astype(np.float64)
            linear += float(np.sum(self.slopes[name] * move))
            bound += float(np.sum(np.abs(self.slopes[name] * move)))
            self._put(name, target)
        errors = self._errors()
        for name in direction:
            self._put(name, self._start(name))
        return errors, linear, bound

    def taylor(self) -> Iterator[Row]:
        """The order of the remainder, tensor by tensor.

        Further directions are tried where kinks that one crosses blur the order; a wrong gradient gives 1 along all.
        """
        dtype = self.layer.run.dtype.name
        for name in self.slopes:
            if not self._start(name).size:
                continue
            orders: list[float] = []
            while len(orders) < DIRECTIONS and max(orders, default=0.0) < ORDER:
                orders.append(self._order(self._direction([name]), TAYLOR_STEPS[dtype]))
            tensor = f"gradient_{name}" if name else f"delta_{self.layer.info.input}"
            yield self.about.order(self._kernel(tensor), tensor, max(orders))

    def _order(self, direction: Mapping[str, Array], steps: Sequence[float]) -> float:
        start, _, _ = self._along(direction, 0.0)
        unit = np.finfo(self.layer.run.dtype).eps
        rounding = max(self._rounding(direction, start), float(unit) * self.total)
        bounds: dict[float, float] = {}

        def remainder(step: float) -> float:
            errors, linear, bounds[step] = self._along(direction, step)
            return abs(float(np.sum(errors - start)) - linear)

        return taylor_slope(remainder, lambda step: 4 * rounding + 8 * float(unit) * bounds[step], steps)

    def _rounding(self, direction: Mapping[str, Array], start: Array) -> float:
        """Rounding of E, from second differences too small to hold anything else."""
        still = STILL[self.layer.run.dtype.name]
        worst = 0.0
        for n in (1, 2, 3, 5):
            sides = self._along(direction, n * still)[0] + self._along(direction, -n * still)[0]
            worst = max(worst, abs(float(np.sum(sides - 2 * start))))
        return worst

    def adjoint(self) -> Iterator[Row]:
        """<c phi'(Z), J v> by differences along v against <J^T c phi'(Z), v>, over input and parameters together."""
        direction = self._direction(list(self.slopes))
        right = sum(float(np.sum(self.slopes[name] * v)) for name, v in direction.items())

        def moved(_: int, offset: float) -> Array:
            return np.array([np.sum(self._along(direction, offset)[0])])

        floor = FLOOR * self.size
        found: list[tuple[float, Any, float]] = []
        for step in STEPS:
            left = central(moved, 0, step)
            error = abs(right - left[0]) / max(abs(left[0]), floor, 1e-300)
            found.append((error if np.isfinite(error) else np.inf, left[0], step))
            if error <= ADJOINT:
                break
        error, left, step = min(found, key=lambda f: f[0])
        yield self.about.row(
            "adjoint", "", "<delta, J v>", np.array([right]), np.array([left]), np.array([error]), ADJOINT, step,
        )  # fmt: skip

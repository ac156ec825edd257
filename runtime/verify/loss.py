"""The checks of activations, of every (loss, activation) pair, and of losses fused with a layer
(equation 6, Table 3).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ..backend import Array
from ..manifest.records import ActivationInfo, HeadInfo, KernelInfo, LayerInfo, LossInfo
from .differences import Moved, compare
from .kernel_run import (
    FACTOR,
    RAISED,
    KernelError,
    KernelFixture,
    KernelRun,
    NumpyRun,
    OpenCLRun,
    derivative,
    layer_fixture,
    loss_fixture,
    value,
)
from .random_configuration import Configuration
from .verdict import BACKENDS, DIFFERENCES, FUSED, SAMPLE_OUTER, CheckRow, RowLabels, relative

if TYPE_CHECKING:
    from ..opencl.backend import OpenCLBackend

#: How far from a closed or open end of the admitted outputs values are drawn: rounding grows as 1/distance
#: towards it.
MARGIN = 0.05


def activation_rows(activation: ActivationInfo, generator: np.random.Generator) -> Iterator[CheckRow]:
    """phi' against differences of phi at random z, with NumPy (OpenCL's phi and phi' are checked inside
    the layers).
    """
    z = generator.normal(0.0, 2.0, (1, 200))
    about = RowLabels(activation.name, f"{z.size} random z", "numpy", "float64")
    try:
        f = z if activation.derivative_in == "z" else value(activation)(z)
        slopes = derivative(activation)(f)

        def moved(_: int, offset: float) -> Array:
            return value(activation)(z[0] + offset)

        found = compare(moved, slopes, 1e-3, DIFFERENCES)
        yield about.row(
            "differences",
            f"dphi_{activation.name}",
            "phi'",
            slopes,
            found.numeric,
            found.errors(slopes),
            DIFFERENCES,
            found.steps,
        )
    except RAISED as error:
        yield about.error(f"dphi_{activation.name}", "phi'", f"{type(error).__name__}: {error}")


def drawn_targets(loss: LossInfo, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Targets that the loss admits, its bounds among them."""
    low, high = loss.targets
    if low is not None and high is not None:
        drawn = generator.uniform(low, high, shape)
    elif low is not None:
        drawn = low + np.abs(generator.normal(size=shape))
    else:
        drawn = generator.normal(size=shape) if high is None else high - np.abs(generator.normal(size=shape))
    for bound in loss.targets:
        if bound is not None:
            drawn[generator.random(shape) < 0.15] = bound
    return drawn


def admitted(
    loss: LossInfo, activation: ActivationInfo, count: int, generator: np.random.Generator
) -> Array | None:
    """Random z whose phi(z) the loss admits, clear of the bounds; None where there are none."""
    z = generator.normal(0.0, 1.5, 200 * count)
    y = value(activation)(z)
    low, high = loss.outputs
    inside = np.isfinite(y)
    inside &= (y > low + MARGIN) if low is not None else True
    inside &= (y < high - MARGIN) if high is not None else True
    return z[inside][:count] if inside.sum() >= count else None


@dataclass
class PairCheck:
    """One loss with one activation: value and delta of ``units`` outputs."""

    loss: LossInfo
    activation: ActivationInfo
    plain: ActivationInfo
    units: int
    samples: int
    generator: np.random.Generator
    tensors: Mapping[str, Array] = field(default_factory=dict)

    def rows(self, opencl: OpenCLBackend | None, numpy: bool = True) -> Iterator[CheckRow]:
        """All comparisons; none where no output of the activation is admitted, so that no network can
        use the pair.
        """
        z = admitted(self.loss, self.activation, self.units * self.samples, self.generator)
        if z is None:
            return
        shape = (self.units, self.samples)
        z = z.reshape(shape).astype(np.float32).astype(np.float64)
        self.tensors = {
            "Z": z,
            "T": drawn_targets(self.loss, shape, self.generator),
            "weight": self.generator.uniform(0.5, 2.0, (1, self.samples)),
        }
        runs = _runs(opencl is not None, numpy)
        for backend, dtype in runs:
            about = RowLabels(
                f"loss {self.loss.name}",
                f"{self.activation.name}, {self.units} units, {self.samples} samples",
                backend,
                dtype,
            )
            try:
                yield from self._one(about, opencl)
            except KernelError as error:
                yield about.error(error.kernel, "", str(error))

    def _one(self, about: RowLabels, opencl: OpenCLBackend | None) -> Iterator[CheckRow]:
        run = self._run(about.backend, about.dtype, opencl)
        kernels = [self.loss.kernel(name) for name in self.loss.pairs[self.activation.name]]
        self._place(run, self.tensors["Z"])
        for kernel in kernels:
            run.run(kernel)
        found = {kernel.name: run.get(kernel.output).astype(np.float64) for kernel in kernels}
        if about.backend != "numpy":
            yield from self._against_numpy(about, kernels, found)
        if about.dtype == "float64":
            yield from self._against_differences(about, run, kernels, found)
            yield from self._against_plain(about, opencl, kernels, found)

    def _run(self, backend: str, dtype: str, opencl: OpenCLBackend | None) -> KernelRun:
        fixture = loss_fixture(self.loss, self.units)
        if backend == "numpy":
            return NumpyRun(fixture, dtype, self.samples)
        assert opencl is not None
        return OpenCLRun(fixture, dtype, self.samples, opencl, backend == SAMPLE_OUTER)

    def _place(self, run: KernelRun, z: Array, activation: ActivationInfo | None = None) -> None:
        narrow = z.astype(run.dtype)
        run.put("Z", narrow)
        run.put("Y", value(activation or self.activation)(narrow))
        run.put("T", self.tensors["T"])
        run.put("weight", self.tensors["weight"])

    def _against_numpy(
        self, about: RowLabels, kernels: list[KernelInfo], found: Mapping[str, Array]
    ) -> Iterator[CheckRow]:
        numpy = self._run("numpy", about.dtype, None)
        self._place(numpy, self.tensors["Z"])
        for kernel in kernels:
            numpy.run(kernel)
            theirs = numpy.get(kernel.output).astype(np.float64)
            errors = relative(found[kernel.name], theirs)
            yield about.row(
                "backends",
                kernel.name,
                kernel.output,
                found[kernel.name],
                theirs,
                errors,
                BACKENDS[about.dtype],
            )

    def _against_differences(
        self, about: RowLabels, run: KernelRun, kernels: list[KernelInfo], found: Mapping[str, Array]
    ) -> Iterator[CheckRow]:
        kernel, delta = kernels[0], found[kernels[1].name]

        def moved(entry: int, offset: float) -> Array:
            z = self.tensors["Z"].copy()
            z[entry] += offset
            self._place(run, z)
            run.run(kernel)
            return run.get(kernel.output)[0].astype(np.float64)

        size = float(np.max(np.abs(found[kernel.name])))
        differences = compare(moved, delta, 1e-3 * size, DIFFERENCES)
        errors = differences.errors(delta)
        yield about.row(
            "differences",
            kernels[1].name,
            kernels[1].output,
            delta,
            differences.numeric,
            errors,
            DIFFERENCES,
            differences.steps,
        )

    def _against_plain(
        self,
        about: RowLabels,
        opencl: OpenCLBackend | None,
        kernels: list[KernelInfo],
        found: Mapping[str, Array],
    ) -> Iterator[CheckRow]:
        """rho(t, y) and its derivative times phi'(z): the loss of the linear activation at y = phi(z)."""
        if self.plain.name not in self.loss.pairs or self.activation.name == self.plain.name:
            return
        run = self._run(about.backend, about.dtype, opencl)
        y = value(self.activation)(self.tensors["Z"])
        self._place(run, y, self.plain)
        plain = [self.loss.kernel(name) for name in self.loss.pairs[self.plain.name]]
        slope = derivative(self.activation)(self.tensors["Z"] if self.activation.derivative_in == "z" else y)
        for kernel, unfused, factor in zip(kernels, plain, (1.0, slope), strict=True):
            run.run(unfused)
            reference = run.get(unfused.output) * factor
            errors = relative(found[kernel.name], reference)
            yield about.row("fused", kernel.name, kernel.output, found[kernel.name], reference, errors, FUSED)


@dataclass
class HeadCheck:
    """A loss fused with a layer, held against the layer's own kernels followed by the loss.

    Compared are its value and its delta of a stage.
    """

    configuration: Configuration
    loss: LossInfo
    linear: ActivationInfo
    generator: np.random.Generator

    @property
    def info(self) -> LayerInfo:
        """The variant."""
        return self.configuration.layer.info

    @property
    def head(self) -> HeadInfo:
        """The fused loss."""
        return self.info.heads[self.loss.name]

    def rows(self, opencl: OpenCLBackend | None, numpy: bool = True) -> Iterator[CheckRow]:
        """All comparisons."""
        layer, samples, generator = self.configuration.layer, self.configuration.samples, self.generator
        self.tensors = {
            self.info.input: generator.normal(size=(layer.input.units, samples)),
            "T": drawn_targets(self.loss, (layer.output.units, samples), generator),
            "weight": generator.uniform(0.5, 2.0, (1, samples)),
            **{name: generator.normal(size=units) for name, units in layer.parameters},
        }
        self.fixture: KernelFixture = layer_fixture(layer, self.linear, False)
        runs = _runs(opencl is not None, numpy)
        for backend, dtype in runs:
            about = RowLabels(self.info.name, f"{self.configuration}, loss {self.loss.name}", backend, dtype)
            try:
                yield from self._one(about, opencl)
            except KernelError as error:
                yield about.error(error.kernel, "", str(error))

    def _one(self, about: RowLabels, opencl: OpenCLBackend | None) -> Iterator[CheckRow]:
        run = self._run(about, opencl)
        kernels = [self.info.kernel(self.head.value), self.info.kernel(self.head.delta)]
        for kernel in (*self._forward(), *kernels):
            run.run(kernel)
        found = {kernel.output: run.get(kernel.output).astype(np.float64) for kernel in kernels}
        names = dict(zip(found, kernels, strict=True))
        if about.backend != "numpy":
            numpy = self._run(RowLabels(about.layer, about.configuration, "numpy", about.dtype), None)
            for kernel in (*self._forward(), *kernels):
                numpy.run(kernel)
            for name, values in found.items():
                theirs = numpy.get(name).astype(np.float64)
                errors = relative(values, theirs)
                yield about.row(
                    "backends", names[name].name, name, values, theirs, errors, BACKENDS[about.dtype]
                )
        if about.dtype != "float64":
            return
        for name, reference in self._unfused(run, about, opencl).items():
            errors = relative(found[name], reference)
            yield about.row("fused", names[name].name, name, found[name], reference, errors, FUSED)
        delta = found[kernels[1].output]
        differences = compare(
            self._moved(run, kernels[0]), delta, 1e-3 * float(np.abs(found["r"]).max()), DIFFERENCES
        )
        yield about.row(
            "differences",
            kernels[1].name,
            kernels[1].output,
            delta,
            differences.numeric,
            differences.errors(delta),
            DIFFERENCES,
            differences.steps,
        )

    def _run(self, about: RowLabels, opencl: OpenCLBackend | None) -> KernelRun:
        run: KernelRun
        if about.backend == "numpy":
            run = NumpyRun(self.fixture, about.dtype, self.configuration.samples)
        else:
            assert opencl is not None
            run = OpenCLRun(
                self.fixture, about.dtype, self.configuration.samples, opencl, about.backend == SAMPLE_OUTER
            )
        for name, array in self.tensors.items():
            run.put(name, array)
        run.put(FACTOR, self.tensors[self.info.input])
        return run

    def _forward(self) -> list[KernelInfo]:
        return [kernel for kernel in self.info.kernels if kernel.role == "forward"]

    def _moved(self, run: KernelRun, error: KernelInfo) -> Moved:
        """The fused error with one entry of the stage moved, and everything after the stage computed
        again.
        """
        forward = self._forward()
        after = 1 + max(n for n, kernel in enumerate(forward) if kernel.output == self.head.tensor)
        stage = run.get(self.head.tensor).astype(np.float64)

        def moved(entry: int, offset: float) -> Array:
            values = stage.copy()
            values[entry] += offset
            run.put(self.head.tensor, values)
            for kernel in (*forward[after:], error):
                run.run(kernel)
            return run.get(error.output)[0].astype(np.float64)

        return moved

    def _unfused(self, run: KernelRun, about: RowLabels, opencl: OpenCLBackend | None) -> dict[str, Array]:
        """The error after the layer's output, and its delta brought to the stage by the layer's own
        delta kernels.
        """
        pair = [self.loss.kernel(name) for name in self.loss.pairs[self.linear.name]]
        fixture, samples = (
            loss_fixture(self.loss, self.configuration.layer.output.units),
            self.configuration.samples,
        )
        after: KernelRun = (
            NumpyRun(fixture, "float64", samples)
            if opencl is None or about.backend == "numpy"
            else OpenCLRun(fixture, "float64", samples, opencl)
        )
        output = run.get(self.info.output)
        for name, array in (
            ("Y", output),
            ("Z", output),
            ("T", self.tensors["T"]),
            ("weight", self.tensors["weight"]),
        ):
            after.put(name, array)
        for kernel in pair:
            after.run(kernel)
        delta = f"delta_{self.head.tensor}"
        run.put(f"delta_{self.info.output}", after.get(pair[1].output))
        for kernel in self.info.kernels:
            if kernel.role == "delta":
                run.run(kernel)
        return {self.info.kernel(self.head.value).output: after.get(pair[0].output), delta: run.get(delta)}


def _runs(opencl: bool, numpy: bool) -> list[tuple[str, str]]:
    """Backends and dtypes; the second form of the OpenCL kernels in one precision."""
    runs = [("numpy", dtype) for dtype in BACKENDS if numpy]
    return [*runs, *(("opencl", dtype) for dtype in BACKENDS), (SAMPLE_OUTER, "float32")] if opencl else runs

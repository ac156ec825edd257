"""The reference backend: the generated NumPy kernels, run in order.

Buffers are ``(units, n)`` arrays, sample last; kernels see them reshaped (``[map, coordinates..., sample]``)
or, for maps of different sizes, as a list with one array per map.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from math import prod
from typing import Any

import numpy as np

from ..backend import Array, Request, Result, calls, nearest_power
from ..errors import ManifestError
from ..manifest.folder import Folder
from ..program.program import Argument, Gradients, Program, Step, Unit

MICRO_BATCH_BYTES = 24 * 2**20


class NumpyBackend:
    """Runs programs with NumPy, in the calling process."""

    name = "numpy"

    def require(self, dtype: str) -> None:
        """Do nothing: NumPy computes in both."""

    def micro_batch(self, program: Program, dtype: str) -> int:
        """What keeps the tensors of a pass, all of which are kept, within ``MICRO_BATCH_BYTES``."""
        per_sample = max(1, program.units_per_sample) * np.dtype(dtype).itemsize
        return nearest_power(MICRO_BATCH_BYTES / per_sample, 16, 2048)

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        """False: samples are inner."""
        return False

    def same_sums(
        self, program: Program, dtype: str, one: int, other: int, request: Request, sample_outer: bool = False
    ) -> bool:
        """Every capacity gives the same bits."""
        return True

    def capacity(self, program: Program, dtype: str, samples: int, sample_outer: bool = False) -> int:
        """Exactly ``samples``: nothing is padded."""
        return samples

    def vector(self, count: int, dtype: str) -> Array:
        """An array."""
        return np.empty(count, dtype)

    def executor(
        self, program: Program, dtype: str, capacity: int, sample_outer: bool = False
    ) -> NumpyExecutor:
        """An executor; micro-batches of any size."""
        return NumpyExecutor(program, dtype, capacity)

    def describe(self) -> str:
        """The NumPy version."""
        return f"NumPy {np.__version__}"


@dataclass
class NumpyResident:
    """A micro-batch, sample last."""

    samples: int
    buffers: dict[str, Array] = field(repr=False)


@dataclass(frozen=True)
class Done:
    """A pass that has ended."""

    value: Result

    def result(self, rows: Array | None = None, total: Array | None = None, add: bool = False) -> Result:
        """What it gave."""
        value = self.value
        if total is not None and value.gradient is not None:
            total[:] = total + value.gradient if add else value.gradient
            value = replace(value, gradient=None)
        if rows is not None and value.sample_gradients is not None:
            rows[:] = value.sample_gradients
            value = replace(value, sample_gradients=rows)
        return value


class NumpyExecutor:
    """Runs one program; buffers live from one pass to the next so that ``seeded`` can go on from them."""

    def __init__(self, program: Program, dtype: str, capacity: int) -> None:
        self.program, self.dtype, self.capacity = program, np.dtype(dtype), capacity
        self.buffers: dict[str, Array] = {}
        self._parameters: dict[str, Array] = {}

    def upload(
        self, inputs: Array, targets: Array | None, weights: Array | None, slot: int | None = None
    ) -> NumpyResident:
        """Transpose to sample-last."""
        samples = len(inputs)
        buffers = {"input": np.array(inputs.T, dtype=self.dtype, order="C")}
        if targets is not None:
            buffers["target"] = np.array(targets.T, dtype=self.dtype, order="C")
        given = np.ones(samples) if weights is None else weights
        buffers["weight"] = np.array(given, dtype=self.dtype).reshape(1, samples)
        return NumpyResident(samples, buffers)

    def set_parameters(self, parameters: Array) -> None:
        """Copies, so that the caller may change its vector."""
        flat = np.array(parameters, dtype=self.dtype)
        self._parameters = {s.key(): flat[s.part] for s in self.program.parameters}

    def start(self, resident: NumpyResident, request: Request) -> Done:
        """Runs the pass."""
        self.buffers = {**self._parameters, **resident.buffers}
        for step in calls(self.program, request):
            self._call(step)
        return Done(self._collect(request))

    def seeded(self, resident: NumpyResident, delta: Array, request: Request) -> Done:
        """Backward from ``delta``."""
        self.buffers[f"delta:{self.program.last}"] = np.ascontiguousarray(delta, dtype=self.dtype)
        for step in self.program.backward("delta", request.gradients, request.input_gradient):
            self._call(step)
        return Done(self._collect(request))

    def derivative_source(self, resident: NumpyResident) -> Array:
        """Y or Z of the last layer."""
        return self.buffers[self.program.factor_key(self.program.last)]

    def trace(self, resident: NumpyResident, request: Request) -> Iterator[tuple[Step, Array]]:
        """Step by step."""
        self.buffers = {**self._parameters, **resident.buffers}
        for step in calls(self.program, request):
            self._call(step)
            yield step, self.buffers[step.writes.key]

    # -------------------------------------------------------------------------------------------------- calls
    def _call(self, step: Step) -> None:
        unit = self.program.units[step.unit]
        function = _function(unit, step.kernel.name)
        arguments = [self._view(argument) for argument in step.reads]
        if step.factor is not None:
            arguments.append(self._dphi(step.factor, step.unit - 1))
        keywords = {name: unit.sizes[name] for name in step.kernel.sizes}
        keywords.update({name: unit.connection_tables[name] for name in step.kernel.relations})
        extra = {"samples": self.buffers["input"].shape[1], "dtype": self.dtype}
        keywords.update({name: value for name, value in extra.items() if name in keyword_only(function)})
        result = function(*arguments, **keywords)
        if step.position is not None:
            result, position = result
            self._store(step.position, position)
        if step.kernel.finish == "phi":
            result = self._phi(step, result)
        self._store(step.writes, result)

    def _phi(self, step: Step, result: Any) -> Any:
        layer = self.program.layers[step.unit]
        if step.z is not None:
            self._store(Argument(step.z, step.writes.extent, True), result)
        if layer.linear:
            return result
        phi = activation_function(layer.activation.folder, f"phi_{layer.activation.function}")
        return [phi(entry) for entry in result] if isinstance(result, list) else phi(result)

    def _dphi(self, factor: Argument, lower: int) -> Any:
        value = self._view(factor)
        if lower < 0 or self.program.layers[lower].linear:
            return (
                [np.ones_like(entry) for entry in value] if isinstance(value, list) else np.ones_like(value)
            )
        activation = self.program.layers[lower].activation
        dphi = activation_function(activation.folder, f"dphi_{activation.function}")
        return [dphi(entry) for entry in value] if isinstance(value, list) else dphi(value)

    def _view(self, argument: Argument) -> Any:
        """The buffer in the shape of ``argument``; a list for maps of different sizes."""
        flat = self.buffers[argument.key]
        extent, tail = argument.extent, flat.shape[1:] if argument.samples else ()
        if extent.entries is None:
            return flat.reshape(extent.shape + tail)
        parts, start = [], 0
        for entry in extent.entries:
            stop = start + prod(entry)
            parts.append(flat[start:stop].reshape(entry + tail))
            start = stop
        return parts

    def _store(self, argument: Argument, value: Any) -> None:
        parts = value if isinstance(value, list) else [value]
        samples = self.buffers["input"].shape[1]
        tail = (samples,) if argument.samples else ()
        flat = [np.asarray(part, dtype=self.dtype).reshape(-1, *tail) for part in parts]
        self.buffers[argument.key] = (
            flat[0] if len(flat) == 1 else np.concatenate(flat or [np.zeros((0, *tail))])
        )

    def _collect(self, request: Request) -> Result:
        buffers, program = self.buffers, self.program
        gradient = sample_gradients = None
        if request.gradients == "sum":
            gradient = self._joined("sum", ())
        if request.gradients == "sample":
            sample_gradients = self._joined("sample", buffers["input"].shape[1:]).T
        return Result(
            np.ascontiguousarray(buffers[f"output:{program.last}"].T) if request.outputs else None,
            buffers["loss"][0].copy() if request.losses else None,
            gradient,
            sample_gradients,
            np.ascontiguousarray(buffers["delta:-1"].T) if request.input_gradient else None,
        )

    def _joined(self, gradients: Gradients, tail: tuple[int, ...]) -> Array:
        parts = [self.buffers[s.key(gradients)] for s in self.program.parameters]
        return np.concatenate([np.zeros((0, *tail), self.dtype), *parts])


def _function(unit: Unit, name: str) -> Callable[..., Any]:
    file = f"numpy/{unit.file}.py"
    try:
        return getattr(unit.folder.module(file), name)
    except AttributeError:
        raise ManifestError(f"{unit.folder.path / file}: has no kernel {name}; run: phiz generate") from None


@cache
def keyword_only(function: Callable[..., Any]) -> frozenset[str]:
    """A kernel whose arguments do not tell the number of samples or the dtype asks for them by name."""
    parameters = inspect.signature(function).parameters.values()
    return frozenset(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)


def activation_function(folder: Folder, name: str) -> Callable[[Array], Array]:
    """``phi_tanh`` or ``dphi_tanh`` of a generated folder."""
    file = "numpy/activations.py"
    try:
        return getattr(folder.module(file), name)
    except AttributeError:
        raise ManifestError(f"{folder.path / file}: has no function {name}; run: phiz generate") from None

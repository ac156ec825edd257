"""Layers at the border of what they are defined on: zeros, ties, values that saturate.

Random numbers are never 0 and never equal, so that a 0/0 in a derivative does not show at them.  Here nothing
is compared: where all that is computed forward is finite, so must every delta and every gradient be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ..backend import Array
from ..errors import ShapeError
from ..manifest.records import ActivationInfo
from ..program.layer import Layer
from ..reference.empty_maxima import check_maxima
from .kernel_run import FACTOR, PHI, RAISED, derivative, value
from .layer_run import LayerPoint, LayerRun
from .verdict import CheckRow, RowLabels

CHECK = "borders"


def _one_zero(drawn: Array) -> Array:
    changed = drawn.copy()
    changed[len(drawn) // 2] = 0.0
    return changed


INPUTS: Mapping[str, Callable[[Array], Array]] = {
    "0": np.zeros_like,
    "0 at one place": _one_zero,
    "0.5, all tied": lambda drawn: np.full_like(drawn, 0.5),
    "1": np.ones_like,
    "1e-30": lambda drawn: np.full_like(drawn, 1e-30),
    "1e4": lambda drawn: np.full_like(drawn, 1e4),
    "-1e4": lambda drawn: np.full_like(drawn, -1e4),
}
"""One sample's inputs, of ones that were drawn."""
WAYS_OUT = (
    "root(s) has slope 0 at s = 0 where sqrt has none, L.shift and softplus keep exp finite, "
    "s + 1e-5 keeps a divisor from 0"
)


@dataclass
class Borders:
    """One layer on one backend at inputs of ``INPUTS``."""

    layer: LayerRun
    point: LayerPoint
    about: RowLabels

    def rows(self) -> Iterator[CheckRow]:
        """A row for every tensor that is not finite where it must be, else one row for all."""
        kinds, samples = list(INPUTS), self.point.below.shape[1]
        failures: dict[tuple[str, str], CheckRow] = {}
        undefined: dict[str, None] = {}
        for first in range(0, len(kinds), samples):
            names = [kinds[(first + t) % len(kinds)] for t in range(samples)]
            outside, lost = self._lost(names)
            undefined |= dict.fromkeys(outside)
            for row in lost:
                failures.setdefault((row.kernel, row.tensor), row)
        yield from failures.values()
        if not failures:
            note = f"not defined where the input is {', '.join(undefined)}" if undefined else "all finite"
            yield self._row("", self.layer.info.input, 0.0).noted(note)

    def _place(self, names: list[str]) -> None:
        layer, lower = self.layer, self.layer.lower
        layer.place(self.point)
        drawn = value(lower)(self.point.below.astype(layer.run.dtype))
        inputs = np.stack([INPUTS[name](drawn[:, t]) for t, name in enumerate(names)], axis=1)
        one = np.ones_like(inputs)  # phi' of the layer below is not what is looked at
        layer.run.put(layer.info.input, inputs)
        layer.run.put(FACTOR, one if lower.derivative_in == "z" else value(lower)(one))

    def _lost(self, names: list[str]) -> tuple[list[str], list[CheckRow]]:
        """Names of inputs at which the layer is not defined, and rows of what is lost where it is."""
        layer = self.layer
        self._place(names)
        layer.outputs()
        stages = [layer.got(name) for name in (*(k.output for k in layer.kernels("forward")), PHI)]
        infinite = self._any(np.isinf, [*stages, self._slope()])
        indefinite = self._any(np.isnan, stages)
        infinite |= indefinite & np.array([name.startswith("-") for name in names])  # logarithms, roots
        indefinite &= ~infinite
        rows = [
            self._failure("", layer.info.output, name, "the layer itself")
            for name, lost in zip(names, indefinite, strict=True)
            if lost
        ]
        defined = ~(infinite | indefinite)
        layer.backward(np.where(defined, self.point.weights, 0.0))
        for kernel in layer.kernels("delta", "sample_gradient"):
            lost = self._any(_not_finite, [layer.got(kernel.output)]) & defined
            if lost.any():
                name = names[int(np.argmax(lost))]
                rows.append(self._failure(kernel.name, kernel.output, name, "the derivative"))
        return [name for name, known in zip(names, infinite, strict=True) if known], rows

    def _slope(self) -> Array:
        """phi' of the layer's own activation, which may have none there."""
        activation = self.layer.activation
        source = self.layer.info.output if activation.derivative_in == "z" else PHI
        return np.asarray(derivative(activation)(self.layer.run.get(source)), np.float64)

    def _any(self, test: Callable[[Array], Array], found: list[Array]) -> Array:
        """For every sample, whether ``test`` holds anywhere."""
        samples = self.point.below.shape[1]
        return np.any([test(array).reshape(-1, samples).any(axis=0) for array in found], axis=0)

    def _row(self, kernel: str, tensor: str, error: float) -> CheckRow:
        errors = np.array([error])
        return self.about.row(CHECK, kernel, tensor, errors, np.zeros(1), errors, 0.5)

    def _failure(self, kernel: str, tensor: str, name: str, what: str) -> CheckRow:
        row = self._row(kernel, tensor, np.inf)
        return row.noted(f"{what} is not finite where the input is {name}; {WAYS_OUT}")


def activation_border(activation: ActivationInfo) -> CheckRow:
    """The row of phi' at 0, at tiny and at large z, with NumPy: finite where phi is."""
    z = np.array([0.0, 1e-30, -1e-30, 1e-8, -1e-8, 1.0, -1.0, 1e4, -1e4])
    about = RowLabels(activation.name, f"z of {z.tolist()}", "numpy", "float64")
    name = f"dphi_{activation.name}"
    try:
        y = value(activation)(z)
        slope = np.asarray(derivative(activation)(z if activation.derivative_in == "z" else y), np.float64)
    except RAISED as error:
        return about.error(name, "phi'", f"{type(error).__name__}: {error}")
    errors = np.where(np.isfinite(y) & ~np.isfinite(slope), np.inf, 0.0)
    row = about.row(CHECK, name, "phi'", errors, np.zeros(z.shape), errors, 0.5)
    note = f"phi' is not finite at z = {z[int(errors.argmax())]:g}, where phi is; {WAYS_OUT}"
    return row.noted("" if row.passed else note)


def not_finite_anywhere(layer: Layer, configuration: str) -> CheckRow:
    """The row of a configuration with a stage that is not finite at any point drawn, and why."""
    note = "not finite at any point drawn: another configuration is drawn"
    try:
        check_maxima(layer)
    except ShapeError as error:
        note = f"networks refuse it: {error}"
    zero = np.zeros(1)
    about = RowLabels(layer.info.name, configuration, "numpy", "float64")
    return about.row(CHECK, "", layer.info.output, zero, zero, zero, 0.5).noted(note)


def _not_finite(array: Array) -> Array:
    return ~np.isfinite(array)

"""Gradients of one layer on one backend against the function values of the same backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend import Array
from .differences import STEPS, Moved, central, compare, taylor_slope
from .layer_run import FLOOR, LayerPoint, LayerRun, sizes_of
from .verdict import ADJOINT, DIFFERENCES, ORDER, CheckRow, RowLabels, relative

TAYLOR_STEPS = {
    "float64": [2.0**-n for n in range(4, 17)],
    "float32": [2.0**-n for n in range(1, 15)],
}
#: A direction along which the rounding of E is measured: too small a move for its curvature to show.
STILL = {"float64": 2.0**-36, "float32": 2.0**-18}
DIRECTIONS = 8


@dataclass
class Gradients:
    """Gradients of one layer on one backend, against the function values of the same backend."""

    layer: LayerRun
    point: LayerPoint
    generator: np.random.Generator
    about: RowLabels

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
        """The error E of each sample, for the arrays now on the device."""
        return np.sum(self.point.weights * self.layer.outputs(), axis=0)

    def _start(self, name: str) -> Array:
        return self.point.parameters[name] if name else self.point.below

    def _put(self, name: str, values: Array) -> None:
        if name:
            self.layer.run.put(name, values)
        else:
            self.layer.place_below(values)

    # -------------------------------------------------------------------------------------------- differences
    def differences(self) -> Iterator[CheckRow]:
        """Every entry of the input's delta, of every sample gradient, and of every gradient."""
        floor = FLOOR * self.size
        for name, slope in self.slopes.items():
            values = slope if not name else self.samples[name]
            found = compare(self._moved(name), values, floor, DIFFERENCES)
            tensor = f"samplegradient_{name}" if name else f"delta_{self.layer.info.input}"
            note = "one-sided at a kink" if found.kinks.any() else ""
            row = self.about.row(
                "differences",
                self._kernel(tensor),
                tensor,
                values,
                found.numeric,
                found.errors(values),
                DIFFERENCES,
                found.steps,
            )
            yield row.noted(note)
            if name:
                total = found.numeric.sum(axis=1)
                errors = relative(slope, total, found.scale)
                tensor = f"gradient_{name}"
                steps = found.steps.min(axis=1, initial=STEPS[0])
                row = self.about.row(
                    "differences", self._kernel(tensor), tensor, slope, total, errors, DIFFERENCES, steps
                )
                yield row.noted(note)

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

    # ------------------------------------------------------------------------------------------- along a line
    def _direction(self, names: Sequence[str]) -> dict[str, Array]:
        drawn = {name: self.generator.normal(size=self._start(name).shape) for name in names}
        length = np.sqrt(sum(float(np.sum(v * v)) for v in drawn.values()))
        return {name: v / max(length, 1e-300) for name, v in drawn.items()}

    def _along(self, direction: Mapping[str, Array], offset: float) -> tuple[Array, float, float]:
        """Returns each sample's E, and <g, move> and <|g|, |move|>, for the move as rounded to the dtype."""
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

    def taylor(self) -> Iterator[CheckRow]:
        """The order of the remainder, tensor by tensor.

        Further directions are tried where kinks that one crosses blur the order; a wrong gradient gives 1
        along all.
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

    def adjoint(self) -> Iterator[CheckRow]:
        """<c phi'(Z), J v> by differences along v against <J^T c phi'(Z), v>, over input and parameters
        together.
        """
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
            "adjoint",
            "",
            "<delta, J v>",
            np.array([right]),
            np.array([left]),
            np.array([error]),
            ADJOINT,
            step,
        )

"""A layer's kernels in the order of its equations, at a point: what the gradient check evaluates.

E = <c, phi(Z)> with random c per sample: its delta at the layer is c phi'(Z).  The activation below is part
of the layer's
check: what is perturbed is its Z, so that the input's delta must contain phi' of the layer below (equations 6
and 7).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..backend import Array
from ..manifest.records import ActivationInfo, KernelInfo, LayerInfo
from .kernel_run import FACTOR, PHI, KernelRun, derivative, value

#: Differences are relative to at least this part of the sum of |c Y|.
FLOOR = 1e-3
#: Outputs count as at least this large: what cancels to 0 exactly (a normalised single value) leaves rounding
#: of its parts.
LEAST = 0.1


@dataclass(frozen=True)
class LayerPoint:
    """The point at which a layer is checked.

    It has Z below ``(units, samples)``, parameters, and the weights c of its outputs.
    """

    below: Array
    parameters: Mapping[str, Array]
    weights: Array


class LayerRun:
    """A layer's kernels at a point, in one dtype on one backend."""

    def __init__(self, run: KernelRun, info: LayerInfo) -> None:
        self.run, self.info, self.fixture = run, info, run.fixture
        assert self.fixture.activation is not None and self.fixture.lower is not None
        self.activation: ActivationInfo = self.fixture.activation
        self.lower: ActivationInfo = self.fixture.lower

    def kernels(self, *roles: str) -> list[KernelInfo]:
        """Those of the roles, in order."""
        return [kernel for kernel in self.info.kernels if kernel.role in roles]

    def place(self, point: LayerPoint) -> None:
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


def sizes_of(point: LayerPoint, outputs: Array) -> Array:
    """The size of E of every sample, ``(samples,)``: the sum of its terms' absolute values."""
    return np.sum(np.abs(point.weights) * np.maximum(np.abs(outputs), LEAST), axis=0)

"""The error of a network on its training samples, as an objective for the optimizers.

It is the mean error, and an L2 penalty if asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import NotFiniteError, PhizError
from ..network.network import Network
from ..optimize.base.evaluation import StopRun
from ..optimize.base.result import Status
from ..schema.check import checked
from .evaluation_set import EvaluationSet
from .gauss_newton import whitened

Floats = npt.NDArray[Any]


class NetworkObjective:
    """f(x) = (1/N) sum of the errors + alpha/2 sum of the squared weights, and its gradient.

    part: the samples.
    alpha: the penalty; it applies to the parameters that start from random values, not to those that start
    from a constant (biases).
    batch_size: of the mini-batches that ``batch`` will be asked for.
    strict: a NaN or an infinity ends the run (descent with fixed steps, which it would never leave) and names
    the layer; otherwise it raises NotFiniteError, which makes line searches and Levenberg-Marquardt shorten
    their step.  Mini-batches are always strict.
    """

    reduction = "mean"
    #: Weights share one scale: D = 1 keeps columns of saturated units, which are nearly zero, from taking all
    #: the step.
    damping_defaults: ClassVar[Mapping[str, Any]] = {"damping": 1e-2, "scaling": "identity"}

    def __init__(
        self, part: EvaluationSet, alpha: float = 0.0, batch_size: int | None = None, strict: bool = False
    ) -> None:
        alpha = checked(alpha, float, "alpha")
        if not 0.0 <= alpha < np.inf:
            raise PhizError(f"alpha: expected a penalty >= 0, got {alpha}")
        self.part, self.network = part, part.network
        self.alpha, self.batch_size, self.strict = alpha, batch_size, strict
        self._penalised = penalised(self.network) if alpha else None

    @property
    def sample_count(self) -> int:
        """Number of samples N."""
        return len(self.part)

    def value(self, x: Floats) -> float:
        """f(x)."""
        error = self._finite(x, self._evaluate(x, gradient=False)[0])
        return error / self.sample_count + self._penalty(x)

    def value_and_gradient(self, x: Floats) -> tuple[float, Floats]:
        """f(x) and its gradient, ``(n,)``, in the network's dtype."""
        error, gradient = self._evaluate(x, gradient=True)
        self._finite(x, error + float(gradient.sum(dtype=np.float64)))
        return error / self.sample_count + self._penalty(x), self._with_penalty(
            gradient / self.sample_count, x
        )

    def batch(self, indices: npt.NDArray[np.int64]) -> MiniBatch:
        """The objective of these samples alone: their mean."""
        return MiniBatch(self, indices)

    # ------------------------------------------------------------------------------------ Levenberg-Marquardt
    def residuals_and_jacobian_chunks(self, x: Floats) -> Iterator[tuple[Floats, Floats]]:
        """Residuals and Jacobian rows with J^T r = the gradient and J^T J = the Gauss-Newton matrix of f.

        For the squared error f = 1/2 ||r||^2 itself; see ``gauss_newton`` for cross-entropy.  The penalty
        adds one row per penalised parameter.
        """
        scale = 1.0 / np.sqrt(self.sample_count)
        for residual, rows in whitened(self.network, x, self.part.data.inputs, self.part.data.targets):
            yield residual * residual.dtype.type(scale), rows * rows.dtype.type(scale)
        if self._penalised is not None:
            where = np.flatnonzero(self._penalised)
            chunk = self.network.row_chunk()
            root = x.dtype.type(np.sqrt(self.alpha))
            for start in range(0, len(where), chunk):
                columns = where[start : start + chunk]
                rows = np.zeros((len(columns), x.size), x.dtype)
                rows[np.arange(len(columns)), columns] = root
                yield root * x[columns], rows

    @property
    def chunk_bytes(self) -> int:
        """Bytes of one chunk of Jacobian rows, its scaled copy and the kernels' own."""
        units = self.network.output_shape.units
        row = self.network.parameter_count * np.dtype(self.network.dtype).itemsize
        return 3 * self.network.row_chunk(units) * units * row

    # ----------------------------------------------------------------------------------------------- internal
    def _evaluate(self, x: Floats, gradient: bool) -> tuple[float, Floats]:
        try:
            with np.errstate(all="ignore"):
                if gradient:
                    return self.network.value_and_gradient(x, *self.part.samples)
                return self.network.value(x, *self.part.samples), np.zeros(0)
        except NotFiniteError as error:
            raise self._stop(str(error)) from None

    def _finite(self, x: Floats, number: float) -> float:
        if not np.isfinite(number):
            raise self._stop(self.part.blame(x, "the error"))
        return number

    def _stop(self, reason: str) -> Exception:
        return StopRun(Status.NOT_FINITE, reason) if self.strict else NotFiniteError(reason)

    def _penalty(self, x: Floats) -> float:
        if self._penalised is None:
            return 0.0
        weights = x[self._penalised].astype(np.float64)
        return 0.5 * self.alpha * float(weights @ weights)

    def _with_penalty(self, gradient: Floats, x: Floats) -> Floats:
        if self._penalised is None:
            return gradient
        result: Floats = gradient + self.alpha * np.where(self._penalised, x, 0.0)
        return result


class MiniBatch:
    """Some samples of an objective; what ``NetworkObjective.batch`` gives.

    A batch shorter than ``batch_size`` is filled up with its last sample at weight 0, so that one set of
    kernels and buffers serves every batch.
    """

    def __init__(self, whole: NetworkObjective, indices: npt.NDArray[np.int64]) -> None:
        self.whole, self.indices = whole, indices

    @cached_property
    def _samples(self) -> tuple[Floats, Floats, Floats | None]:
        data, indices = self.whole.part.data, self.indices
        missing = (self.whole.batch_size or 0) - len(indices)
        if missing <= 0:
            return data.inputs[indices], data.targets[indices], None
        filled = np.concatenate([indices, np.repeat(indices[-1:], missing)])
        weights = np.zeros(len(filled), data.inputs.dtype)
        weights[: len(indices)] = 1
        return data.inputs[filled], data.targets[filled], weights

    def value_and_gradient(self, x: Floats) -> tuple[float, Floats]:
        """Mean error of the batch plus the penalty, and the gradient."""
        whole = self.whole
        inputs, targets, weights = self._samples
        try:
            with np.errstate(all="ignore"):
                error, gradient = whole.network.value_and_gradient(x, inputs, targets, weights)
                found = (
                    None
                    if np.isfinite(error + float(gradient.sum(dtype=np.float64)))
                    else whole.network.first_nonfinite(x, inputs, targets, weights)
                )
        except NotFiniteError as problem:
            raise StopRun(Status.NOT_FINITE, str(problem)) from None
        if found is not None or not np.isfinite(error):
            raise StopRun(Status.NOT_FINITE, str(found) if found is not None else "the error is not finite")
        count = len(self.indices)
        return error / count + whole._penalty(x), whole._with_penalty(gradient / count, x)


def penalised(network: Network) -> npt.NDArray[np.bool_]:
    """``(n,)``: True for the parameters whose initial values are drawn at random."""
    mask = np.zeros(network.parameter_count, bool)
    for piece in network.slices:
        layer = network.layers[piece.layer]
        rule = layer.spec.initial.get(piece.name, layer.info.initial[piece.name])
        mask[piece.part] = rule["rule"] != "constant"
    return mask

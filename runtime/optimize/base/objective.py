"""What the optimizers ask of an objective, and adapters for plain functions.

An objective is any object with `value_and_gradient`.  It may offer more, and methods use what is there:

* `value(x)`: cheaper than value and gradient together; used by the value-only line searches and by LM's trial
  steps.
* `damping_defaults`: the first lambda ("damping") and the "scaling" that Levenberg-Marquardt takes where no
  option says.
* `residuals(x)`, `residuals_and_jacobian_chunks(x)`: what Levenberg-Marquardt needs.
* `sample_count`, `batch(indices)`, `reduction`: what mini-batch descent needs.

Every call gets an x of its own, and what it returns is copied or used up before the next: an objective may
write into x, keep it, and reuse its buffers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .errors import OptionError
from .vector import Vector, as_matrix, as_vector


@runtime_checkable
class Objective(Protocol):
    """f and its gradient at a flat parameter vector."""

    def value_and_gradient(self, x: Vector) -> tuple[float, Vector]:
        """f(x) and the gradient, shape (n,)."""
        ...


@runtime_checkable
class ResidualObjective(Protocol):
    """f = 1/2 sum r_i^2 (equation 106) through its residuals; J[i, p] = dr_i/dx_p.

    An objective that also has `value` may have another f, as long as sum J^T r is its gradient and sum J^T J
    its Gauss-Newton matrix (see `residuals.gauss_newton_softmax`).  `residuals` is optional where `value`
    exists.
    """

    def residuals_and_jacobian_chunks(self, x: Vector) -> Iterator[tuple[Vector, np.ndarray]]:
        """Pieces (r: (m,), J: (m, n)) that together hold every residual once, always in the same order."""
        ...


@runtime_checkable
class SampledObjective(Protocol):
    """A sum (or mean) over samples that can be evaluated on some of them."""

    @property
    def sample_count(self) -> int:
        """Number of samples N."""
        ...

    def batch(self, indices: np.ndarray) -> Objective:
        """The objective of these samples alone: their sum, or their mean when `reduction` is "mean"."""
        ...


class FunctionObjective:
    """`fun(x, *args) -> (f, g)`, or `fun -> f` together with `jac -> g`, as an objective."""

    def __init__(
        self, fun: Callable[..., Any], jac: Callable[..., Any] | None = None, args: tuple[Any, ...] = ()
    ):
        self._fun = fun
        self._jac = jac
        self._args = args
        #: Value and gradient are functions of their own: where the value at x is known, `gradient` alone is
        #: called.
        self.separate = jac is not None
        if jac is not None:
            self.value = self._value

    def _value(self, x: Vector) -> float:
        return scalar(self._fun(x.copy(), *self._args))

    def gradient(self, x: Vector) -> Vector:
        """The gradient alone; only with a gradient function of its own."""
        assert self._jac is not None
        return as_vector("gradient", self._jac(x.copy(), *self._args), x.size)

    def value_and_gradient(self, x: Vector) -> tuple[float, Vector]:
        if self._jac is not None:
            return self._value(x), self.gradient(x)
        pair = self._fun(x.copy(), *self._args)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise OptionError(
                f"fun: expected (f, gradient), got {type(pair).__name__}; "
                "return both, or pass the gradient function as jac="
            )
        return scalar(pair[0]), pair[1]


class LeastSquares:
    """Residuals r(x): (m,) and their Jacobian (m, n) as an objective for every method; f = 1/2 ||r||^2 (106).

    `fun(x, *args) -> r` with `jac(x, *args) -> J`, or `fun -> (r, J)` when jac is None.
    """

    #: `residuals`, `jacobian` and `pair` are fresh arrays, which a run may keep and use again.
    reusable = True

    def __init__(
        self, fun: Callable[..., Any], jac: Callable[..., Any] | None = None, args: tuple[Any, ...] = ()
    ):
        self._fun = fun
        self._jac = jac
        self._args = args
        self.separate = jac is not None

    def pair(self, x: Vector) -> tuple[Vector, np.ndarray]:
        """r (m,) and J (m, n)."""
        if self._jac is not None:
            r = self.residuals(x)
            return r, self.jacobian(x, r)
        pair = self._fun(x.copy(), *self._args)
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise OptionError(
                f"fun: expected (residuals, Jacobian), got {type(pair).__name__}; "
                "return both, or pass the Jacobian function as jac="
            )
        r = as_vector("residuals", pair[0])
        return r, as_matrix("Jacobian", pair[1], r.size, x.size)

    def jacobian(self, x: Vector, r: Vector) -> np.ndarray:
        """J (m, n) at x, where the residuals are r; only with a Jacobian function of its own."""
        assert self._jac is not None
        return as_matrix("Jacobian", self._jac(x.copy(), *self._args), r.size, x.size)

    def residuals(self, x: Vector) -> Vector:
        """r(x), shape (m,)."""
        if self._jac is not None:
            return as_vector("residuals", self._fun(x.copy(), *self._args))
        return self.pair(x)[0]

    def residuals_and_jacobian_chunks(self, x: Vector) -> Iterator[tuple[Vector, np.ndarray]]:
        return iter([self.pair(x)])

    def value(self, x: Vector) -> float:
        """1/2 ||r||^2."""
        return half_squares(self.residuals(x))

    def value_and_gradient(self, x: Vector) -> tuple[float, Vector]:
        r, jacobian = self.pair(x)
        return half_squares(r), jacobian.T @ r.astype(np.float64, copy=False)


def half_squares(r: Vector) -> float:
    """1/2 ||r||^2 in float64; infinite where it overflows."""
    wide = r.astype(np.float64, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        return 0.5 * float(wide @ wide)


def scalar(value: Any) -> float:
    """The one number in `value` (a float, or an array with a single element)."""
    if isinstance(value, float):
        return float(value)  # NumPy's float64 is a float too
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise OptionError(f"fun: expected one real number, got a ragged {type(value).__name__}") from None
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise OptionError(f"fun: expected one real number, got {array.dtype} of shape {array.shape}")
    return float(array.reshape(())[()])

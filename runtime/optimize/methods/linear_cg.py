"""Linear conjugate gradients for A x = b, A symmetric positive definite (equations 156-161)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ...errors import ShapeError
from ..base.vector import Vector, as_parameters, as_vector, dot, norm


@dataclass(frozen=True)
class LinearCGResult:
    """The solution of a linear system, as far as it was reached.

    x: (n,).
    residual_norm: ||b - A x|| by the recurrence.
    alpha, beta: the coefficients of every step.
    """

    x: Vector
    residual_norm: float
    nit: int
    success: bool
    message: str
    alpha: list[float]
    beta: list[float]


def linear_cg(
    a: np.ndarray | Callable[[Vector], Vector],
    b: ArrayLike,
    x0: ArrayLike | None = None,
    *,
    rtol: float = 1e-10,
    maxiter: int | None = None,
    preconditioner: Callable[[Vector], Vector] | None = None,
    recompute_every: int = 50,
    callback: Callable[[Vector], Any] | None = None,
) -> LinearCGResult:
    """Solves A x = b until ||r|| <= rtol ||b||, in at most `maxiter` steps (default 10 n).

    a: (n, n) or a function v -> A v.
    preconditioner: v -> M^-1 v.

    r is recomputed as b - A x now and then, because its recurrence (160) drifts.  Stops with a
    message where d^T A d <= 0: A is not positive definite.
    """
    right = as_parameters(b)
    product = _guarded("A", a, right) if callable(a) else _matrix_product(a, right.size)
    x = np.zeros_like(right) if x0 is None else as_parameters(x0).astype(right.dtype)
    if x.shape != right.shape:
        raise ShapeError(f"linear_cg: expected x0 of shape {right.shape}, got {x.shape}")
    precondition = _guarded("preconditioner", preconditioner or (lambda v: v), right)
    run = _Recurrence(product, precondition, right, x, rtol * norm(right), recompute_every)
    for _ in range(10 * right.size if maxiter is None else maxiter):
        why = run.ended or run.step()
        if why:
            return run.result(why)
        if callback is not None:
            callback(run.x.copy())
    return run.result(run.ended or "no more steps allowed")


class _Recurrence:
    """x, r = b - A x, z = M^-1 r and the direction d, from step to step (157-161)."""

    def __init__(
        self,
        product: Callable[[Vector], Vector],
        precondition: Callable[[Vector], Vector],
        right: Vector,
        x: Vector,
        enough: float,
        recompute_every: int,
    ) -> None:
        self.product, self.precondition, self.right = product, precondition, right
        self.x, self.enough, self.recompute_every = x, enough, recompute_every
        self.r = right - product(x)
        z = precondition(self.r)
        self.d, self.rz = z.copy(), dot(self.r, z)
        self.alphas: list[float] = []
        self.betas: list[float] = []

    @property
    def ended(self) -> str:
        """Why no step is needed, "" where one is."""
        return "residual within rtol" if norm(self.r) <= self.enough else ""

    def step(self) -> str:
        """One step; why none can be made, else ""."""
        ad = self.product(self.d)
        curvature = dot(self.d, ad)
        if not curvature > 0.0:
            return f"A is not positive definite: d^T A d = {curvature:.3g}"
        alpha, real = self.rz / curvature, self.x.dtype.type
        self.x = self.x + real(alpha) * self.d
        self.alphas.append(alpha)
        due = len(self.alphas) % self.recompute_every == 0
        self.r = self.right - self.product(self.x) if due else self.r - real(alpha) * ad
        z = self.precondition(self.r)
        self.rz, before = dot(self.r, z), self.rz
        beta = self.rz / before
        self.d = z + real(beta) * self.d
        self.betas.append(beta)
        return ""

    def result(self, message: str) -> LinearCGResult:
        """Where the steps have led."""
        return LinearCGResult(
            self.x, norm(self.r), len(self.alphas), bool(self.ended), message, self.alphas, self.betas
        )


def _guarded(name: str, function: Callable[[Vector], Any], like: Vector) -> Callable[[Vector], Vector]:
    """The user's function on copies, so that it may write into what it gets and reuse what it gave."""
    return lambda v: as_vector(name, function(v.copy()), like.size).astype(like.dtype, copy=False)


def _matrix_product(a: np.ndarray, size: int) -> Callable[[Vector], Vector]:
    matrix = np.asarray(a)
    if matrix.shape != (size, size):
        raise ShapeError(f"linear_cg: expected A of shape ({size}, {size}), got {matrix.shape}")
    return lambda v: matrix @ v

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
    """x: (n,); residual_norm: ||b - A x|| by the recurrence; `alpha`, `beta`: the coefficients of every step."""

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

    a: (n, n) or a function v -> A v; preconditioner: v -> M^-1 v.  r is recomputed as b - A x now and then, because
    its recurrence (160) drifts.  Stops with a message where d^T A d <= 0: A is not positive definite.
    """
    right = as_parameters(b)
    product = _guarded("A", a, right) if callable(a) else _matrix_product(a, right.size)
    x = np.zeros_like(right) if x0 is None else as_parameters(x0).astype(right.dtype)
    if x.shape != right.shape:
        raise ShapeError(f"linear_cg: expected x0 of shape {right.shape}, got {x.shape}")
    precondition = _guarded("preconditioner", preconditioner or (lambda v: v), right)
    r = right - product(x)
    z = precondition(r)
    d, rz = z.copy(), dot(r, z)
    enough = rtol * norm(right)
    alphas: list[float] = []
    betas: list[float] = []
    for step in range(10 * right.size if maxiter is None else maxiter):
        if norm(r) <= enough:
            return LinearCGResult(x, norm(r), step, True, "residual within rtol", alphas, betas)
        ad = product(d)
        curvature = dot(d, ad)
        if not curvature > 0.0:
            why = f"A is not positive definite: d^T A d = {curvature:.3g}"
            return LinearCGResult(x, norm(r), step, False, why, alphas, betas)
        alpha = rz / curvature
        x = x + x.dtype.type(alpha) * d
        r = right - product(x) if (step + 1) % recompute_every == 0 else r - x.dtype.type(alpha) * ad
        z = precondition(r)
        rz, before = dot(r, z), rz
        beta = rz / before
        d = z + x.dtype.type(beta) * d
        alphas.append(alpha)
        betas.append(beta)
        if callback is not None:
            callback(x.copy())
    done = norm(r) <= enough
    message = "residual within rtol" if done else "no more steps allowed"
    return LinearCGResult(x, norm(r), len(alphas), done, message, alphas, betas)


def _guarded(name: str, function: Callable[[Vector], Any], like: Vector) -> Callable[[Vector], Vector]:
    """The user's function on copies, so that it may write into what it gets and reuse what it gave."""
    return lambda v: as_vector(name, function(v.copy()), like.size).astype(like.dtype, copy=False)


def _matrix_product(a: np.ndarray, size: int) -> Callable[[Vector], Vector]:
    matrix = np.asarray(a)
    if matrix.shape != (size, size):
        raise ShapeError(f"linear_cg: expected A of shape ({size}, {size}), got {matrix.shape}")
    return lambda v: matrix @ v

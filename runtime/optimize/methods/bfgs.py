"""BFGS with the inverse Hessian (Algorithm 1 as corrected: ledger X45, X49, D13; equations 172-182, 191)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from scipy.linalg import blas

from ..base.vector import Vector, dot, norm
from ..line_search.line_search import LineSearch
from ..line_search.wolfe import StrongWolfe
from .lbfgs import curvature_safe
from .method import Method, Move, StateDict, field_of, gradient_of, search


class InverseHessian:
    """H (n, n), symmetric positive definite; only its upper triangle is kept up to date."""

    def __init__(self, size: int, dtype: np.dtype[Any]):
        self.upper = np.eye(size, dtype=dtype, order="F")
        double = dtype == np.float64
        self._times = blas.dsymv if double else blas.ssymv
        self._update = blas.dsyr2 if double else blas.ssyr2

    def reset(self, scale: float = 1.0) -> None:
        """H = scale I."""
        self.upper[:] = 0
        np.fill_diagonal(self.upper, scale)

    def times(self, v: Vector) -> Vector:
        """H v."""
        result: Vector = self._times(1.0, self.upper, v)
        return result

    def update(self, s: Vector, y: Vector) -> None:
        """Equation 182: H y = s afterwards.  As one symmetric rank-2 update, H + s v^T + v s^T."""
        curvature = dot(s, y)
        hy = self.times(y)
        real = s.dtype.type
        v = real(0.5 * (1.0 + dot(y, hy) / curvature) / curvature) * s - real(1.0 / curvature) * hy
        self.upper = self._update(1.0, s, v, a=self.upper, overwrite_a=1)

    def full(self) -> np.ndarray:
        """H as a full symmetric (n, n) matrix."""
        upper = np.triu(self.upper)
        return upper + np.triu(upper, 1).T


@dataclass
class BFGS(Method):
    """BFGS; memory n².  H_0 is the identity for the first step, of length at most 1, then (s^T y / y^T y) I.

    `scale_initial=False` keeps H_0 = I.  Updates without positive curvature are skipped; a direction that
    does not descend, or along which nothing is found, resets H.
    """

    line_search: LineSearch = field(default_factory=StrongWolfe)
    first_step: float | None = None
    scale_initial: bool = True

    name: ClassVar[str] = "bfgs"

    def __post_init__(self) -> None:
        self._inverse: InverseHessian | None = None
        self._fresh = True

    @property
    def inverse_hessian(self) -> InverseHessian:
        """H; made when the run starts."""
        if self._inverse is None:
            self._inverse = InverseHessian(self.point.x.size, self.point.x.dtype)
        return self._inverse

    def propose(self) -> Move:
        g = gradient_of(self.point)
        fresh, note = self._fresh, ""
        direction = -g if fresh else -self.inverse_hessian.times(g)
        if not fresh and not dot(direction, g) < 0.0:
            direction, fresh, note = -g, True, "reset: not a descent direction"
        end = search(
            self.evaluator, self.line_search, self.point, direction, self._first_alpha(g) if fresh else 1.0
        )
        if not end.moved and not fresh:
            fresh, note = True, f"reset: {end.result.reason.value}"
            end = search(self.evaluator, self.line_search, self.point, -g, self._first_alpha(g))
        if not end.moved:
            return self.stay(end.failure(self.evaluator), note)
        new = end.point
        s, y = new.x - self.point.x, gradient_of(new) - g
        keep = curvature_safe(s, y)
        if not keep:
            note = note or "update skipped: no positive curvature"
        return Move(new, end.result.alpha, lambda: self._commit(s, y, keep, fresh), note, failed=end.failed)

    def _first_alpha(self, g: Vector) -> float:
        if self.first_step is not None:
            return self.first_step
        return min(1.0, 1.0 / norm(g))

    def _commit(self, s: Vector, y: Vector, keep: bool, fresh: bool) -> None:
        if not keep:
            self._fresh = self._fresh or fresh
            return
        if fresh:
            self.inverse_hessian.reset(dot(s, y) / dot(y, y) if self.scale_initial else 1.0)
        self.inverse_hessian.update(s, y)
        self._fresh = False

    def memory_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """H and 8 vectors."""
        return (size * size + 8 * size) * dtype.itemsize

    def state(self) -> StateDict:
        return {"inverse_hessian": self.inverse_hessian.upper, "fresh": self._fresh}

    def restore(self, state: Mapping[str, Any]) -> None:
        size = self.point.x.size
        self._inverse = InverseHessian(size, self.point.x.dtype)
        self._inverse.upper[:] = field_of(state, "inverse_hessian", (size, size))
        self._fresh = bool(state["fresh"])

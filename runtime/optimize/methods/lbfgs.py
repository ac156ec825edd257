"""L-BFGS (Algorithms 2 and 3 as corrected: ledger X44, X46-X49, D13, D14)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ...errors import CheckpointError
from ..base.errors import OptionError
from ..base.vector import Vector, add_scaled, dot, norm
from ..line_search.line_search import LineSearch
from ..line_search.wolfe import StrongWolfe
from .method import Method, Move, StateDict, field_of, gradient_of, search

CURVATURE_FLOOR = 1e-10


def curvature_safe(s: Vector, y: Vector) -> bool:
    """X49: s^T y > 1e-10 ||s|| ||y||; otherwise the pair would make the inverse Hessian singular or
    indefinite.
    """
    return dot(s, y) > CURVATURE_FLOOR * norm(s) * norm(y)


class CorrectionPairs:
    """The last `memory` pairs (s_k, y_k) in a ring buffer of two (memory, n) arrays."""

    def __init__(self, memory: int, size: int, dtype: np.dtype[Any]):
        self.s = np.zeros((memory, size), dtype)
        self.y = np.zeros((memory, size), dtype)
        self.rho = np.zeros(memory)
        self.count = 0
        self.newest = -1
        self.scale = 1.0

    def append(self, s: Vector, y: Vector) -> None:
        """Stores a pair, over the oldest one when the buffer is full.

        H^0 becomes (y^T s / y^T y) I (191)."""
        curvature = dot(y, s)
        self.newest = (self.newest + 1) % len(self.rho)
        self.s[self.newest] = s
        self.y[self.newest] = y
        self.rho[self.newest] = 1.0 / curvature
        self.count = min(self.count + 1, len(self.rho))
        self.scale = curvature / dot(y, y)

    def clear(self) -> None:
        """Forgets all pairs: H becomes the identity."""
        self.count, self.newest, self.scale = 0, -1, 1.0

    def newest_first(self) -> list[int]:
        """Rows of the buffer from pair k-1 down to pair max(0, k-m)."""
        return [(self.newest - back) % len(self.rho) for back in range(self.count)]

    def times(self, gradient: Vector) -> Vector:
        """H_k g by the two loops of Algorithm 2; g is left alone."""
        g = gradient.copy()
        rows = self.newest_first()
        gamma = np.empty(len(rows))
        for at, i in enumerate(rows):
            gamma[at] = self.rho[i] * dot(self.s[i], g)
            add_scaled(g, -gamma[at], self.y[i])
        g *= g.dtype.type(self.scale)
        for at in range(len(rows) - 1, -1, -1):
            i = rows[at]
            beta = self.rho[i] * dot(self.y[i], g)
            add_scaled(g, gamma[at] - beta, self.s[i])
        return g


@dataclass
class LBFGS(Method):
    """L-BFGS with `memory` pairs; the first step has length at most 1, later searches try alpha = 1 first.

    A pair without positive curvature is not stored.  Where a search along the quasi-Newton direction finds
    nothing, the pairs are dropped and one search along the negative gradient follows before the run gives up.
    """

    memory: int = 10
    line_search: LineSearch = field(default_factory=StrongWolfe)
    first_step: float | None = None

    name: ClassVar[str] = "lbfgs"

    def __post_init__(self) -> None:
        if not (isinstance(self.memory, (int, np.integer)) and self.memory >= 1):
            raise OptionError(f"lbfgs: expected memory >= 1 pairs, got {self.memory!r}")
        self._pairs: CorrectionPairs | None = None

    @property
    def pairs(self) -> CorrectionPairs:
        """The correction pairs; made when the run starts."""
        if self._pairs is None:
            self._pairs = CorrectionPairs(self.memory, self.point.x.size, self.point.x.dtype)
        return self._pairs

    def propose(self) -> Move:
        g = gradient_of(self.point)
        pairs = self.pairs
        direction = -pairs.times(g)
        note = ""
        if pairs.count and not dot(direction, g) < 0.0:
            direction, note = -g, "reset: not a descent direction"
        fresh = pairs.count == 0 or bool(note)
        end = search(
            self.evaluator, self.line_search, self.point, direction, self._first_alpha(g) if fresh else 1.0
        )
        if not end.moved and not fresh:
            note = f"reset: {end.result.reason.value}"
            end = search(self.evaluator, self.line_search, self.point, -g, self._first_alpha(g))
        if not end.moved:
            return self.stay(end.failure(self.evaluator), note)
        new = end.point
        s, y = new.x - self.point.x, gradient_of(new) - g
        keep = curvature_safe(s, y)
        if not keep:
            note = note or "pair skipped: no positive curvature"
        reset = note.startswith("reset")
        return Move(new, end.result.alpha, lambda: self._commit(s, y, keep, reset), note, failed=end.failed)

    def _first_alpha(self, g: Vector) -> float:
        if self.first_step is not None:
            return self.first_step
        return min(1.0, 1.0 / norm(g))

    def _commit(self, s: Vector, y: Vector, keep: bool, reset: bool) -> None:
        if reset:
            self.pairs.clear()
        if keep:
            self.pairs.append(s, y)

    def memory_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """2 m + 8 vectors."""
        return (2 * self.memory + 8) * size * dtype.itemsize

    def state(self) -> StateDict:
        p = self.pairs
        return {"s": p.s, "y": p.y, "rho": p.rho, "count": p.count, "newest": p.newest, "scale": p.scale}

    def restore(self, state: Mapping[str, Any]) -> None:
        shape = self.memory, self.point.x.size
        p = CorrectionPairs(*shape, self.point.x.dtype)
        p.s[:], p.y[:] = field_of(state, "s", shape), field_of(state, "y", shape)
        p.rho[:] = field_of(state, "rho", shape[:1])
        p.count, p.newest, p.scale = int(state["count"]), int(state["newest"]), float(state["scale"])
        if not (0 <= p.count <= self.memory and -1 <= p.newest < self.memory):
            raise CheckpointError(f"optimizer state: expected at most {self.memory} pairs, got {p.count}")
        self._pairs = p


def two_loop(gradient: Vector, s: list[Vector], y: list[Vector]) -> Vector:
    """H_k g from pairs given oldest first (Algorithm 2 on its own); the gradient itself when there are
    none.
    """
    pairs = CorrectionPairs(max(len(s), 1), gradient.size, gradient.dtype)
    for s_i, y_i in zip(s, y, strict=True):
        pairs.append(s_i, y_i)
    return pairs.times(gradient)

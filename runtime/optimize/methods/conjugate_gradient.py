"""Nonlinear conjugate gradients, Polak-Ribière+ (equations 164-169)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..base.errors import OptionError
from ..base.vector import Vector, as_vector, dot, norm
from ..line_search.line_search import LineSearch
from ..line_search.wolfe import StrongWolfe
from .method import Method, Move, StateDict, field_of, gradient_of, search


def polak_ribiere_plus(r_new: Vector, r: Vector, z_new: Vector | None = None, z: Vector | None = None) -> float:
    """(168): beta = max{r_new^T (r_new - r) / r^T r, 0} with r = -gradient.

    With a preconditioner, z = M^-1 r: beta = max{z_new^T (r_new - r) / z^T r, 0}.
    """
    return max(dot(r_new if z_new is None else z_new, r_new - r) / dot(r if z is None else z, r), 0.0)


def _lengthening(slope: float, slope_at_step: float) -> float:
    """By how much the secant of phi' would have lengthened a step that stopped on the way down; 1 to 4."""
    return min(max(slope / (slope - slope_at_step), 1.0), 4.0) if slope_at_step > slope else 4.0


@dataclass
class ConjugateGradient(Method):
    """PR+ with strong Wolfe, c2 = 0.1 (ledger D15).

    Restarts along -g where the direction does not descend and after `restart_every` steps since the last restart
    (default: n, but at least 10).  The first trial step of a search repeats the last first-order change of f,
    alpha = alpha_last slope_last / slope, lengthened where the last step was too short; the very first moves x by at
    most 1.  preconditioner: v -> M^-1 v, M symmetric positive definite and the same throughout; restarts then go along
    -M^-1 g.
    """

    line_search: LineSearch = field(default_factory=lambda: StrongWolfe(c2=0.1))
    restart_every: int | None = None
    first_step: float | None = None
    preconditioner: Callable[[Vector], Vector] | None = None

    name: ClassVar[str] = "cg"

    def __post_init__(self) -> None:
        if self.restart_every is not None and self.restart_every < 1:
            raise OptionError(f"cg: expected restart_every >= 1, got {self.restart_every!r}")
        self._direction: Vector | None = None
        self._since_restart = 0
        self._last_change = 0.0
        self.last_beta = 0.0

    def propose(self) -> Move:
        g = gradient_of(self.point)
        direction, note = self._direction, ""
        if direction is not None and not dot(direction, g) < 0.0:
            direction, note = None, "restart: not a descent direction"
        steepest = direction is None
        if direction is None:
            direction = self._steepest(g)
        slope = dot(direction, g)
        end = search(self.evaluator, self.line_search, self.point, direction, self._guess(g, slope))
        if not end.moved and not steepest:
            note = f"restart: {end.result.reason.value}"
            direction, steepest = self._steepest(g), True
            slope = dot(direction, g)
            end = search(self.evaluator, self.line_search, self.point, direction, self._guess(g, slope))
        if not end.moved:
            return self.stay(end.failure(self.evaluator), note)
        since = 1 if steepest else self._since_restart + 1
        new = gradient_of(end.point)
        descent = self._steepest(new)
        beta = polak_ribiere_plus(-new, -g, descent, self._steepest(g))
        if since >= (self.restart_every or max(g.size, 10)):
            beta, since, note = 0.0, 0, note or "restart: as many steps as parameters"
        following = descent + new.dtype.type(beta) * direction
        alpha = end.result.alpha
        change = slope * alpha * _lengthening(slope, dot(new, direction))
        return Move(end.point, alpha, lambda: self._commit(following, since, change, beta), note, failed=end.failed)

    def _steepest(self, g: Vector) -> Vector:
        """z = M^-1 (-g)."""
        if self.preconditioner is None:
            return -g
        return as_vector("preconditioner", self.preconditioner(-g), g.size).astype(g.dtype, copy=False)

    def _guess(self, g: Vector, slope: float) -> float:
        if self._last_change:
            return self._last_change / slope
        return self.first_step if self.first_step is not None else min(1.0, 1.0 / norm(g))

    def _commit(self, direction: Vector, since: int, change: float, beta: float) -> None:
        self._direction, self._since_restart, self._last_change, self.last_beta = direction, since, change, beta

    def state(self) -> StateDict:
        direction = np.zeros(0) if self._direction is None else self._direction
        change = self._last_change
        return {"direction": direction, "since_restart": self._since_restart, "last_change": change}

    def restore(self, state: Mapping[str, Any]) -> None:
        saved = np.asarray(state["direction"])
        self._direction = field_of(state, "direction", self.point.x.shape) if saved.size else None
        self._since_restart = int(state["since_restart"])
        self._last_change = float(state["last_change"])

"""Nonlinear conjugate gradients (equations 164-169), beta after Polak-Ribière or Hestenes-Stiefel."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..base.errors import OptionError
from ..base.vector import Vector, as_vector, dot, norm
from ..line_search.line_search import LineSearch
from ..line_search.wolfe import StrongWolfe
from .method import Method, Move, StateDict, field_of, gradient_of, search


def polak_ribiere_plus(
    r_new: Vector, r: Vector, z_new: Vector | None = None, z: Vector | None = None
) -> float:
    """(168): beta = max{r_new^T (r_new - r) / r^T r, 0} with r = -gradient.

    With a preconditioner, z = M^-1 r: beta = max{z_new^T (r_new - r) / z^T r, 0}.
    """
    return max(dot(r_new if z_new is None else z_new, r_new - r) / dot(r if z is None else z, r), 0.0)


def hestenes_stiefel_plus(r_new: Vector, r: Vector, direction: Vector, z_new: Vector | None = None) -> float:
    """Hestenes and Stiefel's beta: (168) after an exact search, and conjugate after any other.

    beta = max{r_new^T (r_new - r) / d^T (r - r_new), 0}.

    0, a restart, where f has no positive curvature along d.
    """
    curvature = dot(direction, r) - dot(direction, r_new)
    return max(dot(r_new if z_new is None else z_new, r_new - r) / curvature, 0.0) if curvature > 0.0 else 0.0


@dataclass(frozen=True, slots=True)
class Curvatures:
    """Two curvatures of f along the last step s, with y the change of the gradient.

    s^T y / s^T s, and y^T y / s^T y, which is larger."""

    least: float = 0.0
    most: float = 0.0

    @classmethod
    def of(cls, s: Vector, y: Vector) -> Curvatures:
        """Zero where the curvature is not positive."""
        product = dot(s, y)
        return cls(product / dot(s, s), dot(y, y) / product) if product > 0.0 else cls()

    def confine(self, alpha: float, slope: float, direction: Vector) -> float:
        """alpha between the steps to the minima of the two parabolas with this slope; as it is without
        curvature.
        """
        if not self.least > 0.0:
            return alpha
        downhill = -slope / dot(direction, direction)
        return min(max(alpha, downhill / self.most), downhill / self.least)


_BETAS = ("hestenes-stiefel", "polak-ribiere")


def _lengthening(slope: float, slope_at_step: float) -> float:
    """The factor, 1 to 4, by which the secant of phi' lengthens a step that stopped on the way down."""
    return min(max(slope / (slope - slope_at_step), 1.0), 4.0) if slope_at_step > slope else 4.0


@dataclass
class ConjugateGradient(Method):
    """Conjugate gradients with strong Wolfe, c2 = 0.1 (ledger D15).

    beta: "hestenes-stiefel" (default), which needs fewer evaluations after inexact searches, or the paper's
    "polak-ribiere"; both cut at 0.
    Restarts along -g where the direction does not descend and after `restart_every` steps since the last
    restart (default: n, but at least 10).  The first trial step of a search repeats the last first-order
    change of f, alpha = alpha_last slope_last / slope, lengthened where the last step was too short, within
    what the curvatures of the last step allow; the very first moves x by at most 1.
    preconditioner: v -> M^-1 v, M symmetric positive definite and the same throughout; restarts then go along
    -M^-1 g.
    """

    line_search: LineSearch = field(default_factory=lambda: StrongWolfe(c2=0.1))
    beta: str = "hestenes-stiefel"
    restart_every: int | None = None
    first_step: float | None = None
    preconditioner: Callable[[Vector], Vector] | None = None

    name: ClassVar[str] = "cg"

    def __post_init__(self) -> None:
        if self.restart_every is not None and self.restart_every < 1:
            raise OptionError(f"cg: expected restart_every >= 1, got {self.restart_every!r}")
        if self.beta not in _BETAS:
            raise OptionError(f"cg: expected beta among {', '.join(_BETAS)}, got {self.beta!r}")
        self._curvatures = Curvatures()
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
        end = search(
            self.evaluator, self.line_search, self.point, direction, self._guess(g, slope, direction)
        )
        if not end.moved and not steepest:
            note = f"restart: {end.result.reason.value}"
            direction, steepest = self._steepest(g), True
            slope = dot(direction, g)
            end = search(
                self.evaluator, self.line_search, self.point, direction, self._guess(g, slope, direction)
            )
        if not end.moved:
            return self.stay(end.failure(self.evaluator), note)
        since = 1 if steepest else self._since_restart + 1
        new = gradient_of(end.point)
        descent = self._steepest(new)
        beta = self._beta(new, g, direction, descent)
        if since >= (self.restart_every or max(g.size, 10)):
            beta, since, note = 0.0, 0, note or "restart: as many steps as parameters"
        following = descent + new.dtype.type(beta) * direction
        alpha = end.result.alpha
        change = slope * alpha * _lengthening(slope, dot(new, direction))
        curvatures = Curvatures.of(end.point.x - self.point.x, new - g)
        commit = partial(self._commit, following, since, change, beta, curvatures)
        return Move(end.point, alpha, commit, note, failed=end.failed)

    def _beta(self, new: Vector, g: Vector, direction: Vector, descent: Vector) -> float:
        if self.beta == "polak-ribiere":
            return polak_ribiere_plus(-new, -g, descent, self._steepest(g))
        return hestenes_stiefel_plus(-new, -g, direction, descent)

    def _steepest(self, g: Vector) -> Vector:
        """z = M^-1 (-g)."""
        if self.preconditioner is None:
            return -g
        return as_vector("preconditioner", self.preconditioner(-g), g.size).astype(g.dtype, copy=False)

    def _guess(self, g: Vector, slope: float, direction: Vector) -> float:
        if self._last_change:
            alpha = self._last_change / slope
            # The curvatures are those of x; a preconditioner measures directions otherwise.
            return (
                alpha
                if self.preconditioner is not None
                else self._curvatures.confine(alpha, slope, direction)
            )
        return self.first_step if self.first_step is not None else min(1.0, 1.0 / norm(g))

    def _commit(
        self, direction: Vector, since: int, change: float, beta: float, curvatures: Curvatures
    ) -> None:
        self._curvatures = curvatures
        self._direction, self._since_restart, self._last_change, self.last_beta = (
            direction,
            since,
            change,
            beta,
        )

    def state(self) -> StateDict:
        direction = np.zeros(0) if self._direction is None else self._direction
        change = self._last_change
        return {
            "direction": direction, "since_restart": self._since_restart, "last_change": change,
            "least_curvature": self._curvatures.least, "most_curvature": self._curvatures.most,
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        saved = np.asarray(state["direction"])
        self._direction = field_of(state, "direction", self.point.x.shape) if saved.size else None
        self._since_restart = int(state["since_restart"])
        self._last_change = float(state["last_change"])
        least, most = (float(state.get(f"{which}_curvature", 0.0)) for which in ("least", "most"))
        self._curvatures = Curvatures(least, most)

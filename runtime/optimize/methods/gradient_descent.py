"""Gradient descent (118), momentum (121) and their stochastic forms (section 5; ledger X35, X36, D11)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..base.errors import OptionError
from ..base.evaluation import Evaluator, Point
from ..base.result import Status
from ..base.vector import Vector, dot, max_norm, norm
from ..line_search.brent import Brent
from ..line_search.line_search import LineSearch
from .method import Method, Move, SearchFailure, StateDict, field_of, gradient_of, search
from .sampler import MiniBatchSampler
from .schedules import RateSchedule, as_schedule

_MAX_HALVINGS = 60


@dataclass
class GradientDescent(Method):
    """x <- x - mu_i g + momentum (x - x_last): heavy ball, first difference 0 (121).

    step: mu, or a schedule of the iteration.  line_search instead: alpha along -g + momentum (x - x_last) /
    alpha_last (along -g alone where that does not descend).
    batch_size: a mini-batch per iteration, seeded; the gradient of a sum over samples is scaled by N / batch,
    so that step means the same for every batch size.
    reset_step_every: every so many iterations Brent's search along -g replaces mu (section 8); needs a fixed
    step.
    direction_mean: w in d <- w d + (1 - w) g, a running mean of the gradients that replaces g (section 8).
    A step to a point where f is not finite is halved, and mu with it, and the velocity dropped.
    """

    step: float | RateSchedule | None = None
    momentum: float = 0.0
    line_search: LineSearch | None = None
    batch_size: int | None = None
    seed: int = 0
    shuffle: bool = True
    reset_step_every: int = 0
    direction_mean: float = 0.0
    epochs: int | None = None
    accurate_search: LineSearch = field(default_factory=lambda: Brent(xtol=1e-4))

    name: ClassVar[str] = "gd"

    def __post_init__(self) -> None:
        if (self.step is None) == (self.line_search is None):
            raise OptionError("gradient descent: expected either step= or line_search=, got both or neither")
        if not 0.0 <= self.momentum < 1.0:
            raise OptionError(f"gradient descent: expected 0 <= momentum < 1, got {self.momentum}")
        if not 0.0 <= self.direction_mean < 1.0:
            raise OptionError(
                f"gradient descent: expected 0 <= direction_mean < 1, got {self.direction_mean}"
            )
        if self.batch_size is not None and self.line_search is not None:
            raise OptionError("gradient descent: a line search needs the full objective, got batch_size too")
        if self.reset_step_every and (self.step is None or self.batch_size is not None):
            raise OptionError("gradient descent: reset_step_every needs step= and no batch_size")
        self.stochastic = self.batch_size is not None
        self._schedule = as_schedule(self.step) if self.step is not None else None
        self._factor = 1.0
        self._iteration = 0
        self._velocity: Vector | None = None
        self._mean: Vector | None = None
        self._last_alpha = 0.0
        self._sampler: MiniBatchSampler | None = None

    def start(self, evaluator: Evaluator, x0: Vector) -> None:
        self.evaluator = evaluator
        if self.stochastic:
            self.point = self._evaluate(x0, 0)
        else:
            super().start(evaluator, x0)

    @property
    def sampler(self) -> MiniBatchSampler:
        """The mini-batches; raises OptionError where the objective has no samples."""
        if self._sampler is None:
            objective = self.evaluator.objective
            if not (hasattr(objective, "batch") and hasattr(objective, "sample_count")):
                name = type(objective).__name__
                raise OptionError(
                    f"batch_size: expected an objective with sample_count and batch(indices), got {name}"
                )
            self._sampler = MiniBatchSampler(
                objective.sample_count, self.batch_size or 1, self.seed, self.shuffle
            )
        return self._sampler

    def _evaluate(self, x: Vector, iteration: int) -> Point:
        """f and gradient at x: the full objective's, or their estimate from the iteration's batch."""
        if not self.stochastic:
            return self.evaluator.value_and_gradient(x)
        objective = self.evaluator.objective
        indices = self.sampler.batch(iteration)
        point = self.evaluator.value_and_gradient_of(objective.batch(indices.copy()), x)
        if not point.finite or getattr(objective, "reduction", "sum") == "mean":
            return point
        share = objective.sample_count / len(indices)
        return Point(x, point.value * share, gradient_of(point) * x.dtype.type(share))

    def propose(self) -> Move:
        g = gradient_of(self.point)
        mean = self._running_mean(g)
        if self.line_search is not None:
            return self._search(self.line_search, g, mean)
        return self._fixed(g, mean)

    def _running_mean(self, g: Vector) -> Vector:
        if not self.direction_mean:
            return g
        weight = g.dtype.type(self.direction_mean)
        return g if self._mean is None else weight * self._mean + (1 - weight) * g

    def _fixed(self, g: Vector, mean: Vector) -> Move:
        assert self._schedule is not None
        iteration, x, real = self._iteration, self.point.x, g.dtype.type
        factor, note = self._factor, ""
        if self.reset_step_every and iteration % self.reset_step_every == 0:
            found = search(self.evaluator, self.accurate_search, self.point, -g, self._first_alpha(g))
            if found.moved:
                factor = found.result.alpha / self._schedule(iteration)
                note = "step reset by line search"
        mu = factor * self._schedule(iteration)
        change = -real(mu) * mean
        if self._velocity is not None and self.momentum:
            change += real(self.momentum) * self._velocity
        fallen = self.evaluator.bottomless
        for halvings in range(_MAX_HALVINGS):
            new = self._evaluate(x + change, iteration + 1)
            if new.finite:
                if halvings:
                    note = f"step halved to {mu:.6g}: {self.evaluator.failure}"
                return self._move(new, mu, change if not halvings else None, mean, factor, note)
            mu, factor = 0.5 * mu, 0.5 * factor
            change = -real(mu) * g
        if self.evaluator.bottomless > fallen:
            return self.stay((Status.UNBOUNDED, "f falls without bound: to -inf at the last steps tried"))
        message = f"f is not finite at any step tried; last: {self.evaluator.failure}"
        return self.stay((Status.NOT_FINITE, message))

    def _search(self, line_search: LineSearch, g: Vector, mean: Vector) -> Move:
        direction, note = -mean, ""
        if self._velocity is not None and self.momentum:
            direction = direction + g.dtype.type(self.momentum / self._last_alpha) * self._velocity
        steepest = direction is not mean and not dot(direction, g) < 0.0
        if steepest:
            direction, note = -g, "restart: not a descent direction"
        alpha = 2.0 * self._last_alpha if self._last_alpha else self._first_alpha(g)
        end = search(self.evaluator, line_search, self.point, direction, alpha)
        if not end.moved:
            direction, note = -g, f"restart: {end.result.reason.value}"
            end = search(self.evaluator, line_search, self.point, direction, self._first_alpha(g))
        if not end.moved:
            return self.stay(end.failure(self.evaluator), note)
        change = end.point.x - self.point.x
        return self._move(
            end.point, end.result.alpha, change, g if note else mean, self._factor, note, end.failed
        )

    def _first_alpha(self, g: Vector) -> float:
        return min(1.0, 1.0 / max(norm(g), float(np.finfo(g.dtype).tiny)))

    def _move(
        self, new: Point, step: float, velocity: Vector | None, mean: Vector, factor: float, note: str,
        failed: SearchFailure | None = None,
    ) -> Move:  # fmt: skip
        def commit() -> None:
            self._iteration += 1
            self._velocity = velocity if self.momentum else None
            self._mean = mean if self.direction_mean else None
            self._factor = factor
            self._last_alpha = step

        stop = None
        if (
            self.stochastic
            and self.epochs
            and self._iteration + 1 >= self.epochs * self.sampler.batches_per_epoch
        ):
            stop = Status.MAX_ITERATIONS, f"{self.epochs} epochs, the limit"
        elif max_norm(new.x) == np.inf:
            stop = Status.DIVERGED, "x overflowed"
        return Move(new, step, commit, note, stop, failed)

    def state(self) -> StateDict:
        none = np.zeros(0)
        return {
            "iteration": self._iteration,
            "factor": self._factor,
            "last_alpha": self._last_alpha,
            "velocity": none if self._velocity is None else self._velocity,
            "mean": none if self._mean is None else self._mean,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        shape = self.point.x.shape
        self._iteration = int(state["iteration"])
        self._factor, self._last_alpha = float(state["factor"]), float(state["last_alpha"])
        self._velocity = field_of(state, "velocity", shape) if np.size(state["velocity"]) else None
        self._mean = field_of(state, "mean", shape) if np.size(state["mean"]) else None


@dataclass
class StochasticGradientDescent(GradientDescent):
    """Gradient descent on mini-batches of 32 by default."""

    step: float | RateSchedule | None = 0.01
    batch_size: int | None = 32

    name: ClassVar[str] = "sgd"


@dataclass
class Momentum(GradientDescent):
    """Gradient descent with the heavy ball, momentum 0.9 by default; on mini-batches too where
    batch_size is given.
    """

    step: float | RateSchedule | None = 0.01
    momentum: float = 0.9

    name: ClassVar[str] = "momentum"

"""Step sizes mu_i over the iterations (sections 5, 5.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from ..base.errors import OptionError

RateSchedule = Callable[[int], float]


def _positive(name: str, value: float) -> None:
    if not (isinstance(value, (int, float)) and 0.0 < value < math.inf):
        raise OptionError(f"{name}: expected a number > 0, got {value!r}")


@dataclass(frozen=True)
class Constant:
    """mu_i = step."""

    step: float

    def __post_init__(self) -> None:
        _positive("step", self.step)

    def __call__(self, iteration: int) -> float:
        return self.step


@dataclass(frozen=True)
class InverseTime:
    """mu_i = step / (1 + i / period)^power.

    1/2 < power <= 1 gives sum mu = infinity and sum mu^2 < infinity, which stochastic descent asks for.
    """

    step: float
    period: float = 100.0
    power: float = 1.0

    def __post_init__(self) -> None:
        for name in ("step", "period", "power"):
            _positive(name, getattr(self, name))

    def __call__(self, iteration: int) -> float:
        return self.step / (1.0 + iteration / self.period) ** self.power


@dataclass(frozen=True)
class StepDecay:
    """mu_i = step factor^floor(i / every)."""

    step: float
    every: int
    factor: float = 0.5

    def __post_init__(self) -> None:
        for name in ("step", "every", "factor"):
            _positive(name, getattr(self, name))

    def __call__(self, iteration: int) -> float:
        return float(self.step * self.factor ** (iteration // self.every))


@dataclass(frozen=True)
class Cosine:
    """mu_i falls from step to final along half a cosine in `length` iterations, then stays."""

    step: float
    length: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _positive("step", self.step)
        _positive("length", self.length)

    def __call__(self, iteration: int) -> float:
        share = min(iteration / self.length, 1.0)
        return self.final + 0.5 * (self.step - self.final) * (1.0 + math.cos(math.pi * share))


@dataclass(frozen=True)
class WarmUp:
    """Rises linearly to `after`'s first step in `length` iterations, then follows it."""

    after: RateSchedule
    length: int

    def __post_init__(self) -> None:
        _positive("length", self.length)

    def __call__(self, iteration: int) -> float:
        if iteration < self.length:
            return self.after(0) * (iteration + 1) / self.length
        return self.after(iteration - self.length)


def as_schedule(step: float | RateSchedule) -> RateSchedule:
    """A schedule as it is; a number as a constant one."""
    return step if callable(step) else Constant(step)

"""Rules for lambda in Levenberg-Marquardt: the paper leaves it open (E108-109)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from .normal_equations import DampedStep


@dataclass(frozen=True, slots=True)
class Damping:
    """What a rule remembers: lambda, the factor of its next rise, and the longest step allowed in
    scaled x.
    """

    value: float
    rise: float = 2.0
    radius: float = math.inf


@dataclass(frozen=True, slots=True)
class StepOutcome:
    """What a step did to f, and what was predicted of it; NaN where f could not be evaluated."""

    before: float
    after: float
    step: DampedStep

    @property
    def predicted(self) -> float:
        """The fall that was predicted."""
        return self.step.predicted

    @property
    def gain(self) -> float:
        """Actual fall over predicted fall; minus infinity where f is not finite."""
        if not math.isfinite(self.after):
            return -math.inf
        return (self.before - self.after) / self.predicted if self.predicted > 0.0 else 1.0


class DampingRule(Protocol):
    """Learns lambda from the outcome of a step."""

    def accepted(self, damping: Damping, outcome: StepOutcome) -> Damping:
        """For the next point."""
        ...

    def rejected(self, damping: Damping, outcome: StepOutcome) -> Damping:
        """For another try from the same point."""
        ...


@dataclass(frozen=True)
class Decade:
    """lambda / 10 on success, * 10 on failure (ledger D10)."""

    lowest: float = 1e-16

    def accepted(self, damping: Damping, outcome: StepOutcome) -> Damping:
        return replace(damping, value=max(damping.value / 10.0, self.lowest))

    def rejected(self, damping: Damping, outcome: StepOutcome) -> Damping:
        return replace(damping, value=damping.value * 10.0)


@dataclass(frozen=True)
class Gain:
    """Nielsen's rule: lambda * max(1/10, 1 - (2 gain - 1)^3) on success; * 2, 4, 8, ... on failure."""

    lowest: float = 1e-16

    def accepted(self, damping: Damping, outcome: StepOutcome) -> Damping:
        factor = max(0.1, 1.0 - (2.0 * min(outcome.gain, 1.0) - 1.0) ** 3)
        return Damping(max(damping.value * factor, self.lowest))

    def rejected(self, damping: Damping, outcome: StepOutcome) -> Damping:
        return Damping(damping.value * damping.rise, damping.rise * 2.0)


@dataclass(frozen=True)
class Radius:
    """Moré's rule (1978): lambda makes the step as long as a radius, which follows the gain.

    Where the whole step fits, there is no lambda."""

    def accepted(self, damping: Damping, outcome: StepOutcome) -> Damping:
        if outcome.gain <= 0.25:
            return self.rejected(damping, outcome)
        step = outcome.step
        if step.damping == 0.0 or outcome.gain >= 0.75:
            return Damping(0.5 * step.damping, radius=2.0 * step.length)
        return Damping(step.damping, radius=damping.radius)

    def rejected(self, damping: Damping, outcome: StepOutcome) -> Damping:
        step, share = outcome.step, 0.1
        if outcome.after < 100.0 * outcome.before:
            fall = outcome.before - outcome.after
            share = 0.5 if fall >= 0.0 else max(0.5 * step.slope / (step.slope + fall), 0.1)
        return Damping(step.damping / share, radius=share * min(damping.radius, 10.0 * step.length))


RULES: dict[str, Callable[[], DampingRule]] = {"radius": Radius, "gain": Gain, "decade": Decade}

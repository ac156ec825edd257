"""Rules for lambda in Levenberg-Marquardt: the paper leaves it open (E108-109)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Damping:
    """What a rule remembers: lambda, and the factor of its next rise."""

    value: float
    rise: float = 2.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step did: f before and after (NaN where f could not be evaluated), and the fall that was predicted."""

    before: float
    after: float
    predicted: float

    @property
    def gain(self) -> float:
        """Actual fall over predicted fall; minus infinity where f is not finite."""
        if not math.isfinite(self.after):
            return -math.inf
        return (self.before - self.after) / self.predicted if self.predicted > 0.0 else 1.0


class DampingRule(Protocol):
    """Learns lambda from the outcome of a step."""

    def accepted(self, damping: Damping, outcome: Outcome) -> Damping:
        """For the next point."""
        ...

    def rejected(self, damping: Damping, outcome: Outcome) -> Damping:
        """For another try from the same point."""
        ...


@dataclass(frozen=True)
class Decade:
    """lambda / 10 on success, * 10 on failure (ledger D10)."""

    lowest: float = 1e-16

    def accepted(self, damping: Damping, outcome: Outcome) -> Damping:
        return replace(damping, value=max(damping.value / 10.0, self.lowest))

    def rejected(self, damping: Damping, outcome: Outcome) -> Damping:
        return replace(damping, value=damping.value * 10.0)


@dataclass(frozen=True)
class Gain:
    """Nielsen's rule: lambda * max(1/10, 1 - (2 gain - 1)^3) on success; * 2, 4, 8, ... on failure."""

    lowest: float = 1e-16

    def accepted(self, damping: Damping, outcome: Outcome) -> Damping:
        factor = max(0.1, 1.0 - (2.0 * min(outcome.gain, 1.0) - 1.0) ** 3)
        return Damping(max(damping.value * factor, self.lowest))

    def rejected(self, damping: Damping, outcome: Outcome) -> Damping:
        return Damping(damping.value * damping.rise, damping.rise * 2.0)


RULES: dict[str, Callable[[], DampingRule]] = {"gain": Gain, "decade": Decade}

"""Switching between optimizers on a rule (section 8): each stage goes on from where the last one stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .base.errors import OptionError
from .base.result import History, OptimizeResult, Progress, Status
from .minimize import minimize
from .stopping import Callback

Rule = Callable[[Progress], bool]


@dataclass
class SlowProgress:
    """True when f fell by less than the share `fall` of itself over the last `window` iterations."""

    fall: float = 1e-2
    window: int = 10
    values: list[float] = field(default_factory=list, init=False)

    def __call__(self, progress: Progress) -> bool:
        self.values.append(progress.fun)
        if len(self.values) <= self.window:
            return False
        before = self.values[-1 - self.window]
        return before - progress.fun < self.fall * abs(before)


@dataclass(frozen=True)
class After:
    """True after so many iterations of the stage."""

    iterations: int

    def __call__(self, progress: Progress) -> bool:
        return progress.nit >= self.iterations


@dataclass(frozen=True)
class Below:
    """True when f or max|g| has fallen below a bound."""

    fun: float = -np.inf
    gradient: float = -np.inf

    def __call__(self, progress: Progress) -> bool:
        return progress.fun <= self.fun or float(np.abs(progress.jac).max()) <= self.gradient


@dataclass(frozen=True)
class OptimizerStage:
    """One optimizer, its options, and the rule that hands over to the next stage."""

    method: str
    until: Rule | None = None
    options: dict[str, Any] = field(default_factory=dict)


_FINAL = (
    Status.TARGET,
    Status.GRADIENT,
    Status.ZERO_RESIDUAL,
    Status.INTERRUPTED,
    Status.TIME_LIMIT,
    Status.RAISED,
)


def minimize_in_stages(
    objective: Any,
    x0: ArrayLike,
    stages: Sequence[OptimizerStage],
    *,
    rounds: int = 1,
    callback: Callback | None = None,
) -> OptimizeResult:
    """Runs the stages in order, `rounds` times over.

    A stage that meets its own tolerance or is interrupted is the last.

    The result's history joins the stages (its notes name the method at every switch); counts are totals.
    """
    if not stages or rounds < 1:
        raise OptionError("minimize_in_stages: expected at least one stage and one round")
    x: ArrayLike = x0
    joined: OptimizeResult | None = None
    for stage in list(stages) * rounds:
        watch = _Watch(stage.until, callback)
        result = minimize(objective, x, stage.method, callback=watch, **stage.options)
        joined = result if joined is None else _join(joined, result)
        if watch.stopped_by_user or result.status in _FINAL:
            break
        x = joined.x
    assert joined is not None
    return joined


@dataclass
class _Watch:
    rule: Rule | None
    callback: Callback | None
    stopped_by_user: bool = False

    def __call__(self, progress: Progress) -> bool:
        if self.callback is not None:
            answer = self.callback(progress)
            self.stopped_by_user = isinstance(answer, (bool, np.bool_)) and bool(answer)
            if self.stopped_by_user:
                return True
        return self.rule is not None and self.rule(progress)


def _join(first: OptimizeResult, second: OptimizeResult) -> OptimizeResult:
    records = list(first.history)
    last = records[-1]
    for record in second.history:
        note = f"switch to {second.method}" if record.nit == 0 else record.note
        records.append(
            replace(
                record, nit=last.nit + record.nit, nfev=last.nfev + record.nfev, njev=last.njev + record.njev,
                seconds=last.seconds + record.seconds, note=note,
            )
        )  # fmt: skip
    best = second if second.fun <= first.fun else first
    return replace(
        second,
        x=best.x,
        fun=best.fun,
        jac=best.jac,
        nit=first.nit + second.nit,
        nfev=first.nfev + second.nfev,
        njev=first.njev + second.njev,
        history=History(records),
        seconds=first.seconds + second.seconds,
        objective_seconds=first.objective_seconds + second.objective_seconds,
        memory_bytes=max(first.memory_bytes, second.memory_bytes),
        method=f"{first.method}+{second.method}",
    )

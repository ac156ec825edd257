"""What a training run is asked to do.

Method, options, limits and seed are checked, and given their defaults.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from ..errors import CheckpointError, PhizError
from ..nearest import did_you_mean
from ..optimize import METHODS, make_method
from ..optimize.methods.method import Method
from ..optimize.methods.schedules import Constant, Cosine, InverseTime, RateSchedule, StepDecay
from ..optimize.minimize import RELATED
from ..optimize.stopping import StopRules
from ..schema.check import checked

SCHEDULES = ("constant", "cosine", "step", "inverse")
DESCENT = ("gd", "sgd", "momentum")
"""The methods with a learning rate; the others choose their steps themselves."""

_LONG = {"gd": 300, "sgd": 60, "momentum": 40, "cg": 150, "bfgs": 150, "lbfgs": 150, "lm": 50}
_RATE = {"gd": 0.5, "sgd": 0.3, "momentum": 0.05}
_BATCH = 32
_SET_BY_NAME = ("step", "batch_size", "momentum", "seed", "line_search", "epochs")


@dataclass(frozen=True)
class Settings:
    """A training run.  None stands for the method's default, which ``resolved`` puts in.

    optimizer: a name in ``optimize.METHODS``.
    line_search: its line search, where it has one.
    epochs: passes over the samples for mini-batches, iterations of the method otherwise.
    batch: samples of a mini-batch (gd, sgd, momentum); 0 for all samples at once.
    rate: learning rate of the mean error.
    schedule: how it changes over the run, one of SCHEDULES.
    momentum: of the heavy ball (equation 121), in [0, 1).
    alpha: L2 penalty (``objective.NetworkObjective``).
    patience: epochs without a new best before the run stops.
    until: mean training loss that ends it.
    time_limit: seconds.
    options: fields of the method by name, tolerances included.
    """

    optimizer: str = "momentum"
    line_search: str | None = None
    epochs: int | None = None
    batch: int | None = None
    rate: float | None = None
    schedule: str | None = None
    momentum: float | None = None
    alpha: float = 0.0
    patience: int | None = None
    until: float | None = None
    time_limit: float | None = None
    seed: int = 0
    options: Mapping[str, Any] = field(default_factory=dict)

    def resolved(self, samples: int) -> Settings:
        """These settings with every default filled in, for ``samples`` training samples.

        Raises: PhizError.
        """
        return self._typed()._resolved(samples)

    def _resolved(self, samples: int) -> Settings:
        if self.optimizer not in METHODS:
            raise PhizError(
                f"optimizer: expected one of {', '.join(METHODS)}, got {self.optimizer!r}"
                f"{did_you_mean(self.optimizer, METHODS, RELATED)}"
            )
        _at_least(1, "epochs", self.epochs)
        _at_least(1, "patience", self.patience)
        _at_least(0, "seed", self.seed)
        if not 0.0 <= self.alpha < math.inf:
            raise PhizError(f"alpha: expected a penalty >= 0, got {self.alpha:g}")
        for name in self.options:
            if name in _SET_BY_NAME:
                raise PhizError(
                    f"option {name}: has a setting of its own: rate, batch, momentum, seed, line "
                    "search, epochs"
                )
        epochs = self.epochs or _LONG[self.optimizer]
        if self.optimizer not in DESCENT:
            self._refuse("batch", "rate", "schedule", "momentum")
            return replace(self, epochs=epochs)
        return replace(self._descent(samples), epochs=epochs)

    def _typed(self) -> Settings:
        """The same with Python's own numbers; PhizError for other types than the fields have, and NaN."""
        from ..schema.arguments import SettingsArguments

        found = checked(vars(self), SettingsArguments, "settings")
        for name in ("rate", "momentum", "alpha", "until", "time_limit"):
            value = getattr(found, name)
            if value is not None and math.isnan(value):
                raise PhizError(f"{name}: expected a number, got nan")
        return replace(self, **{name: getattr(found, name) for name in found.__struct_fields__})

    def _descent(self, samples: int) -> Settings:
        if self.line_search is not None or (self.optimizer == "gd" and self.rate is None and not self.batch):
            return self._with_a_line_search()
        batch = self._batch_of(samples)
        rate = _RATE[self.optimizer] if self.rate is None else self.rate
        if not 0.0 < rate < math.inf:
            raise PhizError(f"rate: expected a learning rate > 0, got {rate:g}")
        schedule = self.schedule or ("cosine" if batch else "constant")
        if schedule not in SCHEDULES:
            raise PhizError(
                f"schedule: expected one of {', '.join(SCHEDULES)}, got {schedule!r}"
                f"{did_you_mean(schedule, SCHEDULES)}"
            )
        return replace(self, batch=batch, rate=rate, schedule=schedule, momentum=self._momentum())

    def _with_a_line_search(self) -> Settings:
        if self.rate is not None or self.schedule is not None:
            raise PhizError(
                f"{self.optimizer}: expected a rate with its schedule, or a line search; got both"
            )
        if self.batch or self.optimizer == "sgd":
            raise PhizError(
                f"{self.optimizer}: a line search needs all samples at once, it does not go with mini-batches"
            )
        return replace(self, batch=0, momentum=self._momentum())

    def _batch_of(self, samples: int) -> int:
        """Samples of a mini-batch; 0 where every step takes all ``samples``."""
        batch = self.batch
        if batch is None:
            batch = 0 if self.optimizer == "gd" else min(_BATCH, samples)
        if self.optimizer == "sgd" and batch == 0:
            batch = samples
        if not 0 <= batch <= samples:
            raise PhizError(f"batch: expected 1 to {samples} training samples, or 0 for all, got {batch}")
        return batch

    def _momentum(self) -> float:
        value = (0.9 if self.optimizer == "momentum" else 0.0) if self.momentum is None else self.momentum
        if not 0.0 <= value < 1.0:
            raise PhizError(f"momentum: expected 0 <= momentum < 1, got {value:g}")
        return value

    def _refuse(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) is not None:
                raise PhizError(
                    f"{self.optimizer}: takes no {name}, it chooses its steps itself on all samples"
                )

    # ------------------------------------------------------------------------------ of resolved settings only
    @property
    def fixed_step(self) -> bool:
        """True for descent whose step does not come from a line search."""
        return self.rate is not None

    @property
    def unit(self) -> str:
        """What one entry of the history is."""
        return "epoch" if self.batch else "iteration"

    def steps_per_epoch(self, samples: int) -> int:
        """Iterations of the method in one entry of the history."""
        return -(-samples // self.batch) if self.batch else 1

    def method(self, samples: int) -> Method:
        """The method, ready to run.  Raises: OptionError naming the options that it has."""
        rules = {rule.name for rule in fields(StopRules)}
        options = {
            name: value for name, value in self.options.items() if name not in rules or self.optimizer == "lm"
        }
        if self.optimizer in DESCENT:
            options |= {"batch_size": self.batch or None, "momentum": self.momentum, "seed": self.seed}
            if self.fixed_step:
                options["step"] = self._steps(samples)
        return make_method(self.optimizer, self.line_search, **options)

    def _steps(self, samples: int) -> RateSchedule:
        rate, epochs = self.rate or 0.0, self.epochs or 1
        length = epochs * self.steps_per_epoch(samples)
        match self.schedule:
            case "cosine":
                return Cosine(rate, length)
            case "step":
                return StepDecay(rate, every=max(1, -(-length // 3)), factor=0.3)
            case "inverse":
                return InverseTime(rate, period=max(1.0, length / 10))
            case _:
                return Constant(rate)

    def rules(self, samples: int) -> StopRules:
        """Tolerances from the options, and the limits."""
        named = {rule.name for rule in fields(StopRules)}
        chosen = {
            name: value for name, value in self.options.items() if name in named and self.optimizer != "lm"
        }
        limits = {
            "maxiter": (self.epochs or 1) * self.steps_per_epoch(samples),
            "time_limit": self.time_limit,
        }
        return StopRules(**{**chosen, **limits})

    def record(self) -> dict[str, Any]:
        """JSON form."""
        return asdict(self) | {"options": dict(self.options)}

    def require_same(self, saved: Mapping[str, Any], file: Any) -> None:
        """Refuse to go on with other settings than ``saved``, but for limits that the steps taken do not
        depend on.

        Raises: CheckpointError naming the first difference.
        """
        free = {"patience", "until", "time_limit"} | (set() if self._length_matters else {"epochs"})
        for name, value in self.record().items():
            if name not in free and saved.get(name) != value:
                hint = "; its schedule is as long as the run" if name == "epochs" else ""
                raise CheckpointError(
                    f"{file}: cannot resume: {name} was {saved.get(name)}, now {value}{hint}"
                )

    @property
    def _length_matters(self) -> bool:
        return self.fixed_step and self.schedule != "constant"


def _at_least(least: int, name: str, value: int | None) -> None:
    if value is not None and value < least:
        raise PhizError(f"{name}: expected at least {least}, got {value}")

"""Training: one method on one network, epoch by epoch, saved so that a kill, a NaN or Ctrl-C loses
nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..data.split import Split
from ..errors import CheckpointError, NotFiniteError, PhizError
from ..network.network import Network
from ..optimize.base.evaluation import Evaluator
from ..optimize.base.result import History, OptimizeResult, Progress, Status
from ..optimize.driver import Run, SavePlan
from ..optimize.interrupt import InterruptGate
from ..schema.check import checked
from . import training_file
from .checkpoint import Checkpoint
from .early_stop import EarlyStop
from .evaluation_set import EvaluationSet, Score
from .history import Epoch, TrainingHistory
from .objective import NetworkObjective
from .settings import Settings
from .trained_on import TrainedOn, differences

Floats = npt.NDArray[Any]

WRITING_SHARE = 0.1
"""An epoch's checkpoint is left out where writing would take more than this share of the time."""


class Ended(Enum):
    """Why training ended."""

    FINISHED = "all epochs done"
    CONVERGED = "converged"
    TARGET = "the training loss asked for is reached"
    PATIENCE = "no improvement any more"
    TIME = "time limit reached"
    STUCK = "the method finds no better point"
    INTERRUPTED = "interrupted"
    NOT_FINITE = "not finite"
    FAILED = "failed"

    @property
    def well(self) -> bool:
        """False where something went wrong."""
        return self not in (Ended.INTERRUPTED, Ended.NOT_FINITE, Ended.FAILED)


@dataclass(frozen=True)
class Outcome:
    """What training gave.

    parameters: the best seen, by validation loss where there is a validation part, else by training loss; the
    network has them too.  best: their epoch.  reason: why training ended, in words.  train, validation, test:
    scores at ``parameters``.  seconds: of training, resumed runs included.
    """

    parameters: Floats
    history: TrainingHistory
    best: int
    ended: Ended
    reason: str
    seconds: float
    evaluations: int
    train: Score
    validation: Score | None
    test: Score | None


class Observer(Protocol):
    """Watches a run; ``progress.py`` has two."""

    def begin(self, epochs: int, done: int, unit: str) -> None:
        """Before the first step: how many epochs there will be, and how many are done."""

    def step(self, done: float) -> None:
        """After every step of the method: epochs done, with their fraction."""

    def epoch(self, epoch: Epoch) -> None:
        """After every epoch."""

    def end(self) -> None:
        """After the last step, whatever ended the run."""


class Silent:
    """An observer that looks away."""

    def begin(self, epochs: int, done: int, unit: str) -> None: ...
    def step(self, done: float) -> None: ...
    def epoch(self, epoch: Epoch) -> None: ...
    def end(self) -> None: ...


def train(
    network: Network,
    split: Split,
    settings: Settings | None = None,
    *,
    file: str | os.PathLike[str] | None = None,
    resume: bool = False,
    about: Mapping[str, str] | None = None,
    data: Mapping[str, Any] | None = None,
    observer: Observer | None = None,
) -> Outcome:
    """Train ``network`` on ``split.train``; same seed and device, same result bit for bit.

    file: one safetensors file with the best parameters and the whole state, written after every epoch (and on
    Ctrl-C).
    resume: go on from it, with the same result as if there had been no break.
    about: for the history and its plot.
    data: free JSON entries about the data, kept in the file.

    A NaN or an infinity that the method cannot step back from ends the run, names the layer, and leaves the
    best parameters in place.  Ctrl-C likewise.  Raises: PhizError for settings, data or files that do not
    fit, and for a NaN at the very start.
    """
    chosen = (settings or Settings()).resolved(len(split.train))
    return _Trainer(network, split, chosen, file, about or {}, data or {}, observer or Silent()).run(resume)


class _Trainer:
    def __init__(
        self,
        network: Network,
        split: Split,
        settings: Settings,
        file: Any,
        about: Mapping[str, str],
        data: Mapping[str, Any],
        observer: Observer,
    ) -> None:
        self.network, self.settings, self.file, self.observer = network, settings, file, observer
        self.split = split
        self.part = EvaluationSet(network, split.train, split.scaling)
        self.validation = (
            None if split.validation is None else EvaluationSet(network, split.validation, split.scaling)
        )
        self.test = None if split.test is None else EvaluationSet(network, split.test, split.scaling)
        self.per_epoch = settings.steps_per_epoch(len(self.part))
        self.data = {**training_file.describe_data(split.train), **data}
        self.history = TrainingHistory((), dict(about), settings.unit)
        self.early = EarlyStop(settings.patience)
        self.gate = InterruptGate()
        self.best = network.parameters.copy()
        self.ended: Ended | None = None
        self.reason = ""
        self.started = time.perf_counter()
        self.next_write = 0.0

    # ---------------------------------------------------------------------------------------------------- run
    def run(self, resume: bool) -> Outcome:
        with self.gate:
            return self._run(resume)

    def _run(self, resume: bool) -> Outcome:
        state = self._resumed() if resume else None
        self.optimizer = self._optimizer(state)
        self.observer.begin(self.settings.epochs or 1, self._epochs_done(), self.settings.unit)
        try:
            self._first(state)
            if self.ended is None:
                with np.errstate(over="ignore", invalid="ignore"):  # found where they matter, and named
                    self._conclude(self.optimizer.minimize(self.network.parameters.copy()))
        except KeyboardInterrupt:
            self._end(Ended.INTERRUPTED, "interrupted")
        finally:
            self.observer.end()
        with self.gate.closed():
            self.history = replace(self.history, stopped=self.reason)
            self._write()
        return self._outcome()

    def _optimizer(self, state: Mapping[str, Any] | None) -> Run:
        settings, count = self.settings, len(self.part)
        fixed_on_all = settings.fixed_step and not settings.batch
        objective = NetworkObjective(self.part, settings.alpha, settings.batch or None, strict=fixed_on_all)
        evaluator = Evaluator(objective, self.network.parameter_count, np.dtype(self.network.dtype))
        return Run(
            settings.method(count), evaluator, settings.rules(count), self._after_step, SavePlan(state=state)
        )

    def _first(self, state: Mapping[str, Any] | None) -> None:
        """Score the start; or the epoch whose end a resumed run was stopped in."""
        if state is None:
            self._close_epoch(0, self.network.parameters, 0, None)
            self.ended = None
            return
        due = checked(state["nit"], int, f"{self.file}: nit", CheckpointError) // self.per_epoch
        if due > self._epochs_done():
            step = History.from_json(state["history"])[-1].step
            self._close_epoch(due, np.asarray(state["x"]), int(state["nfev"]), step)
        elif self.early.exhausted:
            self._out_of_patience()

    def _after_step(self, progress: Progress) -> bool:
        del self.optimizer.history.records[:-1]  # the training's own history has what is worth keeping
        number, rest = divmod(progress.nit, self.per_epoch)
        self.observer.step(progress.nit / self.per_epoch)
        if (
            rest == 0 and number > self._epochs_done()
        ):  # a method that stays where it is reports its last iteration again
            self._close_epoch(number, progress.x, progress.nfev, progress.step)
            if self.ended is None and time.perf_counter() >= self.next_write:
                with self.gate.closed():
                    self._write()
        return self.ended is not None

    def _close_epoch(self, number: int, x: Floats, evaluations: int, rate: float | None) -> None:
        try:
            score = self.part.score(x)
            held_out = None if self.validation is None else self.validation.score(x)
        except NotFiniteError as error:
            if number == 0:
                raise
            self._end(Ended.NOT_FINITE, str(error))
            return
        epoch = Epoch(
            number, score.loss, score.accuracy,
            None if held_out is None else held_out.loss, None if held_out is None else held_out.accuracy,
            self._seconds(), evaluations, rate,
        )  # fmt: skip
        if self.early.update(score.loss if held_out is None else held_out.loss, number):
            self.best = np.array(x, copy=True)
        self.history = self.history.append(epoch)
        self.observer.epoch(epoch)
        if self.settings.until is not None and score.loss <= self.settings.until:
            self._end(Ended.TARGET, f"loss {score.loss:.6g} <= {self.settings.until:g}")
        elif self.early.exhausted:
            self._out_of_patience()

    def _out_of_patience(self) -> None:
        unit = self.settings.unit
        self._end(
            Ended.PATIENCE,
            f"no improvement for {self.early.waited} {unit}s; the best is {unit} {self.early.best_epoch}",
        )

    def _conclude(self, result: OptimizeResult) -> None:
        """Why the optimizer stopped, where the training did not end it itself."""
        status = result.status
        if self.ended is not None:
            return
        if status is Status.MAX_ITERATIONS:
            self._end(Ended.FINISHED, f"{self._epochs_done()} {self.settings.unit}s done")
        elif status is Status.INTERRUPTED:
            self._end(Ended.INTERRUPTED, result.message)
        elif status is Status.NOT_FINITE or status is Status.DIVERGED:
            self._end(Ended.NOT_FINITE, result.message)
        elif status is Status.TIME_LIMIT:
            self._end(Ended.TIME, result.message)
        elif status is Status.RAISED:
            self._end(Ended.FAILED, result.message)
        else:
            self._end(Ended.CONVERGED if status.converged else Ended.STUCK, result.message)

    def _end(self, ended: Ended, reason: str) -> None:
        self.ended, self.reason = ended, reason

    def _outcome(self) -> Outcome:
        self.network.parameters = self.best
        assert self.ended is not None
        seconds, evaluations = self._seconds(), self.optimizer.evaluator.nfev
        held_out, test = (
            None if part is None else part.score(self.best) for part in (self.validation, self.test)
        )
        return Outcome(
            self.best, self.history, self.early.best_epoch, self.ended, self.reason, seconds, evaluations,
            self.part.score(self.best), held_out, test,
        )  # fmt: skip

    # -------------------------------------------------------------------------------------------------- state
    def _write(self) -> None:
        """The checkpoint.  Nothing is written before the first step: there would be nothing to lose."""
        run = self.optimizer
        if self.file is None or run.nit == 0 or not run.method.point.finite:
            return
        begun = time.perf_counter()
        saved = training_file.Saved(
            self.best,
            run.snapshot() | {"training_seconds": self._seconds()},
            self.history,
            self.early.state(),
            self.settings.record(),
            self.data,
            self.split.scaling,
        )
        training_file.save(self.file, self.network, saved)
        now = time.perf_counter()
        self.next_write = now + (now - begun) * (1 / WRITING_SHARE - 1)

    def _resumed(self) -> Mapping[str, Any]:
        if self.file is None:
            raise PhizError("resume: expected the file to go on from")
        file, saved = training_file.load(self.file)
        self._require(file, saved)
        self.history = replace(saved.history, stopped="")
        self.early.restore(saved.early_stop)
        self.best = saved.parameters
        spent = saved.state.get("training_seconds", 0.0)
        self.started -= checked(spent, float, f"{self.file}: training_seconds", CheckpointError)
        return {name: value for name, value in saved.state.items() if name != "training_seconds"}

    def _require(self, file: Checkpoint, saved: training_file.Saved) -> None:
        file.require(self.network.architecture(), self.network.digests, self.network.parameter_count)
        self.settings.require_same(saved.settings, self.file)
        then = TrainedOn.of(self.file, saved.data)
        name = saved.data.get("name")
        if then.read is not None and (found := differences(then.read, then.classes, self.split.train)):
            raise CheckpointError(f"{self.file}: cannot resume: {name} is not what it was: {found}")
        if saved.data.get("digest") != self.data["digest"]:
            raise CheckpointError(
                f"{self.file}: cannot resume: the training samples are not those of {name} that were "
                "used before"
            )

    def _epochs_done(self) -> int:
        return self.history.epochs[-1].number if self.history.epochs else 0

    def _seconds(self) -> float:
        return time.perf_counter() - self.started

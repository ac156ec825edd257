"""The loop around every method: limits, history, callback, interruption, saving and resuming."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError
from ..files import exists, reason
from .base.evaluation import Evaluator, Point, StopRun
from .base.result import History, OptimizeResult, Progress, Record, Status
from .base.vector import Vector, max_norm
from .interrupt import InterruptGate
from .memory import readable, require_memory
from .methods.method import Method, Move, Stop, gradient_of
from .state import load_state, save_state
from .stopping import Callback, Patience, StopRules, rounding

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SavePlan:
    """Where the state goes: written every `every` iterations (0: never) and at the end; `resume` reads it
    first.

    `state`, a snapshot of another run, is where this one begins; for callers that keep it in a file of their
    own.
    """

    file: str | os.PathLike[str] | None = None
    every: int = 0
    resume: bool = False
    state: Mapping[str, Any] | None = None

    def check(self) -> None:
        """Raises CheckpointError where the file could not be written: before the run, not after it."""
        if self.file is None:
            return
        path = Path(self.file)
        if path.is_dir():
            raise CheckpointError(f"state_file: expected the name of a file, {path} is a folder")
        if not path.parent.is_dir():
            raise CheckpointError(
                f"state_file: expected {path} in a folder that exists, there is no {path.parent}"
            )
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise CheckpointError(
                f"state_file: expected {path} in a folder that can be written, {path.parent} cannot"
            )


class Run:
    """One run of one method."""

    def __init__(
        self,
        method: Method,
        evaluator: Evaluator,
        rules: StopRules,
        callback: Callback | None = None,
        save: SavePlan | None = None,
        memory_limit: int | None = None,
    ):
        self.method = method
        self.evaluator = evaluator
        self.rules = rules
        self.callback = callback
        self.save = save or SavePlan()
        self.save.check()
        self.history = History()
        self.gate = InterruptGate()
        self.nit = 0
        self.seconds_before = 0.0
        self.error: Exception | None = None
        self.patience = Patience()
        self.save_failure = ""
        self.memory = method.memory_bytes(evaluator.size, evaluator.dtype)
        self.memory += method.objective_bytes(evaluator.objective)
        require_memory(method.name, evaluator.size, self.memory, memory_limit)
        log.info(
            "%s: %d parameters, %s for the method itself", method.name, evaluator.size, readable(self.memory)
        )

    def minimize(self, x0: Vector) -> OptimizeResult:
        """Runs to the first rule that holds.

        Exceptions at the very start pass through: there is nothing to keep.
        """
        with self.gate:
            return self._minimize(np.array(x0, copy=True))

    def _minimize(self, x0: Vector) -> OptimizeResult:
        self.started = time.perf_counter()
        if self.rules.time_limit is not None:
            self.evaluator.deadline = self.started + self.rules.time_limit
        if self.rules.maxfev is not None:
            self.evaluator.max_evaluations = max(self.rules.maxfev, 1)
        try:
            stop = self._begin(x0)
        except StopRun as signal:
            return self._unevaluated(x0, (signal.status, signal.message))
        except KeyboardInterrupt:
            return self._unevaluated(x0, (Status.INTERRUPTED, "interrupted before the start was evaluated"))
        self.evaluator.strict = False
        stop = stop or self._iterate()
        if self.save.file is not None:
            with self.gate.closed():
                self._write()
        return self._result(stop)

    def _begin(self, x0: Vector) -> Stop | None:
        if self.save.state is not None:
            self._read(self.save.state)
        elif self.save.resume and self.save.file is not None and exists(Path(self.save.file)):
            self._read(load_state(self.save.file))
        else:
            self.method.start(self.evaluator, x0)
            self._record(0.0, "start")
        point = self.method.point
        if not point.finite:
            return Status.NOT_FINITE, f"at the start: {self.evaluator.failure}"
        return self._tests(point)

    def _tests(self, point: Point) -> Stop | None:
        if self.method.stochastic:
            return None
        return self.rules.at_point(point) if self.method.driver_tests else self.rules.at_target(point)

    def _iterate(self) -> Stop:
        try:
            while True:
                if self.rules.maxiter is not None and self.nit >= self.rules.maxiter:
                    return Status.MAX_ITERATIONS, f"{self.nit} iterations, the limit"
                before = self.method.point
                move = self.method.propose()
                with self.gate.closed():
                    self._commit(move)
                stop = self._after(before, move)
                if stop is not None:
                    return stop
        except StopRun as signal:
            return signal.status, signal.message
        except KeyboardInterrupt:
            return Status.INTERRUPTED, f"interrupted after {self.nit} iterations"
        except Exception as error:
            if self._raised_in_callback:
                raise
            return self._raised(error)

    _raised_in_callback = False

    def _raised(self, error: Exception) -> Stop:
        """The end of a run whose objective raised; the result carries the exception, for `minimize` to
        raise it.
        """
        self.error = error
        return Status.RAISED, f"the objective raised {type(error).__name__}: {error}"

    def _commit(self, move: Move) -> None:
        move.commit()
        if move.stop is not None and move.point is self.method.point and move.step == 0.0:
            return  # nothing happened: no iteration to record
        self.method.point = move.point
        self.nit += 1
        self._record(move.step, move.note)
        if self.save.file is not None and self.save.every and self.nit % self.save.every == 0:
            self._write()

    def _after(self, before: Point, move: Move) -> Stop | None:
        if self._call_back(move):
            return Status.CALLBACK, "the callback asked to stop"
        if move.stop is not None:
            return move.stop
        stop = self._tests(self.method.point)
        self.patience, tired = self.patience.after(move, before)
        stop = stop or tired
        if stop is None and self.method.driver_tests and not self.method.stochastic:
            stop = self.rules.after_move(before, self.method.point)
        return stop

    def _call_back(self, move: Move) -> bool:
        """True when the callback asks to stop, by its answer or by StopIteration."""
        if self.callback is None:
            return False
        record = self.history[-1]
        progress = Progress(
            self.nit,
            self.method.point.x.copy(),
            record.fun,
            gradient_of(self.method.point).copy(),
            record.step,
            record.nfev,
            record.njev,
            record.seconds,
            move.note,
        )
        self._raised_in_callback = True
        try:
            stop = self.callback(progress)
        except StopIteration:
            stop = True
        self._raised_in_callback = False
        return isinstance(stop, (bool, np.bool_)) and bool(stop)

    def _record(self, step: float, note: str) -> None:
        point = self.method.point
        steepest = math.nan if point.gradient is None else max_norm(point.gradient)
        counts = self.evaluator.nfev, self.evaluator.njev
        self.history.records.append(
            Record(self.nit, point.value, steepest, step, *counts, self._seconds(), note)
        )

    def _seconds(self) -> float:
        return self.seconds_before + time.perf_counter() - self.started

    def _result(self, stop: Stop) -> OptimizeResult:
        point = self._chosen(stop[0])
        stop = self._honest(stop, point)
        status, message = stop if self.error is None else self._raised(self.error)
        if self.save_failure:
            message += f"; the state was not saved: {self.save_failure}"
        return OptimizeResult(
            x=point.x.copy(),
            fun=point.value,
            jac=None if point.gradient is None else point.gradient.copy(),
            nit=self.nit,
            nfev=self.evaluator.nfev,
            njev=self.evaluator.njev,
            status=status,
            message=message,
            history=self.history,
            method=self.method.name,
            seconds=self._seconds(),
            objective_seconds=self.evaluator.seconds,
            memory_bytes=self.memory,
            error=self.error,
        )

    def _chosen(self, status: Status) -> Point:
        """The lowest point seen; the current one where the two differ by rounding.

        The last point of a stochastic run gets its full value now, unless the run was interrupted.
        """
        current, best = self.method.point, self.evaluator.best
        if self.method.stochastic and current.finite and status not in (Status.INTERRUPTED, Status.RAISED):
            return self._complete(current)
        if best is None or not best.value < current.value - rounding(current):
            return current
        if best.gradient is not None or status in (Status.INTERRUPTED, Status.RAISED):
            return best
        return self._complete(best)

    def _honest(self, stop: Stop, chosen: Point) -> Stop:
        """Returns LOST if the stop rule held at the current point but not at the lower point returned."""
        current, status = self.method.point, stop[0]
        if chosen is current or self.method.stochastic or not status.converged or status is Status.TARGET:
            return stop
        if current.value - chosen.value <= self.rules.undecided(current, chosen):
            return stop
        earlier = f"f was {chosen.value:.6g} before, and that point is returned"
        return Status.LOST, f"{stop[1]}; but f = {current.value:.6g} there, {earlier}"

    def _complete(self, point: Point) -> Point:
        """The point with its full value and gradient; as it is where that fails, which must not cost
        the result.
        """
        self.evaluator.deadline = self.evaluator.max_evaluations = math.inf
        try:
            complete = self.evaluator.value_and_gradient(point.x)
        except (KeyboardInterrupt, StopRun):
            return point
        except Exception as error:
            self.error = error
            return point
        return complete if complete.finite or self.method.stochastic else point

    def _unevaluated(self, x0: Vector, stop: Stop) -> OptimizeResult:
        self.method.point = Point(x0, math.nan, None)
        return self._result(stop)

    def snapshot(self) -> dict[str, Any]:
        """Arrays, numbers and texts that, as `SavePlan.state` of a new run, continue this one bit for bit."""
        point, best, counts = self.method.point, self.evaluator.best, self.evaluator
        state: dict[str, Any] = {
            "method": self.method.name,
            "size": counts.size,
            "dtype": str(counts.dtype),
            "nit": self.nit,
            "nfev": counts.nfev,
            "njev": counts.njev,
            "seconds": self._seconds(),
            "objective_seconds": counts.seconds,
            "history": self.history.to_json(),
            "failed_searches": self.patience.failed,
            "useless_searches": self.patience.useless,
            "endless_searches": self.patience.endless,
        }
        state.update(_fields(point, ""))
        if best is not None:
            state.update(_fields(best, "best_"))
        state |= {f"method_{key}": value for key, value in self.method.state().items()}
        return {key: value.copy() if isinstance(value, np.ndarray) else value for key, value in state.items()}

    def _write(self) -> None:
        if self.save.file is None:
            return
        self.save_failure = ""
        try:
            save_state(self.save.file, self.snapshot())
        except Exception as error:  # whatever went wrong, the run and its result are worth more
            self.save_failure = f"{type(error).__name__}: {error}"
            log.warning("%s: the state was not saved: %s", self.save.file, self.save_failure)

    def _read(self, state: Mapping[str, Any]) -> None:
        counts = self.evaluator
        expected = {"method": self.method.name, "size": counts.size, "dtype": str(counts.dtype)}
        for key, wanted in expected.items():
            if state.get(key) != wanted:
                raise CheckpointError(
                    f"{self.save.file}: expected a state of {key} {wanted}, got {state.get(key)}"
                )
        try:
            self._take(state)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{self.save.file}: expected a whole state, got {type(error).__name__}: {reason(error)}"
            ) from None

    def _take(self, state: Mapping[str, Any]) -> None:
        counts = self.evaluator
        self.method.evaluator = counts
        self.method.point = _point(state, "")
        counts.best = _point(state, "best_") if "best_x" in state else None
        counts.nfev, counts.njev, counts.seconds = state["nfev"], state["njev"], state["objective_seconds"]
        self.patience = Patience(
            *(int(state.get(f"{kind}_searches", 0)) for kind in ("failed", "useless", "endless"))
        )
        self.nit, self.seconds_before = state["nit"], state["seconds"]
        self.history = History.from_json(state["history"])
        own = {
            key.removeprefix("method_"): value for key, value in state.items() if key.startswith("method_")
        }
        self.method.restore(own)


def _fields(point: Point, prefix: str) -> dict[str, Any]:
    fields = {f"{prefix}x": point.x, f"{prefix}fun": point.value}
    return fields if point.gradient is None else fields | {f"{prefix}jac": point.gradient}


def _point(state: Mapping[str, Any], prefix: str) -> Point:
    gradient = state.get(f"{prefix}jac")
    own = None if gradient is None else np.array(gradient, copy=True)
    return Point(np.array(state[f"{prefix}x"], copy=True), float(state[f"{prefix}fun"]), own)

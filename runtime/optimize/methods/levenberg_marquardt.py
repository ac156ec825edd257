"""Levenberg-Marquardt (equations 104-117; ledger X30-X34, D10)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..base.errors import OptionError
from ..base.evaluation import INFEASIBLE, Evaluator, Point
from ..base.result import Status
from ..base.vector import Vector, max_norm, norm
from .damping import RULES, Damping, Outcome
from .method import Method, Move, StateDict, Stop, field_of
from .normal_equations import CUT_OFF, DampedStep, NormalEquations, accumulate, damped_step, damping_scale
from .residuals import NormResidual

_SCALINGS = ("marquardt", "running-max", "identity")


@dataclass
class LevenbergMarquardt(Method):
    """(J^T J + lambda D) step = -J^T r, D = diag(J^T J); a step is taken when f falls.

    residual: "component" (default), or the paper's "norm" per sample (105-115), which needs `outputs` per sample.
    rule: "gain" (default), lambda by the ratio of actual to predicted fall, at most a tenth down, 2, 4, 8, ...
    up; or "decade", lambda / 10 on success and * 10 on failure (D10), which needs more evaluations on large residuals.
    scaling: D from each column's largest norm so far ("running-max", default: the first step is the paper's), from the
    current columns alone as printed in 109 ("marquardt", which fails on some problems that start far away), or 1.
    solver: "auto" (Cholesky, then SVD) or "svd".  ftol, xtol, gtol: MINPACK's relative tests, free of units.
    """

    damping: float = 1e-4
    rule: str = "gain"
    scaling: str = "running-max"
    residual: str = "component"
    outputs: int | None = None
    solver: str = "auto"
    cut_off: float | None = None
    ftol: float = 1e-8
    xtol: float = 1e-8
    gtol: float = 1e-8
    max_damping: float = 1e20

    name: ClassVar[str] = "lm"
    driver_tests = False

    def __post_init__(self) -> None:
        if not 0.0 < self.damping < math.inf:
            raise OptionError(f"lm: expected damping > 0, got {self.damping!r}")
        for field_name, choices in (("rule", tuple(RULES)), ("scaling", _SCALINGS), ("residual", ("component", "norm")),
                                    ("solver", ("auto", "svd"))):  # fmt: skip
            if getattr(self, field_name) not in choices:
                raise OptionError(f"lm: expected {field_name} among {choices}, got {getattr(self, field_name)!r}")
        if self.residual == "norm" and not self.outputs:
            raise OptionError("lm: the norm residual needs outputs= (the number of outputs per sample)")
        self._damping = Damping(self.damping)
        self._rule = RULES[self.rule]()

    def start(self, evaluator: Evaluator, x0: Vector) -> None:
        if not hasattr(evaluator.objective, "residuals_and_jacobian_chunks"):
            got = type(evaluator.objective).__name__
            raise OptionError(f"lm: expected an objective with residuals_and_jacobian_chunks, got {got}")
        self.evaluator = evaluator
        value, equations = self._trial(x0)
        self.point = Point(x0, value, None)
        if not self.point.finite:
            return
        equations = equations or self._linearise(x0)
        if equations is None:
            self.point = Point(x0, math.nan, None)
            return
        self._adopt(self.point, equations)
        self._scale = self._scaling_of(equations, None)

    def _trial(self, x: Vector) -> tuple[float, NormalEquations | None]:
        """f, and the equations where f comes with them alone."""
        if self.evaluator.has_squares:
            return self.evaluator.squares(x), None
        equations = self._linearise(x)
        return (math.nan if equations is None else equations.half_squares), equations

    def _linearise(self, x: Vector) -> NormalEquations | None:
        chunks = self.evaluator.chunks(x)
        if self.residual == "norm":
            chunks = NormResidual.group(chunks, self.outputs or 1)
        try:
            equations = accumulate(chunks, x.size)
        except INFEASIBLE as error:
            if self.evaluator.strict:
                raise
            self.evaluator.failure = f"the Jacobian raised {type(error).__name__}: {error}"
            return None
        if not equations.finite:
            self.evaluator.failure = "the Jacobian or the residuals are not finite"
            return None
        return equations

    def _adopt(self, point: Point, equations: NormalEquations) -> None:
        self._equations = equations
        self.point = Point(point.x, point.value, equations.gradient.astype(point.x.dtype))
        self.evaluator.keep(self.point)

    def _scaling_of(self, equations: NormalEquations, before: Vector | None) -> Vector:
        if self.scaling == "identity":
            return np.ones(equations.gradient.size)
        scale = damping_scale(np.diagonal(equations.matrix))
        return scale if before is None or self.scaling == "marquardt" else np.maximum(scale, before)

    def propose(self) -> Move:
        stop = self._at_point()
        if stop is not None:
            return self.stay(stop)
        damping, rejected, blocked = self._damping, 0, False
        cut_off = self.cut_off or CUT_OFF[self.point.x.dtype]
        while damping.value <= self.max_damping:
            trial = damped_step(self._equations, damping.value, self._scale, cut_off, self.solver)
            x = self.point.x + trial.step.astype(self.point.x.dtype)
            stop = self._too_short(trial)
            value, equations = self._trial(x)
            outcome = Outcome(self.point.value, value, trial.predicted)
            if value < self.point.value:
                equations = equations or self._linearise(x)
                if equations is not None:
                    following = self._rule.accepted(damping, outcome)
                    return self._accept(Point(x, value, None), equations, trial, following, rejected, blocked)
                outcome = Outcome(self.point.value, math.nan, trial.predicted)
            elif stop is not None:
                return self.stay(self._blocked_stop() if blocked or value != value else stop)
            blocked = blocked or outcome.after != outcome.after
            rejected += 1
            damping = self._rule.rejected(damping, outcome)
        why = f"; last: {self.evaluator.failure}" if self.evaluator.failure else ""
        return self.stay((Status.DAMPING, f"lm: no step lowers f up to lambda = {self.max_damping:.0e}{why}"))

    def _accept(
        self, new: Point, equations: NormalEquations, trial: DampedStep, following: Damping, rejected: int, blocked: bool
    ) -> Move:  # fmt: skip
        point = Point(new.x, new.value, equations.gradient.astype(new.x.dtype))
        scale = self._scaling_of(equations, self._scale)
        notes = [f"{rejected} rejected"] if rejected else []
        if trial.solver == "svd":
            notes.append(f"svd, rank {trial.rank} of {new.x.size}")
        stop = self._after(self.point.value - new.value, trial)
        if stop is not None and blocked:
            stop = self._blocked_stop()

        def commit() -> None:
            self._adopt(point, equations)
            self._scale, self._damping = scale, following

        return Move(point, trial.damping, commit, ", ".join(notes), stop)

    def _blocked_stop(self) -> Stop:
        """Steps became short because longer ones cannot be evaluated: no convergence."""
        return Status.NOT_FINITE, f"only steps too short to count can be evaluated; last: {self.evaluator.failure}"

    def _at_point(self) -> Stop | None:
        value, equations = self.point.value, self._equations
        if value == 0.0:
            return Status.ZERO_RESIDUAL, "every residual is zero"
        columns = np.sqrt(np.maximum(np.diagonal(equations.matrix), 0.0))
        size = math.sqrt(2.0 * equations.half_squares)
        live = columns > 0.0
        cosines = np.abs(equations.gradient[live]) / columns[live] / size if size > 0.0 else np.zeros(1)
        steepest = max_norm(cosines)
        if steepest <= self.gtol:
            return Status.GRADIENT, f"residuals are orthogonal to J: cosine {steepest:.3g} <= gtol = {self.gtol:.3g}"
        return None

    def _too_short(self, trial: DampedStep) -> Stop | None:
        """A step that would not count even if f fell: further damping only shortens it."""
        moved = trial.length
        where = norm(self._scale * self.point.x.astype(np.float64))
        if moved <= self.xtol * where:
            return Status.STEP, f"step of {moved:.3g} in scaled x, within xtol = {self.xtol:.3g}"
        if trial.predicted <= self.ftol * self.point.value and trial.predicted <= 1e-15 * self.point.value:
            return Status.FUNCTION, "the predicted fall of f is below rounding"
        return None

    def _after(self, fall: float, trial: DampedStep) -> Stop | None:
        if fall <= self.ftol * self.point.value and trial.predicted <= self.ftol * self.point.value:
            fell = f"f fell by {fall:.3g}, predicted {trial.predicted:.3g}"
            return Status.FUNCTION, f"{fell}: within ftol = {self.ftol:.3g}"
        moved = trial.length
        if moved <= self.xtol * norm(self._scale * self.point.x.astype(np.float64)):
            return Status.STEP, f"step of {moved:.3g} in scaled x, within xtol = {self.xtol:.3g}"
        return None

    def memory_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Float64: J^T J at the point and either J^T J at the next (with a float32 product) or the solver's copies."""
        return 4 * size * size * 8 + 40 * size * 8

    def objective_bytes(self, objective: Any) -> int:
        return int(getattr(objective, "chunk_bytes", 0))

    def state(self) -> StateDict:
        # The normal equations are not stored: n^2 numbers that one Jacobian rebuilds bit for bit.
        d = self._damping
        return {"lambda": d.value, "rise": d.rise, "scale": self._scale}

    def restore(self, state: Mapping[str, Any]) -> None:
        counts = self.evaluator.njev, self.evaluator.nfev
        equations = self._linearise(self.point.x)
        self.evaluator.njev, self.evaluator.nfev = counts
        if equations is None:
            self.point = Point(self.point.x, math.nan, None)
            return
        self._equations = equations
        self._scale = field_of(state, "scale", self.point.x.shape)
        self._damping = Damping(float(state["lambda"]), float(state["rise"]))

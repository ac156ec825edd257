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
from .damping import RULES, Damping, StepOutcome
from .method import Method, Move, StateDict, Stop, field_of
from .normal_equations import CUT_OFF, DampedStep, NormalEquations, accumulate, damped_step
from .residuals import NormResidual
from .triangular import ScaledFactors, TriangularEquations, factorise

_SCALINGS = ("marquardt", "running-max", "identity")
_SOLVERS = ("auto", "qr", "cholesky", "svd")
Equations = NormalEquations | TriangularEquations

#: Up to so many parameters "auto" factorises J: twice the work of J^T J and an SVD, for twice the digits.
QR_SIZE = 200


@dataclass
class LevenbergMarquardt(Method):
    """(J^T J + lambda D) step = -J^T r, D = diag(J^T J); a step is taken when f falls.

    residual: "component" (default), or the paper's "norm" per sample (105-115), which needs `outputs` per
    sample.
    rule: "radius", lambda from the length that the gain (actual over predicted fall) allows a step, Moré's
    form; "gain", lambda itself by the gain, at most a tenth down, 2, 4, 8, ... up; "decade", lambda / 10 on
    success and * 10 on failure (D10), which needs more evaluations on large residuals.  Default: radius where
    J is factorised and no damping is given, else gain.  damping: the first lambda (default 1e-4; with a
    radius that of a step of `first_radius` ||D^1/2 x0||).
    scaling: D from each column's largest norm so far ("running-max", default: the first step is the paper's),
    from the current columns alone as printed in 109 ("marquardt", which fails on some problems that start far
    away), or 1 ("identity").  An objective whose parameters share one scale may say so in `damping_defaults`,
    as networks do: first lambda 1e-2, D = 1.
    solver: "qr", from the QR factors of J, whose condition is not squared; "cholesky", from J^T J, the SVD
    where that fails; "svd", that of J^T J (117); "auto": qr in float64 up to 200 parameters, else cholesky.
    ftol, xtol, gtol: MINPACK's relative tests, free of units.
    """

    damping: float | None = None
    rule: str | None = None
    scaling: str | None = None
    residual: str = "component"
    outputs: int | None = None
    solver: str = "auto"
    cut_off: float | None = None
    ftol: float = 1e-10
    xtol: float = 1e-10
    gtol: float = 1e-10
    max_damping: float = 1e20
    first_radius: float = 1.0

    name: ClassVar[str] = "lm"
    driver_tests = False

    def __post_init__(self) -> None:
        for field_name in ("damping", "first_radius"):
            given = getattr(self, field_name)
            if not (given is None or 0.0 < given < math.inf):
                raise OptionError(f"lm: expected {field_name} > 0, got {given!r}")
        for field_name, choices in (
            ("rule", (None, *RULES)),
            ("scaling", (None, *_SCALINGS)),
            ("residual", ("component", "norm")),
            ("solver", _SOLVERS),
        ):
            if getattr(self, field_name) not in choices:
                raise OptionError(
                    f"lm: expected {field_name} among {choices}, got {getattr(self, field_name)!r}"
                )
        if self.residual == "norm" and not self.outputs:
            raise OptionError("lm: the norm residual needs outputs= (the number of outputs per sample)")
        if self.rule == "radius" and self.solver in ("cholesky", "svd"):
            raise OptionError(f"lm: rule 'radius' expects solver 'qr' or 'auto', got {self.solver!r}")
        self._factors: ScaledFactors | None = None
        self._blocked = (
            -1.0
        )  # the largest lambda whose step could not be evaluated, until a step as free could

    def start(self, evaluator: Evaluator, x0: Vector) -> None:
        if not hasattr(evaluator.objective, "residuals_and_jacobian_chunks"):
            got = type(evaluator.objective).__name__
            raise OptionError(f"lm: expected an objective with residuals_and_jacobian_chunks, got {got}")
        self.evaluator = evaluator
        self._choose(x0)
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
        self._damping = self._first_damping()

    def _choose(self, x: Vector) -> None:
        """Solver and rule for this run, where the options leave them open."""
        self._qr = self._factorises(x.size, x.dtype)
        defaults = getattr(self.evaluator.objective, "damping_defaults", {})
        self._first_lambda = self.damping or defaults.get("damping")
        self._scaling = self.scaling or defaults.get("scaling", "running-max")
        by_radius = self._qr and self._first_lambda is None
        self._rule_name = self.rule or ("radius" if by_radius else "gain")
        self._rule = RULES[self._rule_name]()

    def _factorises(self, size: int, dtype: np.dtype[Any]) -> bool:
        small = dtype == np.float64 and size <= QR_SIZE
        return self.solver == "qr" or self.rule == "radius" or (self.solver == "auto" and small)

    def _first_damping(self) -> Damping:
        if self._rule_name != "radius":
            return Damping(self._first_lambda or 1e-4)
        if self._first_lambda is not None:
            return Damping(self._first_lambda, radius=self._step(Damping(self._first_lambda)).length)
        by_start = self.first_radius * self._size_of(self.point.x)
        return Damping(0.0, radius=by_start or self._step(Damping(1e-4)).length)

    def _size_of(self, x: Vector) -> float:
        """||D^1/2 x||."""
        return norm(self._scale * x.astype(np.float64))

    def _step(self, damping: Damping) -> DampedStep:
        cut_off = self.cut_off or CUT_OFF[self.point.x.dtype]
        if isinstance(self._equations, NormalEquations):
            return damped_step(
                self._equations,
                damping.value,
                self._scale,
                cut_off,
                "svd" if self.solver == "svd" else "auto",
            )
        if self._factors is None:
            self._factors = ScaledFactors(self._equations, self._scale, cut_off)
        if damping.radius < math.inf:
            return self._factors.within(damping.radius, damping.value)
        return self._factors.at(damping.value)

    def _trial(self, x: Vector) -> tuple[float, Equations | None]:
        """f, and the equations where f comes with them alone."""
        if self.evaluator.has_squares:
            return self.evaluator.squares(x), None
        equations = self._linearise(x)
        return (math.nan if equations is None else equations.half_squares), equations

    def _linearise(self, x: Vector) -> Equations | None:
        chunks = self.evaluator.chunks(x)
        if self.residual == "norm":
            chunks = NormResidual.group(chunks, self.outputs or 1)
        try:
            equations = (factorise if self._qr else accumulate)(chunks, x.size)
        except INFEASIBLE as error:
            if self.evaluator.strict:
                raise
            self.evaluator.failure = f"the Jacobian raised {type(error).__name__}: {error}"
            return None
        if not equations.finite:
            self.evaluator.failure = "the Jacobian or the residuals are not finite"
            return None
        return equations

    def _adopt(self, point: Point, equations: Equations) -> None:
        self._equations, self._factors = equations, None
        self.point = Point(point.x, point.value, equations.gradient.astype(point.x.dtype))
        self.evaluator.keep(self.point)

    def _scaling_of(self, equations: Equations, before: Vector | None) -> Vector:
        if self._scaling == "identity":
            return np.ones(equations.gradient.size)
        columns = equations.columns
        scale = np.where(columns > 0.0, columns, 1.0)
        return scale if before is None or self._scaling == "marquardt" else np.maximum(scale, before)

    def propose(self) -> Move:
        stop = self._at_point()
        if stop is not None:
            return self.stay(stop)
        damping, rejected, blocked = self._damping, 0, self._blocked
        while damping.value <= self.max_damping:
            trial = self._step(damping)
            x = self.point.x + trial.step.astype(self.point.x.dtype)
            stop = self._too_short(trial)
            value, equations = self._trial(x)
            outcome = StepOutcome(self.point.value, value, trial)
            if value < self.point.value:
                equations = equations or self._linearise(x)
                if equations is not None:
                    following = self._rule.accepted(damping, outcome)
                    if trial.damping <= blocked:
                        blocked = -1.0
                    return self._accept(Point(x, value, None), equations, trial, following, rejected, blocked)
                outcome = StepOutcome(self.point.value, math.nan, trial)
            elif stop is not None:
                return self.stay(self._blocked_stop() if blocked >= 0.0 or value != value else stop)
            if outcome.after != outcome.after:
                blocked = max(blocked, trial.damping)
            rejected += 1
            damping = self._rule.rejected(damping, outcome)
        why = f"; last: {self.evaluator.failure}" if self.evaluator.failure else ""
        return self.stay((Status.DAMPING, f"lm: no step lowers f up to lambda = {self.max_damping:.0e}{why}"))

    def _accept(
        self, new: Point, equations: Equations, trial: DampedStep, following: Damping, rejected: int,
        blocked: float,
    ) -> Move:  # fmt: skip
        point = Point(new.x, new.value, equations.gradient.astype(new.x.dtype))
        scale = self._scaling_of(equations, self._scale)
        notes = [f"{rejected} rejected"] if rejected else []
        if trial.solver == "svd" and (trial.rank < new.x.size or not self._qr):
            notes.append(f"svd, rank {trial.rank} of {new.x.size}")
        stop = self._after(self.point.value - new.value, trial)
        if stop is not None and blocked >= 0.0:  # a small fall says nothing about a step that was cut short
            stop = self._blocked_stop() if stop[0] is Status.STEP else None

        def commit() -> None:
            self._adopt(point, equations)
            self._scale, self._damping, self._blocked = scale, following, blocked

        return Move(point, trial.damping, commit, ", ".join(notes), stop)

    def _blocked_stop(self) -> Stop:
        """Steps became short because longer ones cannot be evaluated: no convergence."""
        return (
            Status.NOT_FINITE,
            f"only steps too short to count can be evaluated; last: {self.evaluator.failure}",
        )

    def _at_point(self) -> Stop | None:
        value, equations = self.point.value, self._equations
        if value == 0.0:
            return Status.ZERO_RESIDUAL, "every residual is zero"
        columns = equations.columns
        size = math.sqrt(2.0 * equations.half_squares)
        live = columns > 0.0
        cosines = np.abs(equations.gradient[live]) / columns[live] / size if size > 0.0 else np.zeros(1)
        steepest = max_norm(cosines)
        if steepest <= self.gtol:
            return (
                Status.GRADIENT,
                f"residuals are orthogonal to J: cosine {steepest:.3g} <= gtol = {self.gtol:.3g}",
            )
        return None

    def _too_short(self, trial: DampedStep) -> Stop | None:
        """A step that would not count even if f fell: further damping only shortens it."""
        moved = trial.length
        if moved <= self.xtol * self._size_of(self.point.x):
            return Status.STEP, f"step of {moved:.3g} in scaled x, within xtol = {self.xtol:.3g}"
        if trial.predicted <= self.ftol * self.point.value and trial.predicted <= 1e-15 * self.point.value:
            return Status.FUNCTION, "the predicted fall of f is below rounding"
        return None

    def _after(self, fall: float, trial: DampedStep) -> Stop | None:
        if fall <= self.ftol * self.point.value and trial.predicted <= self.ftol * self.point.value:
            fell = f"f fell by {fall:.3g}, predicted {trial.predicted:.3g}"
            return Status.FUNCTION, f"{fell}: within ftol = {self.ftol:.3g}"
        moved = trial.length
        if moved <= self.xtol * self._size_of(self.point.x):
            return Status.STEP, f"step of {moved:.3g} in scaled x, within xtol = {self.xtol:.3g}"
        return None

    def memory_bytes(self, size: int, dtype: np.dtype[Any]) -> int:
        """Bytes of the matrices, float64.

        J^T J at the point, and either J^T J at the next one (with a float32 product) or the solver's copies.

        With QR: R at two points, R D^-1/2, and what its SVD needs.
        """
        return (10 if self._factorises(size, dtype) else 4) * size * size * 8 + 40 * size * 8

    def objective_bytes(self, objective: Any) -> int:
        return int(getattr(objective, "chunk_bytes", 0))

    def state(self) -> StateDict:
        # The normal equations are not stored: n^2 numbers that one Jacobian rebuilds bit for bit.
        d = self._damping
        return {
            "lambda": d.value,
            "rise": d.rise,
            "radius": d.radius,
            "blocked": self._blocked,
            "scale": self._scale,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self._choose(self.point.x)
        counts = self.evaluator.njev, self.evaluator.nfev
        equations = self._linearise(self.point.x)
        self.evaluator.njev, self.evaluator.nfev = counts
        if equations is None:
            self.point = Point(self.point.x, math.nan, None)
            return
        self._equations, self._factors = equations, None
        self._scale = field_of(state, "scale", self.point.x.shape)
        self._blocked = float(state.get("blocked", -1.0))
        self._damping = Damping(
            float(state["lambda"]), float(state["rise"]), float(state.get("radius", math.inf))
        )

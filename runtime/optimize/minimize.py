"""The one front: `minimize(objective, x0, method=..., **options)`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..nearest import did_you_mean
from ..schema.check import checked
from .base.errors import OptionError
from .base.evaluation import Evaluator
from .base.objective import FunctionObjective, LeastSquares
from .base.result import OptimizeResult
from .base.vector import as_parameters
from .driver import Run, SavePlan
from .line_search.line_search import LineSearch, make_line_search
from .methods.bfgs import BFGS
from .methods.conjugate_gradient import ConjugateGradient
from .methods.gradient_descent import GradientDescent, Momentum, StochasticGradientDescent
from .methods.lbfgs import LBFGS
from .methods.levenberg_marquardt import LevenbergMarquardt
from .methods.method import Method
from .stopping import Callback, StopRules


@dataclass(frozen=True)
class MethodEntry:
    """How a name becomes a method: the class, the default limit of iterations."""

    factory: Callable[..., Method]
    maxiter: int
    line_search: str | None
    summary: str


METHODS: dict[str, MethodEntry] = {
    "gd": MethodEntry(
        GradientDescent, 10_000, "armijo", "gradient descent: a step, a schedule or a line search"
    ),
    "sgd": MethodEntry(StochasticGradientDescent, 10_000, None, "mini-batch gradient descent"),
    "momentum": MethodEntry(Momentum, 10_000, None, "heavy-ball momentum"),
    "cg": MethodEntry(
        ConjugateGradient, 5_000, "strong-wolfe", "conjugate gradients, Hestenes-Stiefel+ or Polak-Ribière+"
    ),
    "bfgs": MethodEntry(BFGS, 2_000, "strong-wolfe", "BFGS; memory n²"),
    "lbfgs": MethodEntry(LBFGS, 5_000, "strong-wolfe", "L-BFGS; memory 2 m n"),
    "lm": MethodEntry(LevenbergMarquardt, 1_000, None, "Levenberg-Marquardt on residuals; memory n²"),
}


RELATED = {
    **dict.fromkeys(("adam", "adamw", "adagrad", "rmsprop", "nesterov"), "momentum"),
    **dict.fromkeys(("newton", "gauss-newton"), "lm"),
    **dict.fromkeys(("l-bfgs-b", "nelder-mead"), "lbfgs"),
}
"""Names of methods that phiz does not have, and the one of its own that does the same work."""


def minimize(
    objective: Any,
    x0: ArrayLike,
    method: str | Method = "lbfgs",
    *,
    jac: Callable[..., Any] | bool | None = None,
    args: tuple[Any, ...] = (),
    line_search: str | LineSearch | None = None,
    callback: Callback | None = None,
    state_file: str | os.PathLike[str] | None = None,
    save_every: int = 0,
    resume: bool = False,
    memory_limit: int | None = None,
    keep_errors: bool = False,
    **options: Any,
) -> OptimizeResult:
    """Minimises an objective from x0 (n,), float32 or float64, whose dtype is kept.

    objective: an object with `value_and_gradient`, or `fun(x, *args) -> (f, g)`, or `fun -> f` with jac= its
    gradient function; for method "lm" also `fun -> r` with jac= its Jacobian function, or `fun -> (r, J)`.
    method: one of METHODS, or a Method made by hand.
    options: the rules of `StopRules` (gtol, ftol, xtol,
    target, maxiter, maxfev, time_limit) and the method's own fields; with a named line search also its c1,
    c2, xtol, ...  prefixed by `search_` (search_c2=0.1).  callback(progress) after every iteration; True or
    StopIteration ends the run.
    state_file: the state, written every `save_every` iterations and at the end; resume=True continues from it
    if it exists, bit for bit as if there had been no break (limits count the whole run).
    memory_limit: bytes for the method itself, default what the machine has.

    Ctrl-C ends the run with the best point.  A NaN, an infinity, an ArithmeticError or a LinAlgError of the
    objective makes the step shorter (at x0 it passes through).  Any other exception of the objective is
    raised again with its traceback, after the state was saved; keep_errors=True returns the best point
    instead, the exception in `result.error`.  A state that cannot be saved is said in the message.  Raises
    OptionError, ShapeError, NotFiniteError (x0), MemoryRefusedError, CheckpointError.
    """
    plan, memory_limit = _checked_plan(state_file, save_every, resume, keep_errors, memory_limit)
    if not isinstance(args, tuple | list):
        raise OptionError(f"args: expected a tuple, got {type(args).__name__}")
    if not isinstance(method, str | Method):
        _entry(method)
    if callback is not None and not callable(callback):
        raise OptionError(f"callback: expected a function, got {type(callback).__name__}")
    x = as_parameters(x0)
    rules, rest = _split(options, method)
    chosen = method if isinstance(method, Method) else make_method(method, line_search=line_search, **rest)
    if isinstance(method, Method) and (rest or line_search is not None):
        raise OptionError(
            f"minimize: a ready-made method takes no options, got {', '.join(rest) or 'line_search'}"
        )
    target = as_objective(objective, jac, args, residuals=isinstance(chosen, LevenbergMarquardt))
    evaluator = Evaluator(target, x.size, x.dtype)
    result = Run(chosen, evaluator, rules, callback, plan, memory_limit).minimize(x)
    if result.error is not None and not keep_errors:
        result.error.add_note(
            f"{result.method}: raised after {result.nit} iterations, the best f was {result.fun:.10g}"
        )
        raise result.error
    return result


def _checked_plan(
    state_file: Any, save_every: Any, resume: Any, keep_errors: Any, memory_limit: Any
) -> tuple[SavePlan, int | None]:
    """Where and when the state is saved, and the limit in bytes; OptionError names what is wrong."""
    from ..schema.arguments import MinimizeArguments

    given = {
        "state_file": state_file, "save_every": save_every, "resume": resume, "keep_errors": keep_errors,
        "memory_limit": memory_limit,
    }  # fmt: skip
    found = checked(given, MinimizeArguments, "minimize", OptionError)
    if found.resume and found.state_file is None:
        raise OptionError("minimize: resume=True expects state_file=")
    limit = found.memory_limit
    if limit is not None and not limit >= 0:
        raise OptionError(f"memory_limit: expected bytes >= 0, got {limit}")
    plan = SavePlan(found.state_file, found.save_every, found.resume)
    return plan, None if limit is None else int(min(limit, 2**62))


def make_method(name: str, line_search: str | LineSearch | None = None, **options: Any) -> Method:
    """A method from its name and options; raises OptionError that names the options it has."""
    entry = _entry(name)
    known = {f.name for f in fields(entry.factory)}  # type: ignore[arg-type]
    searching = {
        key.removeprefix("search_"): options.pop(key) for key in list(options) if key.startswith("search_")
    }
    _refuse_unknown(name, known, options)
    if line_search is not None and "line_search" not in known:
        raise OptionError(f"{name}: has no line search, got line_search={line_search!r}")
    settings = dict(options)
    if line_search is None and entry.line_search and "step" not in options:
        line_search = entry.line_search
    elif line_search is not None and "step" in known:
        settings.setdefault("step", None)
    if line_search is not None:
        settings["line_search"] = make_line_search(
            line_search, **{**_usual_search(name, line_search), **searching}
        )
    elif searching:
        raise OptionError(f"{name}: expected a line search for search_{next(iter(searching))}, there is none")
    try:
        return entry.factory(**settings)
    except (TypeError, ValueError) as error:  # compared with a number, and none
        raise OptionError(f"{name}: an option is of another type than it should be: {error}") from None


def _usual_search(name: str, line_search: str | LineSearch) -> dict[str, float]:
    """Options of a line search where the method needs others than the search's own: CG wants it nearly
    exact.
    """
    return {"c2": 0.1} if name == "cg" and line_search in ("strong-wolfe", "wolfe") else {}


def _refuse_unknown(name: str, known: set[str], options: Mapping[str, Any]) -> None:
    unknown = sorted(set(options) - known)
    if unknown:
        rules = {f.name for f in fields(StopRules)}
        raise OptionError(
            f"{name}: expected options among {', '.join(sorted(known | rules))}; got {unknown[0]!r}"
            f"{did_you_mean(unknown[0], known | rules)}"
        )


def as_objective(objective: Any, jac: Any = None, args: tuple[Any, ...] = (), residuals: bool = False) -> Any:
    """The object itself, or a function (pair) wrapped as an objective."""
    if hasattr(objective, "value_and_gradient") or hasattr(objective, "residuals_and_jacobian_chunks"):
        if jac is not None or args:
            raise OptionError(
                "minimize: jac and args go with plain functions, the objective has its own gradient"
            )
        return objective
    if not callable(objective):
        raise OptionError(
            f"objective: expected value_and_gradient or a function, got {type(objective).__name__}"
        )
    gradient = jac if callable(jac) else None
    if jac is False:
        raise OptionError("jac: expected a gradient function, or fun returning (f, gradient); got False")
    return (
        LeastSquares(objective, gradient, args) if residuals else FunctionObjective(objective, gradient, args)
    )


def predict_memory(method: str, size: int, dtype: Any = np.float64, **options: Any) -> int:
    """Bytes that the method itself will need for `size` parameters; nothing is allocated."""
    return make_method(method, **options).memory_bytes(size, np.dtype(dtype))


def _entry(name: str) -> MethodEntry:
    if not isinstance(name, str) or name not in METHODS:
        near = did_you_mean(name, METHODS, RELATED)
        raise OptionError(f"method: expected one of {', '.join(METHODS)}, got {name!r}{near}")
    return METHODS[name]


def _split(options: dict[str, Any], method: str | Method) -> tuple[StopRules, dict[str, Any]]:
    """The stop rules and the method's own options; LM has its own relative tolerances."""
    lm = method == "lm" or isinstance(method, LevenbergMarquardt)
    rest = dict(options)
    rules: dict[str, Any] = {}
    for rule in fields(StopRules):
        if rule.name in rest and not (lm and rule.name in ("gtol", "ftol", "xtol")):
            rules[rule.name] = rest.pop(rule.name)
    if rules.get("maxiter") is None:
        rules["maxiter"] = _entry(method).maxiter if isinstance(method, str) else 10_000
    if isinstance(method, str) and rest.get("epochs") is not None and "maxiter" not in options:
        rules["maxiter"] = None
    return StopRules(**rules), rest

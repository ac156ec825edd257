"""Problems that the optimizers were not made with: NIST's certified regressions, CUTE functions, starts
of small networks.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from ...runtime.data.datasets import from_arrays
from ...runtime.network.network import Network
from ...runtime.optimize import LeastSquares, minimize
from ...runtime.program.layer import layer
from ...runtime.training.evaluation_set import EvaluationSet
from ...runtime.training.objective import NetworkObjective

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "runtime" / "optimize"))
from cute_problems import OUTSIDE
from nist_problems import REGRESSIONS

Row = dict[str, Any]
#: A regression counts as solved from four correct digits of every parameter.
DIGITS = 4.0
DAMPINGS: dict[str, dict[str, Any]] = {
    "lambda I from 1e-2 (default)": {},
    "by columns, gain": {"damping": 1e-4, "scaling": "running-max"},
    "by columns, radius": {"rule": "radius", "damping": 1e-4, "scaling": "running-max"},
}


def nist() -> list[Row]:
    """Per regression and start: calls of residuals and Jacobian, and correct digits, at default
    tolerances.
    """
    rows = []
    for problem in REGRESSIONS:
        ours = minimize(LeastSquares(problem.residual, problem.jacobian), problem.x0, "lm", maxiter=5000)
        theirs = scipy.optimize.least_squares(
            problem.residual, problem.x0, jac=problem.jacobian, method="lm", x_scale="jac", max_nfev=5000
        )
        rows.append(
            {
                "problem": problem.name,
                "calls": ours.nfev + ours.njev,
                "minpack_calls": int(theirs.nfev + theirs.njev),
                "digits": problem.digits(ours.x),
                "minpack_digits": problem.digits(theirs.x),
            }
        )
    return rows


def conjugate_gradients() -> list[Row]:
    """Evaluations on the CUTE functions, for both forms of beta."""
    rows = []
    for problem in OUTSIDE:
        run: dict[str, Any] = {"maxiter": 5000}
        theirs = scipy.optimize.minimize(
            problem.value_and_gradient, problem.x0, jac=True, method="CG", options=run
        )
        for beta in ("hestenes-stiefel", "polak-ribiere"):
            ours = minimize(problem.value_and_gradient, problem.x0, "cg", beta=beta, **run)
            rows.append(
                {
                    "beta": beta,
                    "problem": problem.name,
                    "size": problem.x0.size,
                    "evaluations": ours.nfev,
                    "fun": ours.fun,
                    "success": ours.success,
                    "scipy_evaluations": int(theirs.nfev),
                    "scipy_fun": float(theirs.fun),
                    "scipy_success": bool(theirs.success),
                }
            )
    return rows


def exclusive_or(seed: int) -> NetworkObjective:
    """2-2-1 with tanh on the four corners."""
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    return _regression(corners, np.array([[0.0], [1.0], [1.0], [0.0]]), 2, seed)


def friedman(seed: int, samples: int = 500) -> NetworkObjective:
    """10-15-1 with tanh on Friedman's first function, without noise, standardised."""
    x = np.random.default_rng(0).uniform(0, 1, (samples, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    return _regression(x, ((y - y.mean()) / y.std())[:, None], 15, seed)


def _regression(x: np.ndarray, y: np.ndarray, hidden: int, seed: int) -> NetworkObjective:
    layers = [layer("dense", maps=hidden, activation="tanh"), layer("dense", maps=1)]
    network = Network(layers, x.shape[1], "mse", "numpy", "float64", seed)
    return NetworkObjective(EvaluationSet(network, from_arrays(x, y, "float64", task="regression")))


def network_starts(starts: int = 30, fits: int = 5, iterations: int = 100) -> list[Row]:
    """Per form of damping: starts from which exclusive or is solved, and the mean (geometric) loss of
    the Friedman fit.
    """
    rows = []
    for name, options in DAMPINGS.items():
        ends = []
        for seed in range(starts):
            goal = exclusive_or(seed)
            ends.append(minimize(goal, goal.network.parameters, "lm", maxiter=500, **options).fun)
        losses = []
        for seed in range(fits):
            goal = friedman(seed)
            losses.append(minimize(goal, goal.network.parameters, "lm", maxiter=iterations, **options).fun)
        solved, loss = sum(end < 1e-6 for end in ends), float(np.exp(np.mean(np.log(losses))))
        rows.append({"damping": name, "exclusive_or_solved": solved, "of": starts, "friedman_loss": loss})
    return rows


def summary(parts: dict[str, list[Row]]) -> list[str]:
    """The figures of all three in lines."""
    regressions = parts["nist"]
    solved, theirs = (sum(row[key] >= DIGITS for row in regressions) for key in ("digits", "minpack_digits"))
    calls, their_calls = (sum(row[key] for row in regressions) for key in ("calls", "minpack_calls"))
    lines = [
        f"NIST: solved {solved} of {len(regressions)}, MINPACK {theirs}; calls {calls}, MINPACK "
        f"{their_calls}: "
        f"{calls / their_calls:.2f}"
    ]
    for beta in ("hestenes-stiefel", "polak-ribiere"):
        rows = [row for row in parts["conjugate gradients"] if row["beta"] == beta and row["scipy_success"]]
        ratio = np.exp(np.mean([np.log(row["evaluations"] / row["scipy_evaluations"]) for row in rows]))
        failed = [row["problem"] for row in rows if not row["success"]]
        lines.append(
            f"cg, {beta}: {len(rows)} CUTE problems, evaluations ours / SciPy {ratio:.2f}; failed: "
            f"{failed or 'none'}"
        )
    for row in parts["network starts"]:
        lines.append(
            f"lm, {row['damping']}: exclusive or {row['exclusive_or_solved']} of {row['of']} starts, "
            f"Friedman loss {row['friedman_loss']:.2g}"
        )
    return lines

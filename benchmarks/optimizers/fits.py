"""Levenberg-Marquardt on two function fits with phiz networks, beside MINPACK and L-BFGS."""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

from ...runtime.data.datasets import from_arrays
from ...runtime.network.network import Network
from ...runtime.optimize import OptimizeResult, minimize
from ...runtime.program.layer import layer
from ...runtime.training.evaluation_set import EvaluationSet
from ...runtime.training.objective import NetworkObjective

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "runtime" / "optimize"))
from optimize_networks import Network as HandWritten

Row = dict[str, Any]
SAMPLES = 1000


def fit_data(inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """1,000 samples of a smooth function on [-1, 1]^inputs."""
    x = np.random.default_rng(0).uniform(-1, 1, (SAMPLES, inputs))
    return x, np.sin(3 * x.sum(axis=1, keepdims=True)) + 0.3 * np.cos(7 * x[:, :1])


def fit_objective(inputs: int, hidden: int, seed: int) -> NetworkObjective:
    """inputs-hidden-1 with tanh, mean squared error, double precision."""
    layers = [layer("dense", maps=hidden, activation="tanh"), layer("dense", maps=1)]
    network = Network(layers, inputs, "mse", "auto", "float64", seed)
    return NetworkObjective(EvaluationSet(network, from_arrays(*fit_data(inputs), "float64")))


def function_fits(quick: bool, repeats: int) -> list[Row]:
    """Per network and start: LM to where MINPACK stands after 100 evaluations, then L-BFGS with ten
    times LM's.
    """
    rows = []
    for inputs, hidden in ((1, 10), (2, 20)):
        for seed in range(1 if quick else 5):
            rows.append(function_fit(inputs, hidden, seed, 20 if quick else 100, repeats))
    return rows


def function_fit(inputs: int, hidden: int, seed: int, budget: int, repeats: int) -> Row:
    """MINPACK twice: with the Jacobian of phiz's kernels, and with one that is written by hand in NumPy."""
    goal = fit_objective(inputs, hidden, seed)
    x0, network = goal.network.parameters, goal.network
    x, t = fit_data(inputs)
    by_hand = HandWritten([inputs, hidden, 1], ["tanh", "identity"], x, t)
    root = np.sqrt(SAMPLES)
    jacobians = {
        "derived": (
            lambda p: (network.forward(p, x) - t).ravel() / root,
            lambda p: np.concatenate([rows for _, rows in goal.residuals_and_jacobian_chunks(p)]),
        ),
        "by hand": (
            lambda p: by_hand.residuals(p) / root,
            lambda p: by_hand.jacobian(p, by_hand.forward(p, x)) / root,
        ),
    }  # fmt: skip
    goal.value(x0)
    list(goal.residuals_and_jacobian_chunks(x0))
    seconds: dict[str, list[float]] = {name: [] for name in ("ours", *jacobians)}
    for _ in range(repeats):
        found: dict[str, Any] = {}
        for name, (residual, jacobian) in jacobians.items():
            started = time.perf_counter()
            found[name] = scipy.optimize.least_squares(
                residual, x0, jac=jacobian, method="lm", x_scale="jac", max_nfev=budget
            )
            seconds[name].append(time.perf_counter() - started)
        target = found["by hand"].cost
        ours = minimize(goal, x0, "lm", target=target, maxfev=50 * budget)
        seconds["ours"].append(ours.seconds)
    ten_times = minimize(
        goal, x0, "lbfgs", target=target, maxfev=10 * evaluations(ours), maxiter=10**6, gtol=0.0
    )
    return {
        "problem": f"{inputs}-{hidden}-1",
        "seed": seed,
        "loss": target,
        "reached": ours.fun,
        "evaluations": evaluations(ours),
        "minpack_evaluations": int(found["by hand"].nfev + found["by hand"].njev),
        "lbfgs_with_ten_times": ten_times.fun,
        "lbfgs_evaluations": ten_times.nfev,
        "seconds": statistics.median(seconds["ours"]),
        "minpack_derived_seconds": statistics.median(seconds["derived"]),
        "minpack_by_hand_seconds": statistics.median(seconds["by hand"]),
        "ms_per_evaluation": 1e3 * min(seconds["ours"]) / evaluations(ours),
        "minpack_by_hand_ms": 1e3 * min(seconds["by hand"]) / (found["by hand"].nfev + found["by hand"].njev),
    }


def evaluations(result: OptimizeResult) -> int:
    """Of the function and of the Jacobian together."""
    return result.nfev + result.njev

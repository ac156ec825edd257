"""Our optimizers against SciPy's (and PyTorch's LBFGS where installed), on the same functions from the same
starts.

    python -m phiz.benchmarks.optimizers.functions [--repeats N] [--json FILE]

Prints, per method: problems solved, evaluations (median ratio ours / theirs) and time; then
Levenberg-Marquardt on two function fits, to the loss that SciPy ends at; then the share of a run that L-BFGS
spends on its own vectors; then NIST's regressions, CUTE functions for conjugate gradients, and
Levenberg-Marquardt's dampings on small networks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "runtime" / "optimize"))
from optimize_networks import Network
from optimize_problems import PROBLEMS

from ...runtime.optimize import OptimizeResult, minimize
from . import outside

Row = dict[str, Any]
RIVALS: dict[str, tuple[str, dict[str, Any]]] = {
    "bfgs": ("BFGS", {}),
    "lbfgs": ("L-BFGS-B", {"ftol": 2.220446049250313e-09}),
    "cg": ("CG", {}),
}


def timed(call: Callable[[], Any], repeats: int) -> tuple[Any, float]:
    """The result and the median seconds of a call."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - started)
    return result, statistics.median(seconds)


def gradient_methods(repeats: int) -> list[Row]:
    """Evaluations and time per problem, same gradient tolerance."""
    rows = []
    for method, (name, options) in RIVALS.items():
        for problem in PROBLEMS:
            f, x0 = problem.value_and_gradient, problem.x0
            settings = options | {"maxiter": 5000}
            ours, seconds = timed(partial(minimize, f, x0, method, maxiter=5000, **options), repeats)
            theirs, their_seconds = timed(
                partial(scipy.optimize.minimize, f, x0, jac=True, method=name, options=settings),
                repeats,
            )
            rows.append(row(method, problem.name, ours, seconds, theirs.fun, theirs.nfev, their_seconds))
    for problem in PROBLEMS:
        if problem.residual(problem.x0).size < problem.x0.size:
            continue
        ours, seconds = timed(partial(minimize, problem, problem.x0, "lm", maxfev=2000), repeats)
        theirs, their_seconds = timed(
            partial(
                scipy.optimize.least_squares,
                problem.residual,
                problem.x0,
                jac=problem.jacobian,
                method="lm",
                x_scale="jac",
                max_nfev=2000,
            ),
            repeats,
        )
        evaluations = theirs.nfev + theirs.njev
        rows.append(row("lm", problem.name, ours, seconds, theirs.cost, evaluations, their_seconds))
    return rows


def row(
    method: str,
    problem: str,
    ours: OptimizeResult,
    seconds: float,
    fun: float,
    evaluations: int,
    their_seconds: float,
) -> Row:
    """One line of the table."""
    count = ours.nfev + (ours.njev if method == "lm" else 0)
    return {
        "method": method, "problem": problem, "fun": ours.fun, "scipy_fun": float(fun), "evaluations": count,
        "scipy_evaluations": int(evaluations), "seconds": seconds, "scipy_seconds": their_seconds,
    }  # fmt: skip


def function_fits(repeats: int) -> list[Row]:
    """LM to the loss at which SciPy's MINPACK stands after 100 evaluations; L-BFGS with ten times LM's
    evaluations.
    """
    rows = []
    for sizes in ([1, 10, 1], [2, 20, 1]):
        rng = np.random.default_rng(0)
        x = rng.uniform(-1, 1, (1000, sizes[0]))
        target = np.sin(3 * x.sum(axis=1, keepdims=True)) + 0.3 * np.cos(7 * x[:, :1])
        net = Network(sizes, ["tanh", "identity"], x, target)
        for seed in range(5):
            x0 = np.random.default_rng(seed).normal(size=net.n)
            rows.append(function_fit(net, x0, f"{'-'.join(map(str, sizes))} seed {seed}", repeats))
    return rows


def function_fit(net: Network, x0: np.ndarray, name: str, repeats: int) -> Row:
    """One fit: seconds per evaluation pair as well, because the paths differ."""

    def jacobian(omega: np.ndarray) -> np.ndarray:
        return net.jacobian(omega, net.forward(omega, net.x))

    def scipy_fit() -> Any:
        return scipy.optimize.least_squares(net.residuals, x0, jac=jacobian, method="lm", max_nfev=100)

    theirs, their_seconds = timed(scipy_fit, repeats)
    ours, seconds = timed(lambda: minimize(net, x0, "lm", target=theirs.cost, maxfev=1000), repeats)
    budget = 10 * (ours.nfev + ours.njev)
    lbfgs = minimize(net, x0, "lbfgs", maxfev=budget, maxiter=10**6, gtol=1e-14)
    return {
        "problem": name,
        "loss": theirs.cost,
        "scipy_evaluations": theirs.nfev + theirs.njev,
        "scipy_seconds": their_seconds,
        "evaluations": ours.nfev + ours.njev,
        "seconds": seconds,
        "reached": ours.fun,
        "lbfgs_with_ten_times": lbfgs.fun,
    }


def own_work(repeats: int) -> list[Row]:
    """Microseconds per iteration that L-BFGS spends outside the objective, by size and dtype."""
    rows = []
    for size in (100, 1_900, 100_000):
        for dtype in (np.float32, np.float64):
            weights = np.linspace(1, 100, size).astype(dtype)
            results = [
                minimize(
                    lambda x, w=weights: (0.5 * float(x @ (w * x)), w * x),
                    np.ones(size, dtype),
                    "lbfgs",
                    maxiter=60,
                    gtol=0,
                )
                for _ in range(repeats)
            ]
            each = [1e6 * (r.seconds - r.objective_seconds) / max(r.nit, 1) for r in results]
            rows.append(
                {"parameters": size, "dtype": np.dtype(dtype).name, "microseconds": statistics.median(each)}
            )
    return rows


def torch_lbfgs(repeats: int) -> list[Row]:
    """PyTorch's LBFGS with strong Wolfe on Rosenbrock; empty without PyTorch."""
    try:
        import torch
    except ImportError:
        return []
    rows = []
    for size in (2, 10, 100):
        x0 = np.tile([-1.2, 1.0], size // 2)

        def run(x0: np.ndarray = x0) -> tuple[float, int]:
            x = torch.tensor(x0, requires_grad=True)
            optimizer = torch.optim.LBFGS(
                [x],
                max_iter=5000,
                max_eval=20000,
                history_size=10,
                tolerance_grad=1e-5,
                tolerance_change=0.0,
                line_search_fn="strong_wolfe",
            )
            calls = [0]

            def closure() -> Any:
                calls[0] += 1
                f, g = scipy.optimize.rosen(x.detach().numpy()), scipy.optimize.rosen_der(x.detach().numpy())
                x.grad = torch.from_numpy(g)
                return torch.tensor(f)

            optimizer.step(closure)
            return float(scipy.optimize.rosen(x.detach().numpy())), calls[0]

        (fun, calls), their_seconds = timed(run, repeats)
        ours, seconds = timed(
            partial(minimize, scipy.optimize.rosen, x0, "lbfgs", jac=scipy.optimize.rosen_der), repeats
        )
        rows.append(
            {
                "problem": f"rosenbrock-{size}",
                "fun": ours.fun,
                "evaluations": ours.nfev,
                "seconds": seconds,
                "torch_fun": fun,
                "torch_evaluations": calls,
                "torch_seconds": their_seconds,
            }
        )
    return rows


def summary(rows: list[Row]) -> list[str]:
    """Per method: where either side ends higher, and the median ratios."""
    lines = []
    for method in [*RIVALS, "lm"]:
        mine = [r for r in rows if r["method"] == method]
        higher = [r["problem"] for r in mine if r["fun"] > 1.001 * r["scipy_fun"] + 1e-5]
        lower = [r["problem"] for r in mine if r["scipy_fun"] > 1.001 * r["fun"] + 1e-5]
        evaluations = statistics.median(r["evaluations"] / r["scipy_evaluations"] for r in mine)
        seconds = statistics.median(r["seconds"] / r["scipy_seconds"] for r in mine)
        lines.append(
            f"{method:6s} {len(mine)} problems, ours / SciPy: evaluations {evaluations:.2f}, time "
            f"{seconds:.2f}; "
            f"ours higher on {higher or 'none'}, SciPy's on {lower or 'none'}"
        )
    return lines


def main() -> None:
    """Runs all parts and prints them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    parts = {
        "problems": gradient_methods(arguments.repeats),
        "function fits": function_fits(arguments.repeats),
        "own work": own_work(arguments.repeats),
        "torch": torch_lbfgs(arguments.repeats),
        "nist": outside.nist(),
        "conjugate gradients": outside.conjugate_gradients(),
        "network starts": outside.network_starts(),
    }
    print("\n".join(summary(parts["problems"]) + outside.summary(parts)))
    for part in ("function fits", "own work", "torch"):
        print(f"\n{part}")
        for line in parts[part]:
            print(
                "  "
                + "  ".join(f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in line.items())
            )
    if arguments.json:
        temporary = arguments.json.with_suffix(".tmp")
        temporary.write_text(json.dumps(parts, indent=1))
        temporary.replace(arguments.json)


if __name__ == "__main__":
    main()

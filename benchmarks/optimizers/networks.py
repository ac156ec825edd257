"""Optimizers on networks: ours against SciPy, scikit-learn and PyTorch, on the same objective from the same
start.

    python -m phiz.benchmarks.optimizers.networks [--repeats N] [--quick] [--only PART] [--json FILE]

Who is compared evaluates the very same phiz network.  Every evaluation is recorded with its time, and both
are asked when they first were as low as the higher of their two last losses.  BLAS runs on one thread, which
is faster at these sizes.  Runs of the two sides alternate; seconds are medians, in brackets the least.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import scipy.optimize
from threadpoolctl import threadpool_limits

from ...runtime.data.split import load_split
from ...runtime.network.architectures import architecture
from ...runtime.network.network import Network
from ...runtime.optimize import minimize
from ...runtime.training.evaluation_set import EvaluationSet
from ...runtime.training.objective import NetworkObjective
from .fits import function_fits
from .perceptron import one_hidden_layer

Row = dict[str, Any]
SCIPY = {"lbfgs": ("L-BFGS-B", {"maxfun": 10**6, "ftol": 0.0}), "cg": ("CG", {}), "bfgs": ("BFGS", {})}
ALPHA = 3e-4


@dataclass
class Recorded:
    """An objective that keeps the value and the time of each of its evaluations; a Jacobian counts as
    one more.
    """

    objective: NetworkObjective
    started: float = field(default_factory=time.perf_counter)
    records: list[tuple[float, float]] = field(default_factory=list)

    def value_and_gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = self.objective.value_and_gradient(x)
        self._keep(value)
        return value, gradient

    @property
    def damping_defaults(self) -> Mapping[str, Any]:
        """The network's."""
        return self.objective.damping_defaults

    def value(self, x: np.ndarray) -> float:
        value = self.objective.value(x)
        self._keep(value)
        return value

    def residuals_and_jacobian_chunks(self, x: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        yield from self.objective.residuals_and_jacobian_chunks(x)
        self._keep(np.inf)

    def _keep(self, value: float) -> None:
        self.records.append((float(value), time.perf_counter() - self.started))

    @property
    def lowest(self) -> float:
        """The lowest value seen."""
        return min(value for value, _ in self.records)

    def reached(self, target: float) -> tuple[int, float]:
        """Evaluations and seconds up to the first value at or below the target."""
        for count, (value, seconds) in enumerate(self.records, 1):
            if value <= target:
                return count, seconds
        raise RuntimeError(f"{self.lowest} is above {target}")


def objective(
    data: str, name: str, dtype: str, seed: int, alpha: float
) -> tuple[NetworkObjective, EvaluationSet]:
    """The named network on three quarters of the data; the part with the rest."""
    parts = load_split(data, dtype, seed)
    chosen = architecture(name, parts.train)
    network = Network(chosen.layers, chosen.input_shape, chosen.loss, "auto", dtype, seed)
    assert parts.test is not None
    return NetworkObjective(EvaluationSet(network, parts.train), alpha), EvaluationSet(
        network, parts.test, parts.scaling
    )


def scipy_run(method: str, iterations: int) -> Callable[[Recorded, np.ndarray], None]:
    name, options = SCIPY[method]

    def run(recorded: Recorded, x0: np.ndarray) -> None:
        settings = {**options, "maxiter": iterations, "gtol": 0.0}
        scipy.optimize.minimize(recorded.value_and_gradient, x0, jac=True, method=name, options=settings)

    return run


def torch_run(method: str, iterations: int) -> Callable[[Recorded, np.ndarray], None]:
    """PyTorch's LBFGS with its strong Wolfe search; gradients come from phiz, so only the method differs."""
    import torch

    torch.set_num_threads(1)
    started = torch.zeros(1, requires_grad=True)
    torch.optim.LBFGS([started]).step(lambda: started.sum())  # the first step ever imports PyTorch's compiler

    def run(recorded: Recorded, x0: np.ndarray) -> None:
        x = torch.tensor(x0, requires_grad=True)
        optimizer = torch.optim.LBFGS(
            [x],
            max_iter=iterations,
            max_eval=10**6,
            history_size=10,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def closure() -> Any:
            value, gradient = recorded.value_and_gradient(x.detach().numpy())
            x.grad = torch.from_numpy(gradient).to(x.dtype)
            return torch.tensor(value, dtype=x.dtype)

        optimizer.step(closure)

    return run


def to_the_same_loss(quick: bool, repeats: int) -> list[Row]:
    """Evaluations and seconds to the higher of the two last losses."""
    problems = [
        ("digits", "lenet-digits-small", 20 if quick else 100, ("lbfgs", "cg")),
        ("digits", "linear", 20 if quick else 60, ("lbfgs", "cg", "bfgs")),
        ("diabetes", "mlp", 20 if quick else 200, ("lbfgs", "cg", "bfgs")),
    ]
    rivals: dict[str, Callable[[str, int], Any]] = {"SciPy": scipy_run}
    if installed("torch"):
        rivals["PyTorch"] = torch_run
    rows = []
    for data, network, iterations, methods in problems:
        for seed in range(1 if quick else 3):
            goal, _ = objective(data, network, "float64", seed, ALPHA)
            goal.value_and_gradient(goal.network.parameters)  # builds the kernels
            for method in methods:
                for rival, build in rivals.items():
                    if rival == "SciPy" or method == "lbfgs":
                        run = build(method, iterations)
                        rows.append(
                            {"problem": f"{data} {network}", "seed": seed, "method": method, "rival": rival}
                            | duel(goal, method, iterations, run, repeats)
                        )
    return rows


def duel(goal: NetworkObjective, method: str, iterations: int, rival: Any, repeats: int) -> Row:
    """One method of ours and a rival, in turn, from the network's initial parameters."""
    x0, found = goal.network.parameters, []
    for _ in range(repeats):
        ours, theirs = Recorded(goal), None
        minimize(ours, x0, method, maxiter=iterations, gtol=0.0)
        theirs = Recorded(goal)
        rival(theirs, x0.copy())
        target = max(ours.lowest, theirs.lowest)
        found.append((target, *ours.reached(target), *theirs.reached(target)))
    target, count, _, their_count, _ = found[0]
    seconds, their_seconds = [row[2] for row in found], [row[4] for row in found]
    return {
        "loss": target, "evaluations": count, "rival_evaluations": their_count,
        "seconds": statistics.median(seconds), "rival_seconds": statistics.median(their_seconds),
        "least_seconds": min(seconds), "rival_least_seconds": min(their_seconds),
    }  # fmt: skip


def digits_accuracy(quick: bool) -> list[Row]:
    """L-BFGS, 150 iterations in float32, and Levenberg-Marquardt, a few; test accuracy on the
    stratified quarter kept back.
    """
    rows = []
    for method, iterations in (("lbfgs", 10 if quick else 150), ("lm", 1 if quick else 8)):
        for seed in range(1 if quick or method == "lm" else 3):
            goal, test = objective("digits", "lenet-digits-small", "float32", seed, ALPHA)
            x0 = goal.network.parameters
            goal.value_and_gradient(x0)
            result = minimize(goal, x0, method, maxiter=iterations)
            rows.append(
                {
                    "method": method,
                    "seed": seed,
                    "parameters": x0.size,
                    "iterations": result.nit,
                    "loss": result.fun,
                    "accuracy": test.score(result.x).accuracy,
                    "seconds": result.seconds,
                    "memory_bytes": result.memory_bytes,
                    "method_share": 1 - result.objective_seconds / result.seconds,
                }
            )
    return rows


def own_work(quick: bool, repeats: int) -> list[Row]:
    """What an iteration of L-BFGS adds to its gradients, beside the same gradients in a bare loop, in
    milliseconds.

    A difference of two runs would drown in noise on a busy machine: the seconds outside the objective are
    what is counted, and the least of the runs.
    """
    goal, _ = objective("digits", "lenet-digits-small", "float32", 0, ALPHA)
    x0 = goal.network.parameters
    goal.value_and_gradient(x0)
    own, gradient = [], []
    for _ in range(repeats):
        result = minimize(goal, x0, "lbfgs", maxiter=20 if quick else 100, gtol=0.0)
        own.append(1e3 * (result.seconds - result.objective_seconds) / result.nit)
        gradient.append(1e3 * result.objective_seconds / result.nfev)
    return [
        {
            "parameters": x0.size,
            "own_ms": min(own),
            "gradient_ms": min(gradient),
            "share": min(own) / min(gradient),
            "median_share": statistics.median(o / g for o, g in zip(own, gradient, strict=True)),
        }
    ]


def installed(module: str) -> bool:
    import importlib.util

    return importlib.util.find_spec(module) is not None


def ratios(rows: list[Row]) -> list[str]:
    """Medians of ours / theirs."""
    lines = []
    for pair in dict.fromkeys((r["problem"], r["method"], r["rival"]) for r in rows):
        mine = [r for r in rows if (r["problem"], r["method"], r["rival"]) == pair]
        evaluations = statistics.median(r["evaluations"] / r["rival_evaluations"] for r in mine)
        seconds = statistics.median(r["seconds"] / r["rival_seconds"] for r in mine)
        least = statistics.median(r["least_seconds"] / r["rival_least_seconds"] for r in mine)
        lines.append(f"{pair[0]:27s} {pair[1]:6s} ours / {pair[2]:8s} evaluations {evaluations:.2f}  "
                     f"seconds {seconds:.2f} ({least:.2f})")  # fmt: skip
    return lines


def main() -> None:
    """Runs the parts and prints them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--quick", action="store_true", help="few iterations, one seed: only to see that it runs"
    )
    parts: dict[str, Callable[[bool, int], list[Row]]] = {
        "same loss": to_the_same_loss,
        "digits": lambda quick, _: digits_accuracy(quick),
        "one hidden layer": one_hidden_layer,
        "function fits": function_fits,
        "own work": own_work,
    }
    parser.add_argument("--only", choices=parts)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    found: dict[str, list[Row]] = {}
    with threadpool_limits(1):
        for name, part in parts.items():
            if arguments.only in (None, name):
                found[name] = part(arguments.quick, 1 if arguments.quick else arguments.repeats)
                show(name, found[name])
    if arguments.json:
        temporary = arguments.json.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1))
        temporary.replace(arguments.json)


def show(name: str, rows: list[Row]) -> None:
    """The rows of a part, one a line."""
    print(f"\n{name}")
    for row in rows:
        cells = (
            f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
            for key, value in row.items()
        )
        print("  " + "  ".join(cells))
    if name == "same loss":
        print("\n".join(ratios(rows)))
    sys.stdout.flush()


if __name__ == "__main__":
    main()

"""Digits, one hidden layer of 64: L-BFGS in float32 to the training loss where scikit-learn's, and
PyTorch's, stand.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ...runtime.data.split import Split, load_split
from ...runtime.network.architectures import architecture
from ...runtime.network.network import Network
from ...runtime.optimize import minimize
from ...runtime.training.evaluation_set import EvaluationSet
from ...runtime.training.objective import NetworkObjective

Row = dict[str, Any]
Weights = list[np.ndarray]


def perceptron(parts: Split, backend: str, dtype: str) -> Network:
    """64 tanh units and a softmax."""
    chosen = architecture("mlp-digits", parts.train)
    return Network(chosen.layers, chosen.input_shape, chosen.loss, backend, dtype, 0)


def weights(network: Network) -> tuple[Weights, Weights]:
    """(inputs, units) matrices and biases, as scikit-learn has them."""
    matrices = [network.parameter(k, "w").reshape(units, -1).T for k, units in ((0, 64), (1, 10))]
    return matrices, [network.parameter(k, "b") for k in (0, 1)]


def flat(matrices: Weights, biases: Weights) -> np.ndarray:
    """Back to phiz's order, in double precision."""
    parts = [piece for w, b in zip(matrices, biases, strict=True) for piece in (np.ravel(w.T), b)]
    return np.concatenate(parts).astype(np.float64)


def one_hidden_layer(quick: bool, repeats: int) -> list[Row]:
    """Seconds to the same loss, mean cross-entropy + alpha / (2 N) ||W||^2, from the same start."""
    parts = load_split("digits", "float32", 0)
    reference = perceptron(load_split("digits", "float64", 0), "numpy", "float64")
    rivals: dict[str, Callable[..., tuple[float, np.ndarray]]] = {"scikit-learn": scikit_learn}
    if importlib.util.find_spec("torch") is not None:
        rivals["PyTorch"] = pytorch
    rows = []
    for alpha in (1e-4, 1.0):
        exact = NetworkObjective(
            EvaluationSet(reference, load_split("digits", "float64", 0).train), alpha / len(parts.train)
        )
        for iterations in (10,) if quick else (25, 50, 100):
            for rival, run in rivals.items():
                rows.append({"rival": rival, "alpha": alpha, "rival_iterations": iterations}
                            | compare(parts, exact, alpha, iterations, run, repeats))  # fmt: skip
    return rows


def compare(
    parts: Split, exact: NetworkObjective, alpha: float, iterations: int, run: Any, repeats: int
) -> Row:
    """Ours in float32 stops where f is as low as the rival's end, which is evaluated in double precision."""
    network = perceptron(parts, "auto", "float32")
    goal = NetworkObjective(EvaluationSet(network, parts.train), alpha / len(parts.train))
    x0 = network.parameters
    goal.value_and_gradient(x0)
    ours, theirs = [], []
    for _ in range(repeats):
        seconds, x = run(parts, network, alpha, iterations)
        theirs.append(seconds)
        target = exact.value(x)
        result = minimize(goal, x0, "lbfgs", target=target, maxiter=50 * iterations, gtol=0.0)
        ours.append(result.seconds)
    return {
        "loss": target,
        "our_loss": exact.value(result.x.astype(np.float64)),
        "our_iterations": result.nit,
        "our_evaluations": result.nfev,
        "seconds": statistics.median(ours),
        "rival_seconds": statistics.median(theirs),
        "least_seconds": min(ours),
        "rival_least_seconds": min(theirs),
        "ratio": min(ours) / min(theirs),
    }


def scikit_learn(parts: Split, network: Network, alpha: float, iterations: int) -> tuple[float, np.ndarray]:
    """Seconds and end of MLPClassifier(solver="lbfgs") on float32 samples, from the network's initial
    parameters.
    """
    from sklearn.neural_network import MLPClassifier

    samples, labels = parts.train.inputs.reshape(len(parts.train), -1), parts.train.labels
    model = MLPClassifier(
        (64,), activation="tanh", solver="lbfgs", alpha=alpha, max_iter=1, warm_start=True, tol=0.0
    )
    model.fit(samples, labels)  # makes what a warm start needs; its weights are replaced
    matrices, biases = weights(network)
    model.coefs_, model.intercepts_ = [w.copy() for w in matrices], [b.copy() for b in biases]
    model.set_params(max_iter=iterations, max_fun=10**6)
    started = time.perf_counter()
    model.fit(samples, labels)
    return time.perf_counter() - started, flat(model.coefs_, model.intercepts_)


def pytorch(parts: Split, network: Network, alpha: float, iterations: int) -> tuple[float, np.ndarray]:
    """The same with torch.optim.LBFGS and its strong Wolfe search, gradients by autograd."""
    import torch

    torch.set_num_threads(1)
    first = torch.zeros(1, requires_grad=True)
    torch.optim.LBFGS([first]).step(lambda: first.sum())  # the first step ever imports PyTorch's compiler
    samples = torch.from_numpy(parts.train.inputs.reshape(len(parts.train), -1))
    labels = torch.from_numpy(parts.train.labels)
    matrices, biases = weights(network)
    tensors = [torch.tensor(np.ascontiguousarray(a), requires_grad=True) for a in (*matrices, *biases)]
    optimizer = torch.optim.LBFGS(
        tensors,
        max_iter=iterations,
        max_eval=10**6,
        history_size=10,
        tolerance_grad=0.0,
        tolerance_change=0.0,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Any:
        optimizer.zero_grad()
        w1, w2, b1, b2 = tensors
        loss = torch.nn.functional.cross_entropy(torch.tanh(samples @ w1 + b1) @ w2 + b2, labels)
        loss = loss + alpha / (2 * len(samples)) * ((w1 * w1).sum() + (w2 * w2).sum())
        loss.backward()
        return loss

    started = time.perf_counter()
    optimizer.step(closure)
    seconds = time.perf_counter() - started
    arrays = [tensor.detach().numpy() for tensor in tensors]
    return seconds, flat(arrays[:2], arrays[2:])

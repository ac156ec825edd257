"""scikit-learn as a peer: the loss and gradient inside ``MLPClassifier``, for fully connected networks
with a softmax.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..cases.cases import Case
from ..cases.problem import PeerForm, Problem, Results, Unsupported, gathered


def versions() -> str:
    """Names what runs."""
    import sklearn

    return f"scikit-learn {sklearn.__version__}"


def prepare(case: Case, folders: Sequence[str], threads: int) -> dict[str, PeerForm]:
    """One form: ``_backprop``, without the packing into one vector that its solvers add."""
    from sklearn.neural_network import MLPClassifier

    problem = Problem.of(case, folders)
    layers = problem.network.layers
    hidden = {one.activation.name for one in layers[:-1]}
    families = [one.spec.family for one in layers]
    if (
        case.mode != "gradient"
        or families != ["dense"] * (len(layers) - 1) + ["softmax"]
        or hidden not in ({"tanh"}, {"relu"})
    ):
        raise Unsupported("no counterpart: gradients of dense layers with a softmax only")
    samples = problem.inputs.reshape(case.batch, -1)
    labels = np.arange(case.batch) % case.model.outputs
    units = tuple(one.output.units for one in layers[:-1])
    model = MLPClassifier(
        units, activation=hidden.pop(), alpha=0.0, max_iter=1, solver="lbfgs", random_state=0
    )
    _make(model, samples, labels)
    values = [value for _, _, value in problem.leaves()]
    model.coefs_ = [np.ascontiguousarray(w.T) for w in values[0::2]]
    model.intercepts_ = [b.copy() for b in values[1::2]]
    sizes = [samples.shape[1], *units, case.model.outputs]
    activations = [samples, *(np.empty((case.batch, n), np.float32) for n in sizes[1:])]
    deltas: list[Any] = [np.empty_like(a) for a in activations[1:]]
    weights, biases = [np.empty_like(w) for w in model.coefs_], [np.empty_like(b) for b in model.intercepts_]
    weighted = (
        {"sample_weight": None} if "sample_weight" in inspect.signature(model._backprop).parameters else {}
    )
    found: list[Any] = [None]

    def call() -> None:
        arguments = {
            "activations": activations,
            "deltas": deltas,
            "coef_grads": weights,
            "intercept_grads": biases,
        }
        found[0] = model._backprop(samples, problem.targets, **weighted, **arguments)

    def results() -> Results:
        value, ws, bs = found[0]  # means over the samples
        pieces = [case.batch * piece for w, b in zip(ws, bs, strict=True) for piece in (w.T, b)]
        return gathered(case.batch * value, pieces)

    return {"": PeerForm(call, results)}


def _make(model: Any, samples: Any, labels: Any) -> None:
    import warnings

    with warnings.catch_warnings():  # one iteration, only to make what fit makes
        warnings.simplefilter("ignore")
        model.fit(samples, labels)

"""The benchmark of the optimizers on networks: its counts, its targets, and that all parties have one
objective.
"""

from __future__ import annotations

import numpy as np
import pytest
from phiz.benchmarks.optimizers import fits, networks, outside, perceptron
from phiz.runtime.data.split import load_split
from phiz.runtime.training.evaluation_set import EvaluationSet
from phiz.runtime.training.objective import NetworkObjective


def test_a_recorded_objective_counts_up_to_the_first_value_that_is_low_enough() -> None:
    goal, _ = networks.objective("diabetes", "mlp", "float64", 0, 1e-3)
    recorded, x = networks.Recorded(goal), goal.network.parameters
    first, gradient = recorded.value_and_gradient(x)
    second = recorded.value(x - 0.1 * gradient)
    list(recorded.residuals_and_jacobian_chunks(x))
    assert second < first == goal.value_and_gradient(x)[0]
    assert recorded.lowest == second and len(recorded.records) == 3
    assert recorded.reached(first)[0] == 1 and recorded.reached(second)[0] == 2
    with pytest.raises(RuntimeError, match="is above"):
        recorded.reached(0.0)


@pytest.mark.parametrize("method", ["lbfgs", "cg", "bfgs"])
def test_both_sides_of_a_duel_reach_the_loss_that_is_compared(method: str) -> None:
    goal, _ = networks.objective("diabetes", "mlp", "float64", 0, 1e-3)
    row = networks.duel(goal, method, 15, networks.scipy_run(method, 15), repeats=2)
    start = goal.value(goal.network.parameters)
    assert row["loss"] < 0.7 * start
    assert 5 < row["evaluations"] < 80 and 5 < row["rival_evaluations"] < 80
    assert 0 < row["least_seconds"] <= row["seconds"]
    assert len(networks.ratios([{"problem": "p", "method": method, "rival": "SciPy"} | row])) == 1


@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_scikit_learn_minimises_the_same_function_from_the_same_start() -> None:
    """No iteration: its start is ours.  Many: its own loss is our objective at its end."""
    parts = load_split("digits", "float64", 0)
    network = perceptron.perceptron(parts, "numpy", "float64")
    matrices, biases = perceptron.weights(network)
    np.testing.assert_array_equal(perceptron.flat(matrices, biases), network.parameters)
    goal = NetworkObjective(EvaluationSet(network, parts.train), 1.0 / len(parts.train))
    _, x = perceptron.scikit_learn(parts, network, 1.0, 3)
    from sklearn.neural_network import MLPClassifier

    model = MLPClassifier((64,), activation="tanh", solver="lbfgs", alpha=1.0, max_iter=1, warm_start=True)
    samples = parts.train.inputs.reshape(len(parts.train), -1)
    model.fit(samples, parts.train.labels)
    model.coefs_, model.intercepts_ = [w.copy() for w in matrices], [b.copy() for b in biases]
    model.set_params(max_iter=3).fit(samples, parts.train.labels)
    assert model.loss_ == pytest.approx(goal.value(x), rel=1e-6)
    assert goal.value(x) < 0.8 * goal.value(network.parameters)


def test_a_fit_by_hand_is_the_fit_of_the_network() -> None:
    goal = fits.fit_objective(2, 20, 0)
    x, t = fits.fit_data(2)
    by_hand = fits.HandWritten([2, 20, 1], ["tanh", "identity"], x, t)
    omega = goal.network.parameters
    assert by_hand.value(omega) / fits.SAMPLES == pytest.approx(goal.value(omega), rel=1e-12)
    rows = np.concatenate([rows for _, rows in goal.residuals_and_jacobian_chunks(omega)])
    expected = by_hand.jacobian(omega, by_hand.forward(omega, x))
    np.testing.assert_allclose(np.abs(rows), np.abs(expected) / np.sqrt(fits.SAMPLES), rtol=1e-10, atol=1e-14)


def test_the_figures_on_problems_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        outside, "REGRESSIONS", [p for p in outside.REGRESSIONS if p.name in ("BoxBOD-1", "Misra1a-2")]
    )
    monkeypatch.setattr(outside, "OUTSIDE", outside.OUTSIDE[:3])
    with np.errstate(all="ignore"):
        parts = {
            "nist": outside.nist(), "conjugate gradients": outside.conjugate_gradients(),
            "network starts": outside.network_starts(starts=2, fits=1, iterations=3),
        }  # fmt: skip
    lines = outside.summary(parts)
    assert lines[0].startswith("NIST: solved 2 of 2, MINPACK 1; calls")
    assert "3 CUTE problems" in lines[1] and "failed: none" in lines[1]
    assert len(lines) == 6 and all("of 2 starts" in line for line in lines[3:])

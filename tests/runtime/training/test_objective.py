"""The objective that the optimizers see: means, penalty, mini-batches, rows for Levenberg-Marquardt."""

from __future__ import annotations

import numpy as np
import pytest
from phiz.runtime.data.datasets import Dataset, from_arrays
from phiz.runtime.data.split import split
from phiz.runtime.errors import NotFiniteError, PhizError, ShapeError
from phiz.runtime.network.network import Network
from phiz.runtime.optimize.base.evaluation import StopRun
from phiz.runtime.program.layer import layer
from phiz.runtime.training.evaluation_set import EvaluationSet
from phiz.runtime.training.objective import NetworkObjective, penalised

from tests.runtime.training.training_data import regression, small


def data_for(loss: str, samples: int = 11, outputs: int = 3) -> Dataset:
    random = np.random.default_rng(samples)
    inputs = random.normal(size=(samples, 4))
    if loss == "ce":
        return from_arrays(inputs, np.arange(samples) % outputs, "float64", classes=outputs)
    targets = random.uniform(0.1, 0.9, size=(samples, outputs))
    return from_arrays(inputs, targets, "float64", task="regression")


def numeric_gradient(f, x: np.ndarray, step: float = 1e-6) -> np.ndarray:
    eye = step * np.eye(x.size)
    return np.array([(f(x + e) - f(x - e)) / (2 * step) for e in eye])


@pytest.mark.parametrize("loss", ["ce", "mse", "binary_ce"])
def test_value_is_the_mean_error_and_half_alpha_squares_of_the_weights(loss: str) -> None:
    network, data = small(loss=loss), data_for(loss)
    objective = NetworkObjective(EvaluationSet(network, data), alpha=0.3)
    x = network.parameters + 0.1
    w1, w2 = (network.parameter(index, "w", x) for index in (0, 1))
    expected = network.losses(x, data.inputs, data.targets).mean() + 0.15 * ((w1**2).sum() + (w2**2).sum())
    assert objective.value(x) == pytest.approx(expected, rel=1e-14)
    value, gradient = objective.value_and_gradient(x)
    assert value == pytest.approx(expected, rel=1e-14)
    np.testing.assert_allclose(gradient, numeric_gradient(objective.value, x), rtol=1e-7, atol=1e-9)


def test_biases_and_whatever_starts_from_a_constant_are_not_penalised() -> None:
    network = Network([layer("radial_basis", maps=2), layer("dense", maps=2)], 3, "mse", "numpy")
    mask = penalised(network)
    by_name = {(piece.layer, piece.name): set(mask[piece.offset : piece.stop]) for piece in network.slices}
    assert by_name == {(0, "c"): {True}, (0, "beta"): {False}, (1, "w"): {True}, (1, "b"): {False}}


@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_mini_batch_is_the_mean_of_its_samples_however_it_is_filled_up(count: int) -> None:
    network, data = small(), data_for("ce")
    objective = NetworkObjective(EvaluationSet(network, data), alpha=0.1, batch_size=5)
    chosen = np.array([7, 2, 9, 4, 0])[:count]
    value, gradient = objective.batch(chosen).value_and_gradient(network.parameters)
    alone = NetworkObjective(EvaluationSet(network, data.subset(chosen)), alpha=0.1)
    expected, slope = alone.value_and_gradient(network.parameters)
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-15)


def test_batches_of_an_epoch_average_to_the_whole() -> None:
    network, data = small(), data_for("ce", samples=10)
    objective = NetworkObjective(EvaluationSet(network, data), alpha=0.2, batch_size=5)
    gradients = [
        objective.batch(part).value_and_gradient(network.parameters)[1]
        for part in np.arange(10).reshape(2, 5)
    ]
    np.testing.assert_allclose(
        np.mean(gradients, axis=0), objective.value_and_gradient(network.parameters)[1], rtol=1e-12
    )


@pytest.mark.parametrize("alpha", [0.0, 0.4])
@pytest.mark.parametrize("loss", ["ce", "mse", "binary_ce"])
def test_rows_give_the_gradient_of_every_loss(loss: str, alpha: float) -> None:
    network, data = small(loss=loss), data_for(loss)
    objective = NetworkObjective(EvaluationSet(network, data), alpha)
    x = network.parameters + 0.05
    chunks = list(objective.residuals_and_jacobian_chunks(x))
    slope = sum(rows.T @ residual for residual, rows in chunks)
    np.testing.assert_allclose(slope, objective.value_and_gradient(x)[1], rtol=1e-9, atol=1e-13)
    if loss == "mse":
        assert 0.5 * sum(float(residual @ residual) for residual, _ in chunks) == pytest.approx(
            objective.value(x), rel=1e-12
        )


@pytest.mark.parametrize(("loss", "family"), [("ce", "softmax"), ("mse", "dense"), ("binary_ce", "dense")])
def test_rows_give_the_hessian_where_gauss_newton_is_exact(loss: str, family: str) -> None:
    """Linear models under their own losses: J^T J is the Hessian of f, penalty included."""
    activation = "sigmoid" if loss == "binary_ce" else "linear"
    network = Network([layer(family, maps=3, activation=activation)], 4, loss, "numpy", "float64", seed=1)
    objective = NetworkObjective(EvaluationSet(network, data_for(loss)), alpha=0.2)
    x = network.parameters + 0.1
    matrix = sum(rows.T @ rows for _, rows in objective.residuals_and_jacobian_chunks(x))
    hessian = np.array(
        [numeric_gradient(lambda at, k=k: objective.value_and_gradient(at)[1][k], x) for k in range(x.size)]
    )
    np.testing.assert_allclose(matrix, hessian, rtol=1e-6, atol=1e-8)


def test_rows_in_small_chunks_are_the_same_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = small(), data_for("ce")
    objective = NetworkObjective(EvaluationSet(network, data), alpha=0.1)
    whole = [
        np.concatenate(parts)
        for parts in zip(*objective.residuals_and_jacobian_chunks(network.parameters), strict=True)
    ]
    monkeypatch.setattr("phiz.runtime.network.executors.ROW_BYTES", 4 * 3 * network.parameter_count * 8)
    chunks = list(objective.residuals_and_jacobian_chunks(network.parameters))
    assert len(chunks) > 3
    for one, parts in zip(whole, zip(*chunks, strict=True), strict=True):
        np.testing.assert_allclose(np.concatenate(parts), one, rtol=1e-13, atol=1e-16)


def test_levenberg_marquardt_refuses_a_loss_whose_rows_it_does_not_have() -> None:
    network = Network([layer("dense", maps=3, activation="sigmoid")], 4, "ce", "numpy", "float64")
    objective = NetworkObjective(EvaluationSet(network, data_for("ce")))
    with pytest.raises(PhizError, match="expected the loss mse, binary_ce, or ce after a softmax"):
        next(objective.residuals_and_jacobian_chunks(network.parameters))


def test_a_nan_names_its_layer_and_ends_descent_but_not_a_line_search() -> None:
    data = regression()
    network = Network(
        [layer("dense", maps=2, activation="relu"), layer("dense", maps=1)], 2, "mse", "numpy", "float64"
    )
    x = np.full(network.parameter_count, 1e200)
    with pytest.raises(NotFiniteError, match=r"layer 1 \(dense\): forward Z is inf at sample \d+"):
        NetworkObjective(EvaluationSet(network, data)).value_and_gradient(x)
    strict = NetworkObjective(EvaluationSet(network, data), strict=True)
    for evaluate in (strict.value_and_gradient, strict.value, strict.batch(np.arange(3)).value_and_gradient):
        with pytest.raises(StopRun, match=r"layer 1 \(dense\)"):
            evaluate(x)
    x[3] = np.nan
    with pytest.raises(StopRun, match=r"layer 0 \(dense\): parameter w is nan"):
        strict.value_and_gradient(x)


def test_targets_that_are_not_as_many_as_the_outputs_are_refused() -> None:
    with pytest.raises(ShapeError, match="4 classes, but the network has 3 outputs"):
        EvaluationSet(small(), data_for("ce", outputs=4))


def test_large_data_is_scored_without_being_placed(monkeypatch: pytest.MonkeyPatch) -> None:
    network, data = small(), data_for("ce")
    placed = EvaluationSet(network, data).score(network.parameters)
    monkeypatch.setattr("phiz.runtime.training.evaluation_set.RESIDENT_BYTES", 0)
    part = EvaluationSet(network, data)
    assert part.score(network.parameters) == placed
    assert part.samples[0] is data.inputs
    outputs = network.forward(network.parameters, data.inputs)
    assert placed.accuracy == np.mean(outputs.argmax(axis=1) == data.labels)
    assert placed.loss == pytest.approx(network.losses(network.parameters, data.inputs, data.targets).mean())


def test_the_error_of_a_regression_in_large_units_is_not_rounded() -> None:
    """Targets 1700000000 + i in float32: the root mean square of what is left is the one of float64."""
    data = from_arrays(np.arange(40.0), 1_700_000_000 + np.arange(40.0), "float32", task="regression")
    parts = split(data, test=0).standardised()
    net = Network([layer("dense", maps=1)], 1, "mse", "numpy", "float32", seed=1)
    x = np.array([0.5, 0.1], np.float32)
    outputs, targets = (
        array.astype(np.float64) for array in (net.forward(x, parts.train.inputs), parts.train.targets)
    )
    assert parts.scaling is not None and parts.scaling.target_deviation is not None
    wanted = float(np.sqrt(np.mean((outputs - targets) ** 2)) * parts.scaling.target_deviation[0])
    assert EvaluationSet(net, parts.train, parts.scaling).score(x).deviation == pytest.approx(
        wanted, rel=1e-6
    )


def test_a_table_reaches_the_network_in_its_dtype() -> None:
    data = from_arrays(np.ones((3, 2)), np.ones(3), "float32", task="regression")
    part = EvaluationSet(Network([layer("dense", maps=1)], 2, "mse", "numpy", "float32"), data)
    assert data.inputs.dtype == np.float64 and part.data.inputs.dtype == part.data.targets.dtype == np.float32

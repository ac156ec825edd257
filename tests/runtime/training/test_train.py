"""Training: every method, determinism, interruption at any moment, NaN, early stop, files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.data.datasets import load
from phiz.runtime.data.split import split
from phiz.runtime.errors import CheckpointError, DataError, NotFiniteError, PhizError
from phiz.runtime.network.network import Network
from phiz.runtime.optimize.methods.sampler import MiniBatchSampler
from phiz.runtime.program.layer import layer
from phiz.runtime.training import checkpoint, training_file
from phiz.runtime.training.early_stop import EarlyStop
from phiz.runtime.training.history import Epoch
from phiz.runtime.training.settings import Settings
from phiz.runtime.training.train import Ended, Outcome, Silent, train
from threadpoolctl import threadpool_limits

from tests.runtime.training.training_data import digits, network, regression

RUNS: dict[str, Settings] = {
    "sgd": Settings("sgd", epochs=6, batch=16, alpha=1e-3),
    "momentum": Settings("momentum", epochs=6, batch=16, schedule="step"),
    "momentum_all": Settings("momentum", epochs=8, batch=0, rate=0.05),
    "gd": Settings("gd", epochs=8),
    "gd_brent": Settings("gd", epochs=6, line_search="brent", momentum=0.3),
    "cg": Settings("cg", epochs=8),
    "bfgs": Settings("bfgs", epochs=8, alpha=1e-3),
    "lbfgs": Settings("lbfgs", epochs=8, options={"memory": 3}),
    "lbfgs_armijo": Settings("lbfgs", epochs=8, line_search="armijo"),
    "lm": Settings("lm", epochs=6, alpha=1e-3),
}


class Kill(BaseException):
    """Stands for SIGKILL: nothing may catch it."""


class Watch(Silent):
    """Records a run, and raises ``error`` when epoch ``at`` ends (or at step ``step``)."""

    def __init__(self, error: type[BaseException] | None = None, at: int = -1, step: float = -1.0) -> None:
        self.error, self.at, self.stop = error, at, step
        self.epochs: list[Epoch] = []
        self.begun: tuple[int, int, str] = (0, 0, "")
        self.ended = False

    def begin(self, epochs: int, done: int, unit: str) -> None:
        self.begun = (epochs, done, unit)

    def step(self, done: float) -> None:
        if self.error and done == self.stop:
            raise self.error

    def epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        if self.error and epoch.number == self.at:
            raise self.error

    def end(self) -> None:
        self.ended = True


def go(
    settings: Settings, tmp: Path | None = None, resume: bool = False, watch: Watch | None = None, **data: Any
) -> Outcome:
    parts = digits(**data)
    file = None if tmp is None else tmp / "weights.safetensors"
    return train(network(parts), parts, settings, file=file, resume=resume, observer=watch)


def losses(outcome: Outcome) -> list[tuple[Any, ...]]:
    """The history but for the wall time."""
    return [tuple(vars(replace(epoch, seconds=0.0)).values()) for epoch in outcome.history.epochs]


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than these small products."""
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def every_epoch_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phiz.runtime.training.train.WRITING_SHARE", 1.0)


# ---------------------------------------------------------------------------------------------------- methods
@pytest.mark.parametrize("name", RUNS)
def test_every_method_lowers_the_loss_and_returns_the_best_epoch(name: str) -> None:
    outcome = go(RUNS[name])
    epochs = outcome.history.epochs
    assert outcome.ended in (Ended.FINISHED, Ended.CONVERGED)
    assert [epoch.number for epoch in epochs] == list(range(len(epochs)))
    assert epochs[-1].loss < epochs[0].loss - 0.05
    best = min(epochs, key=lambda epoch: epoch.validation_loss or 0.0)
    assert outcome.best == best.number
    assert (outcome.train.loss, outcome.train.accuracy) == (best.loss, best.accuracy)
    assert outcome.validation is not None and outcome.validation.loss == best.validation_loss
    assert outcome.history.unit == ("epoch" if RUNS[name].batch else "iteration")


def test_momentum_is_the_heavy_ball_on_seeded_mini_batches() -> None:
    """Equation 121 written out: v <- beta v - mu g, x <- x + v."""
    settings = Settings("momentum", epochs=3, batch=16, rate=0.1, momentum=0.8, schedule="constant", seed=5)
    parts = digits(validation=0, dtype="float64")
    net = network(parts)
    x, v = net.parameters.copy(), np.zeros(net.parameter_count)
    sampler = MiniBatchSampler(len(parts.train), 16, seed=5)
    for number in range(3 * sampler.batches_per_epoch):
        chosen = sampler.batch(number)
        _, gradient = net.value_and_gradient(x, parts.train.inputs[chosen], parts.train.targets[chosen])
        v = 0.8 * v - 0.1 * gradient / len(chosen)
        x = x + v
    outcome = train(net, parts, settings)
    assert outcome.best == 3
    np.testing.assert_allclose(outcome.parameters, x, rtol=1e-12, atol=1e-14)


def test_levenberg_marquardt_fits_a_function_through_the_derived_jacobian() -> None:
    parts = split(regression(), test=0.2, validation=0)
    net = Network(
        [layer("dense", maps=6, activation="tanh"), layer("dense", maps=1)],
        2,
        "mse",
        "numpy",
        "float64",
        seed=2,
    )
    outcome = train(net, parts, Settings("lm", epochs=60))
    assert outcome.train.loss < 1e-4
    assert outcome.train.accuracy is None and outcome.train.deviation == pytest.approx(
        np.sqrt(2 * outcome.train.loss), rel=1e-9
    )


@pytest.mark.parametrize("name", ["momentum", "lbfgs", "lm"])
def test_same_seed_same_bits(name: str) -> None:
    one, two = go(RUNS[name]), go(RUNS[name])
    assert one.parameters.tobytes() == two.parameters.tobytes()
    assert losses(one) == losses(two)


def test_another_seed_other_mini_batches() -> None:
    assert not np.array_equal(go(RUNS["sgd"]).parameters, go(replace(RUNS["sgd"], seed=1)).parameters)


def test_a_regression_reports_errors_in_the_units_of_its_source() -> None:
    parts = split(load("diabetes"), test=0.25, validation=0, seed=0).standardised()
    outcome = train(network(parts, "linear"), parts, Settings("lbfgs", epochs=40))
    assert outcome.test is not None and outcome.test.deviation is not None
    assert 45 < outcome.test.deviation < 65  # disease progression runs from 25 to 346
    assert outcome.test.accuracy is None


# ---------------------------------------------------------------------------------------- breaks and resuming
@pytest.mark.parametrize("name", RUNS)
def test_a_killed_run_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    whole = go(RUNS[name])
    with pytest.raises(Kill):
        go(RUNS[name], tmp_path, watch=Watch(Kill, at=4))
    again = Watch()
    rest = go(RUNS[name], tmp_path, resume=True, watch=again)
    assert again.begun[1] == 3
    assert again.epochs[0].number == 4
    assert rest.parameters.tobytes() == whole.parameters.tobytes()
    assert losses(rest) == losses(whole)
    assert (rest.best, rest.evaluations, rest.test) == (whole.best, whole.evaluations, whole.test)


@pytest.mark.parametrize("name", ["sgd", "lbfgs"])
def test_ctrl_c_keeps_the_best_and_the_run_goes_on_from_where_it_was(name: str, tmp_path: Path) -> None:
    whole = go(RUNS[name])
    # In the middle of an epoch (mini-batches), or between two iterations.
    watch = Watch(KeyboardInterrupt, step=3.25 if name == "sgd" else 4.0)
    outcome = go(RUNS[name], tmp_path, watch=watch)
    assert outcome.ended is Ended.INTERRUPTED and watch.ended
    assert outcome.best == min(watch.epochs, key=lambda epoch: epoch.validation_loss or 0.0).number
    saved = checkpoint.load(tmp_path / "weights.safetensors")
    assert saved.parameters.tobytes() == outcome.parameters.tobytes()
    assert training_file.load(tmp_path / "weights.safetensors")[1].history.stopped == outcome.reason
    rest = go(RUNS[name], tmp_path, resume=True)
    assert rest.parameters.tobytes() == whole.parameters.tobytes()
    assert losses(rest) == losses(whole)


def test_ctrl_c_while_an_epoch_is_scored_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = go(RUNS["sgd"])
    from phiz.runtime.training.evaluation_set import EvaluationSet

    original, calls = EvaluationSet.score, []

    def interrupted(self: EvaluationSet, parameters: np.ndarray) -> Any:
        calls.append(0)
        if len(calls) == 7:  # training and validation part, epochs 0, 1, 2, then 3
            raise KeyboardInterrupt
        return original(self, parameters)

    monkeypatch.setattr(EvaluationSet, "score", interrupted)
    outcome = go(RUNS["sgd"], tmp_path)
    assert outcome.ended is Ended.INTERRUPTED and outcome.history.epochs[-1].number == 2
    rest = go(RUNS["sgd"], tmp_path, resume=True)
    assert losses(rest) == losses(whole)
    assert rest.parameters.tobytes() == whole.parameters.tobytes()


def test_ctrl_c_before_the_first_step_leaves_an_older_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    go(RUNS["sgd"], tmp_path)
    before = file.read_bytes()
    outcome = go(RUNS["sgd"], tmp_path, watch=Watch(KeyboardInterrupt, at=0))
    assert outcome.ended is Ended.INTERRUPTED and outcome.best == 0
    assert file.read_bytes() == before


def test_resuming_a_finished_run_gives_its_result(tmp_path: Path) -> None:
    first = go(RUNS["momentum"], tmp_path)
    again = go(RUNS["momentum"], tmp_path, resume=True)
    assert losses(again) == losses(first) and again.ended is Ended.FINISHED
    assert again.parameters.tobytes() == first.parameters.tobytes()


def test_more_iterations_for_a_finished_run(tmp_path: Path) -> None:
    longer = replace(RUNS["lbfgs"], epochs=11)
    whole = go(longer)
    go(RUNS["lbfgs"], tmp_path)
    rest = go(longer, tmp_path, resume=True)
    assert losses(rest) == losses(whole)


def test_a_run_out_of_patience_stays_stopped(tmp_path: Path) -> None:
    settings = Settings("sgd", epochs=60, rate=20.0, batch=16, schedule="constant", patience=3)
    first = go(settings, tmp_path)
    again = go(settings, tmp_path, resume=True)
    assert first.ended is again.ended is Ended.PATIENCE
    assert losses(first) == losses(again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "momentum"}, "optimizer was sgd, now momentum"),
        ({"rate": 0.7}, "rate was 0.3, now 0.7"),
        ({"alpha": 0.5}, "alpha was 0.001, now 0.5"),
        ({"seed": 4}, "seed was 0, now 4"),
        ({"epochs": 9}, "epochs was 6, now 9; its schedule is as long as the run"),
    ],
)
def test_another_run_is_not_resumed(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    go(RUNS["sgd"], tmp_path)
    before = (tmp_path / "weights.safetensors").read_bytes()
    with pytest.raises(CheckpointError, match=message):
        go(replace(RUNS["sgd"], **change), tmp_path, resume=True)
    assert (tmp_path / "weights.safetensors").read_bytes() == before


def test_other_samples_another_network_and_a_damaged_file_are_not_resumed(tmp_path: Path) -> None:
    go(RUNS["sgd"], tmp_path)
    file = tmp_path / "weights.safetensors"
    with pytest.raises(CheckpointError, match="the training samples are not those"):
        go(RUNS["sgd"], tmp_path, resume=True, seed=1)
    parts = digits()
    with pytest.raises(CheckpointError, match="saved for another network"):
        train(network(parts, "mlp"), parts, RUNS["sgd"], file=file, resume=True)
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: expected a safetensors file"):
        go(RUNS["sgd"], tmp_path, resume=True)


# -------------------------------------------------------------------------------------------- NaN, early stop
@pytest.mark.parametrize("batch", [16, 0])
def test_a_nan_in_training_names_the_layer_and_keeps_the_last_good_weights(
    batch: int, tmp_path: Path
) -> None:
    settings = Settings("momentum", epochs=30, rate=3e38, momentum=0.99, batch=batch, schedule="constant")
    outcome = go(settings, tmp_path)
    assert outcome.ended is Ended.NOT_FINITE and not outcome.ended.well
    assert "layer 0 (softmax)" in outcome.reason
    saved = checkpoint.load(tmp_path / "weights.safetensors")
    assert np.isfinite(saved.parameters).all()
    assert saved.parameters.tobytes() == outcome.parameters.tobytes()
    assert np.isfinite(outcome.train.loss)


def test_a_nan_at_the_start_is_refused() -> None:
    parts = digits()
    net = network(parts)
    net.parameters[3] = np.inf
    with pytest.raises(NotFiniteError, match=r"layer 0 \(softmax\): parameter w is inf"):
        train(net, parts, RUNS["sgd"])


def test_the_start_is_kept_when_nothing_is_better() -> None:
    parts = digits()
    net = network(parts)
    good = train(net, parts, Settings("lbfgs", epochs=30, alpha=0.01)).parameters
    outcome = train(net, parts, Settings("sgd", epochs=5, rate=50.0, patience=2))
    assert outcome.ended is Ended.PATIENCE and outcome.best == 0
    assert net.parameters.tobytes() == good.tobytes()


def test_early_stop_counts_epochs_since_the_best() -> None:
    stop = EarlyStop(patience=2)
    found = [
        (stop.update(measure, epoch), stop.exhausted)
        for epoch, measure in enumerate([3.0, 2.0, 2.0, 1.0, 1.5, 1.2])
    ]
    assert found == [
        (True, False),
        (True, False),
        (False, False),
        (True, False),
        (False, False),
        (False, True),
    ]
    copy = EarlyStop(patience=2)
    copy.restore(stop.state())
    assert (copy.best, copy.best_epoch, copy.waited) == (1.0, 3, 2)
    assert not EarlyStop().exhausted
    with pytest.raises(CheckpointError, match="malformed"):
        copy.restore({"best": 1.0})


def test_training_stops_at_the_loss_that_is_asked_for() -> None:
    outcome = go(Settings("lbfgs", epochs=100, until=0.5))
    assert outcome.ended is Ended.TARGET
    assert outcome.history.epochs[-1].loss <= 0.5 < outcome.history.epochs[-2].loss


def test_a_time_limit_ends_training() -> None:
    assert go(Settings("lbfgs", epochs=10**6, time_limit=0.2, options={"gtol": 0.0}, alpha=1.0)).ended in (
        Ended.TIME,
        Ended.STUCK,
    )
    assert go(Settings("sgd", epochs=10**6, time_limit=0.2)).ended is Ended.TIME


def test_checkpoints_that_would_take_too_long_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phiz.runtime.training.train.WRITING_SHARE", 1e-9)
    written: list[int] = []
    original = training_file.save

    def counted(path: Any, net: Network, run: training_file.Saved) -> None:
        written.append(run.history.epochs[-1].number)
        original(path, net, run)

    monkeypatch.setattr(training_file, "save", counted)
    go(RUNS["momentum"], tmp_path)
    assert written == [1, 6]


# --------------------------------------------------------------------------------------------------- settings
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (Settings("adam"), "optimizer: expected one of gd, sgd, momentum"),
        (Settings("lbfgs", rate=0.1), "lbfgs: takes no rate"),
        (Settings("lm", batch=8), "lm: takes no batch"),
        (Settings("cg", momentum=0.5), "cg: takes no momentum"),
        (Settings("bfgs", schedule="cosine"), "bfgs: takes no schedule"),
        (Settings("lm", line_search="armijo"), "lm: has no line search"),
        (Settings("lbfgs", line_search="newton"), "line_search: expected one of strong-wolfe"),
        (
            Settings("gd", rate=0.1, line_search="armijo"),
            "gd: expected a rate with its schedule, or a line search",
        ),
        (Settings("sgd", line_search="armijo"), "sgd: a line search needs all samples"),
        (Settings("momentum", line_search="armijo", batch=4), "momentum: a line search needs all samples"),
        (Settings("sgd", batch=10**6), r"batch: expected 1 to 50 training samples"),
        (Settings("sgd", batch=-1), "batch: expected 1 to 50"),
        (Settings("sgd", rate=0.0), "rate: expected a learning rate > 0, got 0"),
        (Settings("sgd", rate=float("nan")), "rate: expected a number, got nan"),
        (Settings("momentum", momentum=1.0), "momentum: expected 0 <= momentum < 1"),
        (Settings("sgd", schedule="linear"), "schedule: expected one of constant, cosine, step, inverse"),
        (Settings("sgd", epochs=0), "epochs: expected at least 1, got 0"),
        (Settings("sgd", patience=0), "patience: expected at least 1, got 0"),
        (Settings("sgd", seed=-1), "seed: expected at least 0, got -1"),
        (Settings("sgd", alpha=-0.1), "alpha: expected a penalty >= 0"),
        (Settings("lbfgs", options={"memery": 3}), "lbfgs: expected options among .*memory.*got 'memery'"),
        (Settings("sgd", options={"batch_size": 3}), "option batch_size: has a setting of its own"),
        (Settings("lbfgs", options={"gtol": -1.0}), "gtol: expected a number >= 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: Settings, message: str) -> None:
    with pytest.raises(PhizError, match=message):
        go(settings)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "step", "inverse"])
def test_schedules_start_at_the_rate_and_never_rise(schedule: str) -> None:
    outcome = go(Settings("sgd", epochs=9, batch=16, rate=0.4, schedule=schedule))
    rates = [epoch.rate for epoch in outcome.history.epochs[1:]]
    assert all(rate is not None and rate <= 0.4 for rate in rates)
    assert rates == sorted(rates, reverse=True)
    assert (rates[-1] == 0.4) == (schedule == "constant")
    assert (rates[-1] < 0.02) == (schedule == "cosine")


def test_targets_that_the_loss_does_not_admit_are_refused() -> None:
    parts = split(regression(), test=0.2, validation=0)
    net = Network([layer("dense", maps=1, activation="sigmoid")], 2, "ce", "numpy", "float64")
    with pytest.raises(DataError, match=r"targets: -0\.\d+ at sample \d+, unit 0; loss ce admits"):
        train(net, parts, RUNS["sgd"])

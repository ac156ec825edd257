"""State: a run in pieces is the run in one, bit for bit; the file is whole or absent."""

import os
import signal
import threading

import numpy as np
import pytest
import scipy.optimize
from optimize_networks import Network
from phiz.runtime.errors import CheckpointError
from phiz.runtime.optimize import History, Status, minimize
from phiz.runtime.optimize.interrupt import InterruptGate
from phiz.runtime.optimize.state import load_state, save_state


def network(samples=24):
    rng = np.random.default_rng(7)
    x = rng.uniform(-1, 1, (samples, 2))
    return Network([2, 5, 2], ["tanh", "identity"], x, np.sin(x @ rng.normal(size=(2, 2)))), rng.normal(
        size=27
    )


METHODS = {
    "gd": {},
    "gd-steps": {"method": "gd", "step": 1e-3, "reset_step_every": 4, "direction_mean": 0.5},
    "momentum": {"step": 1e-3},
    "momentum-batches": {"method": "momentum", "step": 1e-3, "batch_size": 5, "seed": 3},
    "sgd": {"step": 1e-3, "batch_size": 7, "seed": 1},
    "cg": {},
    "bfgs": {},
    "lbfgs": {"memory": 3},
    "lm": {},
    "lm-marquardt": {"method": "lm", "rule": "decade", "scaling": "marquardt"},
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_pieces_equal_the_whole(name, dtype, tmp_path):
    options = dict(METHODS[name])
    method = options.pop("method", name)
    objective, x0 = network()
    x0 = x0.astype(dtype)
    whole = minimize(objective, x0, method, maxiter=13, **options)
    again = minimize(objective, x0, method, maxiter=13, **options)
    file = tmp_path / "state.npz"
    for limit in (4, 5, 13):
        pieces = minimize(objective, x0, method, maxiter=limit, state_file=file, resume=True, **options)
    for other in (again, pieces):
        np.testing.assert_array_equal(other.x, whole.x)
        assert other.fun == whole.fun and other.nit == whole.nit == 13
        for column in ("nit", "fun", "gradient_norm", "step", "nfev", "njev", "note"):
            np.testing.assert_array_equal(other.history.column(column), whole.history.column(column))
    assert np.all(np.diff(pieces.history.column("seconds")) >= 0)
    assert sorted(os.listdir(tmp_path)) == ["state.npz"]


def test_interrupted_run_resumes_as_if_nothing_had_happened(tmp_path):
    objective, x0 = network()
    whole = minimize(objective, x0, "bfgs", maxiter=30)
    calls = []

    class Interrupted:
        def value_and_gradient(self, x):
            calls.append(0)
            if len(calls) == 17:
                raise KeyboardInterrupt
            return objective.value_and_gradient(x)

    file = tmp_path / "state.npz"
    first = minimize(Interrupted(), x0, "bfgs", maxiter=30, state_file=file)
    assert first.status is Status.INTERRUPTED and 0 < first.nit < 30
    rest = minimize(objective, x0, "bfgs", maxiter=30, state_file=file, resume=True)
    np.testing.assert_array_equal(rest.x, whole.x)
    np.testing.assert_array_equal(rest.history.column("fun"), whole.history.column("fun"))


def test_a_real_signal_while_the_state_changes_waits_for_its_end():
    steps = []
    with pytest.raises(KeyboardInterrupt), InterruptGate() as gate, gate.closed():
        steps.append("before")
        os.kill(os.getpid(), signal.SIGINT)
        steps.append("after")
    assert steps == ["before", "after"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_real_signal_during_a_run(tmp_path):
    calls = []

    def fun(x):
        calls.append(0)
        if len(calls) == 9:
            os.kill(os.getpid(), signal.SIGINT)
        return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)

    result = minimize(fun, [-1.2, 1.0], state_file=tmp_path / "s.npz")
    assert result.status is Status.INTERRUPTED and result.fun < 5
    assert load_state(tmp_path / "s.npz")["nit"] == result.nit


def test_runs_in_a_thread_too():
    found = []
    objective, x0 = network()
    thread = threading.Thread(target=lambda: found.append(minimize(objective, x0, maxiter=3)))
    thread.start()
    thread.join()
    assert found[0].nit == 3


def test_save_every_leaves_a_state_behind_a_crash(tmp_path):
    objective, x0 = network()
    file = tmp_path / "s.npz"

    def crash(progress):
        if progress.nit == 8:
            raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        minimize(objective, x0, callback=crash, state_file=file, save_every=3)
    assert load_state(file)["nit"] == 6


@pytest.mark.parametrize("damage", ["truncate", "empty", "text", "flip"])
def test_damaged_files_are_refused(damage, tmp_path):
    objective, x0 = network()
    file = tmp_path / "s.npz"
    minimize(objective, x0, maxiter=3, state_file=file)
    whole = file.read_bytes()
    middle = len(whole) // 2
    broken = {
        "truncate": whole[:middle], "empty": b"", "text": b"hello",
        "flip": whole[:middle] + bytes([whole[middle] ^ 255]) + whole[middle + 1 :],
    }[damage]  # fmt: skip
    file.write_bytes(broken)
    with pytest.raises(CheckpointError, match=r"s\.npz"):
        minimize(objective, x0, maxiter=5, state_file=file, resume=True)
    assert file.read_bytes() == broken


def test_states_of_other_runs_are_refused(tmp_path):
    objective, x0 = network()
    file = tmp_path / "s.npz"
    minimize(objective, x0, "lbfgs", maxiter=3, state_file=file, memory=3)
    with pytest.raises(CheckpointError, match="method bfgs"):
        minimize(objective, x0, "bfgs", state_file=file, resume=True)
    with pytest.raises(CheckpointError, match=r"expected s of shape \(4, 27\)"):
        minimize(objective, x0, "lbfgs", state_file=file, resume=True, memory=4)
    with pytest.raises(CheckpointError, match="dtype float32"):
        minimize(objective, x0.astype(np.float32), "lbfgs", state_file=file, resume=True, memory=3)
    with pytest.raises(CheckpointError, match="size 2"):
        minimize(lambda x: (float(x @ x), 2 * x), np.ones(2), "lbfgs", state_file=file, resume=True, memory=3)


def test_state_file_round_trip_and_no_pickle(tmp_path):
    file = tmp_path / "a.npz"
    state = {"x": np.array([1.5, np.nan], np.float32), "n": 3, "f": -0.1, "name": "π", "flag": True}
    save_state(file, state)
    loaded = load_state(file)
    np.testing.assert_array_equal(loaded.pop("x"), state.pop("x"))
    assert loaded == state
    np.savez(file, format=np.array("phiz-optimizer-1"), bad=np.array([object()], dtype=object))
    with pytest.raises(CheckpointError):
        load_state(file)
    np.savez(file, x=np.zeros(3))
    with pytest.raises(CheckpointError, match="another format"):
        load_state(file)


def test_failed_save_leaves_the_old_file(tmp_path):
    file = tmp_path / "a.npz"
    save_state(file, {"n": 1})

    class Broken:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError("disk")

    with pytest.raises(RuntimeError):
        save_state(file, {"n": Broken()})
    assert load_state(file) == {"n": 1}
    assert os.listdir(tmp_path) == ["a.npz"]


PLACES = [("no/s.npz", "there is no"), ("folder", "is a folder"), ("plain/s.npz", "there is no")]


@pytest.mark.parametrize(("name", "words"), PLACES)
def test_a_place_that_cannot_be_written_is_refused_before_the_run(name, words, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "plain").write_text("a file")
    with pytest.raises(CheckpointError, match=words) as caught:
        minimize(lambda x: pytest.fail("evaluated"), [1.0], state_file=tmp_path / name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("save_every", [0, 2])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("odd")])
def test_a_save_that_fails_does_not_lose_the_result(save_every, error, tmp_path, monkeypatch):
    objective, x0 = network()
    whole = minimize(objective, x0, maxiter=9)

    def fail(*_):
        raise error

    monkeypatch.setattr("os.fsync", fail)
    result = minimize(objective, x0, maxiter=9, state_file=tmp_path / "s.npz", save_every=save_every)
    np.testing.assert_array_equal(result.x, whole.x)
    assert result.status is whole.status
    assert "the state was not saved" in result.message and str(error) in result.message
    assert os.listdir(tmp_path) == []


def test_a_save_that_works_again_is_not_complained_about(tmp_path, monkeypatch):
    objective, x0 = network()
    fsync, calls = os.fsync, []

    def fail_once(handle):
        calls.append(0)
        if len(calls) == 1:
            raise OSError("busy")
        fsync(handle)

    monkeypatch.setattr("os.fsync", fail_once)
    result = minimize(objective, x0, maxiter=9, state_file=tmp_path / "s.npz", save_every=2)
    assert "not saved" not in result.message and load_state(tmp_path / "s.npz")["nit"] == 9


def test_history_as_json():
    history = minimize(lambda x: (float(x @ x), 2 * x), [1.0, 2.0]).history
    assert History.from_json(history.to_json()) == history
    assert history.to_dict()["nit"] == list(range(len(history)))

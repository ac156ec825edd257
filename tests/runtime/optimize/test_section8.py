"""Section 8's ideas as tools: their mechanics."""

import numpy as np
import pytest
import scipy.optimize
from optimize_networks import Network
from phiz.runtime.errors import ShapeError
from phiz.runtime.optimize import FunctionObjective, LeastSquares, Status, minimize
from phiz.runtime.optimize.base.errors import OptionError
from phiz.runtime.optimize.error_curve import error_curve
from phiz.runtime.optimize.movement import MovementStatistics, SubsetObjective, minimize_subset
from phiz.runtime.optimize.switching import After, Below, OptimizerStage, SlowProgress, minimize_in_stages


def rosen(x):
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


ROSEN = FunctionObjective(rosen)


def test_error_curve_is_the_function_on_the_line(tmp_path):
    x, d = np.array([-1.2, 1.0]), np.array([0.3, -0.1])
    alphas = np.linspace(-1, 2, 7)
    curve = error_curve(ROSEN, x, d, alphas=alphas)
    np.testing.assert_allclose(curve.values, [rosen(x + a * d)[0] for a in alphas])
    np.testing.assert_allclose(curve.slopes, [rosen(x + a * d)[1] @ d for a in alphas])
    assert curve.length == pytest.approx(np.linalg.norm(d))
    curve.save_csv(tmp_path / "curve.csv")
    assert (tmp_path / "curve.csv").read_text().splitlines()[0] == "alpha,value,slope"
    table = np.loadtxt(tmp_path / "curve.csv", delimiter=",", skiprows=1)
    np.testing.assert_array_equal(table[:, 1], curve.values)
    assert [p.name for p in tmp_path.iterdir()] == ["curve.csv"]


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e8])
def test_error_curve_finds_its_own_range(scale):
    """By default along -g, and wide enough to show the minimum."""
    objective = FunctionObjective(lambda x: (scale * float(x @ x), 2 * scale * x))
    curve = error_curve(objective, [3.0, 4.0], points=81)
    assert curve.values.min() < 0.05 * curve.values[0]
    assert 0 < curve.lowest < curve.alphas[-1]
    with pytest.raises(OptionError, match="direction is zero"):
        error_curve(objective, [0.0, 0.0])


def test_error_curve_plots():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    axes = error_curve(ROSEN, [-1.2, 1.0], points=9).plot()
    assert axes.get_xlabel() == "α" and len(axes.lines) == 9 + 2
    matplotlib.pyplot.close(axes.figure)


def test_switching_hands_over_and_joins_histories():
    stages = [OptimizerStage("gd", After(5)), OptimizerStage("cg", Below(fun=1.0)), OptimizerStage("bfgs")]
    result = minimize_in_stages(ROSEN, [-1.2, 1.0], stages)
    assert result.success and result.fun < 1e-8 and result.method == "gd+cg+bfgs"
    notes = list(result.history.column("note"))
    assert notes[0] == "start" and notes[6] == "switch to cg" and "switch to bfgs" in notes
    assert result.nit == result.history[-1].nit and result.nfev == result.history[-1].nfev
    assert np.all(np.diff(result.history.column("nfev")) >= 0)
    values = result.history.column("fun")
    assert values[6] == values[5]


def test_switching_back_and_forth_and_stopping():
    seen = []
    stages = [OptimizerStage("gd", After(2)), OptimizerStage("lbfgs", After(2))]
    result = minimize_in_stages(ROSEN, [-1.2, 1.0], stages, rounds=3, callback=lambda p: seen.append(p.fun))
    assert result.nit == 12 == len(seen)
    result = minimize_in_stages(ROSEN, [-1.2, 1.0], stages, rounds=3, callback=lambda p: True)
    assert result.nit == 1 and result.status is Status.CALLBACK
    with pytest.raises(OptionError):
        minimize_in_stages(ROSEN, [-1.2, 1.0], [])


def test_slow_progress_rule():
    """Gradient descent crawls along the valley; LM takes over."""
    objective = LeastSquares(
        lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]),
        lambda x: np.array([[-20 * x[0], 10], [-1, 0]]),
    )
    stages = [OptimizerStage("gd", SlowProgress(fall=0.05, window=5)), OptimizerStage("lm")]
    result = minimize_in_stages(objective, [-1.2, 1.0], stages)
    assert result.fun < 1e-20 and result.method == "gd+lm"
    switch = list(result.history.column("note")).index("switch to lm")
    assert 5 < switch < 200


def test_movement_statistics():
    path = [np.array([0.0, 0, 0]), np.array([1.0, 1, 0]), np.array([0.0, 2, 0]), np.array([1.0, 3, 0])]
    statistics = MovementStatistics(path[0])
    for x in path[1:]:
        statistics(type("P", (), {"x": x})())
    np.testing.assert_array_equal(statistics.path, [3, 3, 0])
    np.testing.assert_array_equal(statistics.displacement, [1, 3, 0])
    np.testing.assert_allclose(statistics.straightness, [1 / 3, 1, 0])
    np.testing.assert_array_equal(statistics.squares, [3, 3, 0])
    np.testing.assert_array_equal(statistics.moving(count=2), [0, 1])
    np.testing.assert_array_equal(statistics.moving(share=0.5), [0])
    np.testing.assert_array_equal(statistics.moving(share=1.0), [0, 1])
    np.testing.assert_array_equal(statistics.moving(at_least=0.0), [0, 1, 2])
    with pytest.raises(OptionError, match="exactly one"):
        statistics.moving()


def test_subset_of_the_moving_weights_by_an_expensive_method():
    """Half of the inputs are zero: their weights never move; LM on the others does all there is to do."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(-1, 1, (60, 2)), np.zeros((60, 2))], axis=1)
    net = Network([4, 6, 1], ["tanh", "identity"], x, np.sin(2 * x[:, :1]) * x[:, 1:2])
    start = rng.normal(size=net.n)
    statistics = MovementStatistics(start)
    cheap = minimize(net, start, "lbfgs", maxiter=20, callback=statistics)
    dead = np.array([4 * unit + p for unit in range(6) for p in (2, 3)])
    moving = statistics.moving(at_least=1e-12)
    np.testing.assert_array_equal(moving, np.setdiff1d(np.arange(net.n), dead))
    for method in ("lm", "bfgs"):
        fine = minimize_subset(net, cheap.x, moving, method, maxiter=100)
        assert fine.fun < 0.1 * cheap.fun and fine.x.shape == (net.n,)
        np.testing.assert_array_equal(fine.x[dead], start[dead])
        assert fine.fun == pytest.approx(net.value(fine.x))


def test_subset_objective_refuses_bad_indices():
    for indices in ([0, 0], [5], [-1], [[0]], []):
        with pytest.raises(ShapeError, match="distinct indices"):
            SubsetObjective(ROSEN, [1.0, 2.0, 3.0], indices)
    whole = SubsetObjective(ROSEN, [-1.2, 1.0, 0.5], [2, 0])
    value, gradient = whole.value_and_gradient(np.array([0.25, -1.0]))
    assert value == rosen(np.array([-1.0, 1.0, 0.25]))[0]
    np.testing.assert_array_equal(gradient, rosen(np.array([-1.0, 1.0, 0.25]))[1][[2, 0]])

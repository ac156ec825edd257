"""The lowest point is what is returned; a search that fails is no progress; f without bound is said."""

import math

import numpy as np
import pytest
import scipy.optimize
from phiz.runtime.optimize import Status, minimize
from phiz.runtime.optimize.line_search.armijo import armijo_holds, goldstein_holds
from phiz.runtime.optimize.line_search.ray import LineSearchReason

BOTTOMLESS = {
    "-exp(x)": (lambda x: -float(np.exp(x).sum()), lambda x: -np.exp(x)),
    "-x": (lambda x: -float(x.sum()), lambda x: -np.ones_like(x)),
    "-sqrt(1 + x²)": (lambda x: -float(np.sqrt(1 + x * x).sum()), lambda x: -x / np.sqrt(1 + x * x)),
}


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("name", BOTTOMLESS)
@pytest.mark.parametrize("method", ["cg", "bfgs", "lbfgs"])
def test_unbounded_functions_end_soon_and_say_so(method, name, size):
    f, g = BOTTOMLESS[name]
    result = minimize(lambda x: (f(x), g(x)), np.full(size, 0.7), method)
    assert result.status is Status.UNBOUNDED and not result.success and "without bound" in result.message
    assert math.isfinite(result.fun) and result.fun < -1e6
    assert result.nfev <= 60


def test_minus_exp_costs_what_lbfgsb_needs():
    f, g = BOTTOMLESS["-exp(x)"]
    theirs = scipy.optimize.minimize(f, [0.7], jac=g, method="L-BFGS-B")
    for method in ("cg", "bfgs", "lbfgs"):
        assert minimize(lambda x: (f(x), g(x)), [0.7], method).nfev <= 1.2 * theirs.nfev


@pytest.mark.parametrize("line_search", ["armijo", "goldstein", "brent", "golden", "dbrent", "strong-wolfe"])
def test_gradient_descent_without_bound(line_search):
    f, g = BOTTOMLESS["-exp(x)"]
    result = minimize(lambda x: (f(x), g(x)), [0.7], "gd", line_search=line_search)
    assert result.status in (Status.UNBOUNDED, Status.LINE_SEARCH) and result.nfev < 1200


def give_up_after(fall):
    """A line search that never meets its conditions and lowers f by a share of what is left."""

    def search(ray, alpha0=1.0):
        trial = ray.value_and_slope(fall)
        return ray.result(trial, LineSearchReason.MAX_EVALUATIONS)

    return search


@pytest.mark.parametrize(("fall", "iterations"), [(0.01, 10), (1e-9, 3)])
@pytest.mark.parametrize("method", ["gd", "cg", "bfgs", "lbfgs"])
def test_searches_that_fail_end_the_run(method, fall, iterations):
    run = {"line_search": give_up_after(fall), "gtol": 0.0}
    result = minimize(lambda x: (float(x @ x) + 1, 2 * x), [1.0, 1.0], method, **run)
    assert result.status is Status.LINE_SEARCH and f"{iterations} times in a row" in result.message
    assert result.nit == iterations and result.fun < 3


def test_the_count_of_failures_survives_a_break(tmp_path):
    file = tmp_path / "s.npz"
    run = {"line_search": give_up_after(0.01), "gtol": 0.0, "state_file": file, "resume": True}
    for limit in (4, 7, None):
        result = minimize(lambda x: (float(x @ x) + 1, 2 * x), [1.0, 1.0], "lbfgs", maxiter=limit, **run)
    assert result.nit == 10 and result.status is Status.LINE_SEARCH


@pytest.mark.parametrize("holds", [armijo_holds, goldstein_holds])
def test_a_fall_that_rounding_swallows_is_none(holds):
    assert not holds(1e-9, 1e20, 1e20, -1.0)
    assert holds(1.0, 0.5, 1.0, -1.0)


def test_armijo_does_not_walk_on_a_plateau():
    plateau = minimize(lambda x: (1e20, np.array([1.0])), [3.0], "gd", maxiter=50)
    assert plateau.status is Status.LINE_SEARCH and plateau.nit == 0


def two_wells(x):
    """Minima near -1 (f about -0.3) and 1 (0.3): heavy steps from the deeper one end in the other."""
    return float(((x * x - 1) ** 2).sum() + 0.3 * x.sum()), 4 * x * (x * x - 1) + 0.3


def test_a_run_that_leaves_the_best_point_returns_it_and_is_no_success():
    lost = minimize(two_wells, [-1.9], "momentum", step=0.02, momentum=0.9)
    values = lost.history.column("fun")
    assert values[-1] > values.min() + 0.3, "the case must end in the higher well"
    assert lost.fun == values.min() == two_wells(lost.x)[0]
    np.testing.assert_array_equal(lost.jac, two_wells(lost.x)[1])
    assert lost.status is Status.LOST and not lost.success and "before" in lost.message


@pytest.mark.parametrize("reset_step_every", [0, 3, 10])
@pytest.mark.parametrize("seed", range(5))
def test_gradient_descent_with_resets_returns_its_best(reset_step_every, seed):
    """Rastrigin: Brent's search along -g may end in another valley."""
    x0 = np.random.default_rng(seed).normal(size=2)

    def fun(x):
        value = 0.1 * float(x @ x + 20 - 10 * np.cos(2 * np.pi * x).sum())
        return value, 0.1 * (2 * x + 20 * np.pi * np.sin(2 * np.pi * x))

    result = minimize(fun, x0, "gd", step=0.3, reset_step_every=reset_step_every, maxiter=200)
    lowest = result.history.column("fun").min()
    assert result.fun <= lowest + 1e-12 and fun(result.x)[0] == result.fun


def test_a_swing_around_the_minimum_is_a_success():
    """Heavy ball on an ill-conditioned bowl: the last point need not be the lowest."""
    scale = np.array([1.0, 30.0])
    result = minimize(
        lambda x: (0.5 * float(x @ (scale * x)) + 1, scale * x), [3.0, 1.0], "momentum", step=0.02
    )
    assert result.success and result.fun <= result.history.column("fun").min() + 1e-12

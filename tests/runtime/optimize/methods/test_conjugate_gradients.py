"""Conjugate gradients on problems outside the usual collection, beside SciPy; beta and the first trial
step.
"""

import warnings

import numpy as np
import pytest
import scipy.optimize
from cute_problems import OUTSIDE
from phiz.runtime.optimize import FunctionObjective, minimize
from phiz.runtime.optimize.base.errors import OptionError
from phiz.runtime.optimize.line_search.brackets import shortest_step
from phiz.runtime.optimize.line_search.ray import ray_from
from phiz.runtime.optimize.methods.conjugate_gradient import (
    Curvatures,
    hestenes_stiefel_plus,
    polak_ribiere_plus,
)


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("problem", OUTSIDE, ids=[problem.name for problem in OUTSIDE])
def test_the_gradients_are_right(problem):
    x = problem.x0 + 0.01 * np.random.default_rng(0).normal(size=problem.x0.size)
    wanted = problem.gradient_by_complex_step(x)
    np.testing.assert_allclose(problem.g(x), wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


def compare(beta):
    """log of evaluations, ours over SciPy's, where SciPy succeeds; and the problems on which ours ends
    higher.
    """
    ratios, behind = [], []
    for problem in OUTSIDE:
        run = {"maxiter": 5000}
        theirs = scipy.optimize.minimize(
            problem.value_and_gradient, problem.x0, jac=True, method="CG", options=run
        )
        ours = minimize(problem.value_and_gradient, problem.x0, "cg", beta=beta, **run)
        if not theirs.success:
            continue
        ratios.append(np.log(ours.nfev / theirs.nfev))
        if not (ours.success and ours.fun <= theirs.fun + 1e-3 * abs(theirs.fun) + 1e-5):
            behind.append((problem.name, ours.fun, theirs.fun))
    return np.exp(np.mean(ratios)), len(ratios), behind


@pytest.mark.parametrize("beta", ["hestenes-stiefel", "polak-ribiere"])
def test_fewer_evaluations_than_scipy_on_problems_outside(beta):
    ratio, count, behind = compare(beta)
    assert not behind and count >= 30
    assert ratio <= 0.9


def test_beta():
    rng = np.random.default_rng(1)
    r, r_new, d = rng.normal(size=(3, 5))
    d *= -np.sign(d @ (r_new - r))
    assert hestenes_stiefel_plus(r_new, r, d) == pytest.approx(
        max(r_new @ (r_new - r) / (d @ (r - r_new)), 0.0)
    )
    assert hestenes_stiefel_plus(r_new, r, -d) == 0.0, "no positive curvature along d"
    exact = r_new - (r_new @ r) / (r @ r) * r  # an exact search along d = r
    assert hestenes_stiefel_plus(exact, r, r) == pytest.approx(polak_ribiere_plus(exact, r))
    with pytest.raises(
        OptionError, match="expected beta among hestenes-stiefel, polak-ribiere, got 'fletcher'"
    ):
        minimize(lambda x: (x @ x, 2 * x), [1.0], "cg", beta="fletcher")


def test_the_first_trial_stays_within_the_curvatures_of_the_last_step():
    s, y = np.array([1.0, 1.0]), np.array([2.0, 10.0])
    found = Curvatures.of(s, y)
    assert (found.least, found.most) == (6.0, 104 / 12)
    d = np.array([0.0, 2.0])
    assert found.confine(1e9, -24.0, d) == 1.0
    assert found.confine(1e-9, -24.0, d) == pytest.approx(6 * 12 / 104)
    assert found.confine(0.9, -24.0, d) == 0.9
    assert Curvatures.of(s, -y).confine(1e9, -24.0, d) == 1e9


def test_the_shortest_step_is_that_of_the_smallest_parameter():
    """On x = (1e6, 1e-6) a step of 1e-14 in the second counts, whatever the first's precision."""
    start, d = np.array([1e6, 1e-6]), np.array([0.0, 1.0])
    ray = ray_from(FunctionObjective(lambda x: (float(x @ x), 2 * x)), start, -d)
    shortest = shortest_step(ray)
    assert 0 < shortest < 1e-23
    assert (start + 100 * shortest * d != start).any()

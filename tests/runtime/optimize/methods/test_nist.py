"""Levenberg-Marquardt on NIST's certified nonlinear regressions, and on what the other Jacobian solvers
must share.
"""

import functools

import numpy as np
import pytest
import scipy.optimize
from nist_problems import DATA, REGRESSIONS
from phiz.runtime.optimize import LeastSquares, Status, minimize
from phiz.runtime.optimize.base.errors import OptionError
from phiz.runtime.optimize.methods.normal_equations import accumulate, damped_step
from phiz.runtime.optimize.methods.triangular import ScaledFactors, factorise


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


@functools.cache
def fit(index):
    problem = REGRESSIONS[index]
    with np.errstate(all="ignore"):
        return minimize(LeastSquares(problem.residual, problem.jacobian), problem.x0, "lm", maxiter=5000)


@pytest.mark.parametrize("problem", REGRESSIONS[::2], ids=list(DATA))
def test_the_models_give_the_certified_sum_of_squares(problem):
    r = problem.residual(problem.certified)
    assert float(r @ r) == pytest.approx(problem.sum_of_squares, rel=1e-7, abs=1e-18)


@pytest.mark.parametrize("index", range(54), ids=[problem.name for problem in REGRESSIONS])
def test_certified_values_at_default_tolerances(index):
    problem, result = REGRESSIONS[index], fit(index)
    assert result.success, result.message
    assert problem.digits(result.x) >= 4
    assert result.nfev + result.njev <= 1500


def test_all_together_cost_what_minpack_needs():
    """MINPACK's calls were counted with `benchmarks/optimizers/functions.py`: 6,159 at its own
    tolerances, 50 of 54 solved.
    """
    assert sum(fit(index).nfev + fit(index).njev for index in range(54)) <= 1.2 * 6159


@pytest.mark.parametrize("name", ["Lanczos1-2", "Lanczos2-2", "Lanczos3-2"])
def test_nearly_dependent_columns_cost_no_more_than_minpack(name):
    """Squared into J^T J these take 59 to 80 Jacobians."""
    index = [problem.name for problem in REGRESSIONS].index(name)
    problem = REGRESSIONS[index]
    theirs = scipy.optimize.least_squares(
        problem.residual, problem.x0, jac=problem.jacobian, method="lm", x_scale="jac"
    )
    assert fit(index).njev <= theirs.njev + 3


def test_non_finite_trials_do_not_end_a_run_that_can_go_on():
    """MGH17 from its far start: the first trials overflow, and the step after them lowers f by little."""
    index = [problem.name for problem in REGRESSIONS].index("MGH17-1")
    assert fit(index).nit > 20 and fit(index).success


# Solvers of one step


@pytest.mark.parametrize("chunk", [1, 4, 30])
@pytest.mark.parametrize("damping", [0.0, 1e-6, 1e-2, 10.0])
def test_factors_give_the_step_of_the_normal_equations(damping, chunk):
    rng = np.random.default_rng(4)
    jacobian, r = rng.normal(size=(30, 5)), rng.normal(size=30)
    pieces = [(r[at : at + chunk], jacobian[at : at + chunk]) for at in range(0, 30, chunk)]
    scale = np.linalg.norm(jacobian, axis=0)
    equations, factors = accumulate(pieces, 5), factorise(pieces, 5)
    wanted = damped_step(equations, damping, scale, 1e-15, "svd")
    found = ScaledFactors(factors, scale, 1e-15).at(damping)
    for name in ("step", "predicted", "length", "slope", "rank"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), rtol=1e-10)
    np.testing.assert_allclose(factors.gradient, equations.gradient, rtol=1e-12)
    np.testing.assert_allclose(factors.columns, equations.columns, rtol=1e-12)
    assert factors.half_squares == pytest.approx(equations.half_squares) and factors.rows == 30


def test_factors_keep_the_digits_that_squaring_loses():
    """Läuchli's matrix: J^T J is singular in double precision, the least-squares solution is exact to
    ten digits.
    """
    eps = 1e-9
    jacobian = np.vstack([np.ones(3), eps * np.eye(3)])
    r = -jacobian @ np.array([1.0, 2.0, 3.0])
    step = ScaledFactors(factorise([(r, jacobian)], 3), np.ones(3), 1e-15).at(0.0).step
    np.testing.assert_allclose(step, [1, 2, 3], rtol=1e-6)
    squared = damped_step(accumulate([(r, jacobian)], 3), 0.0, np.ones(3), 1e-15).step
    assert np.abs(squared - [1, 2, 3]).max() > 0.1


@pytest.mark.parametrize("radius", [1e-8, 1e-3, 0.5, 3.0, 1e6])
@pytest.mark.parametrize("samples", [2, 30])
def test_steps_within_a_radius(radius, samples):
    rng = np.random.default_rng(5)
    jacobian, r = rng.normal(size=(samples, 4)) * [1.0, 1e-3, 10.0, 1.0], rng.normal(size=samples)
    factors = ScaledFactors(factorise([(r, jacobian)], 4), np.ones(4), 1e-15)
    step, full = factors.within(radius), factors.at(0.0)
    if full.length <= radius:
        assert step.damping == 0.0
    else:
        assert step.length == pytest.approx(radius, rel=0.1) and step.damping > 0.0
    assert step.length == pytest.approx(np.linalg.norm(step.step))
    np.testing.assert_allclose(step.step, factors.at(step.damping).step)


def test_zero_columns_and_single_rows():
    factors = factorise([(np.array([2.0]), np.array([[3.0, 0.0, 4.0]]))], 3)
    step = ScaledFactors(factors, np.ones(3), 1e-15).at(0.0)
    np.testing.assert_allclose(step.step, -2.0 * np.array([3, 0, 4]) / 25, rtol=1e-14)
    assert step.step[1] == 0.0 and step.rank == 1


FORMS = [
    {"rule": "gain"}, {"rule": "decade"}, {"solver": "cholesky"}, {"solver": "svd"}, {"scaling": "marquardt"},
    {"scaling": "identity"}, {"damping": 1e-2, "rule": "radius"},
    {"solver": "cholesky", "rule": "decade", "scaling": "marquardt", "damping": 1e-3},
]  # fmt: skip


@pytest.mark.parametrize("options", FORMS)
@pytest.mark.parametrize("name", ["Misra1a-2", "Thurber-2", "Rat42-1"])
def test_every_form_of_the_paper_stays_reachable(name, options):
    problem = next(problem for problem in REGRESSIONS if problem.name == name)
    result = minimize(LeastSquares(problem.residual, problem.jacobian), problem.x0, "lm", **options)
    assert result.success and problem.digits(result.x) >= 4


def test_a_radius_needs_the_factors():
    with pytest.raises(OptionError, match="solver 'qr' or 'auto', got 'cholesky'"):
        minimize(lambda x: x, [1.0], "lm", jac=lambda x: 1.0, rule="radius", solver="cholesky")
    with pytest.raises(OptionError, match="first_radius > 0"):
        minimize(lambda x: x, [1.0], "lm", jac=lambda x: 1.0, first_radius=0.0)


def test_no_scale_in_x_or_f_matters():
    """Powers of two: the same path to the last bit, from a start at 0 too."""
    rng = np.random.default_rng(6)
    a = rng.normal(size=(9, 3))

    def run(unit, size, x0):
        def residual(x):
            z = a @ (x / unit)
            return size * (np.tanh(z) - 0.3 * z - 1)

        def jacobian(x):
            return size * (1 - np.tanh(a @ (x / unit)) ** 2 - 0.3)[:, None] * a / unit

        return minimize(residual, unit * x0, "lm", jac=jacobian)

    for x0 in (np.zeros(3), np.array([1.0, -2.0, 0.5])):
        plain = run(1.0, 1.0, x0)
        for unit, size in ((2.0**40, 1.0), (2.0**-40, 1.0), (1.0, 2.0**60)):
            other = run(unit, size, x0)
            assert other.nfev == plain.nfev and other.status is plain.status is not Status.NOT_FINITE
            np.testing.assert_allclose(other.x / unit, plain.x, rtol=1e-9)

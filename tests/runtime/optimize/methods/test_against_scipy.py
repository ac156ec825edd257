"""Every method against SciPy on the standard problems: converges wherever SciPy does, with as few
evaluations.
"""

import warnings

import numpy as np
import pytest
import scipy.optimize
from optimize_problems import PROBLEMS
from phiz.runtime.optimize import minimize

#: SciPy's name, and options that give both the same tolerances.
RIVALS = {
    "bfgs": ("BFGS", {}),
    "lbfgs": ("L-BFGS-B", {"ftol": 2.220446049250313e-09}),
    "cg": ("CG", {}),
}


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def fun(problem):
    """Cheap value and gradient for the comparison; the complex-step Jacobian is the slow part at n = 100."""
    if problem.name == "rosenbrock-100":
        return lambda x: (0.5 * scipy.optimize.rosen(x), 0.5 * scipy.optimize.rosen_der(x))
    return problem.value_and_gradient


@pytest.mark.parametrize("method", RIVALS)
def test_gradient_methods(method):
    name, options = RIVALS[method]
    ratios, behind = [], []
    for problem in PROBLEMS:
        f = fun(problem)
        theirs = scipy.optimize.minimize(
            f, problem.x0, jac=True, method=name, options=options | {"maxiter": 5000}
        )
        ours = minimize(f, problem.x0, method, maxiter=5000, **options)
        # gtol = 1e-5 leaves 1e-5 of f undecided on the flattest of these.
        if theirs.success and not (ours.success and ours.fun <= 1.001 * theirs.fun + 1e-5):
            behind.append((problem.name, ours.fun, theirs.fun, ours.message))
        ratios.append(ours.nfev / theirs.nfev)
    assert not behind
    assert len(ratios) >= 25
    assert np.median(ratios) <= 1.2


def test_levenberg_marquardt():
    ratios, behind = [], []
    for problem in PROBLEMS:
        if problem.residual(problem.x0).size < problem.x0.size:
            continue
        theirs = scipy.optimize.least_squares(
            problem.residual, problem.x0, jac=problem.jacobian, method="lm", x_scale="jac", max_nfev=2000
        )
        ours = minimize(problem, problem.x0, "lm", maxfev=2000)
        if ours.fun > theirs.cost * (1 + 1e-6) + 1e-12:
            behind.append((problem.name, ours.fun, theirs.cost))
        ratios.append((ours.nfev + ours.njev) / (theirs.nfev + theirs.njev))
    assert not behind
    assert len(ratios) >= 25
    assert np.median(ratios) <= 1.2


def test_lm_reaches_what_lbfgs_does_not_with_ten_times_the_evaluations():
    """A function fit, 1-10-1 tanh on 1,000 samples."""
    from optimize_networks import Network

    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1000, 1))
    net = Network([1, 10, 1], ["tanh", "identity"], x, np.sin(3 * x) + 0.3 * np.cos(7 * x))
    start = rng.normal(size=net.n)
    lm = minimize(net, start, "lm", maxfev=60)
    lbfgs = minimize(net, start, "lbfgs", maxfev=10 * (lm.nfev + lm.njev), gtol=1e-12, maxiter=10**6)
    assert lm.fun < lbfgs.fun

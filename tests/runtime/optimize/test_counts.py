"""nfev and njev are what the user's functions were called, and nothing is computed twice at one x."""

import numpy as np
import pytest
import scipy.optimize
from optimize_networks import Network
from phiz.runtime.optimize import LeastSquares, Status, minimize

X0 = [-1.2, 1.0]


class Counted:
    """A function that counts its calls and remembers where."""

    def __init__(self, function):
        self.function, self.places = function, []

    def __call__(self, x):
        self.places.append(tuple(x))
        return self.function(x)

    @property
    def calls(self):
        return len(self.places)

    @property
    def once_each(self):
        return len(set(self.places)) == self.calls


def residuals(x):
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])


def jacobian(x):
    return np.array([[-20 * x[0], 10.0], [-1.0, 0.0]])


def test_levenberg_marquardt_uses_a_trial_again():
    fun, jac = Counted(residuals), Counted(jacobian)
    result = minimize(fun, X0, "lm", jac=jac)
    assert result.success and (fun.calls, jac.calls) == (result.nfev, result.njev)
    assert fun.once_each and jac.once_each
    minpack = scipy.optimize.least_squares(residuals, X0, jac=jacobian, method="lm", x_scale="jac")
    assert result.nfev <= 1.2 * minpack.nfev


def test_a_function_of_both_is_called_once_a_trial():
    both = Counted(lambda x: (residuals(x), jacobian(x)))
    result = minimize(both, X0, "lm")
    assert both.calls == result.nfev == result.njev and both.once_each
    apart = minimize(residuals, X0, "lm", jac=jacobian)
    assert both.calls == apart.nfev
    np.testing.assert_array_equal(result.x, apart.x)


class Chunks:
    """A residual objective with no more than the protocol asks for."""

    def __init__(self):
        self.rows = Counted(lambda x: iter([(residuals(x), jacobian(x))]))

    def residuals_and_jacobian_chunks(self, x):
        return self.rows(x)


def test_objects_are_counted_by_method():
    plain = Chunks()
    result = minimize(plain, X0, "lm")
    assert plain.rows.calls == result.nfev == result.njev and plain.rows.once_each
    richer = Chunks()
    richer.residuals = Counted(residuals)
    result = minimize(richer, X0, "lm")
    assert (richer.residuals.calls, richer.rows.calls) == (result.nfev, result.njev) and richer.rows.once_each


@pytest.mark.parametrize("line_search", ["armijo", "brent", "golden", "strong-wolfe"])
@pytest.mark.parametrize("method", ["gd", "cg", "lbfgs"])
def test_gradient_methods(method, line_search):
    fun, jac = Counted(scipy.optimize.rosen), Counted(scipy.optimize.rosen_der)
    result = minimize(fun, X0, method, jac=jac, line_search=line_search, maxiter=30)
    assert (fun.calls, jac.calls) == (result.nfev, result.njev)
    fun, jac = Counted(residuals), Counted(jacobian)
    result = minimize(LeastSquares(fun, jac), X0, method, line_search=line_search, maxiter=30)
    assert (fun.calls, jac.calls) == (result.nfev, result.njev)
    both = Counted(lambda x: (residuals(x), jacobian(x)))
    result = minimize(LeastSquares(both), X0, method, line_search=line_search, maxiter=30)
    assert both.calls == result.nfev == result.njev


def test_a_value_search_does_not_evaluate_its_end_again():
    fun, jac = Counted(scipy.optimize.rosen), Counted(scipy.optimize.rosen_der)
    minimize(fun, X0, "gd", jac=jac, line_search="armijo", maxiter=30)
    assert fun.once_each and jac.once_each


def test_failures_and_limits_are_counted_too():
    def edge(x):
        if x[0] > 0.5:
            raise OverflowError("outside")
        return residuals(x)

    fun, jac = Counted(edge), Counted(jacobian)
    result = minimize(fun, X0, "lm", jac=jac)
    assert (fun.calls, jac.calls) == (result.nfev, result.njev)
    fun, jac = Counted(residuals), Counted(jacobian)
    result = minimize(fun, X0, "lm", jac=jac, maxfev=5)
    assert result.status is Status.MAX_EVALUATIONS
    assert (fun.calls, jac.calls) == (result.nfev, result.njev) and fun.calls == 5


def test_mini_batches():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))
    calls = []

    class Batches(Network):
        def value_and_gradient(self, omega):
            calls.append(len(self.x))
            return super().value_and_gradient(omega)

    net = Batches([2, 3, 1], ["tanh", "identity"], x, x[:, :1])
    net.batch = lambda indices: Batches(net.sizes, net.activations, net.x[indices], net.t[indices])
    result = minimize(net, rng.normal(size=net.n), "sgd", batch_size=4, maxiter=7, step=1e-3)
    assert len(calls) == result.nfev == result.njev

"""Nothing that a user's function writes, keeps or returns is the optimizer's own array."""

import numpy as np
import pytest
import scipy.optimize
from optimize_networks import Network
from phiz.runtime.errors import ShapeError
from phiz.runtime.optimize import LeastSquares, minimize
from phiz.runtime.optimize.base.errors import OptionError
from phiz.runtime.optimize.error_curve import error_curve
from phiz.runtime.optimize.methods.linear_cg import linear_cg

GRADIENT_METHODS = ["gd", "momentum", "cg", "bfgs", "lbfgs"]
LINE_SEARCHES = ["strong-wolfe", "armijo", "goldstein", "golden", "brent", "dbrent"]
A = np.random.default_rng(3).normal(size=(5, 2))


class Vandal:
    """||x - 3||² in every form; writes into each x it gets and over everything that it has returned
    before.
    """

    def __init__(self):
        self.returned = []

    def _give(self, array):
        for old in self.returned:
            old[...] = 77.0
        self.returned.append(array)
        return array

    def value(self, x):
        result = float(((x - 3) ** 2).sum())
        x[:] = 99
        return result

    def value_and_gradient(self, x):
        value, gradient = float(((x - 3) ** 2).sum()), 2 * (x - 3)
        x[:] = 99
        return value, self._give(gradient)

    def residuals(self, x):
        r = np.sqrt(2.0) * (A @ (x - 3))
        x[:] = 99
        return self._give(r)

    def jacobian(self, x):
        x[:] = 99
        return self._give(np.sqrt(2.0) * A)

    def pair(self, x):
        r = np.sqrt(2.0) * (A @ (x - 3))
        x[:] = 99
        self._give(r)
        self.returned.append(np.sqrt(2.0) * A)
        return tuple(self.returned[-2:])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_the_first_example(method, dtype):
    def fun(x):
        v = ((x - 3) ** 2).sum(), 2 * (x - 3)
        x[:] = 99
        return v

    result = minimize(fun, np.zeros(2, dtype), method)
    assert result.success
    np.testing.assert_allclose(result.x, [3, 3], rtol=1e-5)
    assert result.fun == pytest.approx(((result.x - 3) ** 2).sum(), abs=1e-12)


@pytest.mark.parametrize("line_search", LINE_SEARCHES)
@pytest.mark.parametrize("method", ["gd", "cg", "bfgs", "lbfgs"])
def test_objects_and_line_searches(method, line_search):
    x0 = np.array([0.0, 1.0])
    result = minimize(Vandal(), x0, method, line_search=line_search)
    np.testing.assert_allclose(result.x, [3, 3], rtol=1e-4)
    np.testing.assert_allclose(result.jac, 2 * (result.x - 3), atol=1e-12)
    np.testing.assert_array_equal(x0, [0, 1])


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "lm"])
def test_functions_and_their_derivatives_apart(method):
    vandal = Vandal()
    if method == "lm":
        result = minimize(vandal.residuals, np.zeros(2), "lm", jac=vandal.jacobian)
        pair = minimize(Vandal().pair, np.zeros(2), "lm")
        np.testing.assert_allclose(pair.x, [3, 3], rtol=1e-6)
    else:
        result = minimize(vandal.value, np.zeros(2), method, jac=lambda x: vandal.value_and_gradient(x)[1])
        by_residuals = minimize(LeastSquares(Vandal().residuals, vandal.jacobian), np.zeros(2), method)
        np.testing.assert_allclose(by_residuals.x, [3, 3], rtol=1e-4)
    np.testing.assert_allclose(result.x, [3, 3], rtol=1e-4)


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "lm"])
def test_callbacks_and_results_hold_copies(method):
    def objective():
        def jacobian(x):
            return np.array([[-20 * x[0], 10], [-1, 0]])

        return LeastSquares(lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]), jacobian)

    seen = []

    def vandalise(progress):
        seen.append(progress)
        progress.x[:] = 99
        progress.jac[:] = 99

    options = {"step": 1e-4} if method == "momentum" else {}
    plain = minimize(objective(), [-1.2, 1.0], method, maxiter=40, **options)
    result = minimize(objective(), [-1.2, 1.0], method, maxiter=40, callback=vandalise, **options)
    np.testing.assert_array_equal(result.x, plain.x)
    np.testing.assert_array_equal(result.jac, plain.jac)
    kept = result.x.copy()
    result.x[:] = 5
    assert not np.array_equal(result.x, kept) and all((progress.x == 99).all() for progress in seen)


@pytest.mark.parametrize("method", ["sgd", "momentum"])
def test_batch_indices_are_copies(method):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(12, 2))

    class Batches(Network):
        def batch(self, indices):
            part = super().batch(indices.copy())
            indices[:] = 0
            return part

    inputs = ([2, 3, 1], ["tanh", "identity"], x, x[:, :1])
    x0 = rng.normal(size=13)
    plain = minimize(Network(*inputs), x0, method, batch_size=4, maxiter=9, step=1e-3)
    spoilt = minimize(Batches(*inputs), x0, method, batch_size=4, maxiter=9, step=1e-3)
    np.testing.assert_array_equal(spoilt.x, plain.x)


def test_preconditioners_products_and_error_curves():
    scale, buffer = np.array([1.0, 100.0, 1.0]), np.empty(3)

    def fun(x):
        return 0.5 * float(x @ (scale * x)), scale * x

    def precondition(v):
        buffer[:] = v / scale
        v[:] = 99
        return buffer

    result = minimize(fun, np.ones(3), "cg", preconditioner=precondition)
    assert result.success and result.nit <= 3

    def product(v):
        buffer[:] = scale * v
        v[:] = 99
        return buffer

    def spoil(x):
        x[:] = 99

    solved = linear_cg(product, [1.0, 2.0, 3.0], preconditioner=precondition, callback=spoil)
    np.testing.assert_allclose(solved.x, [1, 0.02, 3], rtol=1e-9)
    curve = error_curve(Vandal(), [0.0, 0.0], alphas=[0.0, 0.5, 1.0])
    np.testing.assert_allclose(curve.values, [18, 0, 18], atol=1e-12)


# What shapes a function may return


COLUMN = {"column": lambda a: a[:, None], "row": lambda a: a[None, :], "list": lambda a: a.tolist()}


@pytest.mark.parametrize("form", COLUMN)
def test_rows_columns_and_lists_are_accepted(form):
    shape = COLUMN[form]
    plain = minimize(lambda x: A @ x - 1, [0.0, 0.0], "lm", jac=lambda x: A)
    result = minimize(lambda x: shape(A @ x - 1), [0.0, 0.0], "lm", jac=lambda x: A.tolist())
    np.testing.assert_array_equal(result.x, plain.x)
    assert result.fun == pytest.approx(
        0.5 * np.square(A @ np.linalg.lstsq(A, np.ones(5), rcond=None)[0] - 1).sum()
    )
    descent = minimize(
        lambda x: ([[scipy.optimize.rosen(x)]], shape(scipy.optimize.rosen_der(x))), [-1.2, 1.0], "lbfgs"
    )
    assert descent.success and descent.x == pytest.approx([1, 1], abs=1e-4)


def test_scalar_residuals():
    result = minimize(lambda x: x[0] - 2.0, [0.0], "lm", jac=lambda x: 1.0)
    assert result.x[0] == pytest.approx(2)
    result = minimize(lambda x: (x[0] + x[1] - 2.0, [1.0, 1.0]), [0.0, 0.0], "lm")
    assert result.x.sum() == pytest.approx(2)
    result = minimize(lambda x: x[0] * np.ones(4) - 2.0, [0.0], "lm", jac=lambda x: np.ones(4))
    assert result.x[0] == pytest.approx(2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: minimize(lambda x: A, [0.0, 0.0], "lm", jac=lambda x: A),
            r"residuals: expected shape \(m,\), got \(5, 2\)",
        ),
        (
            lambda: minimize(lambda x: A @ x, [0.0, 0.0], "lm", jac=lambda x: A.T),
            r"Jacobian: expected .* got \(2, 5\)",
        ),
        (
            lambda: minimize(lambda x: A @ x, [0.0, 0.0], "lm", jac=lambda x: A.ravel()),
            r"Jacobian: expected .* got \(10,\)",
        ),
        (
            lambda: minimize(lambda x: (A @ x, None), [0.0, 0.0], "lm"),
            "Jacobian: expected real numbers, got NoneType",
        ),
        (
            lambda: minimize(lambda x: A @ x + 1j, [0.0, 0.0], "lm", jac=lambda x: A),
            "residuals: expected real .* complex128",
        ),
        (
            lambda: minimize(lambda x: [[1.0], [1.0, 2.0]], [0.0], "lm", jac=lambda x: A),
            "residuals: .* ragged list",
        ),
        (
            lambda: minimize(lambda x: (1.0, np.eye(2)), [0.0, 0.0]),
            r"gradient: expected shape \(2,\), got \(2, 2\)",
        ),
        (lambda: minimize(lambda x: (1.0, "ab"), [0.0, 0.0]), "gradient: expected real numbers, got <U2"),
        (lambda: minimize(lambda x: ([1.0, 2.0], x), [0.0, 0.0]), "fun: expected one real number"),
        (
            lambda: minimize(lambda x: ([1.0, [2.0]], x), [0.0, 0.0]),
            "fun: expected one real number, got a ragged list",
        ),
    ],
)
def test_other_shapes_are_refused_in_one_line(call, words):
    with pytest.raises((ShapeError, OptionError), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)

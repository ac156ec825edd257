"""Bad input and bad luck: the best point is kept, the reason is said."""

import math
import time
import tracemalloc

import numpy as np
import pytest
import scipy.optimize
from optimize_networks import Network
from phiz.runtime.errors import NotFiniteError, PhizError, ShapeError
from phiz.runtime.optimize import LeastSquares, Status, make_method, minimize, predict_memory
from phiz.runtime.optimize.base.errors import MemoryRefusedError, OptionError
from phiz.runtime.optimize.line_search.wolfe import StrongWolfe
from phiz.runtime.optimize.methods.lbfgs import LBFGS, CorrectionPairs
from phiz.runtime.optimize.state import load_state

GRADIENT_METHODS = ["gd", "momentum", "cg", "bfgs", "lbfgs"]


def rosen(x):
    return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)


def options_for(method):
    return {"step": 1e-4} if method == "momentum" else {}


class Failing:
    """Rosenbrock that misbehaves from the given evaluation on, and remembers the best value it gave out."""

    def __init__(self, after, misbehave):
        self.after, self.misbehave, self.calls, self.best = after, misbehave, 0, math.inf

    def value_and_gradient(self, x):
        self.calls += 1
        if self.calls > self.after:
            return self.misbehave(x)
        f, g = rosen(x)
        self.best = min(self.best, f)
        return f, g


def give(f, g):
    return lambda x: (f, np.full(len(x), g))


def throw(error):
    def raiser(x):
        raise error

    return raiser


@pytest.mark.parametrize("method", GRADIENT_METHODS)
@pytest.mark.parametrize(
    "misbehave",
    [
        give(math.nan, 0.0),
        give(math.inf, 0.0),
        give(-math.inf, 0.0),
        give(-1e9, math.nan),
        throw(OverflowError("big")),
        throw(np.linalg.LinAlgError("singular")),
    ],
)
def test_not_finite_from_some_point_on(method, misbehave):
    objective = Failing(9, misbehave)
    result = minimize(objective, [-1.2, 1.0], method, **options_for(method))
    assert not result.success
    bottomless = misbehave([0])[0] == -math.inf if misbehave.__name__ != "raiser" else False
    assert result.status in ((Status.UNBOUNDED,) if bottomless else (Status.LINE_SEARCH, Status.NOT_FINITE))
    assert result.fun == objective.best == rosen(result.x)[0]
    assert any(word in result.message for word in ("nan", "inf", "raised", "not finite"))
    assert objective.calls < 400


def failing(method, error, after=6):
    """An objective for the method that raises from some call on, and where it has got to before."""
    if method != "lm":
        objective = Failing(after, throw(error))
        return objective, objective
    calls = Failing(after, throw(error))
    calls.jacobian = lambda x: np.array([[-20 * x[0], 10], [-1, 0]])

    def residuals(x):
        calls.calls += 1
        if calls.calls > after:
            raise error
        r = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        calls.best = min(calls.best, 0.5 * float(r @ r))
        return r

    return LeastSquares(residuals, calls.jacobian), calls


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "lm"])
@pytest.mark.parametrize("kind", [RuntimeError, PhizError, TypeError, ValueError, StopIteration, MemoryError])
def test_other_exceptions_reach_the_user_with_their_traceback(method, kind, tmp_path):
    error = kind("mine")
    objective, told = failing(method, error)
    file = tmp_path / "s.npz"
    with pytest.raises(type(error), match="mine") as caught:
        minimize(objective, [-1.2, 1.0], method, state_file=file, **options_for(method))
    assert caught.value is error
    assert caught.traceback[-1].name in ("raiser", "residuals")
    assert f"{told.best:.10g}" in error.__notes__[-1]
    objective, told = failing(method, error)
    result = minimize(objective, [-1.2, 1.0], method, keep_errors=True, **options_for(method))
    assert result.fun == told.best == pytest.approx(load_state(file)["best_fun"])
    assert result.status is Status.RAISED and result.error is error
    assert "mine" in result.message and type(error).__name__ in result.message


def test_an_exception_while_the_best_point_is_completed_keeps_it():
    """The gradient of a value-only search's best trial, asked for after the limit of evaluations."""
    calls = []

    def gradient(x):
        calls.append(0)
        if len(calls) > 1:
            raise RuntimeError("mine")
        return scipy.optimize.rosen_der(x)

    run = {"method": "gd", "jac": gradient, "line_search": "brent", "maxfev": 9}
    result = minimize(scipy.optimize.rosen, [-1.2, 1.0], keep_errors=True, **run)
    assert str(result.error) == "mine" and result.jac is None and result.fun < 24
    calls.clear()
    with pytest.raises(RuntimeError, match="mine"):
        minimize(scipy.optimize.rosen, [-1.2, 1.0], **run)


def test_wrong_shapes_on_the_way_are_raised():
    with pytest.raises(ShapeError, match="preconditioner: expected shape"):
        minimize(rosen, [-1.2, 1.0], "cg", preconditioner=lambda v: v[:1] if v[0] < 9 else v)


def test_exceptions_at_the_start_pass_through():
    with pytest.raises(ZeroDivisionError):
        minimize(lambda x: 1 / 0, [1.0])


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_not_finite_at_the_start(method):
    result = minimize(give(math.nan, 1.0), [1.0, 2.0], method)
    assert result.status is Status.NOT_FINITE and "nan" in result.message and result.nit == 0
    np.testing.assert_array_equal(result.x, [1.0, 2.0])


@pytest.mark.parametrize("method", GRADIENT_METHODS)
def test_a_domain_with_an_edge(method):
    """-log needs x > 0; long first steps leave the domain."""
    step = {"step": 0.5} if method == "momentum" else {}
    with np.errstate(all="ignore"):
        result = minimize(lambda x: (float((x - np.log(x)).sum()), 1 - 1 / x), [0.01, 30.0], method, **step)
    assert result.success
    np.testing.assert_allclose(result.x, 1, atol=1e-4)


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "lm"])
def test_zero_gradient_at_the_start(method):
    objective = LeastSquares(lambda x: x - 1, lambda x: np.eye(x.size))
    result = minimize(objective, [1.0, 1.0], method)
    assert result.success and result.nit == 0 and result.fun == 0
    assert result.status is (Status.ZERO_RESIDUAL if method == "lm" else Status.GRADIENT)


@pytest.mark.parametrize("method", ["cg", "bfgs", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_flat_valley_and_flat_plain(method, dtype):
    valley = minimize(
        lambda x: (float(x[0] ** 2), np.array([2 * x[0], 0 * x[1]])), np.array([3, 5], dtype), method
    )
    assert valley.success and abs(valley.x[0]) < 1e-4 and valley.x[1] == 5
    slope = minimize(lambda x: (float(-x[0]), np.array([-1.0, 0.0])), np.zeros(2, dtype), method, maxiter=20)
    assert not slope.success and slope.fun < 0 and slope.message
    quartic = minimize(
        lambda x: (float((x**8).sum()), 8 * x**7), np.array([1, -0.5], dtype), method, gtol=1e-6
    )
    assert quartic.success


@pytest.mark.parametrize("method", ["bfgs", "lbfgs"])
def test_pairs_without_curvature_are_left_out(method):
    """A line search that ignores curvature, on a concave slope: y^T s < 0."""
    result = minimize(
        lambda x: (float(np.cos(x).sum()), -np.sin(x)),
        [0.1, 0.2],
        method,
        line_search="armijo",
        first_step=1.0,
    )
    assert result.success
    assert any("no positive curvature" in record.note for record in result.history)
    np.testing.assert_allclose(np.cos(result.x), -1, atol=1e-8)


def test_direction_that_does_not_descend_is_replaced():
    method = LBFGS(memory=3)

    def spoil(progress):
        if progress.nit == 3:
            method.pairs.rho[:] *= -1.0
            method.pairs.scale = -1.0

    result = minimize(rosen, [-1.2, 1.0], method, callback=spoil)
    assert result.success
    assert result.history[4].note == "reset: not a descent direction"


@pytest.mark.parametrize("method", ["cg", "bfgs", "lbfgs"])
def test_wrong_gradient_is_said_not_followed(method):
    result = minimize(lambda x: (float((x * x).sum()), -2 * x), [1.0, 2.0], method)
    assert result.status is Status.LINE_SEARCH and result.fun == 5 and "line search" in result.message


@pytest.mark.parametrize("method", [*GRADIENT_METHODS, "lm"])
def test_ctrl_c_keeps_the_best_point(method):
    best, calls = [math.inf], []

    def residuals(x):
        calls.append(0)
        if len(calls) > 12:
            raise KeyboardInterrupt
        r = np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
        best[0] = min(best[0], 0.5 * float(r @ r))
        return r

    objective = LeastSquares(residuals, lambda x: np.array([[-20 * x[0], 10], [-1, 0]]))
    result = minimize(objective, [-1.2, 1.0], method, **options_for(method))
    assert result.status is Status.INTERRUPTED and "interrupted" in result.message
    assert result.fun == best[0] and result.nit == len(result.history) - 1


def test_callback_stops_and_its_errors_are_not_swallowed():
    assert minimize(rosen, [-1.2, 1.0], callback=lambda p: p.nit == 4).nit == 4
    result = minimize(rosen, [-1.2, 1.0], callback=throw(StopIteration()))
    assert result.status is Status.CALLBACK and result.nit == 1
    with pytest.raises(ValueError, match="mine"):
        minimize(rosen, [-1.2, 1.0], callback=throw(ValueError("mine")))


def test_limits():
    result = minimize(rosen, [-1.2, 1.0], maxfev=7)
    assert result.nfev == 7 and result.status is Status.MAX_EVALUATIONS
    result = minimize(rosen, [-1.2, 1.0], maxiter=0)
    assert result.nit == 0 and result.status is Status.MAX_ITERATIONS
    result = minimize(rosen, [-1.2, 1.0], target=1.0)
    assert result.status is Status.TARGET and result.fun <= 1.0

    def slow(x):
        time.sleep(0.01)
        return rosen(x)

    result = minimize(slow, [-1.2, 1.0], time_limit=0.1)
    assert result.status is Status.TIME_LIMIT and result.seconds < 5 and result.nfev < 60 and result.fun < 5
    result = minimize(rosen, [-1.2, 1.0], time_limit=0.0)
    assert result.status is Status.TIME_LIMIT and result.nit == 0


def test_xtol_and_ftol():
    assert minimize(rosen, [-1.2, 1.0], "bfgs", gtol=0, xtol=1e-3).status is Status.STEP
    assert minimize(rosen, [-1.2, 1.0], "bfgs", gtol=0, ftol=1e-3).status is Status.FUNCTION


# Levenberg-Marquardt


def test_lm_rank_deficient_and_duplicate_columns():
    rng = np.random.default_rng(0)
    base = rng.normal(size=(20, 3))
    a = np.concatenate([base, base[:, :1], np.zeros((20, 1))], axis=1)
    b = rng.normal(size=20)
    wanted = 0.5 * np.square(a @ np.linalg.lstsq(a, b, rcond=None)[0] - b).sum()
    for solver in ("auto", "svd"):
        result = minimize(
            lambda x: a @ x - b, np.zeros(5), "lm", jac=lambda x: a, solver=solver, damping=1e-300
        )
        assert result.success and result.fun == pytest.approx(wanted, rel=1e-12)
        assert result.x[4] == 0


def test_lm_uses_the_svd_where_cholesky_cannot():
    a = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
    result = minimize(lambda x: a @ x - 2, np.zeros(2), "lm", jac=lambda x: a, damping=1e-30)
    assert "svd, rank 1 of 2" in result.history[1].note
    np.testing.assert_allclose(result.x, 1, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-150, 1e-20, 1e20, 1e150])
def test_lm_huge_and_tiny_residuals(scale):
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(9, 3)), rng.normal(size=9)
    with np.errstate(all="ignore"):
        result = minimize(lambda x: scale * (a @ x - b), np.zeros(3), "lm", jac=lambda x: scale * a)
    np.testing.assert_allclose(result.x, np.linalg.lstsq(a, b, rcond=None)[0], rtol=1e-6)


def test_lm_overflowing_normal_matrix_is_said():
    with np.errstate(all="ignore"):
        result = minimize(
            lambda x: np.array([1e-3 * x[0]]),
            [1.0],
            "lm",
            jac=lambda x: np.array([[1e200]]),
            solver="cholesky",
        )
    assert result.status is Status.NOT_FINITE and "Jacobian" in result.message


def test_lm_jacobian_that_fails_on_the_way_shortens_the_step():
    def jac(x):
        return np.array([[math.nan if x[0] > 1.5 else 1.0]])

    result = minimize(lambda x: x - np.array([4.0]), [0.0], "lm", jac=jac, maxiter=50)
    assert not result.success and "not finite" in result.message
    assert result.fun <= 0.5 * 2.5**2 and result.history[-1].fun == pytest.approx(0.5 * 2.5**2, rel=1e-5)


def test_lm_one_sample_and_more_parameters_than_samples():
    rng = np.random.default_rng(2)
    for samples in (1, 3):
        x, t = rng.normal(size=(samples, 2)), rng.normal(size=(samples, 2))
        net = Network([2, 4, 2], ["tanh", "identity"], x, t)
        result = minimize(net, rng.normal(size=net.n), "lm")
        assert result.success and result.fun < 1e-20
        result = minimize(net, rng.normal(size=net.n), "lm", residual="norm", outputs=2)
        assert result.fun < 1e-8


def test_lm_zero_residual_stops_at_once():
    result = minimize(lambda x: x * 0, [1.0, 2.0], "lm", jac=lambda x: np.zeros((2, 2)))
    assert result.status is Status.ZERO_RESIDUAL and result.nit == 0


def test_lm_no_jacobian_at_all_is_named():
    with pytest.raises(OptionError, match="residuals_and_jacobian_chunks"):
        minimize(Failing(9, give(0, 0)), [1.0, 1.0], "lm")


def test_memory_is_predicted_and_refused_with_the_figure():
    a = np.eye(200)
    objective = LeastSquares(lambda x: a @ x - 1, lambda x: a)
    for method in ("bfgs", "lm"):
        needed = predict_memory(method, 200)
        assert 200 * 200 * 8 <= needed <= 11 * 200 * 200 * 8
        with pytest.raises(MemoryRefusedError, match=r"200 parameters need .*KiB.*1000 B|MiB"):
            minimize(objective, np.zeros(200), method, memory_limit=1000)
        assert minimize(objective, np.zeros(200), method, memory_limit=needed).memory_bytes == needed
    with pytest.raises(MemoryRefusedError, match=r"1,000,000 parameters need .*TiB"):
        minimize(lambda x: (0.0, x), np.ones(1_000_000), "lm")


@pytest.mark.parametrize("method", ["bfgs", "lm", "lbfgs"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_memory_prediction_covers_the_peak(method, dtype):
    n = 300
    rng = np.random.default_rng(0)
    a = rng.normal(size=(n, n)).astype(dtype)
    rows = [np.ascontiguousarray(a[i : i + 10]) for i in range(0, n, 10)]

    class Quadratic:
        def value(self, x):
            r = a @ x - 1
            return 0.5 * float(r @ r)

        def value_and_gradient(self, x):
            return self.value(x), a.T @ (a @ x - 1)

        def residuals_and_jacobian_chunks(self, x):
            return ((row @ x - 1, row) for row in rows)

    method_options = {"solver": "svd"} if method == "lm" else {}
    tracemalloc.start()
    minimize(Quadratic(), np.ones(n, dtype), method, maxiter=3, **method_options)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    predicted = predict_memory(method, n, dtype)
    assert peak <= 1.1 * predicted + 300_000
    assert predicted <= 3 * peak


# The front


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: minimize(rosen, [[1.0, 2.0]]), ShapeError, "flat vector"),
        (lambda: minimize(rosen, []), ShapeError, "at least one"),
        (lambda: minimize(rosen, [1j, 0]), ShapeError, "real"),
        (lambda: minimize(rosen, [1.0, math.nan]), NotFiniteError, r"x0\[1\]"),
        (lambda: minimize(rosen, [1.0, 2.0], "newton"), OptionError, "lbfgs"),
        (lambda: minimize(rosen, [1.0, 2.0], momentum=0.9), OptionError, "memory"),
        (lambda: minimize(rosen, [1.0, 2.0], "lm", line_search="brent"), OptionError, "no line search"),
        (lambda: minimize(rosen, [1.0, 2.0], gtol=-1), OptionError, "gtol"),
        (lambda: minimize(rosen, [1.0, 2.0], maxiter=1.5), OptionError, "maxiter"),
        (lambda: minimize(rosen, [1.0, 2.0], memory=0), OptionError, "memory"),
        (lambda: minimize(rosen, [1.0, 2.0], "cg", restart_every=0), OptionError, "restart_every"),
        (lambda: minimize(scipy.optimize.rosen, [1.0, 2.0]), OptionError, "jac="),
        (lambda: minimize(lambda x: (x, x), [1.0, 2.0]), OptionError, "one real number"),
        (lambda: minimize(lambda x: (1.0, x[:1]), [1.0, 2.0]), ShapeError, "gradient"),
        (lambda: minimize(7, [1.0, 2.0]), OptionError, "objective"),
        (lambda: minimize(rosen, [1.0, 2.0], "sgd"), OptionError, "sample_count"),
        (lambda: minimize(rosen, [1.0, 2.0], "gd", step=0.1, line_search="brent"), OptionError, "either"),
        (lambda: minimize(rosen, [1.0, 2.0], "gd", step=-0.1), OptionError, "step"),
        (lambda: minimize(rosen, [1.0, 2.0], resume=True), OptionError, "state_file"),
        (lambda: minimize(rosen, [1.0, 2.0], "lm", damping=0), OptionError, "damping"),
        (lambda: minimize(rosen, [1.0, 2.0], "lm", residual="norm"), OptionError, "outputs"),
        (lambda: minimize(rosen, [1.0, 2.0], LBFGS(), memory=3), OptionError, "ready-made"),
        (lambda: make_method("lbfgs", search_xtol=1.0), OptionError, "xtol"),
        (lambda: make_method("gd", step=0.1, search_c1=1.0), OptionError, "search_c1"),
    ],
)
def test_bad_input_is_one_clear_line(call, error, words):
    with pytest.raises(error, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_ready_made_method_and_scipy_like_calls():
    x0 = [-1.2, 1.0]
    made = minimize(rosen, x0, LBFGS(memory=3, line_search=StrongWolfe(c2=0.5)))
    named = minimize(scipy.optimize.rosen, x0, "lbfgs", jac=scipy.optimize.rosen_der, memory=3, search_c2=0.5)
    assert made.success and made.nfev == named.nfev
    np.testing.assert_array_equal(made.x, named.x)
    scaled = minimize(lambda x, k: (k * float(x @ x), 2 * k * x), x0, args=(3.0,))
    assert scaled.success


def test_dtypes_are_kept():
    for dtype in (np.float32, np.float64):
        for method in GRADIENT_METHODS:
            result = minimize(lambda x: (float(x @ x), 2 * x), np.ones(3, dtype), method)
            assert result.x.dtype == result.jac.dtype == dtype and result.success
        result = minimize(lambda x: (x - 2, np.eye(3, dtype=x.dtype)), np.ones(3, dtype), "lm")
        assert result.x.dtype == dtype and result.success
    assert minimize(lambda x: (float(x @ x), 2 * x), [3, 4]).x.dtype == np.float64


def test_objective_that_reuses_its_buffers():
    buffer = np.empty(2)

    def fun(x):
        buffer[:] = scipy.optimize.rosen_der(x)
        return scipy.optimize.rosen(x), buffer

    assert minimize(fun, [-1.2, 1.0], "bfgs").success


def test_correction_pairs_keep_the_last_m():
    """X47: never pair k - m - 1 again."""
    pairs = CorrectionPairs(3, 4, np.dtype(float))
    rng = np.random.default_rng(0)
    for k in range(7):
        s = rng.normal(size=4)
        pairs.append(s, 2 * s + 0.1 * k)
        kept = [pairs.s[i] for i in pairs.newest_first()]
        assert len(kept) == min(k + 1, 3)
        np.testing.assert_array_equal(kept[0], s)

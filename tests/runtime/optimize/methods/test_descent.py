"""Gradient descent, its stochastic forms, schedules, the sampler; linear CG; products of long float32
vectors.
"""

import math

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st
from optimize_networks import Network
from phiz.runtime.errors import ShapeError
from phiz.runtime.optimize import Status, minimize
from phiz.runtime.optimize.base.errors import OptionError
from phiz.runtime.optimize.base.vector import dot, max_norm, norm
from phiz.runtime.optimize.line_search.ray import LineSearchReason
from phiz.runtime.optimize.methods.linear_cg import linear_cg
from phiz.runtime.optimize.methods.residuals import NormResidual, gauss_newton_softmax
from phiz.runtime.optimize.methods.sampler import MiniBatchSampler
from phiz.runtime.optimize.methods.schedules import (
    Constant,
    Cosine,
    InverseTime,
    StepDecay,
    WarmUp,
    as_schedule,
)


class Linear:
    """Sum over samples of 1/2 (a_i^T x - b_i)^2, or their mean."""

    def __init__(self, a, b, reduction="sum"):
        self.a, self.b, self.reduction = a, b, reduction
        self.sample_count = len(b)

    def value_and_gradient(self, x):
        r = self.a @ x - self.b
        share = 1 / len(r) if self.reduction == "mean" else 1.0
        return 0.5 * share * float(r @ r), share * (self.a.T @ r)

    def batch(self, indices):
        return Linear(self.a[indices], self.b[indices], self.reduction)


def linear(reduction="sum", samples=31, n=3):
    rng = np.random.default_rng(4)
    a = rng.normal(size=(samples, n))
    x = rng.normal(size=n)
    return Linear(a, a @ x, reduction), x


def test_one_batch_of_all_samples_is_gradient_descent():
    problem, _ = linear()
    full = minimize(problem, np.zeros(3), "gd", step=1e-3, maxiter=20, gtol=0)
    batches = minimize(problem, np.zeros(3), "sgd", step=1e-3, maxiter=20, batch_size=31, shuffle=False)
    np.testing.assert_allclose(batches.x, full.x, rtol=1e-12)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_sgd_scales_the_batch_gradient_by_hand(reduction):
    problem, _ = linear(reduction)
    step, seed = 1e-3, 5
    result = minimize(problem, np.zeros(3), "sgd", step=step, batch_size=8, seed=seed, maxiter=6)
    x = np.zeros(3)
    order = np.concatenate([np.random.default_rng([seed, e]).permutation(31) for e in range(2)])
    for at in range(6):
        rows = order[:31][8 * at : 8 * at + 8] if at < 4 else order[31:][8 * (at - 4) : 8 * (at - 4) + 8]
        share = 31 / len(rows) if reduction == "sum" else 1 / len(rows)
        x = x - step * share * problem.a[rows].T @ (problem.a[rows] @ x - problem.b[rows])
    np.testing.assert_allclose(result.x, x, rtol=1e-12)
    assert result.fun == pytest.approx(
        problem.value_and_gradient(x)[0]
    )  # the full objective's, not a batch's


def test_sgd_converges_and_repeats_by_seed():
    problem, x = linear("mean")
    runs = [
        minimize(problem, np.zeros(3), "sgd", step=InverseTime(0.1, 200), batch_size=4, seed=s, epochs=60)
        for s in (1, 1, 2)
    ]
    np.testing.assert_array_equal(runs[0].x, runs[1].x)
    assert not np.array_equal(runs[0].x, runs[2].x)
    assert runs[0].nit == 60 * 8 and "60 epochs" in runs[0].message
    np.testing.assert_allclose(runs[0].x, x, atol=1e-3)


def test_momentum_beats_plain_descent_on_an_ill_conditioned_quadratic():
    d = np.array([1.0, 100.0])

    def fun(x):
        return 0.5 * float(d @ (x * x)), d * x

    plain = minimize(fun, [1.0, 1.0], "gd", step=2 / 101)
    ball = minimize(fun, [1.0, 1.0], "momentum", step=(2 / 11) ** 2, momentum=(9 / 11) ** 2)
    assert plain.success and ball.success and ball.nit < plain.nit / 4


@pytest.mark.parametrize(
    "search", ["armijo", "goldstein", "wolfe", "strong-wolfe", "golden", "brent", "dbrent"]
)
@pytest.mark.parametrize("method", ["gd", "momentum", "cg", "bfgs", "lbfgs"])
def test_every_method_with_every_line_search(method, search):
    def fun(x):
        return 0.5 * scipy.optimize.rosen(x), 0.5 * scipy.optimize.rosen_der(x)

    result = minimize(fun, [-1.2, 1.0, 0.7], method, line_search=search, maxiter=400)
    if (method, search) == ("cg", "armijo"):  # no curvature condition: the directions lose their conjugacy
        assert result.fun < 0.1
    else:
        assert result.fun < {"gd": 2.0, "momentum": 0.5}.get(method, 1e-8)
    values = result.history.column("fun")
    assert np.all(np.diff(values) <= 1e-9)


def test_steps_are_halved_where_f_is_not_finite():
    with np.errstate(all="ignore"):
        result = minimize(
            lambda x: (float(-np.log(x[0]) + x[0]), 1 - 1 / x), [5.0], "gd", step=9.0, maxiter=50
        )
    assert result.history[1].note == "step halved to 4.5: f is nan"
    assert result.history[1].step == 4.5
    assert np.isfinite(result.history.column("fun")).all() and result.fun < 1.1


def test_divergence_is_caught_and_the_best_point_kept():
    """x^2 with a step three times too long: x doubles its sign until f overflows."""
    with np.errstate(all="ignore"):
        diverging = minimize(lambda x: (float(x @ x), 2 * x), [1.0], "gd", step=3.0, maxiter=20)
        caught = minimize(lambda x: (float(x @ x), 2 * x), [1.0], "gd", step=3.0)
    assert not diverging.success and diverging.fun == 1.0 == diverging.x[0]
    assert diverging.history[-1].fun > 1e6
    assert caught.success and any("halved" in record.note for record in caught.history)


def test_periodic_line_search_resets_the_step():
    d = np.array([1.0, 30.0])

    def fun(x):
        return 0.5 * float(d @ (x * x)), d * x

    slow = minimize(fun, [1.0, 1.0], "gd", step=1e-4, maxiter=300)
    reset = minimize(fun, [1.0, 1.0], "gd", step=1e-4, maxiter=300, reset_step_every=10)
    assert reset.fun < 1e-3 * slow.fun
    notes = reset.history.column("note")
    assert notes[1] == notes[11] == "step reset by line search" and notes[2] == ""


def test_running_mean_of_directions():
    d = np.array([1.0, 50.0])
    w, mu = 0.8, 0.01
    result = minimize(
        lambda x: (0.5 * float(d @ (x * x)), d * x),
        [1.0, 1.0],
        "gd",
        step=mu,
        direction_mean=w,
        maxiter=5,
        gtol=0,
    )
    x, mean = np.ones(2), None
    for _ in range(5):
        mean = d * x if mean is None else w * mean + (1 - w) * d * x
        x = x - mu * mean
    np.testing.assert_allclose(result.history[-1].fun, 0.5 * d @ (x * x), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(samples=st.integers(1, 70), size=st.integers(1, 70), seed=st.integers(0, 2**31), drop=st.booleans())
def test_every_epoch_visits_every_sample_once(samples, size, seed, drop):
    if size > samples:
        with pytest.raises(OptionError, match="batch_size"):
            MiniBatchSampler(samples, size, seed)
        return
    sampler = MiniBatchSampler(samples, size, seed, drop_last=drop)
    per = sampler.batches_per_epoch
    for epoch in range(3):
        visited = np.concatenate([sampler.batch(epoch * per + k) for k in range(per)])
        assert len(set(visited)) == len(visited) == (samples - samples % size if drop else samples)
    late = MiniBatchSampler(samples, size, seed, drop_last=drop).batch(2 * per)
    np.testing.assert_array_equal(late, sampler.batch(2 * per))


def test_schedules():
    assert [StepDecay(1.0, 2, 0.1)(i) for i in range(5)] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
    assert Constant(0.5)(99) == 0.5 and as_schedule(0.25)(7) == 0.25
    inverse = InverseTime(2.0, 10.0)
    assert inverse(0) == 2.0 and inverse(10) == 1.0 and inverse(30) == 0.5
    cosine = Cosine(1.0, 10, 0.1)
    assert (
        cosine(0) == 1.0
        and cosine(5) == pytest.approx(0.55)
        and cosine(10) == cosine(99) == pytest.approx(0.1)
    )
    warm = WarmUp(inverse, 4)
    assert [warm(i) for i in (0, 3, 4, 14)] == pytest.approx([0.5, 2.0, 2.0, 1.0])
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(OptionError, match="step"):
            Constant(bad)


def test_linear_cg_on_larger_systems():
    rng = np.random.default_rng(0)
    m = rng.normal(size=(60, 60))
    a = m @ m.T + 60 * np.eye(60)
    b = rng.normal(size=60)
    result = linear_cg(a, b)
    assert result.success
    np.testing.assert_allclose(result.x, np.linalg.solve(a, b), rtol=1e-7, atol=1e-10)
    stiff = np.diag(np.logspace(0, 8, 60))
    a = stiff @ (np.eye(60) + 0.01 * m @ m.T / 60) @ stiff
    plain = linear_cg(lambda v: a @ v, b, maxiter=300)
    scaled = linear_cg(a, b, maxiter=300, preconditioner=lambda v: v / np.diag(a))
    assert scaled.success and scaled.nit < 40 and not plain.success


def test_nonlinear_cg_with_a_preconditioner():
    """On a quadratic it is preconditioned linear CG; on a badly scaled quartic it saves most of the work."""
    rng = np.random.default_rng(3)
    m = rng.normal(size=(6, 6))
    d = np.logspace(0, 4, 6)
    a, b = np.diag(d) @ (m @ m.T + 6 * np.eye(6)) @ np.diag(d), rng.normal(size=6) * d
    diagonal = np.diag(a).copy()
    exact = lambda ray, alpha0=1.0: ray.result(  # noqa: E731
        ray.value_and_slope(-ray.origin.slope / (ray.direction @ a @ ray.direction)),
        LineSearchReason.SATISFIED,
    )
    xs = []
    linear_cg(a, b, maxiter=5, rtol=0, preconditioner=lambda v: v / diagonal, callback=lambda x: xs.append(x))
    found = []
    minimize(
        lambda x: (0.5 * x @ a @ x - b @ x, a @ x - b),
        np.zeros(6),
        "cg",
        line_search=exact,
        maxiter=5,
        gtol=0,
        preconditioner=lambda v: v / diagonal,
        callback=lambda p: found.append(p.x.copy()),
    )
    np.testing.assert_allclose(np.array(found) * d, np.array(xs) * d, rtol=1e-6, atol=1e-8)

    def quartic(x):
        return 0.5 * x @ a @ x - b @ x + 0.25 * float((x**4).sum()), a @ x - b + x**3

    plain = minimize(quartic, np.zeros(6), "cg", maxfev=5000, gtol=1e-6)
    scaled = minimize(
        quartic, np.zeros(6), "cg", maxfev=5000, gtol=1e-6, preconditioner=lambda v: v / diagonal
    )
    assert scaled.success and scaled.nfev < plain.nfev / 3


def test_linear_cg_recomputes_the_residual():
    products = []
    a = np.diag(np.arange(1.0, 41.0))
    linear_cg(lambda v: (products.append(0), a @ v)[1], np.ones(40), rtol=0, maxiter=12, recompute_every=5)
    assert len(products) == 1 + 12 + 2


def test_linear_cg_says_when_a_is_not_positive_definite():
    result = linear_cg(np.diag([1.0, -1.0]), [1.0, 1.0])
    assert not result.success and "not positive definite" in result.message
    assert linear_cg(np.eye(2), [0.0, 0.0]).success
    with pytest.raises(ShapeError, match=r"\(2, 2\)"):
        linear_cg(np.eye(3), [1.0, 2.0])


@pytest.mark.parametrize("n", [1, 31, 4096, 4097, 10_000, 1_000_003])
def test_float32_dot_products(n):
    rng = np.random.default_rng(n)
    a, b = rng.uniform(0, 1, n).astype(np.float32), rng.uniform(0, 1, n).astype(np.float32)
    exact = math.fsum((a.astype(float) * b.astype(float)).tolist())
    assert dot(a, b) == pytest.approx(exact, rel=3e-7)
    assert dot(a[::2], b[::2]) == pytest.approx(
        math.fsum((a[::2].astype(float) * b[::2].astype(float)).tolist()), rel=3e-7
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_do_not_overflow(dtype):
    big, small = np.finfo(dtype).max / 4, np.finfo(dtype).tiny * 4
    assert norm(np.array([3 * big / 4, big], dtype)) == pytest.approx(1.25 * float(big), rel=1e-6)
    assert norm(np.array([3 * small, 4 * small], dtype)) == pytest.approx(5 * float(small), rel=1e-6)
    assert norm(np.zeros(3, dtype)) == 0 and max_norm(np.array([-3, 2], dtype)) == 3
    assert norm(np.array([np.inf, 1], dtype)) == np.inf and math.isnan(norm(np.array([np.nan, 1], dtype)))


def test_gauss_newton_rows_of_softmax():
    """J^T J and J^T r against the definition, and LM with them against L-BFGS."""
    rng = np.random.default_rng(0)
    m, k, n = 30, 3, 6
    features, labels = rng.normal(size=(m, 2)), rng.integers(0, k, m)
    t = np.eye(k)[labels]

    class Regression:
        def outputs(self, x):
            z = features @ x.reshape(k, 2).T
            p = np.exp(z - z.max(axis=1, keepdims=True))
            return p / p.sum(axis=1, keepdims=True)

        def value(self, x):
            return float(-(t * np.log(self.outputs(x))).sum() + 0.05 * x @ x)

        def value_and_gradient(self, x):
            return self.value(x), ((self.outputs(x) - t).T @ features).ravel() + 0.1 * x

        def residuals_and_jacobian_chunks(self, x):
            jacobian = np.einsum("kj,mi->mkji", np.eye(k), features).reshape(m, k, n)
            yield gauss_newton_softmax(self.outputs(x), t, jacobian)
            yield np.sqrt(0.1) * x, np.sqrt(0.1) * np.eye(n)

    problem, x = Regression(), rng.normal(size=n)
    rows = list(problem.residuals_and_jacobian_chunks(x))
    p = problem.outputs(x)
    gradient = sum(j.T @ r for r, j in rows)
    np.testing.assert_allclose(gradient, problem.value_and_gradient(x)[1], rtol=1e-12)
    hessian = sum(
        np.kron(np.diag(q) - np.outer(q, q), np.outer(f, f)) for q, f in zip(p, features, strict=True)
    )
    np.testing.assert_allclose(rows[0][1].T @ rows[0][1], hessian, rtol=1e-11, atol=1e-13)
    lm, lbfgs = minimize(problem, x, "lm"), minimize(problem, x, "lbfgs", gtol=1e-9)
    assert lm.success and lm.fun == pytest.approx(lbfgs.fun, rel=1e-10) and lm.nit <= 12


def test_norm_residual_rows():
    rng = np.random.default_rng(0)
    net = Network([2, 3, 2], ["tanh", "identity"], rng.normal(size=(5, 2)), rng.normal(size=(5, 2)))
    omega = rng.normal(size=net.n)
    ((r, jacobian),) = net.residuals_and_jacobian_chunks(omega)
    norms, rows = NormResidual.rows(r, jacobian, 2)
    for p in range(net.n):
        step = 1e-6 * np.eye(net.n)[p]
        ends = [np.linalg.norm(net.residuals(omega + s).reshape(-1, 2), axis=1) for s in (step, -step)]
        np.testing.assert_allclose(rows[:, p], (ends[0] - ends[1]) / 2e-6, atol=1e-8)
    np.testing.assert_allclose(rows.T @ norms, jacobian.T @ r, rtol=1e-12)
    r[2:4] = 0
    norms, rows = NormResidual.rows(r, jacobian, 2)
    assert norms[1] == 0 and not rows[1].any() and np.isfinite(rows).all()
    with pytest.raises(ShapeError, match="multiple of 3"):
        NormResidual.rows(r, jacobian, 3)


def test_lm_memory_does_not_grow_with_the_samples_and_chunks_do_not_change_the_result():
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (100, 1))
    results = []
    for chunk in (1, 7, 100):
        net = Network([1, 4, 1], ["tanh", "identity"], x, np.sin(3 * x), chunk)
        results.append(minimize(net, np.linspace(-1, 1, net.n), "lm", maxiter=30))
    assert results[0].memory_bytes == results[2].memory_bytes
    for result in results[:2]:
        assert result.fun == pytest.approx(results[2].fun, rel=1e-6)


def test_lm_norm_residual_trains():
    rng = np.random.default_rng(1)
    x = rng.uniform(-1, 1, (40, 2))
    net = Network(
        [2, 6, 2], ["tanh", "identity"], x, np.stack([x[:, 0] * x[:, 1], np.sin(2 * x[:, 0])], axis=1)
    )
    start = rng.normal(size=net.n)
    component = minimize(net, start, "lm", maxiter=40)
    printed = minimize(net, start, "lm", maxiter=40, residual="norm", outputs=2)
    assert component.fun < printed.fun < 0.05 * net.value(start)


def test_status_of_sgd_with_a_time_limit():
    problem, _ = linear()
    result = minimize(problem, np.zeros(3), "sgd", step=1e-3, batch_size=4, time_limit=0.2, maxiter=10**9)
    assert result.status is Status.TIME_LIMIT and result.nit > 0

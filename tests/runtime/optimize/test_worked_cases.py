"""The worked cases of the paper's sections 4 to 7."""

import numpy as np
import pytest
from optimize_networks import Network, Quartic, assert_close, case
from phiz.runtime.optimize import minimize
from phiz.runtime.optimize.line_search.armijo import armijo_holds
from phiz.runtime.optimize.line_search.brent import Brent
from phiz.runtime.optimize.line_search.brent_derivative import BrentDerivative
from phiz.runtime.optimize.line_search.golden import GoldenSection
from phiz.runtime.optimize.line_search.ray import LineSearchReason, ray_from
from phiz.runtime.optimize.line_search.wolfe import (
    curvature_holds,
    strong_curvature_holds,
    strong_wolfe_holds,
    wolfe_holds,
)
from phiz.runtime.optimize.methods.bfgs import BFGS
from phiz.runtime.optimize.methods.conjugate_gradient import ConjugateGradient
from phiz.runtime.optimize.methods.gradient_descent import GradientDescent
from phiz.runtime.optimize.methods.lbfgs import LBFGS, two_loop
from phiz.runtime.optimize.methods.linear_cg import linear_cg
from phiz.runtime.optimize.methods.normal_equations import accumulate, damped_step, damping_scale
from phiz.runtime.optimize.methods.residuals import NormResidual

LM_CASES = ["norm_residual", "component_residual", "single_output", "tiny_1_2_1"]


@pytest.mark.parametrize("name", LM_CASES)
@pytest.mark.parametrize("chunk", [1, 7, 100])
def test_lm_normal_equations_and_step(name, chunk):
    given, wanted = case(f"lm_step_{name}")
    net = Network(given["sizes"], given["activations"], given["X"], given["T"], chunk)
    chunks = net.residuals_and_jacobian_chunks(given["omega"])
    if given["residual"] == "norm":
        chunks = NormResidual.group(chunks, int(given["sizes"][-1]))
    pieces = list(chunks)
    assert_close(np.concatenate([r for r, _ in pieces]), wanted["r"])
    assert_close(np.concatenate([j for _, j in pieces]), wanted["J"])
    equations = accumulate(pieces, given["omega"].size)
    assert_close(equations.gradient, wanted["grad"])
    assert_close(equations.matrix.diagonal(), wanted["diag_JTJ"])
    assert_close(equations.half_squares, wanted["E_before"])
    scale = damping_scale(equations.matrix.diagonal())
    for solver in ("auto", "svd"):
        step = damped_step(equations, given["lam"], scale, 1e-15, solver)
        assert step.solver == ("cholesky" if solver == "auto" else "svd")
        assert_close(step.step, wanted["Delta"])
        assert_close(given["omega"] + step.step, wanted["omega_new"])
    assert_close(net.value(given["omega"] + step.step), wanted["E_after"])


@pytest.mark.parametrize("name", LM_CASES)
def test_lm_takes_the_step_only_if_the_error_falls(name):
    given, wanted = case(f"lm_step_{name}")
    net = Network(given["sizes"], given["activations"], given["X"], given["T"])
    form = "norm" if given["residual"] == "norm" else "component"
    result = minimize(
        net,
        given["omega"],
        "lm",
        damping=given["lam"],
        maxiter=1,
        residual=form,
        outputs=int(given["sizes"][-1]),
    )
    first = result.history[1]
    if wanted["E_after"] < wanted["E_before"]:
        assert_close(result.x, wanted["omega_new"])
        assert first.step == given["lam"] and first.note == ""
    else:
        assert first.note.endswith("rejected") and first.step > given["lam"]
        assert result.fun < wanted["E_before"]


def test_lm_dead_unit_gets_the_pseudo_inverse_step():
    """A unit without input or influence: zero columns; every solver leaves its weights alone."""
    rng = np.random.default_rng(5)
    jacobian = rng.normal(size=(12, 5))
    jacobian[:, 2] = 0
    r = rng.normal(size=12)
    a, g = jacobian.T @ jacobian, jacobian.T @ r
    wanted = -np.linalg.pinv(a + 0.1 * np.diag(np.diag(a))) @ g
    equations = accumulate([(r, jacobian)], 5)
    for solver in ("auto", "svd"):
        step = damped_step(equations, 0.1, damping_scale(equations.matrix.diagonal()), 1e-15, solver)
        np.testing.assert_allclose(step.step, wanted, atol=1e-13)
        assert step.step[2] == 0


def test_linear_cg_ends_in_n_steps():
    given, wanted = case("cg_quadratic")
    iterates = [given["x0"]]
    result = linear_cg(given["A"], given["b"], given["x0"], rtol=1e-11, callback=iterates.append)
    assert result.nit == 5 and result.success
    assert_close(np.array(iterates), wanted["x"])
    assert_close(result.alpha, wanted["alpha"])
    assert_close(result.beta, wanted["beta"])
    assert_close(result.x, wanted["solution"])


def follow(method, given, iterations):
    """x, alpha of every iteration; beta of CG or H of BFGS."""
    xs, alphas, extras = [given["x0"]], [], []

    def watch(progress):
        xs.append(progress.x.copy())
        alphas.append(progress.step)
        if isinstance(method, ConjugateGradient):
            extras.append(method.last_beta)
        if isinstance(method, BFGS):
            extras.append(method.inverse_hessian.full())

    minimize(Quartic(given), given["x0"], method, callback=watch, maxiter=iterations, gtol=0.0)
    return np.array(xs), np.array(alphas), extras


def exact(given):
    """A line search at the exact minimum, with which the cases were made."""
    problem = Quartic(given)
    return lambda ray, alpha0=1.0: ray.result(
        ray.value_and_slope(problem.exact_step(ray.start.x, ray.direction)), LineSearchReason.SATISFIED
    )


SEARCHES = {"exact": exact, "dbrent": lambda given: BrentDerivative(xtol=1e-15)}


@pytest.mark.parametrize("search", SEARCHES)
@pytest.mark.parametrize("name", ["quadratic", "quartic"])
@pytest.mark.parametrize("beta", ["polak-ribiere", "hestenes-stiefel"])
def test_nonlinear_cg(name, search, beta):
    """Both forms of beta agree after exact searches."""
    given, wanted = case(f"nonlinear_cg_prplus_{name}")
    method = ConjugateGradient(line_search=SEARCHES[search](given), beta=beta)
    xs, alphas, betas = follow(method, given, len(wanted["alpha"]))
    if search == "exact":
        assert_close(xs, wanted["x"][: len(xs)])
        assert_close(alphas, wanted["alpha"])
        assert_close(betas, wanted["beta"])
    else:
        np.testing.assert_allclose(xs, wanted["x"][: len(xs)], atol=1e-9)
        np.testing.assert_allclose(alphas, wanted["alpha"], rtol=1e-9)


def test_nonlinear_cg_clamps_beta_at_zero():
    _, wanted = case("nonlinear_cg_prplus_quartic")
    assert wanted["beta_before_clamp"][3] < 0 == wanted["beta"][3]


@pytest.mark.parametrize("search", [GoldenSection, Brent, BrentDerivative])
def test_line_searches_find_the_exact_steps_of_the_quartic(search):
    given, wanted = case("nonlinear_cg_prplus_quartic")
    problem, d = Quartic(given), None
    for k, alpha in enumerate(wanted["alpha"]):
        x = wanted["x"][k]
        g = problem.value_and_gradient(x)[1]
        d = -g if d is None else -g + wanted["beta"][k - 1] * d
        found = search(xtol=1e-13 if search is BrentDerivative else 1e-9)(ray_from(problem, x, d), 0.3)
        assert found.success
        assert found.alpha == pytest.approx(alpha, rel=1e-11 if search is BrentDerivative else 1e-6)


@pytest.mark.parametrize("search", SEARCHES)
def test_bfgs_quadratic(search):
    given, wanted = case("bfgs_quadratic")
    xs, alphas, hs = follow(BFGS(line_search=SEARCHES[search](given)), given, 3)
    tolerance = {"rtol": 1e-8, "atol": 1e-8}
    np.testing.assert_allclose(xs, wanted["x"][:4], **tolerance)
    np.testing.assert_allclose(alphas, wanted["alpha"], **tolerance)
    for k, h in enumerate(hs):
        np.testing.assert_allclose(h, wanted[f"H{k + 1}"], **tolerance)
    if search == "exact":
        assert_close(xs, wanted["x"][:4])
        assert_close(alphas, wanted["alpha"])
        for k, h in enumerate(hs):
            assert_close(h, wanted[f"H{k + 1}"])


def test_bfgs_with_identity_kept():
    given, wanted = case("bfgs_quadratic")
    _, alphas, hs = follow(BFGS(line_search=exact(given), scale_initial=False), given, 3)
    assert_close(alphas, wanted["alpha_H0_identity"])
    assert_close(hs[2], wanted["H3_H0_identity"])


def test_lbfgs_m2_quadratic():
    given, wanted = case("lbfgs_m2_quadratic")
    xs, alphas, _ = follow(LBFGS(memory=2, line_search=exact(given)), given, 3)
    assert_close(xs, wanted["x"][:4])
    assert_close(alphas, wanted["alpha"])
    directions = np.diff(xs, axis=0) / alphas[:, None]
    np.testing.assert_allclose(directions, wanted["p"][:3], atol=1e-11, rtol=1e-11)


@pytest.mark.parametrize("memory", [1, 2, 3, 5])
def test_two_loop_is_the_explicit_product_of_the_kept_updates(memory):
    """Algorithm 2 against m updates (182) of the scaled identity, on the quartic's own pairs."""
    given, _ = case("nonlinear_cg_prplus_quartic")
    problem, n = Quartic(given), 5
    method = LBFGS(memory=memory, line_search=exact(given))
    xs, _, _ = follow(method, given, 6)
    gs = np.array([problem.value_and_gradient(x)[1] for x in xs])
    s, y = np.diff(xs, axis=0)[-memory:], np.diff(gs, axis=0)[-memory:]
    h = np.eye(n) * (s[-1] @ y[-1]) / (y[-1] @ y[-1])
    for s_i, y_i in zip(s, y, strict=True):
        left = np.eye(n) - np.outer(s_i, y_i) / (s_i @ y_i)
        h = left @ h @ left.T + np.outer(s_i, s_i) / (s_i @ y_i)
    np.testing.assert_allclose(method.pairs.times(gs[-1]), h @ gs[-1], rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(two_loop(gs[-1], list(s), list(y)), h @ gs[-1], rtol=1e-12, atol=1e-14)
    assert method.pairs.count == memory


def test_bfgs_quartic_keeps_the_secant_equation_and_matches_the_product_form():
    given, _ = case("nonlinear_cg_prplus_quartic")
    problem = Quartic(given)
    xs, _, hs = follow(BFGS(line_search=exact(given)), given, 6)
    gs = np.array([problem.value_and_gradient(x)[1] for x in xs])
    s, y = np.diff(xs, axis=0), np.diff(gs, axis=0)
    h = np.eye(5) * (s[0] @ y[0]) / (y[0] @ y[0])
    for k in range(6):
        left = np.eye(5) - np.outer(s[k], y[k]) / (s[k] @ y[k])
        h = left @ h @ left.T + np.outer(s[k], s[k]) / (s[k] @ y[k])
        np.testing.assert_allclose(hs[k], h, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(hs[k] @ y[k], s[k], rtol=1e-10, atol=1e-13)


def test_gradient_descent_exact_step_and_heavy_ball():
    given, wanted = case("gradient_descent_and_momentum")
    xs, steps, _ = follow(GradientDescent(line_search=exact(given)), given, len(wanted["mu_exact"]))
    assert_close(xs, wanted["x_exact_step"][: len(xs)])
    assert_close(steps, wanted["mu_exact"])
    ball = GradientDescent(step=given["mu"], momentum=given["p"])
    xs, _, _ = follow(ball, given, len(wanted["x_heavy_ball"]) - 1)
    assert_close(xs, wanted["x_heavy_ball"])


def test_wolfe_conditions_on_rosenbrock():
    _, wanted = case("wolfe_conditions_rosenbrock")
    f0, slope0 = wanted["f0"], wanted["slope0"]
    assert len(wanted["table"]) >= 10
    for row in wanted["table"]:
        alpha, f, slope = row["alpha"], row["f"], row["slope"]
        assert armijo_holds(alpha, f, f0, slope0) == row["armijo"]
        assert curvature_holds(slope, slope0) == row["curvature"]
        assert strong_curvature_holds(slope, slope0) == row["strong_curvature"]
        assert strong_curvature_holds(slope, slope0, 0.1) == row["curvature_c2_01"]
        assert wolfe_holds(alpha, f, slope, f0, slope0) == (row["armijo"] and row["curvature"])
        assert strong_wolfe_holds(alpha, f, slope, f0, slope0) == (row["armijo"] and row["strong_curvature"])

"""Line searches: their conditions, their honesty when there is nothing to find."""

import math

import numpy as np
import pytest
import scipy.optimize
from phiz.runtime.optimize import FunctionObjective
from phiz.runtime.optimize.base.errors import OptionError
from phiz.runtime.optimize.line_search.armijo import Armijo, Goldstein, armijo_holds, goldstein_holds
from phiz.runtime.optimize.line_search.brackets import Bracket, bracket
from phiz.runtime.optimize.line_search.brent import Brent
from phiz.runtime.optimize.line_search.brent_derivative import BrentDerivative
from phiz.runtime.optimize.line_search.golden import GoldenSection
from phiz.runtime.optimize.line_search.interpolation import cubic_minimiser, parabola_minimiser
from phiz.runtime.optimize.line_search.line_search import LINE_SEARCHES, make_line_search
from phiz.runtime.optimize.line_search.ray import LineSearchReason, ray_from
from phiz.runtime.optimize.line_search.wolfe import StrongWolfe, strong_wolfe_holds, weak_wolfe, wolfe_holds


def line(phi, dphi, x=0.0, d=1.0, dtype=np.float64):
    """A ray over a function of one variable."""
    fun = FunctionObjective(lambda v: phi(float(v[0])), lambda v: np.array([dphi(float(v[0]))]))
    return ray_from(fun, np.array([x], dtype), np.array([d], dtype))


#: Moré and Thuente's (1994) functions 1 and 2, and others with a hard shape; each descends at 0.
FUNCTIONS = {
    "more-thuente-1": (lambda a: -a / (a * a + 2), lambda a: (a * a - 2) / (a * a + 2) ** 2),
    "more-thuente-2": (lambda a: (a + 0.004) ** 5 - 2 * (a + 0.004) ** 4,
                       lambda a: 5 * (a + 0.004) ** 4 - 8 * (a + 0.004) ** 3),
    "quartic": (lambda a: (a - 3) ** 4 + 0.1 * a, lambda a: 4 * (a - 3) ** 3 + 0.1),
    "cosine": (lambda a: math.cos(a + 0.5), lambda a: -math.sin(a + 0.5)),
    "barrier": (lambda a: -math.log(5 - a) - 2 * a if a < 5 else math.nan,
                lambda a: 1 / (5 - a) - 2 if a < 5 else math.nan),
    "exponential": (lambda a: math.exp(40 * a - 20) - 30 * a, lambda a: 40 * math.exp(40 * a - 20) - 30),
    "steep": (lambda a: 1e8 * (a - 1e-6) ** 2, lambda a: 2e8 * (a - 1e-6)),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("alpha0", [1e-3, 1e-1, 1.0, 10.0, 1e3])
def test_conditions_hold_at_the_step(name, alpha0):
    phi, dphi = FUNCTIONS[name]
    f0, s0 = phi(0.0), dphi(0.0)
    for search, c2 in ((StrongWolfe(), 0.9), (StrongWolfe(c2=0.1), 0.1)):
        found = search(line(phi, dphi), alpha0)
        assert found.reason is LineSearchReason.SATISFIED
        assert strong_wolfe_holds(found.alpha, phi(found.alpha), dphi(found.alpha), f0, s0, 1e-4, c2)
        assert found.evaluations <= 30
    found = weak_wolfe()(line(phi, dphi), alpha0)
    assert found.success and wolfe_holds(found.alpha, phi(found.alpha), dphi(found.alpha), f0, s0)
    found = Armijo()(line(phi, dphi), alpha0)
    assert found.success and armijo_holds(found.alpha, phi(found.alpha), f0, s0)
    found = Goldstein()(line(phi, dphi), alpha0)
    assert found.success and goldstein_holds(found.alpha, phi(found.alpha), f0, s0)


UNIMODAL = ["more-thuente-1", "quartic", "barrier", "exponential", "steep"]


@pytest.mark.parametrize("name", UNIMODAL)
@pytest.mark.parametrize("alpha0", [1e-3, 1.0, 30.0])
@pytest.mark.parametrize("search", [GoldenSection(1e-7), Brent(1e-7), BrentDerivative(1e-9)])
def test_minimisers_agree_with_scipy(name, alpha0, search):
    phi, dphi = FUNCTIONS[name]
    upper = 5.0 - 1e-12 if name == "barrier" else 20.0 if name != "exponential" else 2.0
    wanted = scipy.optimize.brentq(dphi, 0.0, upper, xtol=1e-15, rtol=1e-14)
    found = search(line(phi, dphi), alpha0)
    assert found.reason is LineSearchReason.CONVERGED
    assert found.alpha == pytest.approx(wanted, rel=2e-3 if name == "quartic" else 1e-5)
    assert found.value <= phi(0.0)
    assert found.evaluations <= (75 if isinstance(search, GoldenSection) else 40)


def test_brent_needs_no_more_evaluations_than_scipy():
    for name in set(UNIMODAL) - {"barrier"}:  # SciPy's has no way with NaN
        phi, dphi = FUNCTIONS[name]
        theirs = scipy.optimize.minimize_scalar(
            phi, bracket=(0.0, 1.0), method="brent", options={"xtol": 1e-6}
        )
        ours = Brent(xtol=1e-6)(line(phi, dphi), 1.0)
        assert ours.evaluations <= 1.3 * theirs.nfev + 2, name


def test_bracket_holds_a_minimum():
    for name in UNIMODAL:
        phi, dphi = FUNCTIONS[name]
        for alpha0 in (1e-6, 1.0, 1e4):
            found = bracket(line(phi, dphi), alpha0)
            assert isinstance(found, Bracket)
            assert found.lo.alpha < found.mid.alpha < found.hi.alpha
            assert found.mid.value < found.lo.value
            assert not found.hi.value < found.mid.value


@pytest.mark.parametrize("name", LINE_SEARCHES)
def test_never_none_and_says_why(name):
    search = make_line_search(name)
    up = search(line(lambda a: a * a + a, lambda a: 2 * a + 1), 1.0)
    assert up.reason is LineSearchReason.NOT_DESCENT and up.alpha == 0 and not up.success
    flat = search(line(lambda a: 1.0, lambda a: 0.0), 1.0)
    assert flat.reason is LineSearchReason.NOT_DESCENT and not flat.moved
    blind = search(line(lambda a: -a if a <= 0 else math.nan, lambda a: -1.0 if a <= 0 else math.nan), 1.0)
    assert blind.reason is LineSearchReason.NOT_FINITE and blind.alpha == 0 and blind.value == 0
    liar = search(line(lambda a: abs(a), lambda a: -1.0), 1.0)
    assert liar.reason is LineSearchReason.NO_DECREASE and liar.value == 0

    def logarithm(a):
        if a >= 1:
            raise FloatingPointError("outside")
        return math.log(1 - a)

    raising = search(line(logarithm, lambda a: -1.0 / max(1 - a, 0.1)), 4.0)
    assert raising.moved and raising.value < 0
    endless = search(line(lambda a: -a, lambda a: -1.0), 1.0)
    assert endless.moved and endless.value == -endless.alpha
    assert endless.success or endless.reason in (
        LineSearchReason.STEP_LIMIT,
        LineSearchReason.MAX_EVALUATIONS,
    )


@pytest.mark.parametrize("name", LINE_SEARCHES)
def test_keeps_the_best_point_it_has_seen(name):
    """A budget too small to finish: what comes back is the lowest trial."""
    rng = np.random.default_rng(3)
    seen = {}

    def phi(a):
        return seen.setdefault(a, 0.0 if a == 0 else float(rng.uniform(-1e-9, 1)) - 1e-9)

    search = make_line_search(name, max_evaluations=7)
    found = search(line(phi, lambda a: -1.0), 1.0)
    if not found.success:
        assert found.value == min(seen.values())


def test_strong_wolfe_tries_the_first_step_first():
    phi, dphi = (lambda a: (a - 1.2) ** 2), (lambda a: 2 * (a - 1.2))
    found = StrongWolfe()(line(phi, dphi), 1.0)
    assert found.alpha == 1.0 and found.evaluations == 1


def test_strong_wolfe_where_f_is_flat_to_rounding():
    """Differences of f are lost, slopes are not."""

    def phi(a):
        return (
            np.nextafter(1e6, 2e6) if a > 0 else 1e6
        )  # the true 1e6 + 1e-11 (a - 1)^2, rounded the wrong way

    def dphi(a):
        return 2e-11 * (a - 1)

    found = StrongWolfe(c2=0.1)(line(phi, dphi), 0.25)
    assert found.success and abs(dphi(found.alpha)) <= 0.1 * abs(dphi(0))


def test_float32_ray_stays_float32():
    found = StrongWolfe()(line(lambda a: (a - 3) ** 2, lambda a: 2 * (a - 3), dtype=np.float32), 1.0)
    assert found.point.x.dtype == np.float32 and found.point.gradient.dtype == np.float32


def test_interpolation():
    p = np.poly1d([2.0, -3.0, -4.0, 5.0])
    d = p.deriv()
    lowest = max(np.roots(d))
    assert cubic_minimiser(0.2, p(0.2), d(0.2), 3.0, p(3.0), d(3.0)) == pytest.approx(lowest)
    assert cubic_minimiser(3.0, p(3.0), d(3.0), 0.2, p(0.2), d(0.2)) == pytest.approx(lowest)
    q = np.poly1d([2.0, -3.0, 1.0])
    assert parabola_minimiser(0.1, q(0.1), q.deriv()(0.1), 2.0, q(2.0)) == pytest.approx(0.75)
    assert math.isnan(parabola_minimiser(0.0, 0.0, -1.0, 1.0, -1.0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: StrongWolfe(c1=0.5, c2=0.1), lambda: Armijo(c1=0), lambda: Goldstein(c=0.5),
        lambda: make_line_search("newton"), lambda: make_line_search("golden", c2=0.1),
    ],
)  # fmt: skip
def test_bad_options_are_named(make):
    with pytest.raises(OptionError, match="expected"):
        make()

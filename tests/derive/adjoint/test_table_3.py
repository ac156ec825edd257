"""Table 3, the output deltas, as the ledger corrects it, and errata X7, X10 and X12 about softmax and
cross-entropy.

The kernels run on exact numbers: logits are multiples of log 2, so that exponentials are rational.  Pairs
with activations that have no rational values are compared in 40 digits.
"""

from __future__ import annotations

from itertools import product

import pytest
import sympy as sp
from phiz.derive.adjoint.loss_kernels import LossDerivation, derive_loss
from phiz.derive.language.activations import ACTIVATIONS, y, z
from phiz.derive.language.losses import LOSSES, t
from phiz.derive.layers import softmax

from tests.derive.adjoint.paper import Entries, equal, without_sample
from tests.harness import LayerRun, derived
from tests.interpreter import EXACT, Interpreter

PHI = {a.name: a for a in ACTIVATIONS}
LOSS = {loss.name: loss for loss in LOSSES}
UNIT_INTERVAL = ("sigmoid",)  # activations into the open interval (0, 1)
POSITIVE = ("sigmoid", "softplus")


@pytest.fixture(scope="module")
def losses() -> dict[str, LossDerivation]:
    return {name: derive_loss(loss, ACTIVATIONS) for name, loss in LOSS.items()}


def table_3(loss: str, target: sp.Expr, output: sp.Expr, slope: sp.Expr) -> sp.Expr:
    """The rows (MSE, any), (CE, any), (CE binary, any): r'(y) phi'(z)."""
    rows = {
        "mse": -(target - output),
        "ce": -target / output,
        "binary_ce": -(target - output) / (output * (1 - output)),
    }
    return rows[loss] * slope


def slope_at(name: str, at: sp.Expr) -> sp.Expr:
    """phi'(z) by the definition of the one-sided branch that ``at`` lies in, never through phi' in
    terms of y.
    """
    return sp.diff(PHI[name].phi.rewrite(sp.exp), z).subs(z, at).doit()


PAIRS = (
    [("mse", name) for name in PHI]
    + [("ce", name) for name in POSITIVE]
    + [("binary_ce", name) for name in UNIT_INTERVAL]
)


@pytest.mark.parametrize(("loss", "name"), PAIRS)
def test_any_activation(losses: dict[str, LossDerivation], loss: str, name: str) -> None:
    pair = losses[loss].pairs[name]
    for at, target in product((-3, sp.Rational(-1, 3), sp.Rational(2, 7), 2), (0, sp.Rational(1, 5), 1)):
        output = PHI[name].phi.rewrite(sp.exp).subs(z, at)
        expected = table_3(loss, target, output, slope_at(name, at)).evalf(40)
        derived_delta = pair.delta.rewrite(sp.exp).subs({t: target, y: output, z: at}).evalf(40)
        assert abs(derived_delta - expected) < sp.Float("1e-35"), (at, target)


def test_the_short_rows_are_exact(losses: dict[str, LossDerivation]) -> None:
    assert sp.expand(losses["mse"].pairs["linear"].delta + (t - y)) == 0
    fused = losses["binary_ce"].pairs["sigmoid"].delta
    assert sp.simplify((fused.subs(y, PHI["sigmoid"].phi) + (t - PHI["sigmoid"].phi)).rewrite(sp.exp)) == 0


def test_the_kernels_compute_the_rows(losses: dict[str, LossDerivation]) -> None:
    """(MSE, linear) and (CE binary, sigmoid) through the kernels, weighted; z = n log 2 gives the
    rational y = 2^n / (1 + 2^n).
    """
    targets, logits, weight = [sp.Rational(1, 3), 1, 0], [2, -1, 0], sp.Rational(3, 2)
    outputs = [sp.Rational(2**n if n >= 0 else 1, 1 + 2**n if n >= 0 else 2**-n + 1) for n in logits]
    for loss, name in (("mse", "linear"), ("binary_ce", "sigmoid")):
        interpreter = Interpreter(losses[loss].tensors, EXACT)
        kernel = next(k for k in losses[loss].kernels if k.name == f"delta_{name}")
        values = {
            "T": {(n, 0): sp.sympify(v) for n, v in enumerate(targets)},
            "Y": {(n, 0): v for n, v in enumerate(outputs)},
            "Z": {(n, 0): v * sp.log(2) for n, v in enumerate(logits)},
            "weight": {(0,): weight},
        }
        interpreter.program(kernel)({"N": 3}, values, 1)
        assert equal(values["delta"], {(n, 0): -weight * (targets[n] - outputs[n]) for n in range(3)})


def test_x10_equation_32_is_the_binary_cross_entropy(losses: dict[str, LossDerivation]) -> None:
    """Printed for "the CE function": it is the derivative of equation 26 per output, not of equation 27."""
    pairs = {loss: losses[loss].pairs["sigmoid"].delta for loss in ("ce", "binary_ce")}
    at = {y: sp.Rational(1, 4), z: -sp.log(3), t: sp.Rational(1, 2)}
    equation_32 = table_3("binary_ce", at[t], at[y], at[y] * (1 - at[y]))

    def value(e: sp.Expr) -> sp.Expr:
        return sp.simplify(e.rewrite(sp.exp).subs(at))

    assert value(pairs["binary_ce"]) == equation_32
    assert value(pairs["ce"]) != equation_32
    assert value(pairs["ce"]) == table_3("ce", at[t], at[y], at[y] * (1 - at[y]))
    assert LOSS["binary_ce"].outputs == (0.0, 1.0)  # phi must map into (0, 1)


# ------------------------------------------------------------------------------------- (CE, softmax), X7, X12
W = {(0, 0): 1, (0, 1): -2, (1, 0): 0, (1, 1): 1, (2, 0): 2, (2, 1): 1}  # times log 2
B, BELOW = [1, 0, -1], [2, 1]


class Softmax:
    """A softmax layer on integers times log 2, with targets that sum to T, and its delta by two routes."""

    def __init__(self, targets: list[sp.Expr]) -> None:
        self.t = targets
        self.T = sum(targets)
        self.run = LayerRun(derived(softmax), (2,), arithmetic=EXACT, I=3)
        self.run.values |= {
            "Y": {(j, 0): sp.Integer(v) for j, v in enumerate(BELOW)},
            "w": {key: v * sp.log(2) for key, v in W.items()},
            "b": {(i,): v * sp.log(2) for i, v in enumerate(B)},
            "T": {(i, 0): v for i, v in enumerate(targets)},
            "weight": {(0,): sp.S.One},
        }
        self.w = self.run.values["w"]
        self.y = [self.run.forward()[i, 0] for i in range(3)]

    def through_the_jacobian(self) -> Entries:
        """Equation 28, -t / y, as delta of Z, then equation 7 through every stage."""
        self.run.values["delta_Z"] = {(i, 0): -self.t[i] / self.y[i] for i in range(3)}
        return without_sample(self.run.run("delta", "gradient")["delta_Y"])

    def fused(self) -> Entries:
        """The derived head: the delta before the softmax, then equation 7."""
        for kernel in ("head_ce_delta", "delta_Y", "gradient_w", "gradient_b"):
            self.run.programs[kernel](self.run.env, self.run.values, 1)
        return without_sample(self.run.values["delta_Y"])


@pytest.fixture(
    scope="module", params=[[0, 1, 0], [sp.Rational(1, 2), 2, sp.Rational(1, 3)]], ids=["T=1", "T=17/6"]
)
def coupled(request: pytest.FixtureRequest) -> Softmax:
    return Softmax([sp.sympify(v) for v in request.param])


def test_ce_and_softmax(coupled: Softmax) -> None:
    """Both routes give -(t - T y) before the softmax, hence -(t - T y)^T W below it (X7)."""
    c = coupled
    logits = [sum(W[i, j] * BELOW[j] for j in range(2)) + B[i] for i in range(3)]
    assert c.y == [sp.Integer(2) ** n / sum(sp.Integer(2) ** m for m in logits) for n in logits]
    corrected = {(j,): -sum((c.t[i] - c.T * c.y[i]) * c.w[i, j] for i in range(3)) for j in range(2)}
    assert equal(c.through_the_jacobian(), corrected)
    by_jacobian = {name: dict(c.run.values[name]) for name in ("gradient_w", "gradient_b", "delta_A")}
    assert equal(c.fused(), corrected)
    assert equal(without_sample(c.run.values["delta_A"]), {(i,): -(c.t[i] - c.T * c.y[i]) for i in range(3)})
    for name, entries in by_jacobian.items():
        assert equal(c.run.values[name], entries), name
    assert equal(
        c.run.values["gradient_w"],
        {(k, j): -(c.t[k] - c.T * c.y[k]) * BELOW[j] for k, j in product(range(3), range(2))},
    )


def test_x7_equation_30_needs_the_sum_and_t() -> None:
    general = Softmax([sp.Rational(1, 2), sp.Integer(2), sp.Rational(1, 3)])
    derived_delta = general.fused()
    without_total = {
        (j,): -sum((general.t[i] - general.y[i]) * general.w[i, j] for i in range(3)) for j in range(2)
    }
    assert not equal(derived_delta, without_total)  # T = 1 assumed
    single = Softmax([sp.Integer(0), sp.Integer(1), sp.Integer(0)])
    single.through_the_jacobian()
    d = single.run.values["delta_Z"][1, 0]
    jacobian = single.y[1] * (single.w[1, 0] - sum(single.y[k] * single.w[k, 0] for k in range(3)))
    assert (
        sp.expand(
            d * jacobian
            + single.t[1] * (single.w[1, 0] - sum(single.y[k] * single.w[k, 0] for k in range(3)))
        )
        == 0
    )
    assert sp.expand(d * jacobian + (single.t[1] - single.y[1]) * single.w[1, 0]) != 0  # per term, as printed


def test_x12_minus_t_over_y_is_not_the_delta_of_table_4(coupled: Softmax) -> None:
    """Equation 28 fed to W^T delta without the softmax's Jacobian fails; Table 3's row holds before the
    softmax for T = 1.
    """
    c = coupled
    derived_delta = c.fused()
    equation_28 = {(j,): sum(-c.t[i] / c.y[i] * c.w[i, j] for i in range(3)) for j in range(2)}
    assert not equal(derived_delta, equation_28)
    row = {(j,): sum(-(c.t[i] - c.y[i]) * c.w[i, j] for i in range(3)) for j in range(2)}
    assert equal(derived_delta, row) == (c.T == 1)


def test_the_fused_loss_is_the_cross_entropy(coupled: Softmax) -> None:
    c = coupled
    c.run.programs["head_ce_value"](c.run.env, c.run.values, 1)
    expected = -sum(c.t[i] * sp.log(c.y[i]) for i in range(3))
    assert sp.simplify(sp.expand_log(c.run.values["r"][0,] - expected, force=True)) == 0

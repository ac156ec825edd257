"""Error functions (Table 2) and, with every activation, the output delta of equation 6 (Table 3).

A loss is one term rho(t, y) per output unit; r is their sum.  Composed with an activation phi it has a value
in a form that does not overflow, and a delta d rho(t, phi(z))/dz.  Both are proved equal to the composition.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import sympy as sp

from ..symbols.accurate import accurate
from ..symbols.errors import DefinitionError
from ..symbols.functions import sigmoid, sigmoid_slope, softplus
from .activations import Activation, y, z

t = sp.Symbol("t", real=True)


@dataclass(frozen=True)
class Loss:
    """r = sum over the output units of ``rho(t, y)``.

    * ``targets``, ``outputs``: the intervals that it admits; None is unbounded.
    * ``open``: whether the outputs' interval leaves out its lower and its upper end.
    """

    name: str
    rho: sp.Expr
    targets: tuple[float | None, float | None] = (None, None)
    outputs: tuple[float | None, float | None] = (None, None)
    open: tuple[bool, bool] = (False, False)


LOSSES: tuple[Loss, ...] = (
    Loss("mse", (t - y) ** 2 / 2),
    Loss("binary_ce", -(t * sp.log(y) + (1 - t) * sp.log(1 - y)), (0.0, 1.0), (0.0, 1.0), (False, False)),
    Loss("ce", -t * sp.log(y), (0.0, None), (0.0, None), (False, False)),
)


@dataclass(frozen=True)
class LossPair:
    """A loss composed with an activation: value and delta of one unit, in t and one of y and z."""

    loss: Loss
    activation: Activation
    value: sp.Expr
    delta: sp.Expr

    @staticmethod
    def reads(e: sp.Expr) -> Literal["Y", "Z"]:
        """Which buffer ``e`` is computed from."""
        return "Z" if e.has(z) else "Y"


def expand_logarithms(e: sp.Expr) -> sp.Expr:
    """``e`` without exponentials under logarithms: log(sigmoid(a)) becomes a - softplus(a)."""
    e = e.replace(lambda n: n == 1 - sigmoid(z), lambda n: sigmoid(-z))
    e = e.replace(sp.log, lambda a: sp.expand_log(sp.log(a), force=True))
    e = e.replace(sp.log, lambda a: a.args[0] - softplus(a.args[0]) if isinstance(a, sigmoid) else sp.log(a))
    e = e.replace(softplus, lambda a: softplus(-a) + a if a.could_extract_minus_sign() else softplus(a))
    return sp.expand(e, power_exp=False, power_base=False, log=False)


def vanishes(e: sp.Expr) -> bool:
    """True where it is proved that ``e`` is 0.

    ``cancel`` decides what is rational in its functions; ``simplify`` is slow, and only tried where that
    leaves something.
    """
    return bool(sp.cancel(e) == 0 or sp.simplify(e) == 0)


def is_zero(e: sp.Expr) -> bool:
    """True where it is proved exactly that a real expression in exp, log and rationals is 0."""
    plain = e.rewrite(sp.exp)
    return (
        vanishes(plain)
        or vanishes(sp.expand_log(sp.logcombine(sp.expand(plain), force=True), force=True))
        or vanishes(sp.logcombine(sp.expand_log(sp.together(plain), force=True), force=True))
    )


def derive_pair(loss: Loss, activation: Activation) -> LossPair:
    """Equation 6 for one pair.

    Raises DefinitionError when the stable form cannot be proved equal to the definition.
    """
    outer = sp.diff(loss.rho, y)
    in_z = activation.derivative_in == "z"
    delta = _in_z(outer, activation) if in_z else _tidy(outer * activation.computed_derivative)
    delta = _at_ends(delta, loss)
    value = loss.rho
    if activation.phi.has(sigmoid) and loss.rho.has(sp.log):
        stable = accurate(loss.rho.subs(y, activation.phi))
        if not stable.has(sp.log):
            difference = stable - loss.rho.subs(y, activation.phi)
            if not is_zero(sp.diff(difference, z)) or not _zero_at_origin(difference):
                pair = f"loss {loss.name} with {activation.name}"
                raise DefinitionError(f"{pair}: the stable form is not proved equal to the definition")
            value = stable
    if activation.name == "linear":
        value, delta = value.subs(z, y), delta.subs(z, y)
    return LossPair(loss, activation, value, delta)


def admissible(loss: Loss, activation: Activation) -> bool:
    """True where every phi(z) is an output that ``loss`` admits, and for the identity.

    A layer's own Z may be in the loss's range, as a softmax is.
    """
    if activation.phi == z:
        return True
    inside = zip(activation.value_range, loss.outputs, (1, -1), strict=True)
    return all(b is None or (a is not None and sign * a >= sign * b) for a, b, sign in inside)


def _zero_at_origin(difference: sp.Expr) -> bool:
    """True where ``difference`` is 0 at z = 0 for every t; functions with equal derivatives are then
    equal.
    """
    return vanishes(sp.expand_log(difference.subs(z, 0).rewrite(sp.exp), force=True))


def _at_ends(delta: sp.Expr, loss: Loss) -> sp.Expr:
    """Gives ``delta`` separate values at the ends of the targets, where a quotient may be 0/0.

    For example -t/y is 0 at t = 0, whatever y is.
    """
    if isinstance(delta, sp.Piecewise):
        return sp.Piecewise(*((_at_ends(value, loss), condition) for value, condition in delta.args))
    if not any(sp.denom(part).has(y, z) for part in sp.preorder_traversal(delta)):
        return delta
    ends = [sp.nsimplify(end) for end in loss.targets if end is not None]
    simplify = sp.cancel if not delta.atoms(sp.Function) else sp.sympify
    found = [(simplify(delta.subs(t, end)), sp.Eq(t, end)) for end in ends]
    return sp.Piecewise(*found, (delta, True))


def _in_z(outer: sp.Expr, activation: Activation) -> sp.Expr:
    """``outer`` at y = phi(z) times phi'(z), term by term, so that each cancels what it divides by."""
    if isinstance(activation.phi, sp.Piecewise):
        parts = activation.phi.args
        return sp.Piecewise(*((_product(outer, value), condition) for value, condition in parts))
    return _product(outer, activation.phi)


def _product(outer: sp.Expr, phi: sp.Expr) -> sp.Expr:
    """``outer`` at y = phi times phi'; 0 where phi' is 0, whatever ``outer`` is."""
    if sp.diff(phi, z) == 0:
        return sp.S.Zero
    slope = accurate(sp.diff(phi, z)).replace(sigmoid_slope, lambda a: sigmoid(a) * sigmoid(-a))
    quotients = [term for term in sp.Add.make_args(outer) if sp.denom(term).has(y)]
    whole = outer - sp.Add(*quotients)
    return accurate(sp.Add(*(accurate(term.subs(y, phi)) * slope for term in (*quotients, whole))))


def _tidy(e: sp.Expr) -> sp.Expr:
    if isinstance(e, sp.Piecewise) or e.has(sp.Piecewise):
        folded = sp.piecewise_fold(e)
        return (
            sp.Piecewise(*((_tidy(v), c) for v, c in folded.args))
            if isinstance(folded, sp.Piecewise)
            else folded
        )
    cancelled = sp.cancel(sp.together(e)) if e.is_rational_function(y, t) else e
    forms = [e, cancelled, sp.factor(cancelled) if cancelled.is_rational_function(y, t) else cancelled]
    return min(forms, key=lambda f: (sp.count_ops(f), str(f)))

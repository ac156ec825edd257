"""Activations frozen into the IR."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..ir import Expr, Temporary
from ..symbols.accurate import accurate
from ..symbols.compensated import compensated
from ..symbols.freeze import IntegerFreezer, ScalarFreezer
from ..symbols.names import latex as latex_text
from .activations import Activation, y, z


@dataclass(frozen=True)
class FrozenActivation:
    """An activation in the IR, with the equations that it came from.

    * ``phi``: an expression over ``Temporary("z")``.
    * ``dphi``: phi', an expression over ``Temporary(derivative_in)``.
    * ``value_range``: infimum and supremum of phi; None is unbounded.
    * ``increasing``: whether it is proved that phi never falls.
    """

    name: str
    phi: Expr
    dphi: Expr
    derivative_in: Literal["y", "z"]
    value_range: tuple[float | None, float | None]
    increasing: bool
    latex: str
    text: str


def freeze_activation(activation: Activation) -> FrozenActivation:
    """Freeze phi and phi'.  Raises IRError, naming the activation, for a function that the IR lacks."""
    freeze = ScalarFreezer(
        IntegerFreezer(frozenset(), {}), lambda s: Temporary(s.name), f"activation {activation.name}"
    )
    argument = z if activation.derivative_in == "z" else y
    derivative = activation.computed_derivative
    latex = rf"\phi(z) = {latex_text(activation.phi)}, \quad \phi'(z) = {latex_text(derivative)}"
    text = f"phi(z) = {activation.phi}, phi' = {derivative}"
    return FrozenActivation(
        activation.name,
        freeze(compensated(accurate(activation.phi), z)),
        freeze(compensated(accurate(derivative), argument)),
        activation.derivative_in,
        activation.value_range,
        activation.increasing,
        latex,
        text,
    )

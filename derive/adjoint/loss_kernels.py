"""The kernels of a loss: with every activation, the value per sample and the output delta (equation 6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sympy as sp

from ..ir import Axis, Kernel, Size, Tensor
from ..language.activations import Activation
from ..language.activations import y as y_symbol
from ..language.activations import z as z_symbol
from ..language.declarations import Access, TensorInfo
from ..language.losses import Loss, LossPair, admissible, derive_pair
from ..language.losses import t as t_symbol
from ..language.stages import Definition
from ..symbols.indices import AxisVariable, SizeInfo
from ..symbols.names import latex, of_function, summand_latex, summand_text
from .nests import NestBuilder, Term

N = sp.Symbol("N", integer=True, nonnegative=True)
n = sp.Symbol("n", integer=True, nonnegative=True)
UNIT = AxisVariable(n, "unit", N)


@dataclass(frozen=True)
class LossDerivation:
    """A loss with its kernels ``value_<activation>`` and ``delta_<activation>``; N counts the output
    units, flattened.
    """

    loss: Loss
    pairs: Mapping[str, LossPair]
    tensors: Mapping[str, Tensor]
    kernels: tuple[Kernel, ...]


def loss_definition(name: str) -> Definition:
    """The index set and tensors that every loss kernel works on."""
    axes = {"T": (UNIT,), "Y": (UNIT,), "Z": (UNIT,), "delta": (UNIT,), "weight": (), "r": ()}
    kinds = {"T": "target", "Y": "stage", "Z": "stage", "delta": "delta", "weight": "input", "r": "loss"}
    tensors = {k: TensorInfo(k, kinds[k], a, False, True) for k, a in axes.items()}
    accesses = {
        sp.Symbol(f"{k}[{'n' if a else ''}]", real=True): Access(k, tuple(v.symbol for v in a))
        for k, a in axes.items()
    }
    sizes = {"N": SizeInfo("N", "input", axis=0, minimum=1)}
    return Definition(name, sizes, {}, tensors, (), accesses, {n: UNIT}, {})


def derive_loss(loss: Loss, activations: Iterable[Activation]) -> LossDerivation:
    """Derive the pair of ``loss`` with every activation whose outputs it admits, and build its kernels."""
    definition = loss_definition(f"loss_{loss.name}")
    builder = NestBuilder(definition, definition.accesses)
    tensors = {
        k: Tensor(k, info.kind, tuple(Size("N") for _ in info.axes), True)  # type: ignore[arg-type]
        for k, info in definition.tensors.items()
    }
    places = {
        s: sp.Symbol(f"{k}[n]", real=True) for s, k in ((t_symbol, "T"), (y_symbol, "Y"), (z_symbol, "Z"))
    }
    weight = sp.Symbol("weight[]", real=True)
    axis = Axis("n", "unit", Size("N"))
    pairs: dict[str, LossPair] = {}
    kernels: list[Kernel] = []
    for activation in (a for a in activations if admissible(loss, a)):
        builder.where = f"loss {loss.name} with {activation.name}"
        pair, function = derive_pair(loss, activation), of_function(activation.name)
        pairs[activation.name] = pair
        total = sp.Symbol("r", real=True)
        body = pair.value.subs(places, simultaneous=True)
        term = Term((builder.unknown(n, {}),), (), body, {}, ())
        _, result = builder.scalar(total * weight, {total: 0})
        kernels.append(
            Kernel(
                f"value_{function}",
                "loss",
                "r",
                tensors["r"],
                (),
                (builder.nest(term),),
                result,
                latex=rf"r = \sum_{{n}} {summand_latex(pair.value)}",
                text=f"r = sum over n of {summand_text(pair.value)}",
            )
        )
        delta = pair.delta.subs(places, simultaneous=True)
        temporaries, value = builder.scalar(delta * weight, {})
        kernels.append(
            Kernel(
                f"delta_{function}",
                "loss",
                "delta",
                tensors["delta"],
                (axis,),
                (),
                value,
                "",
                None,
                temporaries,
                rf"\delta_n = {latex(pair.delta)}",
                f"delta[n] = {pair.delta}",
            )
        )
    return LossDerivation(loss, pairs, tensors, tuple(kernels))

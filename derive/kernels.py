"""The last two stages of a derivation: solved equations frozen into the IR, and kernels with tensors
and printed equations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.core.function import AppliedUndef

from .adjoint.fundamental import Adjoint, Equation, delta_name, position_name
from .adjoint.nests import NestBuilder
from .ir import Accumulator, Axis, Call, Expr, Kernel, Nest, Number, Tensor
from .language.declarations import TensorInfo
from .language.stages import Definition
from .print.equations import EquationPrinter
from .symbols.indices import AxisVariable


@dataclass(frozen=True)
class FrozenEquation:
    """An equation in the IR: ``result`` combines the accumulators of ``nests``."""

    nests: tuple[Nest, ...]
    temporaries: tuple[tuple[str, Expr], ...]
    result: Expr


def freeze(builder: NestBuilder, equation: Equation) -> FrozenEquation:
    """The nests and the result of one equation whose terms are solved."""
    if equation.stage is None:
        return _freeze_adjoint(builder, equation)
    nests = tuple(builder.nest(c.term) for c in equation.contributions)
    accumulators = {symbol: n for n, (symbol, _) in enumerate(equation.stage.reductions)}
    temporaries, result = builder.scalar(equation.stage.expression, accumulators)
    return FrozenEquation(nests, temporaries, result)


def _freeze_adjoint(builder: NestBuilder, equation: Equation) -> FrozenEquation:
    """One nest per contribution, and their sum.

    In a delta, a nest without loops and conditions is its body.  A number that all of a nest's sum is
    multiplied by is multiplied once, after it.
    """
    nests: list[Nest] = []
    terms: list[Expr] = []
    for contribution in equation.contributions:
        nest = builder.nest(contribution.term)
        if equation.role == "delta" and _is_bare(nest):
            terms.append(nest.body)
            continue
        number, body = contribution.term.body.as_coeff_Mul(rational=True)
        total = sp.Dummy(real=True)
        if abs(number) == 1:
            terms.append(Accumulator(len(nests)))
            nests.append(nest)
        else:
            terms.append(builder.scalar(number * total, {total: len(nests)})[1])
            nests.append(builder.nest(contribution.term, body))
    if not terms:
        return FrozenEquation((), (), Number("0.0"))
    return FrozenEquation(tuple(nests), (), terms[0] if len(terms) == 1 else Call("add", tuple(terms)))


def _is_bare(nest: Nest) -> bool:
    """True where the nest has nothing but a body."""
    return not (nest.loops or nest.conditions or nest.guards or nest.lets or nest.temporaries)


class Assembler:
    """Makes the kernels of one definition, and the tensors that they read and write."""

    def __init__(self, definition: Definition, adjoint: Adjoint) -> None:
        self.builder = adjoint.builder
        self.printer = EquationPrinter(definition, adjoint)
        self.sizes = definition.sizes
        self.tensors: dict[str, Tensor] = {}
        for info in definition.tensors.values():
            self._declare(info, info.name, info.kind, info.samples)
        for stage in definition.stages:
            if stage.name in adjoint.position:
                self._declare(definition.tensors[stage.name], position_name(stage.name), "position", True)
        self._declare(definition.tensors["Z"], delta_name("Z"), "delta", True)

    def kernels(self, equations: Sequence[Equation], frozen: Iterable[FrozenEquation]) -> tuple[Kernel, ...]:
        """The kernels of all equations, in their order; a gradient has two."""
        kernels: list[Kernel] = []
        for equation, parts in zip(equations, frozen, strict=True):
            if equation.role == "forward":
                kernels.append(self._forward(equation, parts))
            elif equation.role == "delta":
                kernels.append(self._delta(equation, parts))
            else:
                kernels.append(self._gradient(equation, parts, per_sample=False))
                kernels.append(self._gradient(equation, parts, per_sample=True))
        return tuple(kernels)

    # ------------------------------------------------------------------------------------------------ kernels
    def _forward(self, equation: Equation, parts: FrozenEquation) -> Kernel:
        """Equation 1 for one stage; the last one applies phi."""
        stage = equation.stage
        assert stage is not None
        latex, text = self.printer.forward(stage)
        return Kernel(
            f"forward_{stage.name}",
            "forward",
            stage.name,
            self.tensors[stage.name],
            self._axes(stage.axes),
            parts.nests,
            parts.result,
            "phi" if stage.name == "Z" else "",
            self.tensors.get(position_name(stage.name)),
            parts.temporaries,
            latex,
            text,
        )

    def _delta(self, equation: Equation, parts: FrozenEquation) -> Kernel:
        """Equation 7 for an intermediate stage or for the input, where phi' of the layer below is a
        factor.
        """
        info = equation.target
        output = self._declare(info, delta_name(info.name), "delta", True)
        latex, text = self.printer.adjoint(info, list(equation.contributions), "delta")
        return Kernel(
            output.name,
            "delta",
            info.name,
            output,
            self._axes(info.axes),
            parts.nests,
            parts.result,
            "dphi" if info.kind == "input" else "",
            latex=latex,
            text=text,
        )

    def _gradient(self, equation: Equation, parts: FrozenEquation, per_sample: bool) -> Kernel:
        """Equation 8 for a parameter: per sample, or summed over the samples (equation 2)."""
        info = equation.target
        prefix = "samplegradient" if per_sample else "gradient"
        output = self._declare(info, f"{prefix}_{info.name}", "gradient", per_sample)
        role = "sample_gradient" if per_sample else "gradient"
        latex, text = self.printer.adjoint(info, list(equation.contributions), role)
        return Kernel(
            output.name,
            role,  # type: ignore[arg-type]
            info.name,
            output,
            self._axes(info.axes),
            parts.nests,
            parts.result,
            latex=latex,
            text=text,
        )

    # ------------------------------------------------------------------------------------------------ tensors
    def _declare(self, info: TensorInfo, name: str, kind: str, samples: bool) -> Tensor:
        """The IR tensor ``name`` with the shape of ``info``."""
        shape = []
        first = info.axes[0].symbol if info.axes else None
        for axis in info.axes:
            extent = sp.sympify(axis.extent)
            if info.ragged and first is not None:
                extent = extent.subs(first, sp.Symbol("_"))
            shape.append(self.builder.integer(extent))
        layout = self._layout(info) if info.ragged else ""
        tensor = Tensor(name, kind, tuple(shape), samples, info.ragged, layout)  # type: ignore[arg-type]
        self.tensors[name] = tensor
        return tensor

    def _layout(self, info: TensorInfo) -> str:
        """The name of a ragged tensor's offset table.

        It is that of the tables of sizes without the coordinate's number, where the tensor has each of them
        once and nothing else; any other tensor has offsets of its own.
        """
        tables = [name for name, size in self.sizes.items() if size.table is not None]
        extents = [sp.sympify(a.extent) for a in info.axes[1:]]
        base = str(extents[0].func).rstrip("0123456789") if extents else ""
        alike = sorted(name for name in tables if name.rstrip("0123456789") == base)
        found = [str(e.func) if isinstance(e, AppliedUndef) else "" for e in extents]
        return base if alike and found == alike else info.name

    def _axes(self, variables: tuple[AxisVariable, ...]) -> tuple[Axis, ...]:
        """Output axes in the IR."""
        return tuple(
            Axis(a.symbol.name, a.kind, self.builder.integer(sp.sympify(a.extent))) for a in variables
        )

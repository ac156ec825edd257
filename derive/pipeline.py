"""The derivation of one layer: from its definition to the kernels of its forward pass, deltas and gradients.

Input: a ``Definition`` (SymPy).  Output: a ``Derivation`` with kernels of the IR, in order of execution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sympy as sp
from sympy.core.function import AppliedUndef

from .adjoint.fundamental import Adjoint, Contribution, delta_name, position_name
from .adjoint.heads import Head, derive_heads
from .adjoint.shifts import prove_shifts
from .ir import Accumulator, Axis, Call, Expr, IRError, Kernel, Nest, Number, Tensor
from .language.layer import Family, Option
from .language.stages import Definition, Stage, TensorInfo
from .print.equations import EquationPrinter
from .symbols.errors import DefinitionError
from .symbols.indices import AxisVariable
from .symbols.names import shown


@dataclass(frozen=True)
class Derivation:
    """Everything derived from one layer variant."""

    family: Family
    options: Mapping[str, Option]
    definition: Definition
    tensors: Mapping[str, Tensor]
    kernels: tuple[Kernel, ...]
    heads: Mapping[str, Head] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The variant's name, which is its file's name."""
        return self.definition.name


class _Engine:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.adjoint = Adjoint(definition)
        self.builder = self.adjoint.builder
        self.printer = EquationPrinter(definition, self.adjoint)
        self.tensors: dict[str, Tensor] = {}
        for info in definition.tensors.values():
            self.declare(info, info.name, info.kind, info.samples)
        for stage in definition.stages:
            if stage.name in self.adjoint.position:
                self.declare(definition.tensors[stage.name], position_name(stage.name), "position", True)

    # ---------------------------------------------------------------------------------------------------- tensors
    def declare(self, info: TensorInfo, name: str, kind: str, samples: bool) -> Tensor:
        """The IR tensor with the shape of ``info``."""
        shape = []
        first = info.axes[0].symbol if info.axes else None
        for axis in info.axes:
            extent = sp.sympify(axis.extent)
            if info.ragged and first is not None:
                extent = extent.subs(first, sp.Symbol("_"))
            shape.append(self.builder.integer(extent))
        layout = self.layout(info) if info.ragged else ""
        tensor = Tensor(name, kind, tuple(shape), samples, info.ragged, layout)  # type: ignore[arg-type]
        self.tensors[name] = tensor
        return tensor

    @staticmethod
    def layout(info: TensorInfo) -> str:
        """The name of a ragged tensor's offset table: its size tables' name without the coordinate number."""
        functions = sorted({f.func.__name__ for a in info.axes for f in sp.sympify(a.extent).atoms(AppliedUndef)})
        return functions[0].rstrip("0123456789")

    def axes(self, variables: tuple[AxisVariable, ...]) -> tuple[Axis, ...]:
        """Output axes in the IR."""
        return tuple(Axis(a.symbol.name, a.kind, self.builder.integer(sp.sympify(a.extent))) for a in variables)

    # ---------------------------------------------------------------------------------------------------- kernels
    def forward(self, stage: Stage) -> Kernel:
        """Equation 1 for one stage; the last one applies phi."""
        nests = tuple(self.builder.nest(self.adjoint.forward_term(stage, r)) for _, r in stage.reductions)
        accumulators = {symbol: n for n, (symbol, _) in enumerate(stage.reductions)}
        temporaries, result = self.builder.scalar(stage.expression, accumulators)
        latex, text = self.printer.forward(stage)
        position = self.tensors.get(position_name(stage.name))
        return Kernel(f"forward_{stage.name}", "forward", stage.name, self.tensors[stage.name], self.axes(stage.axes), nests,
                      result, "phi" if stage.name == "Z" else "", position, temporaries, latex, text)  # fmt: skip

    def _combine(self, contributions: list[Contribution], inline: bool = True) -> tuple[tuple[Nest, ...], Expr]:
        """One nest per occurrence; with ``inline`` a nest without loops and conditions is its body.

        A number that all of a sum is multiplied by is multiplied once, after it.
        """
        nests: list[Nest] = []
        terms: list[Expr] = []
        for contribution in contributions:
            nest = self.builder.nest(contribution.term)
            if inline and not (nest.loops or nest.conditions or nest.guards or nest.lets or nest.temporaries):
                terms.append(nest.body)
                continue
            number, body = contribution.term.body.as_coeff_Mul(rational=True)
            total = sp.Dummy(real=True)
            if abs(number) == 1:
                terms.append(Accumulator(len(nests)))
                nests.append(nest)
            else:
                terms.append(self.builder.scalar(number * total, {total: len(nests)})[1])
                nests.append(self.builder.nest(replace(contribution.term, body=body)))
        if not terms:
            return (), Number("0.0")
        return tuple(nests), terms[0] if len(terms) == 1 else Call("add", tuple(terms))

    def delta(self, info: TensorInfo) -> Kernel:
        """Equation 7 for an intermediate stage or for the input, where phi' of the layer below is a factor."""
        contributions = self.adjoint.contributions(info)
        nests, result = self._combine(contributions)
        output = self.declare(info, delta_name(info.name), "delta", True)
        is_input = info.kind == "input"
        latex, text = self.printer.adjoint(info, contributions, "delta")
        return Kernel(f"delta_{info.name}", "delta", info.name, output, self.axes(info.axes), nests, result,
                      "dphi" if is_input else "", None, (), latex, text)  # fmt: skip

    def gradients(self, info: TensorInfo) -> list[Kernel]:
        """Equation 8 for a parameter, summed over the samples (equation 2), and per sample."""
        contributions = self.adjoint.contributions(info)
        nests, result = self._combine(contributions, inline=False)
        kernels = []
        for role, samples in (("gradient", False), ("sample_gradient", True)):
            prefix = role.replace("_", "")
            output = self.declare(info, f"{prefix}_{info.name}", "gradient", samples)
            latex, text = self.printer.adjoint(info, contributions, role)
            kernels.append(Kernel(f"{prefix}_{info.name}", role, info.name, output, self.axes(info.axes), nests, result,  # type: ignore[arg-type]
                                  "", None, (), latex, text))  # fmt: skip
        return kernels

    def run(self) -> tuple[Kernel, ...]:
        """Every kernel, in order of execution."""
        definition = self.definition
        prove_shifts(definition)
        self.declare(definition.tensors["Z"], delta_name("Z"), "delta", True)
        kernels = [self.forward(stage) for stage in definition.stages]
        for stage in reversed(definition.stages[:-1]):
            if stage.name not in definition.shifts:
                kernels.append(self.delta(definition.tensors[stage.name]))
        kernels.append(self.delta(definition.input))
        for parameter in definition.parameters:
            kernels.extend(self.gradients(parameter))
        return tuple(kernels)


def derive_definition(family: Family, options: Mapping[str, Option]) -> Derivation:
    """Derive one variant of a layer.

    Raises DefinitionError or IRError, naming the layer, where the definition cannot be expressed.
    """
    definition = family.define(**options)
    try:
        engine = _Engine(definition)
        kernels = engine.run()
        heads, head_kernels, head_tensors = derive_heads(definition, engine.builder)
    except (DefinitionError, IRError) as error:
        raise type(error)(shown(str(error))) from error
    tensors = {**engine.tensors, **head_tensors}
    return Derivation(family, dict(options), definition, tensors, (*kernels, *head_kernels), heads)


def derive_family(family: Family) -> list[Derivation]:
    """Derive every variant of a layer."""
    return [derive_definition(family, options) for options in family.variants()]

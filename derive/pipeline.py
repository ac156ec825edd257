"""The way of one definition, stage by stage.  Nothing happens to it that is not on this page.

| stage | input | output |
|---|---|---|
| 1. normalise | a definition function and options | a Definition, whose stages are linear in their reductions |
| 2. prove | the Definition | nothing, or the refusal of a shift that Z depends on |
| 3. adjoint | the Definition | Equations 1, 7 and 8, each a list of terms, in order of execution |
| 4. solve | the Terms of every Equation | Solutions: loops with tight bounds in the place of indicators |
| 5. freeze | every solved Equation | FrozenEquations: nests and a result in the IR, free of SymPy; the bodies are rewritten so that nothing cancels (``symbols/accurate.py``) |
| 6. kernels | Equations and FrozenEquations | Kernels with their Tensors and their printed equations |
| 7. heads | the Definition's tail, the losses | two Kernels for every loss that is proved to cancel with the tail |

Losses and activations hold no index to solve for: ``adjoint.loss_kernels`` and ``language.frozen_activation``
differentiate, prove and freeze them by themselves.
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .adjoint.fundamental import Adjoint
from .adjoint.heads import Head, derive_heads
from .adjoint.shifts import prove_shifts
from .ir import IRError, Kernel, Tensor
from .kernels import Assembler, freeze
from .language.layer import Family, Option
from .language.stages import Definition
from .symbols.errors import DefinitionError


@dataclass(frozen=True)
class Derivation:
    """Everything derived from one layer variant; ``kernels`` stand in order of execution."""

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


def derive_definition(family: Family, options: Mapping[str, Option]) -> Derivation:
    """Derive one variant of a layer.

    Raises DefinitionError, naming file, line and layer, where the definition cannot be expressed.
    """
    # 1. normalise: the function's last line, L.output(...)(Z), asks for it
    definition = family.define(**options)
    try:
        prove_shifts(definition)  # 2. prove
        adjoint = Adjoint(definition)
        equations = adjoint.equations()  # 3. adjoint
        adjoint.solve(equations)  # 4. solve: the builder keeps the solutions for those who freeze and print
        frozen = [freeze(adjoint.builder, equation) for equation in equations]  # 5. freeze
        assembler = Assembler(definition, adjoint)
        kernels = assembler.kernels(equations, frozen)  # 6. kernels
        heads, head_kernels, head_tensors = derive_heads(definition, adjoint.builder)  # 7. heads
    except (DefinitionError, IRError) as error:
        raise family.refused(definition.name, error) from error
    tensors = {**assembler.tensors, **head_tensors}
    return Derivation(family, dict(options), definition, tensors, (*kernels, *head_kernels), heads)


def derive_family(family: Family) -> list[Derivation]:
    """Derive every variant of a layer."""
    return [derive_definition(family, options) for options in family.variants()]

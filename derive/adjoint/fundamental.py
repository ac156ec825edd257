"""Applies the fundamental equations 1, 7 and 8 to the stages of a definition.

If stage s reads a tensor A at index f(o, r), the derivative by A is

    dA[p] = sum over s, o, r with f(o, r) = p of  delta_s[o] * d stage_s[o] / d A[f(o, r)]

If A is the input or an intermediate stage, this is equation 7 without phi'.  If A is a parameter, it is
equation 8.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import sympy as sp

from ..language.declarations import Access, Reduction, Stage, TensorInfo
from ..language.stages import Definition
from ..symbols.indices import AxisVariable
from .nests import NestBuilder, Term


def delta_name(tensor: str) -> str:
    """The name of the delta of a tensor."""
    return f"delta_{tensor}"


def position_name(stage: str) -> str:
    """The name of the tensor that stores a stage's maximiser."""
    return f"position_{stage}"


@dataclass(frozen=True)
class Contribution:
    """One term of an equation, and where it comes from.

    * ``stage``: the stage that the term belongs to.
    * ``access``: the access to the differentiated tensor; in a forward pass the symbol of the reduction.
    """

    stage: Stage
    term: Term
    access: sp.Symbol


@dataclass(frozen=True)
class Equation:
    """A fundamental equation for one tensor.

    * ``role``: "forward" is equation 1, "delta" equation 7 and "gradient" equation 8.
    * ``target``: the tensor that is computed, or by which the equation differentiates.
    * ``stage``: in a forward pass the stage that combines the contributions, else None.
    """

    role: Literal["forward", "delta", "gradient"]
    target: TensorInfo
    contributions: tuple[Contribution, ...]
    stage: Stage | None = None


class Adjoint:
    """Derives, for one definition, the terms of every delta and gradient."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.accesses: dict[sp.Symbol, Access] = dict(definition.accesses)
        self.delta: dict[str, sp.Symbol] = {}
        self.position: dict[str, sp.Symbol] = {}
        self._forward_terms: dict[tuple[str, Reduction], Term] = {}
        for stage in definition.stages:
            index = tuple(a.symbol for a in stage.axes)
            entries = ", ".join(map(str, index))
            self.delta[stage.name] = self._register(delta_name(stage.name), entries, index)
            if stage.reductions and stage.reductions[0][1].combine == "max":
                self.position[stage.name] = self._register(position_name(stage.name), entries, index)
        self.builder = NestBuilder(definition, self.accesses)
        for stage in definition.stages:
            info = definition.tensors[stage.name]
            for name in (delta_name(stage.name), position_name(stage.name)):
                self.builder.extents[name] = info

    def _register(self, tensor: str, entries: str, index: tuple[sp.Symbol, ...]) -> sp.Symbol:
        symbol = sp.Symbol(f"{tensor}[{entries}]", real=True)
        self.accesses[symbol] = Access(tensor, index)
        return symbol

    def equations(self) -> list[Equation]:
        """All equations of the definition.

        Equation 1 holds for every stage, 7 for every stage below Z and for the input, 8 for every parameter.
        """
        definition = self.definition
        differentiated = [
            definition.tensors[s.name]
            for s in reversed(definition.stages[:-1])
            if s.name not in definition.shifts
        ]
        return [
            *(self._forward(stage) for stage in definition.stages),
            *(
                Equation("delta", info, tuple(self.contributions(info)))
                for info in [*differentiated, definition.input]
            ),
            *(Equation("gradient", info, tuple(self.contributions(info))) for info in definition.parameters),
        ]

    def solve(self, equations: Iterable[Equation]) -> None:
        """Solves the index equations of every term; the builder keeps the solutions."""
        for equation in equations:
            for contribution in equation.contributions:
                self.builder.solve(contribution.term)

    def _forward(self, stage: Stage) -> Equation:
        terms = tuple(
            Contribution(stage, self.forward_term(stage, r), symbol) for symbol, r in stage.reductions
        )
        return Equation("forward", self.definition.tensors[stage.name], terms, stage)

    def contributions(self, target: TensorInfo) -> list[Contribution]:
        """One contribution for every occurrence of ``target``, in the order of the stages."""
        found: list[Contribution] = []
        for stage in self.definition.stages:
            if stage.name in self.definition.shifts:
                continue  # Z was proved not to change with this stage
            delta = self.delta[stage.name]
            for symbol in self._occurrences(stage.expression, target):
                derivative = sp.diff(stage.expression, symbol)
                found.append(self._contribution(stage, target, symbol, delta * derivative, None))
            for accumulator, reduction in stage.reductions:
                outer = sp.diff(stage.expression, accumulator)
                for symbol in self._occurrences(reduction.body, target):
                    body = delta * outer * sp.diff(reduction.body, symbol)
                    if reduction.combine == "max":
                        chosen = sp.Eq(self.position[stage.name], self.position_number(reduction))
                        body = sp.Piecewise((body, chosen), (0, True))
                    found.append(self._contribution(stage, target, symbol, body, reduction))
        return found

    def _occurrences(self, e: sp.Expr, target: TensorInfo) -> list[sp.Symbol]:
        accesses = self.definition.accesses
        return sorted(
            (s for s in e.free_symbols if s in accesses and accesses[s].tensor == target.name), key=str
        )

    def position_number(self, reduction: Reduction) -> sp.Expr:
        """The row-major number of a point in the window of a maximum (ledger D8)."""
        number: sp.Expr = sp.S.Zero
        for symbol in reduction.variables:
            variable = self.definition.variables[symbol]
            extent = variable.extent if isinstance(variable, AxisVariable) else sp.S.One
            number = number * extent + symbol
        return sp.expand(number)

    def _contribution(self, stage: Stage, target: TensorInfo, symbol: sp.Symbol, body: sp.Expr,
                      reduction: Reduction | None) -> Contribution:  # fmt: skip
        variables = [a.symbol for a in stage.axes] + list(reduction.variables if reduction else ())
        taken = {a.symbol for a in target.axes}
        rename = {v: sp.Symbol(f"{v}_", integer=True, nonnegative=True) for v in variables if v in taken}
        access = self.definition.accesses[symbol]
        equations = [
            e.subs(rename, simultaneous=True) - axis.symbol
            for e, axis in zip(access.index, target.axes, strict=True)
        ]
        equations += [c.subs(rename, simultaneous=True) for c in (reduction.constraints if reduction else ())]
        bounds = tuple(b.subs(rename, simultaneous=True) for b in (reduction.bounds if reduction else ()))
        skipping = self._skipping(reduction)
        term = Term(
            tuple(self.builder.unknown(v, rename) for v in variables),
            tuple(equations),
            numbers_first(body),
            rename,
            target.axes,
            "sum",
            None,
            skipping,
            bounds,
        )
        return Contribution(stage, term, symbol)

    def _skipping(self, reduction: Reduction | None) -> tuple[Access, ...]:
        if reduction is None:
            return ()
        symbols = sorted((s for s in reduction.body.free_symbols if s in self.definition.accesses), key=str)
        return tuple(a for s in symbols if (a := self.definition.accesses[s]).outside == "skip")

    def forward_term(self, stage: Stage, reduction: Reduction) -> Term:
        """The reduction of a stage as a term over its own axes (equation 1)."""
        key = (stage.name, reduction)
        if key not in self._forward_terms:
            self._forward_terms[key] = self._forward_term(stage, reduction)
        return self._forward_terms[key]

    def _forward_term(self, stage: Stage, reduction: Reduction) -> Term:
        position = self.position_number(reduction) if reduction.combine == "max" else None
        unknowns = tuple(self.builder.unknown(v, {}) for v in reduction.variables)
        return Term(
            unknowns,
            reduction.constraints,
            reduction.body,
            {},
            stage.axes,
            reduction.combine,
            position,
            self._skipping(reduction),
            reduction.bounds,
        )


def numbers_first(body: sp.Expr) -> sp.Expr:
    """Moves numbers out of the factors of ``body`` to its front: d·(2c - 2y) becomes 2·d·(c - y)."""
    if not body.is_Mul:
        return body
    number, factors = sp.S.One, []
    for factor in body.args:
        common, rest = factor.primitive() if factor.is_Add and not factor.is_integer else (sp.S.One, factor)
        number *= common
        factors.append(rest)
    return sp.Mul(number, *factors)

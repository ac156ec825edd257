"""Stages of a definition, checked and brought to a normal form.

A stage is a map or a reduction over earlier tensors.  In normal form it is *linear* in its reductions, with
coefficients that hold no tensor.  Any other reduction, as in exp(-beta * Sum(...)), becomes a stage of its
own, so that the four equations apply to every stage alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import sympy as sp
from sympy.core.function import AppliedUndef

from ..symbols.freeze import is_scalar_part
from ..symbols.functions import without_kinks
from ..symbols.indices import AxisVariable, RelationInfo, RowVariable, SizeInfo
from .declarations import Access, Declarations, Reduction, Requirement, Stage, TensorInfo
from .tensors import reduction_of

_SYMPY_LOOPS: Mapping[type, str] = {
    sp.Sum: "write Sum(body, index) of the definition language",
    sp.Product: "products are no reductions; of positive factors write exp(Sum(log(factor), index))",
    sp.Integral: "a layer's equation has no integrals",
    sp.Derivative: "write the derivative out",
}


@dataclass(frozen=True)
class Definition:
    """A layer's equation in normal form.

    ``names``: what the user calls those whose name in kernels is another.
    """

    name: str
    sizes: Mapping[str, SizeInfo]
    relations: Mapping[str, RelationInfo]
    tensors: Mapping[str, TensorInfo]
    stages: tuple[Stage, ...]
    accesses: Mapping[sp.Symbol, Access]
    variables: Mapping[sp.Symbol, AxisVariable | RowVariable]
    initial: Mapping[str, object]
    shifts: frozenset[str] = frozenset()
    names: Mapping[str, str] = field(default_factory=dict)
    requirements: tuple[Requirement, ...] = ()

    @property
    def input(self) -> TensorInfo:
        """The one input tensor."""
        return next(t for t in self.tensors.values() if t.kind == "input")

    @property
    def parameters(self) -> list[TensorInfo]:
        """The parameters, in the order of declaration, which is their order in the flat vector."""
        return [t for t in self.tensors.values() if t.kind == "parameter"]


def variables_in(definition: Definition | Declarations, expression: sp.Expr) -> set[sp.Symbol]:
    """The index variables that ``expression`` depends on, through its accesses and reductions too."""
    found: set[sp.Symbol] = set()
    for symbol in expression.free_symbols:
        access = definition.accesses.get(symbol)
        reduction = reduction_of(symbol)
        if access is not None:
            for entry in access.index:
                found |= {s for s in entry.free_symbols if s in definition.variables}
        elif reduction is not None:
            found |= reduction_variables(definition, reduction)
        elif symbol in definition.variables:
            found.add(symbol)
    return found


def reduction_variables(definition: Definition | Declarations, reduction: Reduction) -> set[sp.Symbol]:
    """The index variables outside ``reduction`` that its value depends on."""
    found = variables_in(definition, reduction.body)
    for constraint in (*reduction.constraints, *reduction.bounds):
        found |= {s for s in constraint.free_symbols if s in definition.variables}
    for symbol in reduction.variables:
        variable = definition.variables.get(symbol)
        if isinstance(variable, AxisVariable):
            found |= {s for s in variable.extent.free_symbols if s in definition.variables}
    return found - set(reduction.variables)


def affine_terms(
    expression: sp.Expr, variables: set[sp.Symbol]
) -> tuple[dict[sp.Expr, sp.Expr], sp.Expr] | None:
    """The coefficients of index variables and relation columns in ``expression``, and its constant;
    None when not affine.
    """
    expression = sp.expand(expression)
    atoms = {f for f in expression.atoms(AppliedUndef) if f.free_symbols & variables}
    coefficients: dict[sp.Expr, sp.Expr] = {}
    remainder = expression
    for atom in sorted(atoms, key=str) + sorted(variables & expression.free_symbols, key=str):
        coefficient = remainder.coeff(atom, 1)
        if coefficient == 0:
            continue
        if (coefficient.free_symbols & variables) or not coefficient.is_integer:
            return None
        coefficients[atom] = coefficient
        remainder = sp.expand(remainder - coefficient * atom)
    return (
        (coefficients, remainder) if remainder.is_integer and not remainder.free_symbols & variables else None
    )


class _Normaliser:
    def __init__(self, declared: Declarations) -> None:
        self.declared = declared
        self.refuse = declared.refuse
        self.stages: list[Stage] = []
        self.sizes = {sp.Symbol(n, integer=True, nonnegative=True) for n in declared.sizes}

    def check(self, where: str, expression: sp.Expr, scope: set[sp.Symbol]) -> None:
        """Every symbol is known, every index is bound, every access is affine."""
        declared = self.declared
        self._check_functions(where, expression)
        for symbol in sorted(expression.free_symbols, key=str):
            if symbol in declared.variables:
                if symbol not in scope:
                    raise self.refuse(
                        f"index {symbol} in {where} is neither an index of {where} nor reduced over"
                    )
            elif symbol in declared.accesses:
                self._check_access(where, symbol, scope)
            elif reduction_of(symbol) is None and symbol not in self.sizes:
                raise self.refuse(
                    f"unknown symbol {symbol} in {where}: it is no access, no index and no size"
                )

    def _check_functions(self, where: str, expression: sp.Expr) -> None:
        for part in sp.preorder_traversal(expression):
            if type(part) in _SYMPY_LOOPS:
                raise self.refuse(f"SymPy's {type(part).__name__} in {where}: {_SYMPY_LOOPS[type(part)]}")
            if not is_scalar_part(part):
                raise self.refuse(
                    f"{where} uses {part}, and the kernels have no function {type(part).__name__}"
                )

    def _check_access(self, where: str, symbol: sp.Symbol, scope: set[sp.Symbol]) -> None:
        access = self.declared.accesses[symbol]
        for entry in access.index:
            unbound = {s for s in entry.free_symbols if s in self.declared.variables} - scope
            if unbound:
                name = min(map(str, unbound))
                raise self.refuse(
                    f"index {name} of the access {symbol} in {where} is neither an index of {where} nor "
                    "reduced over"
                )
            unknown = entry.free_symbols - set(self.declared.variables) - self.sizes
            if unknown:
                raise self.refuse(f"unknown symbol {min(map(str, unknown))} in the access {symbol}")
            if affine_terms(entry, scope) is None:
                raise self.refuse(
                    f"the access {symbol} in {where} is not affine in the index variables with integer "
                    "factors; write the index as "
                    "another variable and tie it with where=Eq(...), or read it from a relation"
                )

    def _check_condition(self, where: str, condition: sp.Expr, text: str, scope: set[sp.Symbol]) -> None:
        for symbol in sorted(condition.free_symbols - scope, key=str):
            if symbol in self.declared.variables:
                raise self.refuse(f"index {symbol} in the condition {text} of {where} is not bound there")
            if symbol not in self.sizes:
                raise self.refuse(
                    f"unknown symbol {symbol} in the condition {text} of {where}: it is no index and no size"
                )
        if affine_terms(condition, scope) is None:
            raise self.refuse(f"the condition {text} in {where} is not affine in the index variables")

    def split(
        self, base: str, combine: str, reduction_symbol: sp.Symbol, axes: tuple[AxisVariable, ...]
    ) -> sp.Symbol:
        """Give a reduction a stage of its own and return the access to it."""
        reduction = reduction_of(reduction_symbol)
        assert reduction is not None
        needed = reduction_variables(self.declared, reduction)
        own = tuple(a for a in axes if a.symbol in needed)
        missing = needed - {a.symbol for a in own}
        if missing:
            name = min(map(str, missing))
            raise self.refuse(
                f"index {name} of a reduction in {base} is neither an index of {base} nor reduced over"
            )
        number = 1 + sum(s.name.startswith(f"{base}_{combine}") for s in self.stages)
        name = f"{base}_{combine}{number}"
        ragged = any(a.extent.atoms(AppliedUndef) for a in own)
        self.declared.tensors[name] = TensorInfo(name, "stage", own, ragged, True)
        self.stages.append(self.normal(Stage(name, own, reduction_symbol, ())))
        return self.declared.access(name, tuple(a.symbol for a in own))

    def body(self, base: str, reduction: Reduction, axes: tuple[AxisVariable, ...]) -> Reduction:
        """The reduction with inner reductions replaced by stages."""
        self._check_variables(base, reduction, axes)
        reduction = self.merged(base, reduction)
        if reduction.combine == "max":
            reduction = self._rows_first(base, reduction)
        expression = without_kinks(reduction.body)
        inner_axes = axes + tuple(
            v
            for s in reduction.variables
            if isinstance(v := self.declared.variables.get(s), AxisVariable) and v not in axes
        )
        for symbol in sorted((s for s in expression.free_symbols if reduction_of(s) is not None), key=str):
            inner = reduction_of(symbol)
            assert inner is not None
            expression = expression.subs(symbol, self.split(base, inner.combine, symbol, inner_axes))
        scope = {a.symbol for a in axes} | set(reduction.variables)
        self.check(base, expression, scope)
        for condition, sign in [(c, "=") for c in reduction.constraints] + [
            (c, ">=") for c in reduction.bounds
        ]:
            self._check_condition(base, condition, f"{condition} {sign} 0", scope)
        return replace(reduction, body=expression)

    def _rows_first(self, base: str, reduction: Reduction) -> Reduction:
        """A maximum with the rows of its relation outermost, because they have no number to count them by."""
        rows = [s for s in reduction.variables if isinstance(self.declared.variables[s], RowVariable)]
        if len(rows) > 1:
            raise self.refuse(
                f"a maximum in {base} runs over the rows of {len(rows)} relations; it may run over those of "
                "one, and another stage over the others"
            )
        others = tuple(s for s in reduction.variables if s not in rows)
        return replace(reduction, variables=(*rows, *others))

    def _check_variables(self, base: str, reduction: Reduction, axes: tuple[AxisVariable, ...]) -> None:
        """The variables of a reduction are declared, and none is an index of its stage."""
        for symbol in reduction.variables:
            if symbol not in self.declared.variables:
                raise self.refuse(f"{symbol} in a reduction of {base} is no declared index variable")
            if symbol in {a.symbol for a in axes}:
                raise self.refuse(
                    f"{symbol} is an index of {base} and is reduced over in it; L.copy({symbol}, ...) "
                    "makes another"
                )

    def merged(self, base: str, reduction: Reduction) -> Reduction:
        """The reduction with every sum that depends on one of its rows merged into it.

        Such a sum cannot become a stage, since the rows of a relation cannot index one.
        """
        rows = {s for s in reduction.variables if isinstance(self.declared.variables[s], RowVariable)}
        for symbol in sorted(
            (s for s in reduction.body.free_symbols if reduction_of(s) is not None), key=str
        ):
            inner = reduction_of(symbol)
            assert inner is not None
            if not rows & reduction_variables(self.declared, inner):
                continue
            factor = sp.expand(reduction.body).coeff(symbol, 1)
            linear = sp.expand(reduction.body - factor * symbol) == 0 and symbol not in factor.free_symbols
            if not (linear and inner.combine == reduction.combine == "sum"):
                row = min(map(str, rows))
                raise self.refuse(
                    f"an inner reduction in {base} depends on {row} and is no factor of the sum over {row}; "
                    "a stage cannot be indexed by the rows of a relation"
                )
            combined = Reduction(
                "sum",
                factor * inner.body,
                reduction.variables + inner.variables,
                reduction.constraints + inner.constraints,
                reduction.bounds + inner.bounds,
            )
            return self.merged(base, combined)
        return reduction

    def normal(self, stage: Stage) -> Stage:
        expression = without_kinks(stage.expression)
        symbols = sorted((s for s in expression.free_symbols if reduction_of(s) is not None), key=str)
        kept: list[tuple[sp.Symbol, Reduction]] = []
        for symbol in symbols:
            reduction = reduction_of(symbol)
            assert reduction is not None
            coefficient = sp.diff(expression, symbol)
            constant = not any(
                reduction_of(s) is not None or s in self.declared.accesses for s in coefficient.free_symbols
            )
            if not constant or (reduction.combine == "max" and expression != symbol):
                expression = expression.subs(
                    symbol, self.split(stage.name, reduction.combine, symbol, stage.axes)
                )
            else:
                kept.append((symbol, self.body(stage.name, reduction, stage.axes)))
        self.check(stage.name, expression, {a.symbol for a in stage.axes})
        for symbol in sorted(expression.free_symbols & set(self.declared.accesses), key=str):
            if self.declared.accesses[symbol].outside == "skip":
                raise self.refuse(
                    f"the clipped access {symbol} in {stage.name} stands under no reduction that could "
                    "leave it out"
                )
        return Stage(stage.name, stage.axes, expression, tuple(kept))


def normalise(declared: Declarations) -> Definition:
    """Check the declared stages and bring them to normal form.

    Raises DefinitionError, naming the layer and the access, for whatever the language cannot express.
    """
    normaliser = _Normaliser(declared)
    for stage in list(declared.stages):
        normaliser.stages.append(normaliser.normal(stage))
    read = {"Z"}
    for stage in reversed(normaliser.stages):
        if stage.name in read:
            read |= {declared.accesses[s].tensor for s in stage.symbols if s in declared.accesses}
    for name in declared.tensors:
        if name not in read:
            raise declared.refuse(f"{name} is declared but Z does not depend on it")
    if sum(t.kind == "input" for t in declared.tensors.values()) != 1:
        raise declared.refuse("a layer has exactly one input, declared with L.input(...)")
    return Definition(
        declared.name,
        dict(declared.sizes),
        dict(declared.relations),
        dict(declared.tensors),
        tuple(normaliser.stages),
        dict(declared.accesses),
        dict(declared.variables),
        dict(declared.initial),
        frozenset(declared.shifts),
        declared.called(),
        tuple(declared.requirements),
    )

"""What the sizes of a definition decide: whether accesses stay inside, and how many terms a parameter's
sums have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import sympy as sp
from sympy.core.function import AppliedUndef

from ..language.declarations import Access, Stage
from ..language.stages import Definition, affine_terms
from ..symbols.errors import DefinitionError
from ..symbols.indices import AxisVariable


@dataclass(frozen=True)
class RangeCheck:
    """A condition on the sizes of a network: where ``value >= 0`` does not hold, it is refused with
    ``message``.
    """

    value: sp.Expr
    message: str


def _occurrences(
    definition: Definition,
) -> Iterator[tuple[Stage, sp.Symbol, Access, dict[sp.Symbol, sp.Expr]]]:
    """Every access with the extents of the variables in its scope."""
    for stage in definition.stages:
        scopes: list[tuple[sp.Expr, tuple[sp.Symbol, ...]]] = [(stage.expression, ())]
        scopes += [(r.body, r.variables) for _, r in stage.reductions]
        for expression, extra in scopes:
            extents = {a.symbol: sp.sympify(a.extent) for a in stage.axes}
            for symbol in extra:
                variable = definition.variables[symbol]
                if isinstance(variable, AxisVariable):
                    extents[symbol] = sp.sympify(variable.extent)
            for symbol in sorted(expression.free_symbols, key=str):
                if symbol in definition.accesses:
                    yield stage, symbol, definition.accesses[symbol], extents


def range_checks(definition: Definition) -> list[RangeCheck]:
    """The checks that keep accesses inside their tensors for all indices; padded and clipped ones need none.

    Raises DefinitionError where that cannot be decided from the sizes alone (ragged maps with an offset).
    """
    checks: dict[sp.Expr, RangeCheck] = {}
    for stage, symbol, access, extents in _occurrences(definition):
        if access.outside != "never" or _is_tied(definition, stage):
            continue
        axes = definition.tensors[access.tensor].axes
        first = {axes[0].symbol: access.index[0]} if axes else {}
        for entry, axis in zip(access.index, axes, strict=True):
            extent = sp.sympify(axis.extent).subs(first)
            for value in _extremes(definition, symbol, entry, extent, extents):
                if not (value.is_nonnegative and not value.is_Symbol) and value not in checks:
                    checks[value] = RangeCheck(
                        value, f"the access {symbol} in {stage.name} leaves {access.tensor}"
                    )
    return list(checks.values())


def _is_tied(definition: Definition, stage: Stage) -> bool:
    """True where a where= condition may keep an index inside; the index solver then adds the bounds
    itself.
    """
    rows = {c for _, r in stage.reductions for c in r.constraints if not c.atoms(AppliedUndef)}
    return bool(rows)


def _extremes(definition: Definition, symbol: sp.Symbol, entry: sp.Expr, extent: sp.Expr,
              extents: dict[sp.Symbol, sp.Expr]) -> list[sp.Expr]:  # fmt: skip
    """What must not be negative: the smallest index, and extent - 1 - the largest.

    It is empty where the index is the tensor's own axis or the entry of a relation.
    """
    if isinstance(entry, AppliedUndef) or (
        entry.is_Symbol and sp.expand(extents.get(entry, sp.S.NaN) - extent) == 0
    ):
        return []
    low, high = (_extreme(definition, symbol, entry, extents, side) for side in (-1, 1))
    if any(e.atoms(AppliedUndef) or e.free_symbols & set(extents) for e in (low, high, extent)):
        raise DefinitionError(
            f"layer {definition.name}: whether the access {symbol} stays inside depends on the maps; "
            "write .padded or .clipped"
        )
    return [low, sp.expand(extent - 1 - high)]


def _extreme(
    definition: Definition, symbol: sp.Symbol, entry: sp.Expr, extents: dict[sp.Symbol, sp.Expr], side: int
) -> sp.Expr:
    """The largest (side 1) or smallest (-1) value of an affine index.

    The range of a variable may depend on others, so the innermost variable is replaced first.
    """
    value = sp.expand(entry)
    pending = sorted(extents, key=str)
    while present := [v for v in pending if value.has(v)]:
        inner = next(v for v in present if not any(extents[o].has(v) for o in present if o is not v))
        terms = affine_terms(value, set(extents))
        coefficient = None if terms is None else terms[0].get(inner)
        if coefficient is None:
            return value
        at_top = coefficient.could_extract_minus_sign() == (side < 0)
        value = sp.expand(value.subs(inner, extents[inner] - 1 if at_top else 0))
        pending.remove(inner)
    return value


@dataclass(frozen=True)
class FanIn:
    """The number of terms ``numerator / denominator`` that the sums over a parameter have, on average
    over the units.
    """

    numerator: sp.Expr
    denominator: sp.Expr


def fan_in(definition: Definition, parameter: str) -> FanIn | None:
    """The number of terms that the sums over ``parameter`` have; None where the parameter stands under no
    sum.

    A sum over the connections of a unit counts their mean number.  A window that differs per kernel counts
    with its largest size.
    """
    for stage in definition.stages:
        for _, reduction in stage.reductions:
            if any(
                s in definition.accesses and definition.accesses[s].tensor == parameter
                for s in reduction.body.free_symbols
            ):
                return _terms(definition, reduction.variables)
    return None


def _terms(definition: Definition, variables: tuple[sp.Symbol, ...]) -> FanIn:
    numerator: sp.Expr = sp.S.One
    denominator: sp.Expr = sp.S.One
    for symbol in variables:
        variable = definition.variables[symbol]
        if isinstance(variable, AxisVariable):
            extent = sp.sympify(variable.extent)
            for table in sorted(
                (f for f in extent.atoms(AppliedUndef) if f.func.__name__ in definition.sizes), key=str
            ):
                extent = extent.subs(table, sp.Symbol(f"{table.func.__name__}_max"))
            numerator *= extent
        else:
            numerator *= sp.Symbol(f"{variable.relation}_rows")
            denominator *= sp.Symbol(definition.relations[variable.relation].columns[0][1])
    return FanIn(numerator, denominator)

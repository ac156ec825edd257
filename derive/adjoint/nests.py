"""From a reduction, or from one occurrence of a tensor in a stage, to a nest of loops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from ..ir import (
    Accumulator,
    Condition,
    Expr,
    IntExpr,
    Let,
    Load,
    Loop,
    Nest,
    TableLoop,
)
from ..language.declarations import Access
from ..language.stages import Definition
from ..symbols.accurate import accurate
from ..symbols.freeze import IntegerFreezer, ScalarFreezer, temporary_lookup, with_temporaries
from ..symbols.indices import AxisVariable, RowVariable
from .solver import IndexSolver, Relational, Solution, SolvedLoop, Unknown


def _entry_bounds(definition: Definition) -> dict[str, sp.Expr]:
    """What entries of relations' columns are below, and how many entries tables of sizes have."""

    def size(name: str) -> sp.Symbol:
        return sp.Symbol(name, integer=True, nonnegative=True)

    bounds = {f"{r.name}_{column}": size(n) for r in definition.relations.values() for column, n in r.columns}
    return bounds | {name: size(info.table) for name, info in definition.sizes.items() if info.table}


@dataclass(frozen=True)
class Term:
    """What a nest sums at every point of ``outputs``: ``body`` over ``unknowns``.

    * ``equations``, ``bounds``: only points count where the equations are 0 and the bounds at least 0.
    * ``rename``: other names for the stage's own index variables where they collide with the outputs'.
    * ``position``: of a maximum, the row-major number of the point.
    * ``skipping``: clipped accesses; points where one of them is outside its tensor do not count.
    """

    unknowns: tuple[Unknown, ...]
    equations: tuple[sp.Expr, ...]
    body: sp.Expr
    rename: Mapping[sp.Symbol, sp.Symbol]
    outputs: tuple[AxisVariable, ...]
    combine: str = "sum"
    position: sp.Expr | None = None
    skipping: tuple[Access, ...] = ()
    bounds: tuple[sp.Expr, ...] = ()


class NestBuilder:
    """Solves terms of one definition and freezes them.

    * ``accesses``: may hold more than the definition's, such as deltas.
    * ``where``: what messages call the definition.
    """

    def __init__(self, definition: Definition, accesses: Mapping[sp.Symbol, Access]) -> None:
        self.definition = definition
        self.accesses = accesses
        self.where = f"layer {definition.name}"
        relations = {
            f"{r.name}_{column}": (r.name, column)
            for r in definition.relations.values()
            for column, _ in r.columns
        }
        self.integer = IntegerFreezer(frozenset(definition.sizes), relations)
        self.bounds = _entry_bounds(definition)
        self.extents = {t.name: t for t in definition.tensors.values()}
        self._solved: dict[
            int, tuple[Term, tuple[Solution, dict[sp.Symbol, Access], sp.Expr]]
        ] = {}  # keeps its terms alive

    def unknown(self, symbol: sp.Symbol, rename: Mapping[sp.Symbol, sp.Symbol]) -> Unknown:
        """``symbol`` as an unknown of the index solver, under its new name."""
        variable = self.definition.variables[symbol]
        name = rename.get(symbol, symbol)
        if isinstance(variable, RowVariable):
            return Unknown(name, "row", None, variable.relation)
        return Unknown(name, variable.kind, sp.sympify(variable.extent).subs(rename))

    def tensor_extents(self, access: Access, index: Sequence[sp.Expr]) -> list[sp.Expr]:
        """The extent of every dimension of ``access``; those of a ragged tensor depend on its first index."""
        axes = self.extents[access.tensor].axes
        first = {axes[0].symbol: index[0]} if axes else {}
        return [sp.sympify(a.extent).subs(first) for a in axes]

    # -------------------------------------------------------------------------------------------------- nests
    def solve(self, term: Term) -> tuple[Solution, dict[sp.Symbol, Access], sp.Expr]:
        """The solution, the accesses at the solution's indices, and the body with solved indices."""
        if id(term) not in self._solved:
            self._solved[id(term)] = (term, self._solve(term))
        return self._solved[id(term)][1]

    def _solve(self, term: Term) -> tuple[Solution, dict[sp.Symbol, Access], sp.Expr]:
        known = {a.symbol: a.extent for a in term.outputs}
        solver = IndexSolver(self.where, term.unknowns, known, self.bounds, term.combine == "max")
        solver.solve_equations(term.equations)
        inside: list[tuple[sp.Expr, sp.Expr]] = []
        hoisted = set()
        for symbol in sorted((s for s in term.body.free_symbols if s in self.accesses), key=str):
            access = self.accesses[symbol]
            if access.outside == "zero" and term.combine == "sum" and term.body.subs(symbol, 0) == 0:
                hoisted.add(symbol)
                inside.extend(self._inside(access, term.rename))
        for access in term.skipping:
            inside.extend(self._inside(access, term.rename))
        solution = solver.finish(inside, term.bounds)
        located: dict[sp.Symbol, Access] = {}
        for symbol in sorted((s for s in term.body.free_symbols if s in self.accesses), key=str):
            access = self.accesses[symbol]
            index = tuple(self._at(e, term.rename, solution) for e in access.index)
            outside = "never" if symbol in hoisted or access.outside == "skip" else access.outside
            located[symbol] = Access(access.tensor, index, outside)
        body = self._at(term.body, term.rename, solution, expand=False)
        return solution, located, body

    @staticmethod
    def _at(
        e: sp.Expr, rename: Mapping[sp.Symbol, sp.Symbol], solution: Solution, expand: bool = True
    ) -> sp.Expr:
        result = e.subs(rename, simultaneous=True).subs(solution.values, simultaneous=True)
        return sp.expand(result) if expand else result

    def _inside(self, access: Access, rename: Mapping[sp.Symbol, sp.Symbol]) -> list[tuple[sp.Expr, sp.Expr]]:
        index = [e.subs(rename, simultaneous=True) for e in access.index]
        return list(zip(index, self.tensor_extents(access, index), strict=True))

    def nest(self, term: Term, body: sp.Expr | None = None) -> Nest:
        """Freezes the loops of ``term``; the body is ``body`` if given, which is a multiple of the term's."""
        solution, located, solved = self.solve(term)
        if body is not None:
            solved = self._at(body, term.rename, solution, expand=False)
        temporaries, frozen = self._freeze(solved, self._lookup(located, {}))
        position = None
        if term.position is not None:
            position = self.integer(self._at(term.position, term.rename, solution))
        return Nest(
            loops=tuple(self._loop(loop) for loop in solution.loops),
            lets=tuple(Let(s.name, self.integer(v)) for s, v in solution.quotients),
            conditions=self._frozen_conditions(solution.conditions),
            guards=self._frozen_conditions(solution.guards),
            body=frozen,
            combine="max" if term.combine == "max" else "sum",
            position=position,
            temporaries=temporaries,
        )

    def _frozen_conditions(self, found: Sequence[Relational]) -> tuple[Condition, ...]:
        return tuple(self.integer.condition(c.left, c.op, c.right) for c in found)

    def scalar(
        self, e: sp.Expr, accumulators: Mapping[sp.Symbol, int]
    ) -> tuple[tuple[tuple[str, Expr], ...], Expr]:
        """A map expression over the output axes, frozen, with its temporaries."""
        located = {s: self.accesses[s] for s in e.free_symbols if s in self.accesses}
        return self._freeze(e, self._lookup(located, accumulators))

    def _freeze(
        self, e: sp.Expr, lookup: Callable[[sp.Symbol], Expr | None]
    ) -> tuple[tuple[tuple[str, Expr], ...], Expr]:
        """A scalar body as temporaries, in order, and the expression that uses them."""
        where = self.where
        replacements, inner = with_temporaries(accurate(e))
        names: set[sp.Symbol] = set()
        temporaries: list[tuple[str, Expr]] = []
        for symbol, value in replacements:
            temporaries.append(
                (symbol.name, ScalarFreezer(self.integer, temporary_lookup(set(names), lookup), where)(value))
            )
            names.add(symbol)
        return tuple(temporaries), ScalarFreezer(self.integer, temporary_lookup(names, lookup), where)(inner)

    def _lookup(
        self, located: Mapping[sp.Symbol, Access], accumulators: Mapping[sp.Symbol, int]
    ) -> Callable[[sp.Symbol], Expr | None]:
        def find(symbol: sp.Symbol) -> Expr | None:
            if symbol in accumulators:
                return Accumulator(accumulators[symbol])
            access = located.get(symbol)
            if access is None:
                return None
            index: tuple[IntExpr, ...] = tuple(self.integer(e) for e in access.index)
            return Load(access.tensor, index, self._conditions(access))

        return find

    def _conditions(self, access: Access) -> tuple[Condition, ...]:
        if access.outside == "never":
            return ()
        conditions = []
        for value, extent in zip(access.index, self.tensor_extents(access, access.index), strict=True):
            variable = self.definition.variables.get(value) if value.is_Symbol else None
            if isinstance(variable, AxisVariable) and variable.extent == extent:
                continue
            if not value.is_nonnegative:
                conditions.append(self.integer.condition(value, ">=", sp.S.Zero))
            conditions.append(self.integer.condition(sp.expand(extent - 1 - value), ">=", sp.S.Zero))
        return tuple(conditions)

    def _loop(self, loop: SolvedLoop) -> Loop | TableLoop:
        unknown = loop.unknown
        if unknown.kind == "row":
            column = loop.by.removeprefix(f"{unknown.relation}_")
            return TableLoop(unknown.symbol.name, unknown.relation, column, self.integer(loop.key))
        assert unknown.extent is not None
        return Loop(unknown.symbol.name, unknown.kind, self.integer(unknown.extent), self.integer(loop.lower),  # type: ignore[arg-type]
                    self.integer(loop.upper), self.integer(loop.step))  # fmt: skip

"""The index solver finds the loops, with their bounds, that reach a given point of a tensor.

Differentiating a reduction gives indicators 1{f(o, r) = p} (equation 65).  The solver removes them.  Each
equation expresses one variable by the others, over the integers.  The remaining variables become loops with
tight bounds (ledger B, forms F1 and F2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp
from sympy.core.function import AppliedUndef

from ..language.stages import affine_terms
from ..symbols.errors import DefinitionError
from ..symbols.indices import AxisKind
from ..symbols.integers import CeilDiv, FloorDiv, Gcd, Inverse, Largest, Modulo, Smallest

_LOOP_ORDER: Mapping[str, int] = {"row": 0, "parameter": 1, "map": 1, "unit": 1, "coordinate": 2, "window": 3}
_SOLVE_FIRST: Mapping[str, int] = {"parameter": 0, "map": 1, "unit": 1, "coordinate": 2, "window": 3}


@dataclass(frozen=True)
class Unknown:
    """A variable to solve for or to loop over; a row variable has a relation and no extent."""

    symbol: sp.Symbol
    kind: AxisKind | str
    extent: sp.Expr | None
    relation: str = ""


@dataclass(frozen=True)
class Relational:
    """``left op right`` over integer expressions."""

    left: sp.Expr
    op: str
    right: sp.Expr


@dataclass(frozen=True)
class SolvedLoop:
    """A loop that remains.

    * ``lower``, ``upper``, ``step``: for loops not over rows, the bounds ``lower <= symbol < upper`` and the
      step.
    * ``by``, ``key``: for a loop over rows, it runs over the rows whose column ``by`` has the value ``key``.
    """

    unknown: Unknown
    lower: sp.Expr = sp.S.Zero
    upper: sp.Expr = sp.S.Zero
    step: sp.Expr = sp.S.One
    by: str = ""
    key: sp.Expr = sp.S.Zero


@dataclass(frozen=True)
class Solution:
    """Loops and conditions that replace index equations.

    * ``loops``: the remaining loops, outermost first.
    * ``values``: the values of the solved variables.
    * ``quotients``: names for the integer divisions in values and conditions.
    * ``conditions``: describe the set of points, together with the full ranges of the loops; in the order in
      which they are tested.
    * ``guards``: describe the same set, together with the tight bounds of the loops.
    """

    loops: tuple[SolvedLoop, ...]
    values: Mapping[sp.Expr, sp.Expr]
    quotients: tuple[tuple[sp.Symbol, sp.Expr], ...]
    conditions: tuple[Relational, ...]
    guards: tuple[Relational, ...]


@dataclass
class _Quotient:
    """``symbol`` = floor(numerator / divisor).

    ``exact``: whether the divisor must divide the numerator.
    """

    symbol: sp.Symbol
    numerator: sp.Expr
    divisor: sp.Expr
    exact: bool


@dataclass
class _Bounds:
    """Bounds of one loop: it begins at the largest of ``lower`` and ends before the smallest of ``upper``."""

    lower: list[sp.Expr] = field(default_factory=list)
    upper: list[sp.Expr] = field(default_factory=list)


@dataclass
class _State:
    unknowns: dict[sp.Symbol, Unknown]
    values: dict[sp.Expr, sp.Expr] = field(default_factory=dict)
    quotients: list[_Quotient] = field(default_factory=list)
    groups: dict[sp.Symbol, tuple[str, sp.Expr]] = field(default_factory=dict)
    residual: list[Relational] = field(default_factory=list)

    @property
    def free(self) -> set[sp.Symbol]:
        return {s for s in self.unknowns if s not in self.values}


def _positive(e: sp.Expr) -> bool:
    """True if ``e`` has positive factors only.

    Symbols count as positive, because sizes are at least 1 wherever a kernel runs.
    """
    if e.is_Integer:
        return bool(e > 0)
    if e.is_Mul:
        return all(_positive(a) for a in e.args)
    return bool(e.is_Symbol or e.is_positive or isinstance(e, AppliedUndef))


def _sign(e: sp.Expr) -> int:
    if _positive(e):
        return 1
    return -1 if _positive(-e) else 0


class IndexSolver:
    """Solves index equations (each an expression that is 0) for ``unknowns``; all other symbols are given.

    * ``bounds``: what entries of a relation's column are below, and how many entries a table of sizes has, by
      the function that stands for either.
    * ``in_order``: loops keep the order of ``unknowns``; of a maximum, the first maximiser counts.
    """

    def __init__(
        self,
        where: str,
        unknowns: Sequence[Unknown],
        known_extents: Mapping[sp.Symbol, sp.Expr],
        bounds: Mapping[str, sp.Expr],
        in_order: bool = False,
    ) -> None:
        self.where, self.bounds, self.in_order = where, bounds, in_order
        self.state = _State({u.symbol: u for u in unknowns})
        self.known_extents = known_extents

    # ---------------------------------------------------------------------------------------------- equations
    def substitute(self, expression: sp.Expr) -> sp.Expr:
        """``expression`` with every solved variable replaced."""
        return sp.expand(expression.subs(self.state.values)) if self.state.values else sp.expand(expression)

    def _terms(self, equation: sp.Expr) -> tuple[dict[sp.Expr, sp.Expr], sp.Expr]:
        terms = affine_terms(equation, self.state.free)
        if terms is None:
            raise DefinitionError(f"{self.where}: the index equation {equation} = 0 is not affine")
        return terms

    def _assign(self, symbol: sp.Symbol, value: sp.Expr) -> None:
        values = self.state.values
        for known in values:
            values[known] = sp.expand(values[known].subs(symbol, value))
        for quotient in self.state.quotients:
            quotient.numerator = sp.expand(quotient.numerator.subs(symbol, value))
        values[symbol] = value

    def _group(self, equation: sp.Expr) -> bool:
        """Turns column(row) = known into a loop over the rows of that group; False for any other equation."""
        terms, constant = self._terms(equation)
        columns = [a for a in terms if isinstance(a, AppliedUndef)]
        if len(columns) != 1 or len(terms) != 1:
            return False
        column = columns[0]
        if terms[column] not in (1, -1):
            return False
        row = column.args[0]
        if row not in self.state.free or row in self.state.groups:
            return False
        key = -constant / terms[column]
        if key.free_symbols & self.state.free:
            return False
        self.state.groups[row] = (column.func.__name__, key)
        self.state.values[column] = key
        return True

    def _candidates(
        self, equation: sp.Expr, pending: Sequence[sp.Expr]
    ) -> list[tuple[tuple[int, int, int, str], sp.Symbol, sp.Expr, sp.Expr]]:
        """The variables that ``equation`` could express: rank, variable, coefficient and equation of each.

        The lowest rank is the best.  A coefficient of 1 or -1 counts most, then few appearances in
        ``pending``.
        """
        terms, _ = self._terms(equation)
        found = []
        for atom, coefficient in terms.items():
            unknown = self.state.unknowns.get(atom)
            if unknown is None or unknown.kind == "row":
                continue
            reached = self._reached(sp.expand(equation - coefficient * atom))
            if atom in reached or self._ranges_over(reached, atom):
                continue  # its value would depend on itself
            unit = coefficient in (1, -1)
            if not unit and _sign(coefficient) == 0:
                continue
            appearances = sum(atom in e.free_symbols for e in pending)
            rank = (0 if unit else 1, appearances, _SOLVE_FIRST[unknown.kind], str(atom))
            found.append((rank, atom, coefficient, equation))
        return found

    def _ranges_over(self, symbols: set[sp.Symbol], atom: sp.Symbol) -> bool:
        """True where the extent of one of ``symbols`` depends on ``atom``, as those of ragged maps do."""
        extents = (self.state.unknowns[s].extent for s in symbols & set(self.state.unknowns))
        return any(extent is not None and atom in extent.free_symbols for extent in extents)

    def _eliminate(self, symbol: sp.Symbol, coefficient: sp.Expr, equation: sp.Expr) -> None:
        rest = sp.expand(equation - coefficient * symbol)
        if coefficient in (1, -1):
            self._assign(symbol, sp.expand(-rest / coefficient))
            return
        sign = _sign(coefficient)
        numerator, divisor = sp.expand(-sign * rest), sp.expand(sign * coefficient)
        # The quotient keeps the variable's name.  It may be negative, as its numerator may be.
        name = sp.Symbol(symbol.name, integer=True, nonnegative=True if numerator.is_nonnegative else None)
        self.state.quotients.append(_Quotient(name, numerator, divisor, exact=True))
        self._assign(symbol, name)

    def solve_equations(self, equations: Sequence[sp.Expr]) -> None:
        """Uses up every equation.

        An equation becomes a group of rows, or the value of a variable, or a condition on known values.
        """
        pending = list(equations)
        while pending:
            pending = [e for e in (self.substitute(e) for e in pending) if e != 0]
            grouped = next((e for e in pending if self._group(e)), None)
            if grouped is not None:
                pending.remove(grouped)
                continue
            candidates = sorted(
                (c for e in pending for c in self._candidates(e, pending)), key=lambda c: c[0]
            )
            if candidates:
                _, symbol, coefficient, equation = candidates[0]
                pending.remove(equation)
                self._eliminate(symbol, coefficient, equation)
                continue
            self.state.residual.extend(Relational(e, "==", sp.S.Zero) for e in pending)
            break

    # ------------------------------------------------------------------------------------------------- bounds
    def _in_range(self, value: sp.Expr, extent: sp.Expr) -> list[sp.Expr]:
        """Expressions that must be >= 0 so that 0 <= value < extent, without those that always are."""
        value, extent = self.substitute(value), self.substitute(extent)
        if isinstance(value, AppliedUndef):  # a relation's entries were checked against their size
            return [] if self.bounds.get(str(value.func)) == extent else [sp.expand(extent - 1 - value)]
        given = self.known_extents.get(value)
        if given is None and value in self.state.free:
            given = self.state.unknowns[value].extent
        if given is not None and sp.expand(self.substitute(given) - extent) == 0:
            return []
        return [e for e in (value, sp.expand(extent - 1 - value)) if not (e.is_nonnegative and e.is_number)]

    def finish(self, inside: Sequence[tuple[sp.Expr, sp.Expr]], bounds: Sequence[sp.Expr] = ()) -> Solution:
        """Finds tight bounds for the loops that remain.

        * ``inside``: further pairs (value, extent) with 0 <= value < extent.
        * ``bounds``: further expressions that must be >= 0.
        """
        state = self.state
        wanted: list[sp.Expr] = []
        for symbol, value in list(state.values.items()):
            if symbol not in state.unknowns:
                continue  # it is a grouped column, whose entries were checked against their size
            extent = state.unknowns[symbol].extent
            assert extent is not None
            wanted.extend(self._in_range(value, extent))
        for value, extent in inside:
            wanted.extend(self._in_range(value, extent))
        wanted.extend(self.substitute(e) for e in bounds)
        inequalities = list(dict.fromkeys(e for e in wanted if not self._always(e)))
        self._sort_quotients()
        inequalities = self._collapse(inequalities)
        self._sort_quotients()
        loops = self._ordered_loops()
        conditions = [
            Relational(Modulo(q.numerator, q.divisor), "==", sp.S.Zero) for q in state.quotients if q.exact
        ]
        conditions += [Relational(e, ">=", sp.S.Zero) for e in inequalities]
        conditions += state.residual
        tight, guards = self._tighten(loops, inequalities)
        quotients = tuple((q.symbol, FloorDiv(q.numerator, q.divisor)) for q in state.quotients)
        ordered = (tuple(sorted(found, key=self._is_late)) for found in (conditions, guards + state.residual))
        return Solution(tuple(tight), dict(state.values), quotients, *ordered)

    def _is_late(self, condition: Relational) -> bool:
        """True for a test that may only follow the others, which say that an entry is there."""
        return self._reads_a_computed_entry(condition.left) or self._reads_a_computed_entry(condition.right)

    def _always(self, e: sp.Expr) -> bool:
        """True if e >= 0 follows from the signs of its symbols.

        Sizes and indices are nonnegative; quotients may be negative.
        """
        return bool(e.is_nonnegative)

    def _numerators(self, e: sp.Expr) -> sp.Expr:
        """``e`` of a condition e >= 0 with the exact quotients multiplied out."""
        for quotient in reversed(self.state.quotients):
            coefficient = e.coeff(quotient.symbol, 1)
            if coefficient != 0 and quotient.exact:
                rest = sp.expand(e - coefficient * quotient.symbol)
                e = sp.expand(rest * quotient.divisor + coefficient * quotient.numerator)
        return e

    def _reached(self, e: sp.Expr) -> set[sp.Symbol]:
        """The symbols that ``e`` depends on, directly or through quotients."""
        numerators = {q.symbol: q.numerator for q in self.state.quotients}
        found: set[sp.Symbol] = set()
        pending = set(e.free_symbols)
        while pending:
            symbol = pending.pop()
            found.add(symbol)
            pending |= (numerators[symbol].free_symbols if symbol in numerators else set()) - found
        return found

    def _sort_quotients(self) -> None:
        """Puts every quotient after those that its numerator mentions."""
        pending, ordered = list(self.state.quotients), []
        while pending:
            names = {q.symbol for q in pending}
            ready = next(q for q in pending if not q.numerator.free_symbols & (names - {q.symbol}))
            pending.remove(ready)
            ordered.append(ready)
        self.state.quotients = ordered

    def _written_out(self, e: sp.Expr) -> sp.Expr:
        """``e`` with integer divisions instead of quotients, so that it can be a loop bound."""
        for quotient in reversed(self.state.quotients):
            e = e.subs(quotient.symbol, FloorDiv(quotient.numerator, quotient.divisor))
        return e

    def _collapse(self, inequalities: list[sp.Expr]) -> list[sp.Expr]:
        """Replaces every loop that two bounds pin to one value by that value.

        An example is floor(x / K) in equation 92.
        """
        for symbol in sorted(self.state.free, key=str):
            unknown = self.state.unknowns[symbol]
            if unknown.extent is None:
                continue
            linear = [(e, e.coeff(symbol, 1)) for e in inequalities if symbol in e.free_symbols]
            for upper, negative in linear:
                for lower, positive in linear:
                    if _sign(positive) != 1 or sp.expand(positive + negative) != 0:
                        continue
                    slack = sp.expand(upper + lower)
                    if sp.expand(slack - (positive - 1)) != 0:
                        continue
                    numerator = sp.expand(upper - negative * symbol)
                    if symbol in self._reached(numerator):
                        continue  # its value would depend on itself
                    kept = [e for e in inequalities if e is not upper and e is not lower]
                    return self._collapse(
                        self._pin(unknown, _Quotient(symbol, numerator, positive, exact=False), kept)
                    )
        return inequalities

    def _pin(self, unknown: Unknown, pinned: _Quotient, inequalities: list[sp.Expr]) -> list[sp.Expr]:
        assert unknown.extent is not None
        nonnegative = bool(pinned.numerator.is_nonnegative)
        name = sp.Symbol(str(unknown.symbol), integer=True, nonnegative=True if nonnegative else None)
        self._assign(unknown.symbol, name)
        pinned.symbol = name
        self.state.quotients.append(pinned)
        remaining = [sp.expand(e.subs(unknown.symbol, name)) for e in inequalities]
        remaining += [] if nonnegative else [name]
        remaining.append(sp.expand(self.substitute(unknown.extent) - 1 - name))
        return list(dict.fromkeys(remaining))

    def _ordered_loops(self) -> list[Unknown]:
        unknowns = [self.state.unknowns[s] for s in self.state.unknowns if s not in self.state.values]
        return unknowns if self.in_order else sorted(unknowns, key=lambda u: _LOOP_ORDER[u.kind])

    def _tighten(
        self, loops: list[Unknown], inequalities: list[sp.Expr]
    ) -> tuple[list[SolvedLoop], list[Relational]]:
        """The loops with tight bounds and steps, and guards for the conditions that no bound can express."""
        order = {u.symbol: n for n, u in enumerate(loops)}
        bounds = {u.symbol: _Bounds() for u in loops}
        guards: list[Relational] = []
        for e in inequalities:
            inner, coefficient, rest = self._innermost(self._written_out(self._numerators(e)), order)
            sign = _sign(coefficient)
            if inner is None or sign == 0 or self._reads_a_computed_entry(e):
                guards.append(Relational(e, ">=", sp.S.Zero))
            elif sign > 0:
                bounds[inner].lower.append(CeilDiv(sp.expand(-rest), coefficient))
            else:
                bounds[inner].upper.append(sp.expand(FloorDiv(rest, sp.expand(-coefficient)) + 1))
        strides = self._strides(order, guards)
        return [self._bounded(u, bounds[u.symbol], strides.get(u.symbol)) for u in loops], guards

    def _reads_a_computed_entry(self, e: sp.Expr) -> bool:
        """True for the size of an entry that may not be there: nothing but a test can come before it."""
        return any(not self._is_there(f) for f in e.atoms(AppliedUndef))

    def _is_there(self, size: AppliedUndef) -> bool:
        """True where ``size`` is read at an index variable, or a column, of as many values as it has entries.

        Columns are read at rows, of which all are there.
        """
        entry, count = size.args[0], self.bounds.get(str(size.func))
        if isinstance(entry, AppliedUndef):
            return bool(self.bounds.get(str(entry.func)) == count)
        unknown = self.state.unknowns.get(entry)
        if unknown is not None and unknown.kind == "row":
            return True
        solved = {q.symbol for q in self.state.quotients}
        extent = self.known_extents.get(entry) if unknown is None else unknown.extent
        return bool(entry.is_Symbol and entry not in solved and extent is not None and extent == count)

    def _innermost(
        self, e: sp.Expr, order: Mapping[sp.Symbol, int]
    ) -> tuple[sp.Symbol | None, sp.Expr, sp.Expr]:
        """The innermost loop of an affine ``e``, its coefficient, and the rest.

        The loop is None if no bound of a loop can express ``e``.
        """
        inner = max((s for s in e.free_symbols if s in order), key=lambda s: order[s], default=None)
        if inner is None:
            return None, sp.S.Zero, e
        coefficient = e.coeff(inner, 1)
        rest = sp.expand(e - coefficient * inner)
        bounded = inner not in rest.free_symbols and self.state.unknowns[inner].kind != "row"
        return inner if bounded else None, coefficient, rest

    def _bounded(
        self, unknown: Unknown, bounds: _Bounds, stride: tuple[sp.Expr, sp.Expr] | None
    ) -> SolvedLoop:
        """The loop over ``unknown``.

        It runs over the rows of its group, or between its bounds in steps of its stride.
        """
        if unknown.kind == "row":
            by, key = self.state.groups.get(unknown.symbol, ("", sp.S.Zero))
            return SolvedLoop(unknown, by=by, key=self.substitute(key))
        assert unknown.extent is not None
        extent = self.substitute(unknown.extent)
        low = Largest(sp.S.Zero, *bounds.lower) if bounds.lower else sp.S.Zero
        high = Smallest(extent, *bounds.upper) if bounds.upper else extent
        step = sp.S.One
        if stride is not None:
            first, step = stride
            low = low + Modulo(first - low, step)  # the first member of the residue class from the bound on
        return SolvedLoop(replace(unknown, extent=extent), low, high, step)

    def _strides(
        self, order: Mapping[sp.Symbol, int], guards: list[Relational]
    ) -> dict[sp.Symbol, tuple[sp.Expr, sp.Expr]]:
        """The first value and the step of every loop with a stride (form F2).

        Let k divide c - d u, and g = gcd(k, d).  Then every (k / g)-th u is left, and a guard keeps "g
        divides c".
        """
        strides: dict[sp.Symbol, tuple[sp.Expr, sp.Expr]] = {}
        for quotient in (q for q in self.state.quotients if q.exact):
            numerator, k = self._written_out(quotient.numerator), quotient.divisor
            inner, coefficient, c = self._innermost(numerator, order)
            sign = _sign(coefficient)
            if inner is None or sign == 0 or inner in strides:
                guards.append(Relational(Modulo(numerator, k), "==", sp.S.Zero))
                continue
            d = sp.expand(sign * coefficient)
            g = Gcd(k, d)
            step = FloorDiv(k, g)
            inverse = Inverse(FloorDiv(d, g), step)
            first = Modulo(-sign * inverse * FloorDiv(c, g), step)
            strides[inner] = (first, step)
            if g != 1:
                guards.append(Relational(Modulo(c, g), "==", sp.S.Zero))
        return strides

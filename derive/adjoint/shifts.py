"""Proof that Z does not change with a definition's shifts, such as the maximum that keeps a softmax finite.

The tangent d/dm of a shift m is propagated through the stages.  The shift itself has the tangent 1.  The
tangent of every stage that m reaches must be a constant multiple of the stage's value: -1 times for exp(A -
m) and for a sum of such terms, 0 times for a quotient of two such sums.  An indexed shift m[i] must keep its
index on the way, since every entry is proved by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from ..language.declarations import Stage
from ..language.stages import Definition
from ..symbols.errors import DefinitionError


@dataclass(frozen=True)
class _Carrier:
    """A tensor that depends on the shift.

    * ``rate``: its tangent is this times its value; None for the shift itself, whose tangent is 1.
    * ``places``: the positions of the shift's indices among the tensor's.
    """

    rate: sp.Expr | None
    places: tuple[int, ...]


class _Proof:
    def __init__(self, definition: Definition, shift: str) -> None:
        self.definition, self.shift = definition, shift
        self.carriers: dict[str, _Carrier] = {}

    def refuse(self, stage: Stage, reason: str) -> DefinitionError:
        claim = f"could not prove that Z does not depend on the shift {self.shift}"
        return DefinitionError(f"layer {self.definition.name}: {claim}: {reason} (at {stage.name})")

    def run(self) -> None:
        """Raise DefinitionError unless the proof succeeds."""
        for stage in self.definition.stages:
            if stage.name == self.shift:
                self.carriers[stage.name] = _Carrier(None, tuple(range(len(stage.axes))))
                continue
            carrier = self._stage(stage)
            if carrier is not None:
                self.carriers[stage.name] = carrier
        if "Z" in self.carriers:
            raise DefinitionError(
                f"layer {self.definition.name}: Z depends on {self.shift}, which is declared as a shift"
            )

    def _stage(self, stage: Stage) -> _Carrier | None:
        kept = self._indices(stage)
        if kept is None:
            return None
        change = self._tangent(stage, stage.expression)
        for accumulator, reduction in stage.reductions:
            inner = self._multiple(stage, self._tangent(stage, reduction.body), reduction.body)
            change += sp.diff(stage.expression, accumulator) * inner * accumulator
        rate = self._multiple(stage, change, stage.expression)
        if rate == 0:
            return None
        axes = [a.symbol for a in stage.axes]
        return _Carrier(rate, tuple(axes.index(s) for s in kept))

    def _tangent(self, stage: Stage, e: sp.Expr) -> sp.Expr:
        total: sp.Expr = sp.S.Zero
        conditions = {s for piece in e.atoms(sp.Piecewise) for _, c in piece.args for s in c.free_symbols}
        for symbol in self._reached(e):
            if symbol in conditions:
                raise self.refuse(stage, f"{symbol} decides between the branches of a piecewise function")
            carrier = self.carriers[self.definition.accesses[symbol].tensor]
            total += sp.diff(e, symbol) * (1 if carrier.rate is None else carrier.rate * symbol)
        return total

    def _multiple(self, stage: Stage, change: sp.Expr, value: sp.Expr) -> sp.Expr:
        multiple = sp.S.Zero if change == 0 else sp.cancel(change / value)
        if multiple.free_symbols:
            multiple = sp.simplify(multiple)
        if multiple.free_symbols:
            raise self.refuse(stage, "its change is no constant multiple of its value")
        return multiple

    def _reached(self, e: sp.Expr) -> list[sp.Symbol]:
        accesses = self.definition.accesses
        return sorted(
            (s for s in e.free_symbols if s in accesses and accesses[s].tensor in self.carriers), key=str
        )

    def _indices(self, stage: Stage) -> tuple[sp.Symbol, ...] | None:
        """The indices under which ``stage`` reads the shift, None where it does not.

        They must be the stage's own and the same in every access, so that each entry of the shift moves
        alone.
        """
        found = set()
        for e in (stage.expression, *(r.body for _, r in stage.reductions)):
            for symbol in self._reached(e):
                access = self.definition.accesses[symbol]
                found.add(tuple(access.index[n] for n in self.carriers[access.tensor].places))
        if not found:
            return None
        axes = {a.symbol for a in stage.axes}
        (kept, *others) = sorted(found, key=str)
        if others or not set(kept) <= axes or len(set(kept)) < len(kept):
            raise self.refuse(
                stage, f"it is read at {sorted(found, key=str)}, which are not the stage's own indices"
            )
        return kept


def prove_shifts(definition: Definition) -> None:
    """Prove dZ/dm = 0 for every shift m of ``definition``.

    Raises DefinitionError where the proof does not succeed.
    """
    for shift in sorted(definition.shifts):
        _Proof(definition, shift).run()

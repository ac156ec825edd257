"""Stages, deltas and gradients of a definition at given tensors, point by point.

Nothing here solves an index equation.  A delta is scattered: where stage s reads tensor A at f(o, r),
``delta_s[o] * d stage_s / d A[f(o, r)]`` is added to entry f(o, r) of A's delta, for every o and r.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import sympy as sp

from ..language.declarations import Access, Reduction, Stage, TensorInfo
from ..language.stages import Definition
from ..symbols.indices import RowVariable
from .scalars import Array, ScalarValues
from .sizes import ORIGIN, IntArray, Points, SizeValues

Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Computed:
    """A tensor that was computed, as ``(units, samples)`` or ``(units,)``.

    * ``size``: sums of the absolute values of what was added up.
    * ``position``: of a maximum, the number of its first maximiser, -1 where there is none.
    * ``lead``: of a maximum, by how much the largest exceeds the next one; infinite where there is no other.
    """

    value: Array
    size: Array
    position: Array | None = None
    lead: Array | None = None


class DefinitionValues:
    """A definition at ``sizes``.

    Tensors go by their names in kernels, as ``(units, samples)`` or ``(units,)``.
    """

    def __init__(self, definition: Definition, sizes: SizeValues) -> None:
        self.definition, self.sizes = definition, sizes
        self.stages = {stage.name: stage for stage in definition.stages}
        self._derivatives: dict[tuple[sp.Expr, sp.Symbol], sp.Expr] = {}

    def computes(self, kernel: str) -> bool:
        """True for the kernels of the definition's own equations; a fused loss is none of them."""
        return self._kind(kernel)[0] != ""

    def kernel(self, kernel: str, tensors: Tensors) -> Computed:
        """What kernel ``kernel`` computes, before phi and without phi' of the layer below."""
        kind, target = self._kind(kernel)
        if kind == "forward":
            return self.stage(target, tensors)
        found = self.adjoint(self.definition.tensors[target], tensors)
        if kind != "gradient":
            return found
        return Computed(found.value.sum(axis=1), found.size.sum(axis=1))

    def _kind(self, kernel: str) -> tuple[str, str]:
        kind, _, target = kernel.partition("_")
        known = kind in ("forward", "delta", "gradient", "samplegradient")
        wanted = self.stages if kind == "forward" else self.definition.tensors
        return (kind, target) if known and target in wanted else ("", "")

    # ----------------------------------------------------------------------------------------------- tensors
    def units(self, tensor: TensorInfo) -> int:
        """The number of entries of a tensor, without the sample axis."""
        return ORIGIN.over(tensor.axes, self.sizes).count

    def _located(self, access: Access, points: Points) -> tuple[IntArray, Array]:
        """Where ``access`` reads at every point, and whether that is inside the tensor."""
        axes, shape = self.definition.tensors[access.tensor].axes, (points.count,)
        if not axes:
            return np.zeros(shape, np.int64), np.ones(shape, bool)
        index = [np.broadcast_to(self.sizes.integer(e, points.values), shape) for e in access.index]
        first = axes[0].symbol.name
        rows = int(self.sizes.integer(axes[0].extent, {}))
        every = {first: np.arange(rows)}
        units = np.ones(rows, np.int64)
        for axis in axes[1:]:
            units = units * self.sizes.integer(axis.extent, every)
        inside = (index[0] >= 0) & (index[0] < rows)
        row = np.where(inside, index[0], 0)
        starts = np.cumsum(units) - units
        flat = np.zeros(shape, np.int64)
        for axis, entry in zip(axes[1:], index[1:], strict=True):
            extent = self.sizes.integer(axis.extent, {first: row})
            inside = inside & (entry >= 0) & (entry < extent)
            flat = flat * extent + entry
        return np.where(inside, flat + (starts[row] if rows else 0), 0), inside

    def reads_inside(self) -> bool:
        """True where every access that must stay inside its tensor does so at every point."""
        for stage in self.definition.stages:
            outputs = ORIGIN.over(stage.axes, self.sizes)
            bodies = [(stage.expression, outputs)]
            bodies += [(r.body, self._points(outputs, r)) for _, r in stage.reductions]
            for body, points in bodies:
                for symbol in body.free_symbols & set(self.definition.accesses):
                    access = self.definition.accesses[symbol]
                    if access.outside == "never" and not self._located(access, points)[1].all():
                        return False
        return True

    def _scalars(self, points: Points, tensors: Tensors, own: Mapping[sp.Symbol, Array]) -> ScalarValues:
        """Scalar expressions at ``points``; ``own`` are the values of further symbols."""

        def lookup(e: sp.Expr) -> Array:
            if e in own:
                return own[e]
            access = self.definition.accesses.get(e)
            if access is None:
                number = self.sizes.integer(e, points.values).astype(np.float64)
                return np.broadcast_to(number, (points.count,))[:, None]
            where, inside = self._located(access, points)
            if access.outside == "never" and not inside.all():
                raise IndexError(f"the access {e} reads outside {access.tensor}")
            entries = tensors[access.tensor]
            entries = entries if entries.ndim == 2 else entries[:, None]
            if not len(entries):
                return np.zeros((points.count, entries.shape[1]))
            return np.where(inside[:, None], entries[where], 0.0)

        return ScalarValues(lookup)

    def _points(self, outputs: Points, reduction: Reduction) -> Points:
        """The points of a reduction that count, with their output points as origins."""
        known = self.definition.variables
        points = outputs.over((known[s] for s in reduction.variables), self.sizes)
        for e in reduction.constraints:
            points = points.where(self.sizes.integer(e, points.values) == 0)
        for e in reduction.bounds:
            points = points.where(self.sizes.integer(e, points.values) >= 0)
        for symbol in sorted(reduction.body.free_symbols & set(self.definition.accesses), key=str):
            if (access := self.definition.accesses[symbol]).outside == "skip":
                points = points.where(self._located(access, points)[1])
        return points

    # ------------------------------------------------------------------------------------------- equation 1
    def stage(self, name: str, tensors: Tensors) -> Computed:
        """One stage, of the tensors that it reads."""
        stage = self.stages[name]
        outputs = ORIGIN.over(stage.axes, self.sizes)
        reduced = {symbol: self._reduced(outputs, r, tensors) for symbol, r in stage.reductions}
        scalars = self._scalars(outputs, tensors, {symbol: r.value for symbol, r in reduced.items()})
        shape = (outputs.count, self._samples(tensors))
        value = np.broadcast_to(np.asarray(scalars(stage.expression), np.float64), shape)
        size = np.abs(value) + sum(
            np.abs(scalars(sp.diff(stage.expression, symbol))) * r.size for symbol, r in reduced.items()
        )
        best = next((r for r in reduced.values() if r.position is not None), None)
        return Computed(value, size, best.position if best else None, best.lead if best else None)

    @staticmethod
    def _samples(tensors: Tensors) -> int:
        return max((array.shape[1] for array in tensors.values() if array.ndim == 2), default=1)

    def _reduced(self, outputs: Points, reduction: Reduction, tensors: Tensors) -> Computed:
        points = self._points(outputs, reduction)
        shape = (points.count, self._samples(tensors))
        values = np.broadcast_to(self._scalars(points, tensors, {})(reduction.body), shape)
        if reduction.combine == "max":
            return self._largest(outputs.count, points, values, self.position(reduction, points))
        totals = np.zeros((2, outputs.count, shape[1]))
        np.add.at(totals[0], points.origin, values)
        np.add.at(totals[1], points.origin, np.abs(values))
        return Computed(totals[0], totals[1])

    @staticmethod
    def _largest(count: int, points: Points, values: Array, numbers: IntArray) -> Computed:
        """The largest of every output point, and the number of the first maximiser."""
        largest, position = (
            np.full((count, values.shape[1]), -np.inf),
            np.full((count, values.shape[1]), -1.0),
        )
        lead = np.full(largest.shape, np.inf)
        for n in range(count):
            members = np.flatnonzero(points.origin == n)
            if not len(members):
                continue
            found = values[members]
            best = found.argmax(axis=0)
            largest[n] = found.max(axis=0)
            position[n] = numbers[members][best]
            others = np.where(np.arange(len(members))[:, None] == best, -np.inf, found)
            lead[n] = largest[n] - others.max(axis=0)
        return Computed(largest, np.abs(largest), position, lead)

    def position(self, reduction: Reduction, points: Points) -> IntArray:
        """The row-major number of every point in the window of a maximum (ledger D8)."""
        number: IntArray = np.zeros(points.count, np.int64)
        for symbol in reduction.variables:
            variable = self.definition.variables[symbol]
            extent = (
                1 if isinstance(variable, RowVariable) else self.sizes.integer(variable.extent, points.values)
            )
            number = number * extent + points.values[symbol.name]
        if len(np.unique(np.stack([points.origin, number]), axis=1).T) < points.count:
            raise ValueError("two points of a maximum have one number")
        return number

    # -------------------------------------------------------------------------------------- equations 7 and 8
    def adjoint(self, target: TensorInfo, tensors: Tensors) -> Computed:
        """The delta of ``target`` in every sample, of the deltas of the stages that read it."""
        totals = np.zeros((2, self.units(target), self._samples(tensors)))
        for stage in self.definition.stages:
            if stage.name not in self.definition.shifts:
                for where, terms in self._contributions(stage, target, tensors):
                    np.add.at(totals[0], where, terms)
                    np.add.at(totals[1], where, np.abs(terms))
        return Computed(totals[0], totals[1])

    def _contributions(
        self, stage: Stage, target: TensorInfo, tensors: Tensors
    ) -> Iterator[tuple[IntArray, Array]]:
        """Entries of ``target`` and what is added to each, for every access to it."""
        outputs = ORIGIN.over(stage.axes, self.sizes)
        direct = Points(outputs.values, np.arange(outputs.count))
        for symbol in self._accesses(stage.expression, target):
            derivative = self._derivative(stage.expression, symbol)
            yield from self._scattered(stage, symbol, direct, derivative, tensors)
        for accumulator, reduction in stage.reductions:
            outer = sp.diff(stage.expression, accumulator)
            points: Points | None = None
            for symbol in self._accesses(reduction.body, target):
                points = self._points(outputs, reduction) if points is None else points
                derivative = outer * self._derivative(reduction.body, symbol)
                chosen = self._chosen(stage, reduction, points, tensors)
                yield from self._scattered(stage, symbol, points, derivative, tensors, chosen)

    def _derivative(self, e: sp.Expr, symbol: sp.Symbol) -> sp.Expr:
        if (e, symbol) not in self._derivatives:
            self._derivatives[e, symbol] = sp.diff(e, symbol)
        return self._derivatives[e, symbol]

    def _chosen(self, stage: Stage, reduction: Reduction, points: Points, tensors: Tensors) -> Array | None:
        if reduction.combine != "max":
            return None
        numbers = self.position(reduction, points)
        return tensors[f"position_{stage.name}"][points.origin] == numbers[:, None]

    def _scattered(
        self,
        stage: Stage,
        symbol: sp.Symbol,
        points: Points,
        derivative: sp.Expr,
        tensors: Tensors,
        chosen: Array | None = None,
    ) -> Iterator[tuple[IntArray, Array]]:
        where, inside = self._located(self.definition.accesses[symbol], points)
        slopes = self._scalars(points, tensors, {})(derivative)
        delta = tensors[f"delta_{stage.name}"][points.origin]
        kept = inside[:, None] if chosen is None else inside[:, None] & chosen
        yield where[inside], np.where(kept, delta * slopes, 0.0)[inside]

    def _accesses(self, e: sp.Expr, target: TensorInfo) -> list[sp.Symbol]:
        known = self.definition.accesses
        return sorted((s for s in e.free_symbols if s in known and known[s].tensor == target.name), key=str)

"""Tensors, accesses and reductions of the definition language."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import sympy as sp

from .errors import DefinitionError
from .indices import AxisVariable, Vector

if TYPE_CHECKING:
    from .language import Layer

Outside = Literal["never", "zero", "skip"]


@dataclass(frozen=True)
class Access:
    """``tensor[index]``; ``outside`` says what an index outside the tensor means."""

    tensor: str
    index: tuple[sp.Expr, ...]
    outside: Outside = "never"


@dataclass(frozen=True)
class Reduction:
    """``combine`` of ``body`` over ``variables`` where every expression of ``constraints`` is 0."""

    combine: Literal["sum", "max"]
    body: sp.Expr
    variables: tuple[sp.Symbol, ...]
    constraints: tuple[sp.Expr, ...]


_REDUCTIONS: dict[sp.Symbol, Reduction] = {}


def reduction_of(symbol: sp.Symbol) -> Reduction | None:
    """The reduction that ``symbol`` stands for, None for an ordinary symbol."""
    return _REDUCTIONS.get(symbol)


def flatten(parts: tuple[object, ...]) -> list[object]:
    """Vectors, tuples and connections replaced by their entries."""
    result: list[object] = []
    for part in parts:
        if isinstance(part, Vector | tuple | list):
            result.extend(flatten(tuple(part)))
        elif hasattr(part, "loops"):
            result.extend(flatten(tuple(part.loops)))
        else:
            result.append(part)
    return result


def _reduce(combine: Literal["sum", "max"], body: object, variables: tuple[object, ...], where: object) -> sp.Symbol:
    constraints: list[sp.Expr] = []
    for part in variables:
        constraints.extend(getattr(part, "constraints", ()))
    symbols = flatten(variables)
    wrong = [v for v in symbols if not isinstance(v, sp.Symbol)]
    if wrong:
        raise DefinitionError(f"a reduction runs over index variables; got {wrong[0]!r}")
    for condition in flatten((where,)) if where is not None else ():
        if not isinstance(condition, sp.Equality):
            raise DefinitionError(f"where= takes Eq(left, right) between affine index expressions; got {condition!r}")
        constraints.append(condition.lhs - condition.rhs)
    expression = sp.sympify(body)
    names = ", ".join(str(v) for v in symbols)
    condition_text = "".join(f"; {c} = 0" for c in constraints)
    symbol = sp.Symbol(f"{combine}({expression}; {names}{condition_text})", real=True)
    _REDUCTIONS[symbol] = Reduction(combine, expression, tuple(symbols), tuple(constraints))  # type: ignore[arg-type]
    return symbol


def Sum(body: object, *variables: object, where: object = None) -> sp.Expr:  # noqa: N802 - reads like the sign
    """The sum of ``body`` over index variables (symbols, vectors of symbols, connections).

    ``where=Eq(left, right)`` keeps only the points where two affine index expressions agree; the index solver turns the
    condition into loops, as in a transposed convolution ``where=Eq(k*y + u, x)``.
    """
    return _reduce("sum", body, variables, where)


def Max(body: object, *variables: object, where: object = None) -> sp.Expr:  # noqa: N802
    """The maximum of ``body``; its delta goes to the first maximiser in row-major order (ledger D8)."""
    return _reduce("max", body, variables, where)


class TensorHandle:
    """A tensor inside a definition; ``tensor[index...]`` is an access.

    ``tensor.padded[...]`` is 0 outside the tensor, ``tensor.clipped[...]`` leaves terms outside it out of their reduction.
    """

    def __init__(self, layer: Layer, name: str, kind: str, axes: tuple[AxisVariable, ...], ragged: bool = False,
                 samples: bool = True, outside: Outside = "never") -> None:  # fmt: skip
        self.layer, self.name, self.kind, self.axes = layer, name, kind, axes
        self.ragged, self.samples, self.outside = ragged, samples, outside

    def _variant(self, outside: Outside) -> TensorHandle:
        return TensorHandle(self.layer, self.name, self.kind, self.axes, self.ragged, self.samples, outside)

    @property
    def padded(self) -> TensorHandle:
        """The tensor extended by zeros in every direction."""
        return self._variant("zero")

    @property
    def clipped(self) -> TensorHandle:
        """The tensor with windows clipped at its border: terms outside are left out."""
        return self._variant("skip")

    def __getitem__(self, key: object) -> sp.Symbol:
        index = flatten(key if isinstance(key, tuple) else (key,))
        if len(index) != len(self.axes):
            raise DefinitionError(
                f"layer {self.layer.name}: {self.name} has {len(self.axes)} indices, the access {self.name}{index} has {len(index)}"
            )
        mark = {"never": "", "zero": "~", "skip": "|"}[self.outside]
        entries = tuple(sp.expand(sp.sympify(e)) for e in index)
        symbol = sp.Symbol(f"{self.name}{mark}[{', '.join(map(str, entries))}]", real=True)
        self.layer.accesses[symbol] = Access(self.name, entries, self.outside)
        return symbol

    def __call__(self) -> sp.Symbol:
        """The access of a tensor without axes."""
        return self[()]


class InputHandle(TensorHandle):
    """The maps of the layer below: ``j`` runs over the maps, ``y`` over the coordinates, ``H`` are the map sizes.

    A flat input has one axis ``j`` over all units, map-major then row-major (equations 13-16).
    """

    j: sp.Symbol
    J: sp.Expr
    y: Vector
    H: Vector

"""Tensors, accesses and reductions of the definition language."""

from __future__ import annotations

from typing import Literal

import sympy as sp

from ..symbols.errors import DefinitionError
from ..symbols.indices import Vector
from .declarations import Declarations, Outside, Reduction, TensorInfo

_REDUCTIONS: dict[sp.Symbol, Reduction] = {}


def reduction_of(symbol: sp.Symbol) -> Reduction | None:
    """The reduction that ``symbol`` stands for, None for an ordinary symbol."""
    return _REDUCTIONS.get(symbol)


def flatten(parts: tuple[object, ...]) -> list[object]:
    """Replaces the vectors, tuples and connections in ``parts`` by their entries."""
    result: list[object] = []
    for part in parts:
        if isinstance(part, Vector | tuple | list):
            result.extend(flatten(tuple(part)))
        elif hasattr(part, "loops"):
            result.extend(flatten(tuple(part.loops)))
        else:
            result.append(part)
    return result


def _reduce(
    combine: Literal["sum", "max"], body: object, variables: tuple[object, ...], where: object
) -> sp.Symbol:
    constraints: list[sp.Expr] = []
    bounds: list[sp.Expr] = []
    for part in variables:
        constraints.extend(getattr(part, "constraints", ()))
    symbols = flatten(variables)
    if not variables:
        raise DefinitionError(
            f"a reduction needs an index variable to run over; {combine} of {body} has none"
        )
    wrong = [v for v in symbols if not isinstance(v, sp.Symbol)]
    if wrong:
        raise DefinitionError(f"a reduction runs over index variables; got {wrong[0]!r}")
    for condition in flatten((where,)) if where is not None else ():
        _sort_condition(condition, constraints, bounds)
    expression = sp.sympify(body)
    names = ", ".join(str(v) for v in symbols)
    condition_text = "".join(f"; {c} = 0" for c in constraints) + "".join(f"; {c} >= 0" for c in bounds)
    symbol = sp.Symbol(f"{combine}({expression}; {names}{condition_text})", real=True)
    _REDUCTIONS[symbol] = Reduction(combine, expression, tuple(symbols), tuple(constraints), tuple(bounds))
    return symbol


def _sort_condition(condition: object, constraints: list[sp.Expr], bounds: list[sp.Expr]) -> None:
    """Adds a condition of ``where=`` to ``constraints`` (which are 0) or to ``bounds`` (which are >= 0)."""
    if condition in (True, sp.true):
        return
    if condition in (False, sp.false):
        raise DefinitionError("a condition of where= never holds")
    if isinstance(condition, sp.Equality):
        constraints.append(condition.lhs - condition.rhs)
    elif isinstance(condition, sp.GreaterThan | sp.StrictGreaterThan):
        bounds.append(
            condition.lhs - condition.rhs - (1 if isinstance(condition, sp.StrictGreaterThan) else 0)
        )
    elif isinstance(condition, sp.LessThan | sp.StrictLessThan):
        bounds.append(condition.rhs - condition.lhs - (1 if isinstance(condition, sp.StrictLessThan) else 0))
    else:
        raise DefinitionError(
            "where= takes Eq, <=, <, >= and > between affine index expressions, any number of them; got "
            f"{condition!r}"
        )


def Eq(left: object, right: object) -> object:
    """The condition ``left = right`` for ``where=``; vectors give one condition per coordinate."""
    if isinstance(left, Vector):
        return left.equals(right)
    return right.equals(left) if isinstance(right, Vector) else sp.Eq(left, right)


def Sum(body: object, *variables: object, where: object = None) -> sp.Expr:
    """The sum of ``body`` over index variables (symbols, vectors of symbols, connections, rows of relations).

    ``where=`` is one condition between affine index expressions, or a tuple of several.  Examples are
    ``Eq(k*y + u, x)`` in a transposed convolution and ``y <= x`` in a causal sum.  Only points where all
    conditions hold are summed.  The index solver turns the conditions into loops.
    """
    return _reduce("sum", body, variables, where)


def Max(body: object, *variables: object, where: object = None) -> sp.Expr:
    """The maximum of ``body``, used like ``Sum``.

    Its delta goes to the first maximiser in row-major order (ledger D8).
    """
    return _reduce("max", body, variables, where)


class TensorHandle:
    """A tensor inside a definition.

    * ``tensor[...]``: an access whose index must stay inside the tensor.
    * ``tensor.padded[...]``: an access that gives 0 outside the tensor.
    * ``tensor.clipped[...]``: an access whose terms outside the tensor are left out of their reduction.
    """

    def __init__(self, declared: Declarations, info: TensorInfo, outside: Outside = "never") -> None:
        self.declared, self.info, self.outside = declared, info, outside

    @property
    def name(self) -> str:
        """The tensor's name, which generated code uses as it is."""
        return self.info.name

    @property
    def padded(self) -> TensorHandle:
        """The tensor, extended by zeros in every direction."""
        return TensorHandle(self.declared, self.info, "zero")

    @property
    def clipped(self) -> TensorHandle:
        """The tensor, with windows clipped at its border: terms outside are left out."""
        return TensorHandle(self.declared, self.info, "skip")

    def __getitem__(self, key: object) -> sp.Symbol:
        index = flatten(key if isinstance(key, tuple) else (key,))
        count = len(self.info.axes)
        if len(index) != count:
            raise self.declared.refuse(
                f"{self.name} has {count} indices, the access {self.name}{index} has {len(index)}"
            )
        return self.declared.access(self.name, tuple(sp.expand(sp.sympify(e)) for e in index), self.outside)

    def __call__(self) -> sp.Symbol:
        """The access of a tensor without axes."""
        return self[()]


class InputHandle(TensorHandle):
    """The output maps of the layer below.

    * ``j``: runs over the maps.
    * ``J``: the number of maps.
    * ``y``: runs over the coordinates.
    * ``H``: the sizes of a map.

    A flat input has one axis ``j`` over all units, map by map and row-major in each (equations 13-16).
    """

    j: sp.Symbol
    J: sp.Expr
    y: Vector
    H: Vector

"""The definition language: what a layer's equation is written with.

A definition is a function of a ``Layer``, and of static options such as the rank.  It declares sizes, index
variables and tensors, and returns ``L.output(...)(Z)``.  Nothing is derived by hand::

    @layer(rank=(1, 2, 3))
    def max_pooling(L, rank):
        Y = L.input(rank)
        K = L.sizes("K", "window", rank)
        i, x, u = L.own(Y), L.coordinates("x", Y.H // K), L.window("u", K)
        return L.output(i, x)(Max(Y[i, K * x + u], u))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import product
from typing import Any, NoReturn

import sympy as sp

from ..ir import IRError
from ..symbols import names
from ..symbols.errors import DefinitionError
from ..symbols.functions import (
    cos,
    erf,
    exp,
    log,
    maximum,
    minimum,
    piecewise,
    root,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
)
from ..symbols.indices import (
    AxisKind,
    AxisVariable,
    RelationInfo,
    RowVariable,
    SizeInfo,
    SizeTable,
    Vector,
    size_expression,
)
from .connections import Connections, Rows
from .declarations import Declarations, Stage, TensorInfo
from .location import of_function
from .requirements import requirements
from .stages import Definition, normalise
from .tensors import Eq, InputHandle, Max, Sum, TensorHandle, flatten

__all__ = [
    "Definition",
    "Eq",
    "Family",
    "Layer",
    "Max",
    "Sum",
    "cos",
    "erf",
    "exp",
    "layer",
    "log",
    "maximum",
    "minimum",
    "piecewise",
    "root",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
]

Option = int | str | bool
#: Keywords of every layer of a network.
_KEYWORDS = frozenset(("family", "activation", "name", "sharing", "initial"))
#: What a column of a relation would be taken for beside the relation's name.
_COLUMN_WORDS = frozenset(("by", "rows", "row", "max", "at", "AT", "count", "columns", "group", "name"))


def _size_symbol(name: str) -> sp.Symbol:
    return sp.Symbol(name, integer=True, nonnegative=True)


def index_symbol(name: str) -> sp.Symbol:
    """The symbol of an index variable."""
    return sp.Symbol(name, integer=True, nonnegative=True)


class Layer:
    """Collects the declarations of one layer while its definition function runs.

    * ``declared``: the records, all that derivation reads, under their names in kernels.
    * ``handles``: the tensors as definitions index them, likewise.
    """

    def __init__(self, name: str) -> None:
        self.declared = Declarations(name)
        self.handles: dict[str, TensorHandle] = {}
        self._refuse = self.declared.refuse
        self._name, self.declare_size = self.declared.own_name, self.declared.declare_size

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.declared.name

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        known = [known for known in dir(type(self)) if not known.startswith("_")]
        near = get_close_matches(name, known, 1)
        hint = f"did you mean L.{near[0]}?" if near else f"L has {', '.join(known)}"
        raise self.declared.refuse(f"there is no L.{name}; {hint}")

    # -------------------------------------------------------------------------------------------------- sizes
    def size(
        self,
        symbol: str,
        keyword: str,
        default: int | None = None,
        minimum: int = 1,
        random: tuple[int, int] = (1, 3),
    ) -> sp.Symbol:
        """A size that the user of the layer gives as ``keyword=``; ``random`` bounds what ``phiz
        verify`` draws.
        """
        return self.declare_size(
            SizeInfo(symbol, "keyword", keyword=keyword, default=default, minimum=minimum, random=random)
        )

    def sizes(
        self,
        symbol: str,
        keyword: str,
        rank: int,
        default: int | None = None,
        minimum: int = 1,
        random: tuple[int, int] = (1, 3),
        per: Connections | None = None,
    ) -> Vector:
        """One size per coordinate; ``per=c`` lets every kernel c.q of a connection table have its own
        (Remark 3).
        """
        table = per.kernel_count if per is not None and per.kind == "table" else None
        found = [
            self.declare_size(
                SizeInfo(
                    f"{symbol}{r}",
                    "keyword",
                    keyword=keyword,
                    entry=r,
                    default=default,
                    minimum=minimum,
                    random=random,
                    table=table,
                )
            )
            for r in range(rank)
        ]
        if table is not None:
            return SizeTable([sp.Function(size.name, integer=True, positive=True) for size in found], symbol)
        return Vector(found)

    def derived_size(self, name: str, value: object, minimum: int = 1) -> sp.Symbol:
        """A size computed from others."""
        expression = size_expression(value)
        if not expression.is_integer:
            raise self._refuse(
                f"the size {name} = {expression} is not an integer; // and ceildiv divide sizes"
            )
        return self.declare_size(SizeInfo(name, "derived", value=expression, minimum=minimum))

    def require(self, condition: object, reason: str) -> None:
        """Refuse networks whose sizes do not meet ``condition``, with ``reason``.

        ``L.require(Eq(Y.J % G, 0), "groups divide the maps")``.  The condition is ``Eq``, ``<=``, ``<``,
        ``>=`` or ``>`` between sizes, or a tuple or vector of such.
        """
        self.declared.requirements += requirements(condition, reason, set(self.declared.sizes), self._refuse)

    def padding(self, rank: int, symbols: tuple[str, str] = ("p", "q")) -> tuple[Vector, Vector]:
        """Zeros below and above each coordinate: keywords ``padding_low`` and ``padding_high``."""
        low, high = symbols
        return (
            self.sizes(low, "padding_low", rank, default=0, minimum=0, random=(0, 2)),
            self.sizes(high, "padding_high", rank, default=0, minimum=0, random=(0, 2)),
        )

    # ---------------------------------------------------------------------------------------------- variables
    def _axis(self, name: str, kind: AxisKind, extent: sp.Expr) -> sp.Symbol:
        known = self.declared
        if known.kinds.get(name) == "index":
            symbol = index_symbol(known.names.of(name))
            if known.variables[symbol] == AxisVariable(symbol, kind, extent):
                return symbol
            raise self._refuse(f"index {name} is declared twice with different ranges")
        symbol = index_symbol(self._name("index", name))
        variable = AxisVariable(symbol, kind, extent)
        if not extent.is_integer:
            raise self._refuse(f"the range {extent} of index {name} is not an integer")
        self.declared.variables[symbol] = variable
        return symbol

    def axis(self, name: str, extent: object, kind: AxisKind = "map") -> sp.Symbol:
        """An index variable 0 <= name < extent."""
        return self._axis(name, kind, size_expression(extent))

    def copy(self, symbol: sp.Symbol, name: str) -> sp.Symbol:
        """Another index variable with the range of ``symbol``."""
        variable = self.declared.variables[symbol]
        if isinstance(variable, RowVariable):
            raise self._refuse(f"{symbol} runs over connections and cannot be copied")
        return self._axis(name, variable.kind, variable.extent)

    def maps(
        self, name: str = "i", size: str = "I", keyword: str = "maps", random: tuple[int, int] = (1, 4)
    ) -> sp.Symbol:
        """The maps of this layer, as many as the user says with ``keyword=``."""
        return self._axis(name, "map", self.size(size, keyword, random=random))

    def own(self, Y: InputHandle, name: str = "i") -> sp.Symbol:
        """The maps of this layer where map i reads map j = i alone."""
        return self._axis(name, "map", Y.J)

    def window(self, name: str, sizes: Iterable[object]) -> Vector:
        """Offsets 0 <= u < M inside a kernel or a pooling window."""
        return Vector(self.axis(f"{name}{r}", size, "window") for r, size in enumerate(sizes))

    def coordinates(self, name: str, sizes: Iterable[object]) -> Vector:
        """Coordinates of this layer's maps; ``sizes`` is what the input leaves room for and may be any
        expression.
        """
        symbols = []
        for r, extent in enumerate(map(size_expression, sizes)):
            plain = extent.is_Symbol or isinstance(extent, sp.core.function.AppliedUndef)
            if not plain:
                extent = self._extent(f"{name}{r}", f"{name.upper()}{r}", extent)
            symbols.append(self._axis(f"{name}{r}", "coordinate", extent))
        return Vector(symbols)

    def _extent(self, axis: str, name: str, extent: sp.Expr) -> sp.Symbol:
        """The size of coordinate ``axis``, called ``name``.

        Where that is not free or would be spelled, the size gets a name that no user can give.
        """
        if (
            names.fault(name)
            or name in self.declared.names
            or name == axis
            or not names.kept(name, size=True)
        ):
            if reason := names.fault(axis):
                raise self._refuse(f"index {axis!r}: {reason}")
            own = self.declared.names.add(axis, "index")
            return self.declared.add_size(
                SizeInfo(f"extent_{own}", "derived", value=size_expression(extent), minimum=1)
            )
        return self.derived_size(name, extent)

    # ------------------------------------------------------------------------------------------------ tensors
    def _declare(self, handle: TensorHandle) -> None:
        handle.info = replace(handle.info, name=self._name("tensor", handle.name))
        symbols = [a.symbol for a in handle.info.axes]
        if len(set(symbols)) < len(symbols):
            again = next(s for s in symbols if symbols.count(s) > 1)
            raise self._refuse(
                f"{handle.name} has the index {again} twice; L.copy({again}, ...) makes another with "
                "its range"
            )
        self.declared.tensors[handle.name] = handle.info
        self.handles[handle.name] = handle

    def input(self, rank: int | None = None, ragged: bool = False, name: str = "Y") -> InputHandle:
        """The maps below: ``Y[j, y]`` with ``rank`` coordinates; without a rank one flat axis over all
        units.
        """
        if any(t.kind == "input" for t in self.declared.tensors.values()):
            raise self._refuse(f"a second input {name}: a layer has exactly one input")
        count = self.declare_size(SizeInfo("J", "input", axis=0, minimum=1, random=(1, 4 if rank else 12)))
        j = AxisVariable(index_symbol(self._name("index", "j")), "map" if rank else "unit", count)
        self.declared.variables[j.symbol] = j
        H: Vector = Vector(())
        if rank:
            table = count.name if ragged else None
            sizes = [
                self.declare_size(
                    SizeInfo(f"H{r}", "input", axis=r + 1, minimum=1, random=(1, 8), table=table)
                )
                for r in range(rank)
            ]
            functions = [sp.Function(size.name, integer=True, positive=True) for size in sizes]
            H = SizeTable(functions, "H") if ragged else Vector(sizes)
        y = tuple(
            AxisVariable(index_symbol(self._name("index", f"y{r}")), "coordinate", s)
            for r, s in enumerate(H[j.symbol] if ragged else H)
        )
        for axis in y:
            self.declared.variables[axis.symbol] = axis
        handle = InputHandle(self.declared, TensorInfo(name, "input", (j, *y), ragged, True))
        handle.j, handle.J, handle.y, handle.H = j.symbol, count, Vector(a.symbol for a in y), H
        self._declare(handle)
        return handle

    def parameter(self, name: str, *axes: object, initial: float | str = "fan_in") -> TensorHandle:
        """A learned tensor over index variables.

        ``initial``: ``"fan_in"`` draws uniformly with variance 1/fan_in where the parameter stands under a
        sum and is 0 where it is only added; a number is a constant; ``"normal"`` draws from N(0, 1).
        """
        variables = []
        for symbol in flatten(axes):
            variable = self.parameter_axis(symbol)
            variables.append(variable)
        ragged = any(v.extent.atoms(sp.core.function.AppliedUndef) for v in variables)
        handle = TensorHandle(self.declared, TensorInfo(name, "parameter", tuple(variables), ragged, False))
        self._declare(handle)
        self.declared.initial[handle.name] = initial
        return handle

    def parameter_axis(self, symbol: object) -> AxisVariable:
        """The axis of a parameter that is indexed by ``symbol``.

        A connection's kernel id q becomes an axis over all kernels.
        """
        if isinstance(symbol, sp.Symbol) and isinstance(self.declared.variables.get(symbol), AxisVariable):
            variable = self.declared.variables[symbol]
            assert isinstance(variable, AxisVariable)
            columns = {f: c for r in self.declared.relations.values() for c, f in self._column_functions(r)}
            extent = variable.extent
            for term in sorted(extent.atoms(sp.core.function.AppliedUndef), key=str):
                if term.func.__name__ in columns:
                    extent = extent.subs(term, index_symbol(columns[term.func.__name__]))
            return AxisVariable(variable.symbol, variable.kind, extent)
        if isinstance(symbol, sp.core.function.AppliedUndef):
            for relation in self.declared.relations.values():
                for column, function in self._column_functions(relation):
                    if function == symbol.func.__name__:
                        size = dict(relation.columns)[column]
                        return AxisVariable(index_symbol(column), "parameter", _size_symbol(size))
        raise self._refuse(
            f"a parameter's axis is an index variable or a column of a connection; got {symbol}"
        )

    @staticmethod
    def _column_functions(relation: RelationInfo) -> list[tuple[str, str]]:
        return [(column, f"{relation.name}_{column}") for column, _ in relation.columns]

    def tensor(self, name: str) -> TensorHandle:
        """The declared tensor ``name``."""
        found = self.handles.get(self.declared.names.of(name))
        if found is None:
            raise self._refuse(
                f"access to the undeclared tensor {name}; declared are {', '.join(sorted(self.handles))}"
            )
        return found

    # -------------------------------------------------------------------------------------------- connections
    def connections(self, kind: str, Y: InputHandle, keyword: str = "maps") -> Connections:
        """Declare which maps j below feed map i (the paper's D_i), and the kernel q of each connection."""
        if kind == "own":
            i = self.own(Y)
            return Connections(self.declared, "own", i, i, (i,), (), (), None)
        if kind == "full":
            i = self.maps("i", "I", keyword)
            return Connections(self.declared, "full", i, Y.j, (i, Y.j), (Y.j,), (), None)
        if kind != "table":
            raise self._refuse(f"connections are full, own or table; got {kind!r}")
        i = self.maps("i", "I", keyword)
        rows = self.relation("D", i="I", j="J", q="Q")
        return Connections(self.declared, "table", i, rows.j, (rows.q,), rows.loops, (rows.i - i,), "Q")

    def relation(self, name: str, **columns: str) -> Rows:
        """An explicit list of rows; each keyword names a column and the size that bounds it.

        ``e = L.relation("E", x="H0", y="H0")`` has columns ``e.x`` and ``e.y``; ``Sum(Y[j, e.y], e,
        where=Eq(e.x, x))`` sums over the rows whose column x is x.  A size that no one declared is one more
        than the column's largest entry.
        """
        known = self.declared
        own, inner = self._name("relation", name), {}
        for column in columns:
            taken = column.startswith("_") or column in Rows.__annotations__ or hasattr(Rows, column)
            if reason := names.fault(column) or ("rows have an attribute of that name" if taken else ""):
                raise self._refuse(f"column {column!r} of relation {name}: {reason}")
            inner[column] = (
                column if names.kept(column) and column not in _COLUMN_WORDS else names.spelled(column)
            )
        known.columns |= inner
        row = RowVariable(index_symbol(self._row(own)), own)
        known.variables[row.symbol] = row
        for column, size in columns.items():
            if size not in known.names:
                self.declare_size(SizeInfo(size, "relation", relation=own, column=inner[column], minimum=0))
        info = RelationInfo(
            own, tuple((inner[column], known.names.of(size)) for column, size in columns.items())
        )
        known.relations[own] = info
        return Rows(row.symbol, own, inner)

    def _row(self, relation: str) -> str:
        lower = f"{relation.lower()}_row"
        return f"{relation}_row" if index_symbol(lower) in self.declared.variables else lower

    # ------------------------------------------------------------------------------------------------- stages
    def stage(self, name: str, *axes: object) -> Callable[[object], TensorHandle]:
        """``S = L.stage("S", i)(expression)``: a value that later stages read as ``S[i]``."""
        return self._stage(name, axes)

    def _stage(
        self, name: str, axes: tuple[object, ...], shift: bool = False
    ) -> Callable[[object], TensorHandle]:
        def define(expression: object) -> TensorHandle:
            symbols = flatten(axes)
            for symbol in symbols:
                if not isinstance(self.declared.variables.get(symbol), AxisVariable):
                    raise self._refuse(f"{name} is indexed by {symbol}, which is no declared index variable")
            variables = tuple(v for s in symbols if isinstance(v := self.declared.variables[s], AxisVariable))
            is_ragged = any(v.extent.atoms(sp.core.function.AppliedUndef) for v in variables)
            handle = TensorHandle(self.declared, TensorInfo(name, "stage", variables, is_ragged, True))
            self._declare(handle)
            if shift:
                self.declared.shifts.add(handle.name)
            self.declared.stages.append(Stage(handle.name, variables, sp.sympify(expression), ()))
            return handle

        return define

    def shift(self, name: str, *axes: object) -> Callable[[object], TensorHandle]:
        """A stage that Z does not depend on mathematically, such as the maximum that keeps a softmax finite.

        The derivation proves dZ/dshift = 0 (and refuses the definition otherwise), then leaves it out of the
        deltas.
        """
        return self._stage(name, axes, shift=True)

    def output(self, *axes: object) -> Callable[[object], Definition]:
        """``return L.output(i, x)(Z)``: the combinator function, equation 1's argument of phi."""

        def define(expression: object) -> Definition:
            self.stage("Z", *axes)(expression)
            self.declared.tensors["Z"] = replace(self.declared.tensors["Z"], kind="output")
            return normalise(self.declared)

        return define


@dataclass(frozen=True)
class Family:
    """A layer definition with its static options."""

    name: str
    function: Callable[..., Definition]
    options: Mapping[str, tuple[Option, ...]]
    doc: str

    def variants(self) -> list[dict[str, Option]]:
        """Every combination of the options."""
        keys = list(self.options)
        return [dict(zip(keys, values, strict=True)) for values in product(*(self.options[k] for k in keys))]

    def variant_name(self, options: Mapping[str, Option]) -> str:
        """``convolution`` with rank 2 and the first of every other option is ``convolution_2d``."""
        parts = [self.name]
        for key, values in self.options.items():
            value = options[key]
            if key == "rank":
                parts.append(f"{value}d")
            elif value != values[0]:
                if isinstance(value, bool):
                    parts.append(key if value else f"no_{key}")
                else:
                    parts.append(str(value))
        return "_".join(parts)

    def define(self, /, **options: Option) -> Definition:
        """Run the definition for one choice of options.

        Raises DefinitionError, with file, line and layer, for whatever the function raises.
        """
        layer = Layer(self.variant_name(options))
        try:
            definition = self.function(layer, **options)
            if not isinstance(definition, Definition):
                raise DefinitionError(
                    f"the definition must return L.output(...)(Z), it returned {definition!r}"
                )
        except Exception as error:  # the function is the user's
            raise self.refused(layer.name, error) from error
        return definition

    def refused(self, variant: str, error: Exception) -> DefinitionError:
        """``error`` as one that says where it arose, and in which layer."""
        reason = names.shown(str(error))
        if not isinstance(error, DefinitionError | IRError):
            reason = f"{type(error).__name__}: {reason}"
        named = reason if reason.startswith("layer ") else f"layer {variant}: {reason}"
        return DefinitionError(f"{named} ({of_function(error, self.function)})")


def layer(**options: tuple[Option, ...]) -> Callable[[Callable[..., Any]], Family]:
    """Make a definition function a layer; each keyword lists the values of a static option, the default
    first.
    """

    def decorate(function: Callable[..., Any]) -> Family:
        for key, values in options.items():
            if not isinstance(values, tuple | list) or not values:
                raise DefinitionError(
                    f"layer {function.__name__}: option {key}: expected a tuple of its values, got {values!r}"
                )
        for key in sorted(set(options) & _KEYWORDS):
            raise DefinitionError(
                f"layer {function.__name__}: option {key}: this keyword has a meaning for every layer"
            )
        doc = " ".join((function.__doc__ or function.__name__).split())
        return Family(function.__name__, function, options, doc)

    return decorate

"""The plain records that a definition is written into: tensors, accesses, reductions, stages, and one
layer's together.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import sympy as sp

from ..symbols.errors import DefinitionError
from ..symbols.indices import AxisVariable, RelationInfo, RowVariable, SizeInfo
from ..symbols.names import Names, fault

Outside = Literal["never", "zero", "skip"]
_MARKS: dict[Outside, str] = {"never": "", "zero": "~", "skip": "|"}


@dataclass(frozen=True)
class Access:
    """``tensor[index]``; ``outside`` says what an index outside the tensor means."""

    tensor: str
    index: tuple[sp.Expr, ...]
    outside: Outside = "never"


@dataclass(frozen=True)
class Reduction:
    """``combine`` of ``body`` over ``variables``.

    * ``constraints``: only points count where all of these are 0.
    * ``bounds``: only points count where all of these are at least 0.
    """

    combine: Literal["sum", "max"]
    body: sp.Expr
    variables: tuple[sp.Symbol, ...]
    constraints: tuple[sp.Expr, ...]
    bounds: tuple[sp.Expr, ...] = ()


@dataclass(frozen=True)
class TensorInfo:
    """A declared tensor.

    * ``axes``: without the sample axis.
    * ``ragged``: whether every entry of the first axis has sizes of its own.
    * ``samples``: whether it has a sample axis.
    """

    name: str
    kind: str
    axes: tuple[AxisVariable, ...]
    ragged: bool
    samples: bool


@dataclass(frozen=True)
class Stage:
    """``name[axes] = expression``; the symbols of ``reductions`` stand for their reductions in
    ``expression``.
    """

    name: str
    axes: tuple[AxisVariable, ...]
    expression: sp.Expr
    reductions: tuple[tuple[sp.Symbol, Reduction], ...]

    @property
    def symbols(self) -> set[sp.Symbol]:
        """The symbols of the expression and of the reductions' bodies."""
        return self.expression.free_symbols.union(*(r.body.free_symbols for _, r in self.reductions))


@dataclass(frozen=True)
class Requirement:
    """A condition between sizes, and why networks that do not meet it are refused."""

    left: sp.Expr
    op: str
    right: sp.Expr
    reason: str


@dataclass
class Declarations:
    """Everything that one layer has declared so far; its ``Layer`` fills it while the definition function
    runs.

    All is kept under its name in kernels (``symbols/names.py``), from which messages and equations make the
    user's again.

    * ``kinds``: what each of the user's names is.
    * ``columns``: names in kernels of the relations' columns.
    """

    name: str
    sizes: dict[str, SizeInfo] = field(default_factory=dict)
    relations: dict[str, RelationInfo] = field(default_factory=dict)
    variables: dict[sp.Symbol, AxisVariable | RowVariable] = field(default_factory=dict)
    tensors: dict[str, TensorInfo] = field(default_factory=dict)
    accesses: dict[sp.Symbol, Access] = field(default_factory=dict)
    stages: list[Stage] = field(default_factory=list)
    initial: dict[str, object] = field(default_factory=dict)
    shifts: set[str] = field(default_factory=set)
    names: Names = field(default_factory=Names)
    kinds: dict[str, str] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    requirements: list[Requirement] = field(default_factory=list)

    def refuse(self, reason: str) -> DefinitionError:
        """The error that names the layer."""
        return DefinitionError(f"layer {self.name}: {reason}")

    def own_name(self, kind: str, name: str) -> str:
        """The name in kernels of what is declared as ``name``; all kinds share one space of names."""
        if reason := fault(name):
            raise self.refuse(f"{kind} {name!r}: {reason}")
        if name in self.kinds:
            other = self.kinds[name]
            raise self.refuse(
                f"{kind} {name} " + ("is declared twice" if other == kind else f"has the name of a {other}")
            )
        self.kinds[name] = kind
        return self.names.add(name, "size" if kind == "relation" else kind)

    def called(self) -> dict[str, str]:
        """What the user calls those whose name in kernels is another."""
        return {own: name for name, own in [*self.names.given.items(), *self.columns.items()] if own != name}

    def declare_size(self, info: SizeInfo) -> sp.Symbol:
        """A size under the user's name that ``info`` has."""
        return self.add_size(replace(info, name=self.own_name("size", info.name)))

    def add_size(self, info: SizeInfo) -> sp.Symbol:
        """A size whose name no user can give."""
        self.sizes[info.name] = info
        return sp.Symbol(info.name, integer=True, nonnegative=True)

    def access(self, tensor: str, index: tuple[sp.Expr, ...], outside: Outside = "never") -> sp.Symbol:
        """The symbol that stands for ``tensor[index]`` in expressions; equal accesses share one."""
        symbol = sp.Symbol(f"{tensor}{_MARKS[outside]}[{', '.join(map(str, index))}]", real=True)
        self.accesses[symbol] = Access(tensor, index, outside)
        return symbol

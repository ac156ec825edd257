"""The kernel IR: what a derivation hands to the code generators.

Its records are frozen, typed and free of SymPy.  A kernel computes one tensor.  For every point of its output
axes it sums or maximises one or more *nests* of loops, and combines their accumulators with a scalar
expression.

The sample index t is implicit:

* it is the innermost axis of every tensor with ``samples=True``;
* it is an output axis of kernels that write such a tensor;
* other kernels sum over it (parameter gradients, equation 8 summed as in equation 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal


class IRError(TypeError):
    """An expression that the IR cannot hold; it never passes through as text."""


# --------------------------------------------------------------------------------------------------- integers
@dataclass(frozen=True)
class Integer:
    """A literal."""

    value: int


@dataclass(frozen=True)
class Name:
    """A loop variable, an output axis, or a name bound by a nest's ``lets``."""

    name: str


@dataclass(frozen=True)
class Size:
    """A size of the layer, or one entry of a table of sizes.

    Without ``index`` it is a scalar, such as ``H0``; with it, it is ``H0[index]`` (ragged maps, Remark 3).
    """

    name: str
    index: IntExpr | None = None


@dataclass(frozen=True)
class Column:
    """Column ``column`` of row ``row`` of a relation: the map j (or i, or kernel id q) of a connection."""

    relation: str
    column: str
    row: IntExpr


@dataclass(frozen=True)
class IntOp:
    """``add mul`` (n-ary), ``min max`` (n-ary), ``floordiv ceildiv mod gcd inverse`` (binary).

    ``mod`` is never negative.  ``inverse(a, m)`` is the inverse of a modulo m, 0 for m = 1.
    """

    op: Literal["add", "mul", "min", "max", "floordiv", "ceildiv", "mod", "gcd", "inverse"]
    args: tuple[IntExpr, ...]


IntExpr = Integer | Name | Size | Column | IntOp


@dataclass(frozen=True)
class Condition:
    """``left op right`` over integers; scalar control flow, the same for every sample."""

    left: IntExpr
    op: Literal["==", "!=", "<", "<=", ">", ">="]
    right: IntExpr


# ---------------------------------------------------------------------------------------------------- scalars
@dataclass(frozen=True)
class Number:
    """A real literal, kept as the decimal text that reproduces the float64 exactly."""

    text: str


@dataclass(frozen=True)
class FromInteger:
    """An integer expression used as a number."""

    value: IntExpr


@dataclass(frozen=True)
class Load:
    """``tensor[index..., t]``; 0 where one of ``inside`` does not hold (zero extension)."""

    tensor: str
    index: tuple[IntExpr, ...]
    inside: tuple[Condition, ...] = ()


@dataclass(frozen=True)
class Accumulator:
    """The value of nest number ``nest``."""

    nest: int


@dataclass(frozen=True)
class Temporary:
    """A common subexpression of the scalar body, bound in ``temporaries``."""

    name: str


@dataclass(frozen=True)
class Compare:
    """A comparison of two scalars, lane by lane."""

    left: Expr
    op: Literal["==", "!=", "<", "<=", ">", ">="]
    right: Expr


@dataclass(frozen=True)
class Select:
    """``yes`` where ``test`` holds, else ``no``, lane by lane."""

    test: Compare
    yes: Expr
    no: Expr


@dataclass(frozen=True)
class Call:
    """``add mul`` (n-ary), ``neg``, ``div`` (2), ``pow`` (2), and the functions of ``FUNCTIONS`` with
    their arity.
    """

    function: str
    args: tuple[Expr, ...]


Expr = Number | FromInteger | Load | Accumulator | Temporary | Select | Call

FUNCTIONS = {
    "exp": 1,
    "log": 1,
    "expm1": 1,  # exp(z) - 1
    "log1p": 1,  # log(1 + z)
    "sqrt": 1,
    "rsqrt": 1,
    "sin": 1,
    "cos": 1,
    "tan": 1,
    "asin": 1,
    "acos": 1,
    "atan": 1,
    "sinh": 1,
    "cosh": 1,
    "tanh": 1,
    "erf": 1,
    "erfc": 1,  # 1 - erf(z)
    "fabs": 1,
    "sigmoid": 1,  # 1 / (1 + exp(-z)), stable at both ends
    "sigmoid_slope": 1,  # sigmoid(z) sigmoid(-z)
    "softplus": 1,  # log(1 + exp(z)), stable at both ends
    "xlogy": 2,  # x log y, and 0 where x = 0
    "xlog1py": 2,  # x log(1 + y), and 0 where x = 0
    "square_rest": 1,  # z z less its rounded value
    # c z less its rounded value, of z, c, and of c what float32 and what float64 loses
    "product_rest": 4,
    "fmax": 2,
    "fmin": 2,
}
OPERATORS = {"add": None, "mul": None, "neg": 1, "div": 2, "pow": 2}


# ------------------------------------------------------------------------------------------------------ loops
@dataclass(frozen=True)
class Axis:
    """An output axis: ``0 <= name < extent``.

    ``extent`` of a later axis may use the first axis (ragged maps).
    """

    name: str
    kind: Literal["map", "coordinate", "window", "unit", "parameter"]
    extent: IntExpr


@dataclass(frozen=True)
class Loop:
    """A reduction axis.

    * ``extent``: its full range, to iterate under ``Nest.conditions``.
    * ``lower``, ``upper``, ``step``: its tight bounds, to iterate under ``Nest.guards``, with the same
      result; they may use the output axes and the loops outside.
    """

    name: str
    kind: Literal["map", "coordinate", "window", "unit", "parameter"]
    extent: IntExpr
    lower: IntExpr
    upper: IntExpr
    step: IntExpr


@dataclass(frozen=True)
class TableLoop:
    """A loop over the rows of ``relation`` whose column ``by`` equals ``key`` (all rows when ``by`` is
    empty).
    """

    name: str
    relation: str
    by: str
    key: IntExpr


@dataclass(frozen=True)
class Let:
    """An integer that the index solver found: ``name = value``."""

    name: str
    value: IntExpr


@dataclass(frozen=True)
class Nest:
    """``combine`` over ``loops`` of ``body``.

    * ``loops``: outermost first.
    * ``lets``: in order of dependence; each may use output axes, loops and earlier lets.
    * ``conditions``: which points count.
    * ``guards``: the part of the conditions that the tight bounds do not imply.
    * ``position``: of a maximum, the row-major number of the point, which is stored for the first maximiser.
    * ``temporaries``: evaluated per point, before ``body``.
    """

    loops: tuple[Loop | TableLoop, ...]
    lets: tuple[Let, ...]
    conditions: tuple[Condition, ...]
    guards: tuple[Condition, ...]
    body: Expr
    combine: Literal["sum", "max"] = "sum"
    position: IntExpr | None = None
    temporaries: tuple[tuple[str, Expr], ...] = ()


# ---------------------------------------------------------------------------------------------------- kernels
@dataclass(frozen=True)
class Tensor:
    """A tensor of a layer.

    * ``shape``: without the sample axis; of a ragged tensor the later entries use ``Name("_")`` for the entry
      of the first axis.
    * ``samples``: whether it has a sample axis.
    * ``ragged``: whether every entry of the first axis has sizes of its own.
    * ``layout``: of a ragged tensor, its offset table's name without ``_at``; map m begins at unit
      ``Size(f"{layout}_at", m)``.
    """

    name: str
    kind: Literal["input", "parameter", "stage", "output", "position", "delta", "gradient", "loss", "target"]
    shape: tuple[IntExpr, ...]
    samples: bool
    ragged: bool = False
    layout: str = ""


@dataclass(frozen=True)
class Kernel:
    """One kernel: ``output[axes..., t] = finish(result)``.

    In a kernel that sums samples every nest sums over t as well, and ``result`` reads accumulators and
    parameters only.

    * ``target``: the tensor that the kernel is about: the stage of a forward pass, otherwise the
      differentiated tensor.
    * ``finish``: ``"phi"`` applies the layer's own activation (equation 1), and stores the value before it
      where the activation asks for that; ``"dphi"`` multiplies by the activation's derivative of the layer
      below (equation 7); ``""`` does nothing.
    * ``position``: the tensor that receives the maximiser of nest 0.
    """

    name: str
    role: Literal["forward", "delta", "gradient", "sample_gradient", "loss"]
    target: str
    output: Tensor
    axes: tuple[Axis, ...]
    nests: tuple[Nest, ...]
    result: Expr
    finish: Literal["", "phi", "dphi"] = ""
    position: Tensor | None = None
    temporaries: tuple[tuple[str, Expr], ...] = ()
    latex: str = ""
    text: str = ""

    @property
    def sums_samples(self) -> bool:
        """True where t is summed: the output has no sample axis."""
        return not self.output.samples


# -------------------------------------------------------------------------------------------------- traversal
def integers(node: object) -> Iterator[IntExpr]:
    """Every integer expression below ``node``, itself included, parents first."""
    if isinstance(node, Integer | Name | Size | Column | IntOp):
        yield node
    for child in _parts(node):
        yield from integers(child)


def _parts(node: object) -> tuple[object, ...]:
    """The nodes directly below ``node`` that may hold integer expressions."""
    match node:
        case IntOp(args=args) | Call(args=args):
            return args
        case Size(index=index):
            return () if index is None else (index,)
        case (
            Column(row=inner)
            | FromInteger(value=inner)
            | Let(value=inner)
            | Axis(extent=inner)
            | TableLoop(key=inner)
        ):
            return (inner,)
        case Condition(left=left, right=right) | Compare(left=left, right=right):
            return (left, right)
        case Load(index=index, inside=inside):
            return (*index, *inside)
        case Select(test=test, yes=yes, no=no):
            return (test, yes, no)
        case Loop():
            return (node.extent, node.lower, node.upper, node.step)
        case Nest():
            values = (*(t for _, t in node.temporaries), node.body)
            position = () if node.position is None else (node.position,)
            return (*node.loops, *node.lets, *node.conditions, *node.guards, *values, *position)
        case Tensor(shape=shape):
            return shape
        case Kernel():
            return (node.output, *node.axes, *node.nests, *(t for _, t in node.temporaries), node.result)
    return ()


def loads(node: object) -> Iterator[Load]:
    """Every load below ``node``, in order of appearance."""
    match node:
        case Load():
            yield node
        case Compare(left=left, right=right):
            yield from loads(left)
            yield from loads(right)
        case Select(test=test, yes=yes, no=no):
            for part in (test, yes, no):
                yield from loads(part)
        case Call(args=args):
            for part in args:
                yield from loads(part)
        case Nest():
            for _, value in node.temporaries:
                yield from loads(value)
            yield from loads(node.body)
        case Kernel():
            for nest in node.nests:
                yield from loads(nest)
            for _, value in node.temporaries:
                yield from loads(value)
            yield from loads(node.result)


def names(node: object) -> frozenset[str]:
    """The loop variables, axes and lets that ``node`` mentions."""
    return frozenset(i.name for i in integers(node) if isinstance(i, Name))

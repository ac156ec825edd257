"""How many operations a kernel takes for one sample, as a formula in its sizes."""

from __future__ import annotations

from collections.abc import Sequence

from ...derive.ir import Call, Compare, Expr, IntExpr, Kernel, Loop, Nest, Select, Size, integers, names
from .expression_text import text


def operations(kernel: Kernel) -> str:
    """A line for the kernel's comment: additions, products, divisions, comparisons and calls, with whole
    loops.

    Tight bounds and conditions leave some of them out; phi and phi' count as one.
    """
    each = _count(kernel.result) + sum(_count(value) for _, value in kernel.temporaries) + bool(kernel.finish)
    terms = [_nest(kernel, nest) for nest in kernel.nests]
    if each and not kernel.sums_samples:
        terms.append(_term([(axis.name, axis.extent) for axis in kernel.axes], each))
    if not terms:
        return "no operations: it copies"
    cut = any(nest.conditions or nest.guards for nest in kernel.nests)
    return f"{'at most ' if cut else ''}{' + '.join(terms)} operations per sample"


def _nest(kernel: Kernel, nest: Nest) -> str:
    each = _count(nest.body) + 1 + sum(_count(value) for _, value in nest.temporaries)
    keys = {name for loop in nest.loops if not isinstance(loop, Loop) and loop.by for name in names(loop.key)}
    # the rows of all keys together are all rows
    over = [(axis.name, axis.extent) for axis in kernel.axes if axis.name not in keys]
    over += [
        (loop.name, loop.extent if isinstance(loop, Loop) else Size(f"{loop.relation}_rows"))
        for loop in nest.loops
    ]
    return _term(over, each)


def _term(over: Sequence[tuple[str, IntExpr]], each: int) -> str:
    """``each`` times the extents of ``over``; a sum over those that other extents depend on."""
    used = {name for _, extent in over for name in names(extent)}
    varying = any(_varies(extent) for _, extent in over)
    plain = [text(extent, 2) for name, extent in over if not varying or name not in used]
    factors = [*([str(each)] if each != 1 or not plain else []), *plain]
    outer = [name for name, _ in over if name in used]
    body = " * ".join(factors)
    return f"sum over {', '.join(outer)} of ({body})" if outer else body


def _varies(e: IntExpr) -> bool:
    return bool(names(e)) or any(isinstance(i, Size) and i.index is not None for i in integers(e))


def _count(e: Expr) -> int:
    match e:
        case Call(function="neg", args=(value,)):
            return _count(value)
        case Call(function="add" | "mul", args=args):
            return len(args) - 1 + sum(_count(a) for a in args)
        case Call(args=args):
            return 1 + sum(_count(a) for a in args)
        case Select(test=Compare(left=left, right=right), yes=yes, no=no):
            return 1 + sum(_count(part) for part in (left, right, yes, no))
    return 0

"""Terms that no iteration of a sum changes are taken out of it.

The sum of p (a + b) becomes a (sum of p) + sum of p b.

A step of the reduction then has one operation less, and nothing needs a register for a.  The sum of p costs
next to nothing where it does not depend on one of the output axes: points along that axis have it in common,
and it shares the loops of the other sum.  Elsewhere the product stays as it was written.

What is rounded changes: a (sum of p) and the sum of p b may cancel where every b is close to -a, relative to
a.  The NumPy kernels keep the sum as it was derived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...derive.ir import Accumulator, Call, Expr, Kernel, Nest, Tensor, loads, names
from ..analysis.products import Product, product
from .rewrite import rewritten


@dataclass(frozen=True)
class _Parts:
    """``factor`` is p, ``fixed`` is a, ``rest`` is p b."""

    factor: Expr
    fixed: Expr
    rest: Expr


def distributed(kernel: Kernel, tensors: Mapping[str, Tensor]) -> Kernel:
    """``kernel`` with such terms outside its sums, whose second sums come after all nests that it had."""
    nests, values = list(kernel.nests), {}
    for number, nest in enumerate(kernel.nests):
        found = _parts(kernel, nest, tensors)
        if found is not None:
            values[number] = Call(
                "add", (Call("mul", (found.fixed, Accumulator(len(nests)))), Accumulator(number))
            )
            nests[number] = replace(nest, body=found.rest)
            nests.append(replace(nest, body=found.factor))
    if not values:
        return kernel

    def now(e: Any) -> Any:
        return values.get(e.nest, e) if isinstance(e, Accumulator) else e

    result, temporaries = rewritten((kernel.result, kernel.temporaries), now)
    return replace(kernel, nests=tuple(nests), result=result, temporaries=temporaries)


def together(kernel: Kernel) -> list[tuple[int, ...]]:
    """The numbers of nests whose sums share their loops, in the order of the first of each group."""
    groups: dict[object, list[int]] = {}
    for number, nest in enumerate(kernel.nests):
        loops = (nest.loops, nest.lets, nest.conditions, nest.guards)
        alone = nest.combine != "sum" or nest.temporaries
        groups.setdefault((number,) if alone else loops, []).append(number)
    return [tuple(group) for group in groups.values()]


def _parts(kernel: Kernel, nest: Nest, tensors: Mapping[str, Tensor]) -> _Parts | None:
    if not _is_plain_sum(kernel, nest):
        return None
    whole = product(nest.body)
    for number, factor in enumerate(whole.factors):
        if not (isinstance(factor, Call) and factor.function == "add"):
            continue
        others = [*whole.factors[:number], *whole.factors[number + 1 :]]
        outside = [term for term in factor.args if _fixed(term, kernel, nest, tensors)]
        inside = [term for term in factor.args if term not in outside]
        if outside and inside and others and _in_common(kernel, nest, others, tensors):
            return _Parts(_joined(whole, others), _sum(outside), _joined(whole, [*others, _sum(inside)]))
    return None


def _is_plain_sum(kernel: Kernel, nest: Nest) -> bool:
    return nest.combine == "sum" and not nest.temporaries and bool(nest.loops or kernel.sums_samples)


def _fixed(e: Expr, kernel: Kernel, nest: Nest, tensors: Mapping[str, Tensor]) -> bool:
    """Whether ``e`` is the same in all iterations of ``nest``."""
    own = {loop.name for loop in nest.loops} | {let.name for let in nest.lets}
    sampled = any(tensors[load.tensor].samples for load in loads(e))
    return not own & names(e) and not (kernel.sums_samples and sampled)


def _in_common(kernel: Kernel, nest: Nest, factors: list[Expr], tensors: Mapping[str, Tensor]) -> bool:
    """Whether points along some output axis, or all samples, have the sum of the product of ``factors``
    in common.
    """
    used = frozenset().union(*(names(part) for part in (*factors, *nest.loops, *nest.lets, *nest.guards)))
    sampled = any(tensors[load.tensor].samples for factor in factors for load in loads(factor))
    return any(axis.name not in used for axis in kernel.axes) or not (kernel.sums_samples or sampled)


def _sum(terms: list[Expr]) -> Expr:
    return terms[0] if len(terms) == 1 else Call("add", tuple(terms))


def _joined(whole: Product, factors: list[Expr]) -> Expr:
    """The product ``whole`` with other ``factors``; a negative last one gives its sign to all of it."""
    negative, parts = whole.negative, [*whole.above, *factors]
    match parts[-1]:
        case Call(function="neg", args=(last,)):
            negative, parts = not negative, [*parts[:-1], last]
    joined: Expr = parts[0] if len(parts) == 1 else Call("mul", tuple(parts))
    for number in whole.below:
        joined = Call("div", (joined, number))
    return Call("neg", (joined,)) if negative else joined

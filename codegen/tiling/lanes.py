"""Which axis fills the lanes of a vector where samples do not.

That is so for a few samples, and for tensors that lie sample after sample.

The choice follows from the access maps alone.  Along an output axis every lane computes its own point; along
the innermost reduction axis the lanes are accumulators of one point, summed at the end.  A value that does
not depend on the axis is the same in all lanes, one that moves with it by one number is a vector in memory,
any other is gathered.  An axis that enters conditions, solved indices or numbers cannot be one of lanes:
control flow is scalar.  Windows are too short for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from ...derive.ir import (
    Call,
    Compare,
    FromInteger,
    Integer,
    IntExpr,
    Kernel,
    Load,
    Loop,
    Name,
    Nest,
    Select,
    Size,
    Tensor,
    integers,
    loads,
    names,
)
from ..analysis.addresses import stride
from ..analysis.affine import ZERO

#: What a vector costs beside one load: a stride that may be one, a gather, and the sum of the lanes at the
#: end.
MAYBE, GATHER, LANE_SUM = 2, 8, 3
#: More than this, and the same number of scalars is as fast.
MOST = 16


@dataclass(frozen=True)
class Lanes:
    """The axis that fills the lanes.

    ``axis``: its name.
    ``over``: an output axis, or a reduction axis, which is the last loop of the only nest.
    ``extent``: how many points it has.
    ``packed``: parameters of which a pass may make a copy with V entries of the axis side by side.
    """

    axis: str
    over: Literal["output", "reduction"]
    extent: IntExpr
    packed: tuple[str, ...] = ()


def _cost(tensor: Tensor, index: tuple[IntExpr, ...], axis: str) -> int | None:
    found = stride(tensor, index, axis)
    if found is None:
        return None
    if found == ZERO:
        return 0
    if found == Integer(1):
        return 1
    return GATHER if any(axis in names(e) for e in index[:-1]) else MAYBE


def _numbers(node: object) -> Iterator[FromInteger]:
    """Integers that a scalar expression computes with."""
    match node:
        case FromInteger():
            yield node
        case Compare(left=left, right=right):
            yield from _numbers(left)
            yield from _numbers(right)
        case Select(test=test, yes=yes, no=no):
            for part in (test, yes, no):
                yield from _numbers(part)
        case Call(args=args):
            for part in args:
                yield from _numbers(part)


def scalar_names(kernel: Kernel) -> frozenset[str]:
    """Names that scalar control flow, solved indices, extents or numbers depend on."""
    found: set[str] = set()
    bodies: list[object] = [kernel.result, *(v for _, v in kernel.temporaries)]
    for nest in kernel.nests:
        bodies += [nest.body, *(v for _, v in nest.temporaries)]
        for part in (*nest.lets, *nest.guards, *(() if nest.position is None else (nest.position,))):
            found |= names(part)
        for loop in nest.loops:
            found |= names(loop.extent) | names(loop.step) if isinstance(loop, Loop) else names(loop)
    for load in loads(kernel):
        for condition in load.inside:
            found |= names(condition)
    for axis in kernel.axes:
        found |= names(axis.extent)
    for body in bodies:
        for number in _numbers(body):
            found |= names(number)
    return frozenset(found)


def _varies(e: IntExpr) -> bool:
    return bool(names(e)) or any(isinstance(i, Size) and i.index is not None for i in integers(e))


def _output_cost(kernel: Kernel, tensors: Mapping[str, Tensor], axis: str) -> int | None:
    """Of lanes over an output axis: all that is loaded and stored; None where it cannot be."""
    outer = {a.name for a in kernel.axes}
    for nest in kernel.nests:
        for loop in nest.loops:
            bounds = names(loop.lower) | names(loop.upper) if isinstance(loop, Loop) else set()
            if (
                axis in bounds and not bounds <= outer
            ):  # lanes must agree on the bounds, which is seen before all loops
                return None
    index: tuple[IntExpr, ...] = tuple(Name(a.name) for a in kernel.axes)
    points = [(kernel.output, index)]
    points += [(tensors[load.tensor], load.index) for load in dict.fromkeys(loads(kernel))]
    costs = [_cost(tensor, index, axis) for tensor, index in points]
    return None if any(c is None for c in costs) else sum(c for c in costs if c is not None)


def _reduction_cost(nest: Nest, tensors: Mapping[str, Tensor], axis: str) -> int | None:
    """Of lanes over the last loop: all that its body loads."""
    costs = [_cost(tensors[load.tensor], load.index, axis) for load in dict.fromkeys(loads(nest))]
    return None if any(c is None for c in costs) else LANE_SUM + sum(c for c in costs if c is not None)


def _last_loop(kernel: Kernel) -> Loop | None:
    """The last loop of the only nest where that is a sum; None where it is a loop over connections."""
    if len(kernel.nests) != 1 or kernel.nests[0].combine != "sum" or not kernel.nests[0].loops:
        return None
    loop = kernel.nests[0].loops[-1]
    return loop if isinstance(loop, Loop) else None


def _bounded(kernel: Kernel) -> frozenset[str]:
    """Names that bounds of loops depend on."""
    loops = [loop for nest in kernel.nests for loop in nest.loops if isinstance(loop, Loop)]
    return frozenset(name for loop in loops for name in names(loop.lower) | names(loop.upper))


def pack_position(load: Load, axis: str) -> int | None:
    """The index of ``load`` that is ``axis`` itself, where no other index moves with it; else None."""
    moving = [n for n, e in enumerate(load.index) if axis in names(e)]
    return moving[0] if len(moving) == 1 and load.index[moving[0]] == Name(axis) else None


def _packed(kernel: Kernel, tensors: Mapping[str, Tensor], axis: str) -> tuple[str, ...]:
    """The parameters to pack along ``axis``; none where lanes along it would need anything else.

    Every value that the sums load must either move with the axis as a parameter's own index, or stay the same
    in all lanes; and at least one value of a sample must stay, which a packed parameter is multiplied by.
    """
    found = list(dict.fromkeys(load for nest in kernel.nests for load in loads(nest)))
    moving = [load for load in found if any(axis in names(e) for e in load.index)]
    still = [load for load in found if load not in moving and tensors[load.tensor].samples]
    own = tuple(dict.fromkeys(load.tensor for load in moving))
    fits = all(_can_be_packed(load, tensors[load.tensor], axis) for load in moving)
    return own if still and fits and len(own) == len(moving) else ()


def _can_be_packed(load: Load, tensor: Tensor, axis: str) -> bool:
    """Whether ``load`` reads a parameter, V entries of whose own index ``axis`` may lie side by side."""
    plain = not (tensor.samples or tensor.ragged or load.inside)
    return plain and pack_position(load, axis) is not None


def _choose_packed(kernel: Kernel, tensors: Mapping[str, Tensor], scalar: Set[str]) -> Lanes | None:
    """The first output axis whose lanes agree on all bounds once parameters are packed along it."""
    if kernel.sums_samples or not kernel.nests or any(nest.combine == "max" for nest in kernel.nests):
        return None
    fixed, index = scalar | _bounded(kernel), tuple(Name(a.name) for a in kernel.axes)
    for axis in kernel.axes:
        if axis.name in fixed or axis.kind == "window" or _varies(axis.extent):
            continue
        others = [(kernel.output, index), *((tensors[e.tensor], e.index) for e in loads(kernel))]
        if any(stride(tensor, at, axis.name) is None for tensor, at in others):
            continue
        if packed := _packed(kernel, tensors, axis.name):
            return Lanes(axis.name, "output", axis.extent, packed)
    return None


def choose(kernel: Kernel, tensors: Mapping[str, Tensor]) -> Lanes | None:
    """The axis whose lanes need the fewest gathers; None where scalars are as good.

    Of equals the innermost output axis.  Where that axis has gathers in its sums, or lanes that may differ in
    their bounds, an axis along which parameters can be packed comes first: it has neither.
    """
    scalar = scalar_names(kernel)
    plain = _choose_plain(kernel, tensors, scalar)
    if plain is not None and (plain.over == "reduction" or _agrees(kernel, tensors, plain.axis)):
        return plain
    return _choose_packed(kernel, tensors, scalar) or plain


def _agrees(kernel: Kernel, tensors: Mapping[str, Tensor], axis: str) -> bool:
    """Whether lanes along ``axis`` have the same bounds, and sums load neighbouring numbers."""
    found = [load for nest in kernel.nests for load in loads(nest)]
    costs = [_cost(tensors[load.tensor], load.index, axis) for load in found]
    return axis not in _bounded(kernel) and all(cost in (0, 1) for cost in costs)


def _choose_plain(kernel: Kernel, tensors: Mapping[str, Tensor], scalar: Set[str]) -> Lanes | None:
    """The axis whose lanes need the fewest gathers as the tensors lie."""
    found = []
    for axis in reversed(kernel.axes):
        if axis.name not in scalar and axis.kind != "window" and not _varies(axis.extent):
            found.append((_output_cost(kernel, tensors, axis.name), Lanes(axis.name, "output", axis.extent)))
    loop = _last_loop(kernel)
    if loop is not None and loop.name not in scalar and loop.kind != "window" and loop.step == Integer(1):
        found.append(
            (_reduction_cost(kernel.nests[0], tensors, loop.name), Lanes(loop.name, "reduction", loop.extent))
        )
    usable = [(cost, lanes) for cost, lanes in found if cost is not None and cost <= MOST]
    return min(usable, key=lambda entry: entry[0])[1] if usable else None

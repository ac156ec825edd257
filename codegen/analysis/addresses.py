"""Where a tensor's units lie: row-major numbers, and the stride of an axis in an access."""

from __future__ import annotations

from ...derive.ir import IntExpr, IntOp, Name, Size, Tensor, names
from .affine import ZERO, add, coefficients, multiply


def units(tensor: Tensor) -> IntExpr:
    """How many units ``tensor`` has."""
    if tensor.ragged:
        return Size(f"{tensor.layout}_at", tensor.shape[0])
    return multiply(*tensor.shape)


def unit(tensor: Tensor, index: tuple[IntExpr, ...]) -> IntExpr:
    """The row-major number of a tensor's unit."""
    if not index:
        return ZERO
    shape = tensor.shape
    if tensor.ragged:
        first = index[0]
        inner: IntExpr = ZERO
        for n in range(1, len(index)):
            inner = add(multiply(inner, _with_map(shape[n], first)), index[n])
        return add(Size(f"{tensor.layout}_at", first), inner)
    number = index[0]
    for n in range(1, len(index)):
        number = add(multiply(number, shape[n]), index[n])
    return number


def _with_map(e: IntExpr, first: IntExpr) -> IntExpr:
    """A ragged tensor's extent for the map ``first``."""
    match e:
        case Name(name="_"):
            return first
        case Size(name=name, index=index) if index is not None:
            return Size(name, _with_map(index, first))
        case IntOp(op=op, args=args):
            return IntOp(op, tuple(_with_map(a, first) for a in args))
    return e


def stride(tensor: Tensor, index: tuple[IntExpr, ...], axis: str) -> IntExpr | None:
    """Numbers between the units of neighbouring points of ``axis``; None where they are not evenly spaced."""
    if not any(axis in names(e) for e in index):
        return ZERO
    parts = [coefficients(e) for e in index]
    if tensor.ragged and axis in names(index[0]):
        return None
    if any(part is None for e, part in zip(index, parts, strict=True) if axis in names(e)):
        return None
    found: IntExpr = ZERO
    for n, part in enumerate(parts):
        if part is not None and axis in part[0]:
            first = index[0]
            later = [_with_map(s, first) if tensor.ragged else s for s in tensor.shape[n + 1 :]]
            found = add(found, multiply(part[0][axis], *later))
    return found

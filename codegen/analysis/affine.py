"""Affine views of IR integers, and their extreme values over a box of index variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...derive.ir import Integer, IntExpr, IntOp, Name, names

ZERO = Integer(0)
ONE = Integer(1)


def add(*terms: IntExpr) -> IntExpr:
    """The sum, with literals folded."""
    constant = sum(t.value for t in terms if isinstance(t, Integer))
    rest: list[IntExpr] = [t for t in terms if not isinstance(t, Integer)]
    if constant or not rest:
        rest.append(Integer(constant))
    return rest[0] if len(rest) == 1 else IntOp("add", tuple(rest))


def multiply(*factors: IntExpr) -> IntExpr:
    """The product, with literals folded."""
    constant = 1
    rest: list[IntExpr] = []
    for factor in factors:
        if isinstance(factor, Integer):
            constant *= factor.value
        else:
            rest.append(factor)
    if constant == 0:
        return ZERO
    if constant != 1 or not rest:
        rest.insert(0, Integer(constant))
    return rest[0] if len(rest) == 1 else IntOp("mul", tuple(rest))


def coefficients(e: IntExpr) -> tuple[dict[str, IntExpr], IntExpr] | None:
    """``e`` as coefficients of index variables plus a constant; None where it is not affine in them."""
    if not names(e):
        return {}, e
    match e:
        case Name(name=name):
            return {name: ONE}, ZERO
        case IntOp(op="add", args=args):
            return _of_sum(args)
        case IntOp(op="mul", args=args):
            varying = [a for a in args if names(a)]
            fixed = [a for a in args if not names(a)]
            part = coefficients(varying[0]) if len(varying) == 1 else None
            return part and ({n: multiply(*fixed, c) for n, c in part[0].items()}, multiply(*fixed, part[1]))
    return None


def _of_sum(args: Sequence[IntExpr]) -> tuple[dict[str, IntExpr], IntExpr] | None:
    """``coefficients`` of a sum."""
    total: dict[str, list[IntExpr]] = {}
    constants: list[IntExpr] = []
    for arg in args:
        part = coefficients(arg)
        if part is None:
            return None
        for name, coefficient in part[0].items():
            total.setdefault(name, []).append(coefficient)
        constants.append(part[1])
    return {n: add(*c) for n, c in total.items()}, add(*constants)


def sign(e: IntExpr) -> int:
    """1 or -1 where the sign of a product of sizes is known, else 0."""
    match e:
        case Integer(value=value):
            return (value > 0) - (value < 0)
        case IntOp(op="mul", args=args):
            result = 1
            for arg in args:
                result *= sign(arg)
            return result
        case IntOp(op="floordiv" | "gcd"):
            return 1
        case Name() | IntOp():
            return 0
    return 1  # sizes


def extreme(e: IntExpr, extents: Mapping[str, IntExpr], largest: bool) -> IntExpr | None:
    """The largest (or smallest) value of ``e`` where every variable n runs over 0..extents[n]-1; None where
    it is unknown.

    Division by sizes is monotone, so it commutes with taking the extreme.
    """
    if _divides(e) and isinstance(e, IntOp) and not names(e.args[1]):
        inner = extreme(e.args[0], extents, largest)
        return None if inner is None else IntOp(e.op, (inner, e.args[1]))
    if isinstance(e, IntOp) and e.op == "add" and any(_divides(a) for a in e.args):
        parts = [extreme(a, extents, largest) for a in e.args]
        return None if None in parts else add(*(p for p in parts if p is not None))
    split = coefficients(e)
    return None if split is None else _corner(*split, extents, largest)


def _divides(e: IntExpr) -> bool:
    return isinstance(e, IntOp) and e.op in ("floordiv", "ceildiv")


def _corner(
    factors: Mapping[str, IntExpr], offset: IntExpr, extents: Mapping[str, IntExpr], largest: bool
) -> IntExpr | None:
    """``extreme`` of an affine expression."""
    terms: list[IntExpr] = [offset]
    for name, coefficient in factors.items():
        direction = sign(coefficient)
        extent = extents.get(name)
        if direction == 0 or extent is None or names(extent):
            return None
        if (direction > 0) == largest:
            terms.append(multiply(coefficient, add(extent, Integer(-1))))
    return add(*terms)

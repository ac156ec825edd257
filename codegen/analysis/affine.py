"""Affine views of IR integers, and their extreme values over a box of index variables."""

from __future__ import annotations

from collections.abc import Mapping

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
        case IntOp(op="mul", args=args):
            varying = [a for a in args if names(a)]
            fixed = [a for a in args if not names(a)]
            if len(varying) != 1:
                return None
            part = coefficients(varying[0])
            if part is None:
                return None
            return {n: multiply(*fixed, c) for n, c in part[0].items()}, multiply(*fixed, part[1])
    return None


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
    """The largest (or smallest) value of ``e`` where every variable n runs over 0..extents[n]-1; None where it is unknown.

    Division by sizes is monotone, so it commutes with taking the extreme.
    """
    if isinstance(e, IntOp) and e.op in ("floordiv", "ceildiv") and not names(e.args[1]):
        inner = extreme(e.args[0], extents, largest)
        return None if inner is None else IntOp(e.op, (inner, e.args[1]))
    if isinstance(e, IntOp) and e.op == "add" and any(isinstance(a, IntOp) and a.op in ("floordiv", "ceildiv") for a in e.args):
        parts = [extreme(a, extents, largest) for a in e.args]
        return None if any(p is None for p in parts) else add(*(p for p in parts if p is not None))
    split = coefficients(e)
    if split is None:
        return None
    terms: list[IntExpr] = [split[1]]
    for name, coefficient in split[0].items():
        direction = sign(coefficient)
        extent = extents.get(name)
        if direction == 0 or extent is None or names(extent):
            return None
        if (direction > 0) == largest:
            terms.append(multiply(coefficient, add(extent, Integer(-1))))
    return add(*terms)

"""A product as its factors: what may leave a sum, and what a contraction contracts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ...derive.ir import Call, Expr, Load, Number


@dataclass
class Product:
    """``sign * above * factors / below``: ``above`` and ``below`` are literals, a divisor among
    ``factors`` is ``1 / divisor``.
    """

    negative: bool = False
    above: list[Number] = field(default_factory=list)
    below: list[Number] = field(default_factory=list)
    factors: list[Expr] = field(default_factory=list)


def product(body: Expr) -> Product:
    """``body`` as a product, of one factor where it is none."""
    found = Product()
    _collect(body, found)
    return found


def _collect(body: Expr, found: Product) -> None:
    match body:
        case Call(function="mul", args=args):
            for part in args:
                _collect(part, found)
        case Call(function="neg", args=(part,)):
            found.negative = not found.negative
            _collect(part, found)
        case Call(function="div", args=(above, below)):
            _collect(above, found)
            under = product(below)
            found.negative ^= under.negative
            found.below.extend(under.above)
            found.above.extend(under.below)
            found.factors.extend(Call("div", (Number("1"), factor)) for factor in under.factors)
        case Number(text=text):
            found.negative ^= text.startswith("-")
            if float(text) not in (1.0, -1.0):
                found.above.append(Number(text.lstrip("-")))
        case _:
            found.factors.append(body)


def unguarded(body: Expr) -> Expr:
    """``body`` with ``inside`` removed from the loads that are factors of the whole: their conditions
    restrict the nest instead.
    """
    match body:
        case Load():
            return replace(body, inside=())
        case Call(function="mul" | "neg" as function, args=args):
            return Call(function, tuple(unguarded(part) for part in args))
        case Call(function="div", args=(above, below)):
            return Call("div", (unguarded(above), below))
        case _:
            return body

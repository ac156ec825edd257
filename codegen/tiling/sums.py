"""Which sums over the samples may be split into partial sums: those with results linear in their nests."""

from __future__ import annotations

from collections.abc import Sequence

from ...derive.ir import Accumulator, Call, Expr, Kernel, Select, Temporary


def _degree(e: Expr, kernel: Kernel) -> int | None:
    """The degree of ``e`` as a polynomial in the accumulators; None where it is none, or not homogeneous."""
    match e:
        case Accumulator():
            return 1
        case Temporary(name=name):
            return _degree(dict(kernel.temporaries)[name], kernel)
        case Select(test=test, yes=yes, no=no):
            degrees = {_degree(yes, kernel), _degree(no, kernel)}
            fixed = _degree(test.left, kernel) == _degree(test.right, kernel) == 0
            return degrees.pop() if fixed and len(degrees) == 1 else None
        case Call(function=function, args=args):
            degrees_of = [_degree(a, kernel) for a in args]
            known = [d for d in degrees_of if d is not None]
            return _of_call(function, known) if len(known) == len(degrees_of) else None
    return 0


def _of_call(function: str, degrees: Sequence[int]) -> int | None:
    """The degree of a function of arguments of these degrees."""
    if function in ("add", "neg"):
        return degrees[0] if len(set(degrees)) == 1 else None
    if function == "mul":
        return sum(degrees)
    if function == "div" and degrees[1] == 0:
        return degrees[0]
    return None if any(degrees) else 0


def sums_in_parts(kernel: Kernel) -> bool:
    """True where partial sums over the samples add up to the whole: the result is linear in its nests."""
    return (
        kernel.sums_samples
        and all(n.combine == "sum" for n in kernel.nests)
        and _degree(kernel.result, kernel) == 1
    )

"""Which sums over the samples may be taken in parts: those whose result is linear in what its nests add up."""

from __future__ import annotations

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
            if len(known) < len(degrees_of):
                return None
            if function in ("add", "neg"):
                return known[0] if len(set(known)) == 1 else None
            if function == "mul":
                return sum(known)
            if function == "div" and known[1] == 0:
                return known[0]
            return None if any(known) else 0
    return 0


def sums_in_parts(kernel: Kernel) -> bool:
    """True where sums over parts of the samples add up to the sum over all of them: a result that is linear in its nests."""
    return kernel.sums_samples and all(n.combine == "sum" for n in kernel.nests) and _degree(kernel.result, kernel) == 1

"""What a layer requires of its sizes beyond their least values, such as groups that divide the maps."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
from sympy.core.function import AppliedUndef

from ..symbols.indices import size_expression
from .declarations import Requirement
from .tensors import flatten

_RELATIONS = sp.Eq | sp.Ne | sp.LessThan | sp.StrictLessThan | sp.GreaterThan | sp.StrictGreaterThan


def requirements(
    condition: object, reason: str, sizes: set[str], refuse: Callable[[str], Exception]
) -> list[Requirement]:
    """The requirements of ``condition``, or of a tuple or vector of conditions; none where it always holds.

    Raises what ``refuse`` makes of the reason: for a condition that never holds, or that is not between
    sizes.
    """
    found = []
    for part in flatten((condition,)):
        if part in (True, sp.true):
            continue
        if part in (False, sp.false):
            raise refuse(
                f"{reason}: the condition holds for no sizes; sizes are compared by Eq(a, b), not =="
            )
        if not isinstance(part, _RELATIONS):
            raise refuse(f"require takes Eq, <=, <, >= or > between sizes, and a reason; got {part!r}")
        left, right = size_expression(part.lhs), size_expression(part.rhs)
        others = {s for s in (left - right).free_symbols if s.name not in sizes}
        others |= left.atoms(AppliedUndef) | right.atoms(AppliedUndef)
        if others:
            other = min(map(str, others))
            raise refuse(f"require compares sizes of the whole layer, and {other} is none")
        found.append(Requirement(left, part.rel_op, right, reason))
    return found

"""The values that an activation takes: which output layers and losses it fits."""

from __future__ import annotations

from collections.abc import Callable

import mpmath
import sympy as sp

from ..symbols.errors import DefinitionError

Range = tuple[float | None, float | None]
#: Values beyond these count as unbounded.
LARGE = 1e3
#: Points near 0; and far away, each as much farther in powers of ten as the one before it.
NEAR = [n / 8 for n in range(-80, 81)]
FAR = (1e3, 10**4.5, 1e6)


def value_range(name: str, phi: sp.Expr, z: sp.Symbol) -> Range:
    """Infimum and supremum of ``phi`` over the reals; None where unbounded.

    Raises DefinitionError where phi is no real number somewhere, because an activation takes every z.
    """
    value = sp.lambdify(z, phi.rewrite(sp.exp).rewrite(sp.Pow), "mpmath")
    near = [_real(name, value, at) for at in NEAR]
    far = [[_real(name, value, side * at) for at in FAR] for side in (-1, 1)]
    low, high = min(*near, *far[0], *far[1]), max(*near, *far[0], *far[1])
    growth = [_growth(*values) for values in far]
    return (
        None if low <= -LARGE or min(growth) < 0 else float(low),
        None if high >= LARGE or max(growth) > 0 else float(high),
    )


def _real(name: str, value: Callable[[mpmath.mpf], object], at: float) -> mpmath.mpf:
    try:
        found = mpmath.mpmathify(value(mpmath.mpf(at)))
    except ZeroDivisionError:
        found = mpmath.mpf("nan")
    if isinstance(found, mpmath.mpc) and found.imag == 0:
        found = found.real
    if not isinstance(found, mpmath.mpf) or mpmath.isnan(found):
        raise DefinitionError(
            f"activation {name}: phi({at:g}) is no real number, and an activation takes every z; "
            "piecewise((value, condition), ..., (value, True)) says what it is there"
        )
    return found


def _growth(near: mpmath.mpf, far: mpmath.mpf, farther: mpmath.mpf) -> int:
    """Whether values still rise (1) or fall (-1) far away, as logarithms do; else 0."""
    steps = (far - near, farther - far)
    return 1 if min(steps) > 1 else -1 if max(steps) < -1 else 0

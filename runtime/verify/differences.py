"""Derivatives from function values alone: what derived gradients are held against.

A function under test takes (entry, offset) and gives one number per sample: the value when that entry of its
argument is moved by the offset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Moved = Callable[[int, float], Floats]

#: Tried in order: a smaller step where a kink lies within reach of a larger one.  Five points keep the
#: truncation error at step**4 and so allow steps at which rounding, about 1e-16/step, is far below what is
#: asked for.
STEPS = (1e-4, 1e-5, 1e-6)
#: One-sided derivatives that differ by more than this (relative) show a kink at the point itself.
KINK = 1e-3
#: A Taylor remainder this many times above the bound of its rounding has an order that can be read.
CLEAR = 4


def central(moved: Moved, entry: int, step: float) -> Floats:
    """Five-point central difference, error O(step**4)."""
    near = moved(entry, step) - moved(entry, -step)
    far = moved(entry, 2 * step) - moved(entry, -2 * step)
    return (8 * near - far) / (12 * step)


def one_sided(moved: Moved, entry: int, step: float) -> Floats:
    """Three-point difference towards the sign of ``step``, error O(step**2)."""
    return (-3 * moved(entry, 0.0) + 4 * moved(entry, step) - moved(entry, 2 * step)) / (2 * step)


@dataclass(frozen=True)
class Differences:
    """Derivatives ``(entries, samples)`` that belong to given ones, with the steps that they were taken at.

    ``kinks``: where only a one-sided derivative exists, and the given one is it.
    ``scale``: the least denominator of a relative error, from the differences and never from the values that
    they judge.
    """

    numeric: Floats
    steps: Floats
    kinks: npt.NDArray[np.bool_]
    scale: float

    def errors(self, values: Floats) -> Floats:
        """Relative errors of ``values`` ``(entries, samples)``; infinite where a value is no number."""
        errors = np.abs(values - self.numeric) / np.maximum(np.abs(self.numeric), self.scale)
        return np.where(np.isfinite(errors), errors, np.inf)


def compare(moved: Moved, values: Floats, floor: float, tolerance: float) -> Differences:
    """Differences for every entry of ``values`` ``(entries, samples)``.

    Where the first step does not agree, smaller ones are tried, then the two sides of a kink.  The tolerance
    stays the same.
    """
    numeric = np.array([central(moved, entry, STEPS[0]) for entry in range(len(values))]).reshape(
        values.shape
    )
    steps = np.full(values.shape, STEPS[0])
    kinks = np.zeros(values.shape, bool)
    scale = max(float(np.max(np.abs(numeric), initial=0.0)), floor) or 1.0  # 1 where all is 0: then absolute
    first = Differences(numeric, steps, kinks, scale)
    for entry in np.flatnonzero((first.errors(values) > tolerance).any(axis=1)):
        _refine(first, moved, int(entry), values[entry], tolerance)
    return first


def _refine(comparison: Differences, moved: Moved, entry: int, values: Floats, tolerance: float) -> None:
    numeric, steps, kinks = comparison.numeric[entry], comparison.steps[entry], comparison.kinks[entry]
    scale = comparison.scale

    def agree(found: Floats) -> npt.NDArray[np.bool_]:
        return np.abs(found - values) <= tolerance * np.maximum(np.abs(found), scale)

    open_ = ~agree(numeric)
    for step in STEPS[1:]:
        found = central(moved, entry, step)
        settled = open_ & agree(found)
        numeric[settled], steps[settled] = found[settled], step
        open_ &= ~settled
        if not open_.any():
            return
    sides = [one_sided(moved, entry, side * STEPS[1]) for side in (1, -1)]
    at_kink = np.abs(sides[0] - sides[1]) > KINK * scale
    for found in sides:
        settled = open_ & at_kink & agree(found)
        numeric[settled], steps[settled], kinks[settled] = found[settled], STEPS[1], True
        open_ &= ~settled


def taylor_slope(
    remainder: Callable[[float], float], rounding: Callable[[float], float], steps: Sequence[float]
) -> float:
    """Order at which the Taylor remainder vanishes: 2 for the right gradient, 1 for a wrong one.

    The remainder is ``|f(x + e v) - f(x) - e <g, v>|``.

    ``steps`` halve from one to the next.  The order is read at the smallest step whose remainder stands clear
    of ``rounding(e)``, where kinks that a larger step crosses no longer matter; infinite where no remainder
    does (f is linear).
    """
    remainders = np.array([remainder(step) for step in steps])
    lost = np.flatnonzero(~np.isfinite(remainders))
    first = int(lost[-1]) + 1 if lost.size else 0  # a large step may leave the domain of f
    if first > len(steps) - 3:
        return 0.0
    clear = [k for k in range(first, len(steps)) if remainders[k] > CLEAR * rounding(steps[k])]
    if not clear:
        return float("inf")
    last = min(max(clear), len(steps) - 2)
    return float(np.log2(remainders[last] / max(remainders[last + 1], remainders[last] * 2.0**-60)))

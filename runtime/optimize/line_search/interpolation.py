"""Minimisers of the cubic and the parabola through two points of a line."""

from __future__ import annotations

import math


def cubic_minimiser(a: float, fa: float, sa: float, b: float, fb: float, sb: float) -> float:
    """Minimiser of the cubic with values fa, fb and slopes sa, sb at a, b; NaN where it has none."""
    width = b - a
    if width == 0.0:
        return math.nan
    theta = 3.0 * (fa - fb) / width + sa + sb
    scale = max(abs(theta), abs(sa), abs(sb))
    if scale == 0.0 or not math.isfinite(scale):
        return math.nan
    radicand = (theta / scale) ** 2 - (sa / scale) * (sb / scale)
    if radicand < 0.0:
        return math.nan
    root = math.copysign(scale * math.sqrt(radicand), width)
    denominator = sb - sa + 2.0 * root
    if denominator == 0.0:
        return math.nan
    return b - width * (sb + root - theta) / denominator


def parabola_minimiser(a: float, fa: float, sa: float, b: float, fb: float) -> float:
    """Minimiser of a parabola; NaN where it has none.

    fa, sa: value and slope at a.
    fb: value at b."""
    width = b - a
    curvature = fb - fa - sa * width
    if not curvature > 0.0:
        return math.nan
    return a - 0.5 * sa * width * width / curvature


def secant_zero(a: float, sa: float, b: float, sb: float) -> float:
    """Where the slope that is sa at a and sb at b vanishes; NaN for equal slopes."""
    if sa == sb:
        return math.nan
    return b - sb * (b - a) / (sb - sa)

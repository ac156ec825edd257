"""The built-in activations in mpmath, written from their definitions, and how far floats are from them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mpmath
import numpy as np

mpf = mpmath.mpf
Exact = Callable[[mpmath.mpf], mpmath.mpf]
#: Below this many times the smallest normal number digits may be lost, or the result 0, as OpenCL admits.
SMALL = 16
UNITS = 4.0


def _slope(z: mpmath.mpf) -> mpmath.mpf:
    return mpmath.exp(-abs(z)) / (1 + mpmath.exp(-abs(z))) ** 2


EXACT: dict[str, tuple[Exact, Exact]] = {
    "linear": (lambda z: z, lambda z: mpf(1)),
    "sigmoid": (lambda z: 1 / (1 + mpmath.exp(-z)), _slope),
    "tanh": (mpmath.tanh, lambda z: mpmath.sech(z) ** 2),
    "scaled_tanh": (
        lambda z: mpf("1.7159") * mpmath.tanh(2 * z / 3),
        lambda z: mpf("1.7159") * 2 / 3 * mpmath.sech(2 * z / 3) ** 2,
    ),
    "relu": (lambda z: max(z, mpf(0)), lambda z: mpf(z > 0)),
    "leaky_relu": (lambda z: z if z > 0 else z / 100, lambda z: mpf(1) if z > 0 else mpf(1) / 100),
    "softplus": (
        lambda z: max(z, mpf(0)) + mpmath.log1p(mpmath.exp(-abs(z))),
        lambda z: 1 / (1 + mpmath.exp(-z)),
    ),
    "elu": (lambda z: z if z > 0 else mpmath.expm1(z), lambda z: mpf(1) if z > 0 else mpmath.exp(z)),
    "gelu": (lambda z: z * mpmath.ncdf(z), lambda z: mpmath.ncdf(z) + z * mpmath.npdf(z)),
}
#: phi' is a sum of terms of this size and is 0 somewhere; its error is counted in units of the terms there.
TERMS: dict[str, Exact] = {"gelu": mpmath.ncdf}


@cache
def points(dtype: str) -> np.ndarray:
    """Magnitudes from 1e-30 to 1e4 on both sides, most of them where functions bend, and reported points."""
    generator = np.random.default_rng(16)
    magnitudes = np.concatenate(
        [10 ** generator.uniform(-30, 4, 120), 10 ** generator.uniform(-2, 2, 180), [1e-30, 1e4]]
    )
    reported = [-1e-8, -25.0, 17.0, -17.0, 0.0, 9.5, 25.0, -12.5]
    found = np.concatenate([magnitudes, -magnitudes, reported])
    return np.pad(found, (0, -len(found) % 8)).astype(dtype)


def units(name: str, derivative: bool, got: np.ndarray) -> np.ndarray:
    """Errors of phi or phi' at ``points``, in units in the last place."""
    z, info = points(got.dtype.name), np.finfo(got.dtype)
    errors = []
    with mpmath.workdps(50):
        for at, value in zip(z, got, strict=True):
            exact = EXACT[name][derivative](mpf(float(at)))
            size = abs(exact)
            if derivative and name in TERMS:
                size = max(size, abs(TERMS[name](mpf(float(at)))))
            error = abs(mpf(float(value)) - exact) if np.isfinite(value) else mpmath.inf
            if size < SMALL * float(info.tiny):
                errors.append(0.0 if error <= SMALL * float(info.tiny) else np.inf)
            else:
                errors.append(float(error / mpf(2) ** (mpmath.floor(mpmath.log(size, 2)) - info.nmant)))
    return np.array(errors)

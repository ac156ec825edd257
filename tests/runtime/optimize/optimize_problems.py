"""Standard test problems (Moré, Garbow and Hillstrom 1981), f = 1/2 sum r_i^2; Jacobians by complex step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Problem:
    """Residuals r(x) that accept complex x, and the usual start."""

    name: str
    residual: Callable[[Array], Array]
    x0: Array

    def residuals(self, x: Array) -> Array:
        return self.residual(x)

    def jacobian(self, x: Array) -> Array:
        columns = []
        for p in range(x.size):
            z = x.astype(complex)
            z[p] += 1e-30j
            columns.append(self.residual(z).imag / 1e-30)
        return np.stack(columns, axis=1)

    def residuals_and_jacobian_chunks(self, x: Array) -> Iterator[tuple[Array, Array]]:
        yield self.residual(x), self.jacobian(x)

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        r = self.residual(x)
        return 0.5 * float(r @ r), self.jacobian(x).T @ r


def _rosenbrock(x: Array) -> Array:
    return np.concatenate([10.0 * (x[1:] - x[:-1] ** 2), 1.0 - x[:-1]])


def _extended_rosenbrock(x: Array) -> Array:
    return np.concatenate([10.0 * (x[1::2] - x[::2] ** 2), 1.0 - x[::2]])


def _freudenstein_roth(x: Array) -> Array:
    a, b = x
    return np.array([-13 + a + ((5 - b) * b - 2) * b, -29 + a + ((b + 1) * b - 14) * b])


def _powell_badly_scaled(x: Array) -> Array:
    return np.array([1e4 * x[0] * x[1] - 1, np.exp(-x[0]) + np.exp(-x[1]) - 1.0001])


def _brown_badly_scaled(x: Array) -> Array:
    return np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2])


def _beale(x: Array) -> Array:
    return np.array([y - x[0] * (1 - x[1] ** i) for i, y in ((1, 1.5), (2, 2.25), (3, 2.625))])


def _helical_valley(x: Array) -> Array:
    angle = np.arctan(x[1] / x[0]) / (2 * np.pi) + (0.5 if x[0].real < 0 else 0.0)
    radius = np.sqrt(x[0] ** 2 + x[1] ** 2)
    return np.array([10 * (x[2] - 10 * angle), 10 * (radius - 1), x[2]])


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def _bard(x: Array) -> Array:
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    return _BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


_GAUSSIAN = np.array([9, 44, 175, 540, 1295, 2420, 3521, 3989, 3521, 2420, 1295, 540, 175, 44, 9]) * 1e-4


def _gaussian(x: Array) -> Array:
    t = (8.0 - np.arange(1.0, 16.0)) / 2
    return x[0] * np.exp(-x[1] * (t - x[2]) ** 2 / 2) - _GAUSSIAN


def _box(x: Array) -> Array:
    t = 0.1 * np.arange(1.0, 11.0)
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


def _powell_singular(x: Array) -> Array:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return np.concatenate([a + 10 * b, np.sqrt(5) * (c - d), (b - 2 * c) ** 2, np.sqrt(10) * (a - d) ** 2])


def _wood(x: Array) -> Array:
    a, b, c, d = x
    ten = np.sqrt(10)
    return np.array([10 * (b - a * a), 1 - a, 3 * ten * (d - c * c), 1 - c, ten * (b + d - 2), (b - d) / ten])


_KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.16, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
_KOWALIK_U = np.array([4, 2, 1, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def _kowalik_osborne(x: Array) -> Array:
    u = _KOWALIK_U
    return _KOWALIK_Y - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3])


def _brown_dennis(x: Array) -> Array:
    t = np.arange(1.0, 21.0) / 5
    return (x[0] + t * x[1] - np.exp(t)) ** 2 + (x[2] + x[3] * np.sin(t) - np.cos(t)) ** 2


_OSBORNE = np.array(
    [
        0.844,
        0.908,
        0.932,
        0.936,
        0.925,
        0.908,
        0.881,
        0.850,
        0.818,
        0.784,
        0.751,
        0.718,
        0.685,
        0.658,
        0.628,
        0.603,
        0.580,
        0.558,
        0.538,
        0.522,
        0.506,
        0.490,
        0.478,
        0.467,
        0.457,
        0.448,
        0.438,
        0.431,
        0.424,
        0.420,
        0.414,
        0.411,
        0.406,
    ]
)


def _osborne(x: Array) -> Array:
    t = 10.0 * np.arange(33)
    return _OSBORNE - (x[0] + x[1] * np.exp(-t * x[3]) + x[2] * np.exp(-t * x[4]))


def _biggs(x: Array) -> Array:
    t = 0.1 * np.arange(1.0, 14.0)
    y = np.exp(-t) - 5 * np.exp(-10 * t) + 3 * np.exp(-4 * t)
    return x[2] * np.exp(-t * x[0]) - x[3] * np.exp(-t * x[1]) + x[5] * np.exp(-t * x[4]) - y


_MEYER = np.array(
    [34780, 28610, 23650, 19630, 16370, 13720, 11540, 9744, 8261, 7030, 6005, 5147, 4427, 3820, 3307, 2872]
)


def _meyer(x: Array) -> Array:
    return x[0] * np.exp(x[1] / (45.0 + 5.0 * np.arange(1.0, 17.0) + x[2])) - _MEYER


def _jennrich_sampson(x: Array) -> Array:
    i = np.arange(1.0, 11.0)
    return 2 + 2 * i - (np.exp(i * x[0]) + np.exp(i * x[1]))


def _watson(x: Array) -> Array:
    t = np.arange(1.0, 30.0)[:, None] / 29
    j = np.arange(x.size)
    first = ((j[1:] * x[1:]) * t ** (j[1:] - 1)).sum(axis=1)
    second = (x * t**j).sum(axis=1)
    return np.concatenate([first - second**2 - 1, [x[0], x[1] - x[0] ** 2 - 1]])


def _variably_dimensioned(x: Array) -> Array:
    total = (np.arange(1, x.size + 1) * (x - 1)).sum()
    return np.concatenate([x - 1, [total, total**2]])


def _penalty(x: Array) -> Array:
    return np.concatenate([np.sqrt(1e-5) * (x - 1), [(x * x).sum() - 0.25]])


def _trigonometric(x: Array) -> Array:
    n = x.size
    return n - np.cos(x).sum() + np.arange(1, n + 1) * (1 - np.cos(x)) - np.sin(x)


def _broyden_tridiagonal(x: Array) -> Array:
    padded = np.concatenate([[0], x, [0]])
    return (3 - 2 * x) * x - padded[:-2] - 2 * padded[2:] + 1


def _discrete_boundary(x: Array) -> Array:
    h = 1.0 / (x.size + 1)
    t = h * np.arange(1, x.size + 1)
    padded = np.concatenate([[0], x, [0]])
    return 2 * x - padded[:-2] - padded[2:] + h * h * (x + t + 1) ** 3 / 2


def _brown_almost_linear(x: Array) -> Array:
    return np.concatenate([x[:-1] + x.sum() - (x.size + 1), [x.prod() - 1]])


def _start(*values: float) -> Array:
    return np.array(values, dtype=float)


def _boundary_start(n: int) -> Array:
    t = np.arange(1, n + 1) / (n + 1)
    return t * (t - 1)


PROBLEMS = [
    Problem("rosenbrock-2", _rosenbrock, _start(-1.2, 1)),
    Problem("rosenbrock-10", _rosenbrock, np.tile([-1.2, 1.0], 5)),
    Problem("rosenbrock-100", _rosenbrock, np.tile([-1.2, 1.0], 50)),
    Problem("extended-rosenbrock-20", _extended_rosenbrock, np.tile([-1.2, 1.0], 10)),
    Problem("freudenstein-roth", _freudenstein_roth, _start(0.5, -2)),
    Problem("powell-badly-scaled", _powell_badly_scaled, _start(0, 1)),
    Problem("brown-badly-scaled", _brown_badly_scaled, _start(1, 1)),
    Problem("beale", _beale, _start(1, 1)),
    Problem("jennrich-sampson", _jennrich_sampson, _start(0.3, 0.4)),
    Problem("helical-valley", _helical_valley, _start(-1, 0, 0)),
    Problem("bard", _bard, _start(1, 1, 1)),
    Problem("gaussian", _gaussian, _start(0.4, 1, 0)),
    Problem("meyer", _meyer, _start(0.02, 4000, 250)),
    Problem("box-3d", _box, _start(0, 10, 20)),
    Problem("powell-singular", _powell_singular, _start(3, -1, 0, 1)),
    Problem("powell-singular-20", _powell_singular, np.tile([3.0, -1, 0, 1], 5)),
    Problem("wood", _wood, _start(-3, -1, -3, -1)),
    Problem("kowalik-osborne", _kowalik_osborne, _start(0.25, 0.39, 0.415, 0.39)),
    Problem("brown-dennis", _brown_dennis, _start(25, 5, -5, -1)),
    Problem("osborne-1", _osborne, _start(0.5, 1.5, -1, 0.01, 0.02)),
    Problem("biggs-exp6", _biggs, _start(1, 2, 1, 1, 1, 1)),
    Problem("watson-6", _watson, np.zeros(6)),
    Problem("variably-dimensioned-10", _variably_dimensioned, 1 - np.arange(1, 11) / 10),
    Problem("penalty-10", _penalty, np.arange(1.0, 11.0)),
    Problem("trigonometric-10", _trigonometric, np.full(10, 0.1)),
    Problem("broyden-tridiagonal-30", _broyden_tridiagonal, np.full(30, -1.0)),
    Problem("discrete-boundary-20", _discrete_boundary, _boundary_start(20)),
    Problem("brown-almost-linear-10", _brown_almost_linear, np.full(10, 0.5)),
]

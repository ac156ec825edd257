"""Unconstrained problems outside the usual eighteen (CUTE; Luksan's and Andrei's collections), with
gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Smooth:
    """f of complex x too; the gradient is given."""

    name: str
    f: Callable[[Array], complex]
    g: Callable[[Array], Array]
    x0: Array

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        return float(self.f(x).real), self.g(x)

    def gradient_by_complex_step(self, x: Array) -> Array:
        result = np.empty(x.size)
        for p in range(x.size):
            z = x.astype(complex)
            z[p] += 1e-30j
            result[p] = self.f(z).imag / 1e-30
        return result


def _spread(size: int, *parts: tuple[slice | int, Array]) -> Array:
    """Adds pieces of a gradient into their places."""
    total = np.zeros(size)
    for where, piece in parts:
        total[where] += piece
    return total


A, B = slice(None, -1), slice(1, None)


def _woods(x: Array) -> complex:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    first = 100 * (b - a**2) ** 2 + (1 - a) ** 2 + 90 * (d - c**2) ** 2 + (1 - c) ** 2
    return (first + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)).sum()


def _woods_g(x: Array) -> Array:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    g = np.empty_like(x)
    g[0::4] = -400 * a * (b - a**2) - 2 * (1 - a)
    g[1::4] = 200 * (b - a**2) + 20.2 * (b - 1) + 19.8 * (d - 1)
    g[2::4] = -360 * c * (d - c**2) - 2 * (1 - c)
    g[3::4] = 180 * (d - c**2) + 20.2 * (d - 1) + 19.8 * (b - 1)
    return g


def _arwhead(x: Array) -> complex:
    return ((x[:-1] ** 2 + x[-1] ** 2) ** 2 - 4 * x[:-1] + 3).sum()


def _arwhead_g(x: Array) -> Array:
    s = 4 * (x[:-1] ** 2 + x[-1] ** 2)
    return np.append(s * x[:-1] - 4, (s * x[-1]).sum())


def _bdqrtic(x: Array) -> complex:
    a, b, c, d, e = x[:-4], x[1:-3], x[2:-2], x[3:-1], x[-1]
    return ((-4 * a + 3) ** 2 + (a**2 + 2 * b**2 + 3 * c**2 + 4 * d**2 + 5 * e**2) ** 2).sum()


def _bdqrtic_g(x: Array) -> Array:
    a, b, c, d, e = x[:-4], x[1:-3], x[2:-2], x[3:-1], x[-1]
    s = 4 * (a**2 + 2 * b**2 + 3 * c**2 + 4 * d**2 + 5 * e**2)
    return _spread(
        x.size, (slice(0, -4), s * a - 8 * (3 - 4 * a)), (slice(1, -3), 2 * s * b), (slice(2, -2), 3 * s * c),
        (slice(3, -1), 4 * s * d), (-1, (5 * s * e).sum()),
    )  # fmt: skip


def _cosine(x: Array) -> complex:
    return np.cos(-0.5 * x[1:] + x[:-1] ** 2).sum()


def _cosine_g(x: Array) -> Array:
    s = -np.sin(-0.5 * x[1:] + x[:-1] ** 2)
    return _spread(x.size, (A, 2 * s * x[:-1]), (B, -0.5 * s))


def _cragglvy(x: Array) -> complex:
    a, b, c, d = x[0:-3:2], x[1:-2:2], x[2:-1:2], x[3::2]
    return (
        (np.exp(a) - b) ** 4 + 100 * (b - c) ** 6 + (np.tan(c - d) + c - d) ** 4 + a**8 + (d - 1) ** 2
    ).sum()


def _cragglvy_g(x: Array) -> Array:
    a, b, c, d = x[0:-3:2], x[1:-2:2], x[2:-1:2], x[3::2]
    u, v = 4 * (np.exp(a) - b) ** 3, 600 * (b - c) ** 5
    w = 4 * (np.tan(c - d) + c - d) ** 3 * (1 / np.cos(c - d) ** 2 + 1)
    return _spread(
        x.size,
        (slice(0, -3, 2), u * np.exp(a) + 8 * a**7),
        (slice(1, -2, 2), v - u),
        (slice(2, -1, 2), w - v),
        (slice(3, None, 2), -w + 2 * (d - 1)),
    )


def _dixmaan(
    alpha: float, beta: float, gamma: float, delta: float, powers: tuple[int, int, int, int]
) -> tuple:
    def parts(n: int) -> tuple[Array, Array, Array, Array]:
        t = np.arange(1, n + 1) / n
        m = n // 3
        return (
            alpha * t ** powers[0], beta * t[: n - 1] ** powers[1], gamma * t[: 2 * m] ** powers[2],
            delta * t[:m] ** powers[3],
        )  # fmt: skip

    def f(x: Array) -> complex:
        n, m = x.size, x.size // 3
        p, q, r, s = parts(n)
        b = x[1:] + x[1:] ** 2
        return (
            1
            + (p * x**2).sum()
            + (q * x[:-1] ** 2 * b**2).sum()
            + (r * x[: 2 * m] ** 2 * x[m : 3 * m] ** 4).sum()
            + (s * x[:m] * x[2 * m : 3 * m]).sum()
        )

    def g(x: Array) -> Array:
        n, m = x.size, x.size // 3
        p, q, r, s = parts(n)
        b = x[1:] + x[1:] ** 2
        low, high = x[: 2 * m], x[m : 3 * m]
        return _spread(
            n,
            (slice(None), 2 * p * x),
            (A, 2 * q * x[:-1] * b**2),
            (B, 2 * q * x[:-1] ** 2 * b * (1 + 2 * x[1:])),
            (slice(0, 2 * m), 2 * r * low * high**4),
            (slice(m, 3 * m), 4 * r * low**2 * high**3),
            (slice(0, m), s * x[2 * m : 3 * m]),
            (slice(2 * m, 3 * m), s * x[:m]),
        )

    return f, g


def _dqdrtic(x: Array) -> complex:
    return (x[:-2] ** 2 + 100 * x[1:-1] ** 2 + 100 * x[2:] ** 2).sum()


def _dqdrtic_g(x: Array) -> Array:
    return _spread(
        x.size, (slice(0, -2), 2 * x[:-2]), (slice(1, -1), 200 * x[1:-1]), (slice(2, None), 200 * x[2:])
    )


def _edensch(x: Array) -> complex:
    a, b = x[:-1], x[1:]
    return 16 + ((a - 2) ** 4 + (a * b - 2 * b) ** 2 + (b + 1) ** 2).sum()


def _edensch_g(x: Array) -> Array:
    a, b = x[:-1], x[1:]
    s = 2 * (a * b - 2 * b)
    return _spread(x.size, (A, 4 * (a - 2) ** 3 + s * b), (B, s * (a - 2) + 2 * (b + 1)))


def _engval1(x: Array) -> complex:
    return ((x[:-1] ** 2 + x[1:] ** 2) ** 2 - 4 * x[:-1] + 3).sum()


def _engval1_g(x: Array) -> Array:
    s = 4 * (x[:-1] ** 2 + x[1:] ** 2)
    return _spread(x.size, (A, s * x[:-1] - 4), (B, s * x[1:]))


def _fletchcr(x: Array) -> complex:
    return 100 * ((x[1:] - x[:-1] + 1 - x[:-1] ** 2) ** 2).sum()


def _fletchcr_g(x: Array) -> Array:
    s = 200 * (x[1:] - x[:-1] + 1 - x[:-1] ** 2)
    return _spread(x.size, (A, -s * (1 + 2 * x[:-1])), (B, s))


def _freuroth(x: Array) -> complex:
    a, b = x[:-1], x[1:]
    return ((-13 + a + ((5 - b) * b - 2) * b) ** 2 + (-29 + a + ((b + 1) * b - 14) * b) ** 2).sum()


def _freuroth_g(x: Array) -> Array:
    a, b = x[:-1], x[1:]
    u, v = 2 * (-13 + a + ((5 - b) * b - 2) * b), 2 * (-29 + a + ((b + 1) * b - 14) * b)
    return _spread(x.size, (A, u + v), (B, u * (10 * b - 3 * b**2 - 2) + v * (3 * b**2 + 2 * b - 14)))


def _genrose(x: Array) -> complex:
    return 1 + (100 * (x[1:] - x[:-1] ** 2) ** 2 + (x[1:] - 1) ** 2).sum()


def _genrose_g(x: Array) -> Array:
    s = 200 * (x[1:] - x[:-1] ** 2)
    return _spread(x.size, (A, -2 * s * x[:-1]), (B, s + 2 * (x[1:] - 1)))


def _liarwhd(x: Array) -> complex:
    return (4 * (x**2 - x[0]) ** 2 + (x - 1) ** 2).sum()


def _liarwhd_g(x: Array) -> Array:
    s = 8 * (x**2 - x[0])
    return _spread(x.size, (slice(None), 2 * s * x + 2 * (x - 1)), (0, -s.sum()))


def _nondia(x: Array) -> complex:
    return (x[0] - 1) ** 2 + 100 * ((x[0] - x[:-1] ** 2) ** 2).sum()


def _nondia_g(x: Array) -> Array:
    s = 200 * (x[0] - x[:-1] ** 2)
    return _spread(x.size, (A, -2 * s * x[:-1]), (0, 2 * (x[0] - 1) + s.sum()))


def _nondquar(x: Array) -> complex:
    return (x[0] - x[1]) ** 2 + ((x[:-2] + x[1:-1] + x[-1]) ** 4).sum() + (x[-2] + x[-1]) ** 2


def _nondquar_g(x: Array) -> Array:
    s, first, last = 4 * (x[:-2] + x[1:-1] + x[-1]) ** 3, 2 * (x[0] - x[1]), 2 * (x[-2] + x[-1])
    return _spread(
        x.size,
        (slice(0, -2), s),
        (slice(1, -1), s),
        (-1, s.sum() + last),
        (-2, last),
        (0, first),
        (1, -first),
    )


def _penalty(x: Array) -> complex:
    return 1e-5 * ((x - 1) ** 2).sum() + ((x**2).sum() - 0.25) ** 2


def _penalty_g(x: Array) -> Array:
    return 2e-5 * (x - 1) + 4 * ((x**2).sum() - 0.25) * x


def _quartc(x: Array) -> complex:
    return ((x - np.arange(1, x.size + 1)) ** 4).sum()


def _quartc_g(x: Array) -> Array:
    return 4 * (x - np.arange(1, x.size + 1)) ** 3


def _tridia(x: Array) -> complex:
    i = np.arange(2, x.size + 1)
    return (x[0] - 1) ** 2 + (i * (2 * x[1:] - x[:-1]) ** 2).sum()


def _tridia_g(x: Array) -> Array:
    s = 2 * np.arange(2, x.size + 1) * (2 * x[1:] - x[:-1])
    return _spread(x.size, (A, -s), (B, 2 * s), (0, 2 * (x[0] - 1)))


def _sinquad(x: Array) -> complex:
    middle = np.sin(x[1:-1] - x[-1]) - x[0] ** 2 + x[1:-1] ** 2
    return (x[0] - 1) ** 4 + (middle**2).sum() + (x[-1] ** 2 - x[0] ** 2) ** 2


def _sinquad_g(x: Array) -> Array:
    middle = 2 * (np.sin(x[1:-1] - x[-1]) - x[0] ** 2 + x[1:-1] ** 2)
    turn, end = np.cos(x[1:-1] - x[-1]), 2 * (x[-1] ** 2 - x[0] ** 2)
    return _spread(
        x.size, (slice(1, -1), middle * (turn + 2 * x[1:-1])), (-1, -(middle * turn).sum() + 2 * end * x[-1]),
        (0, 4 * (x[0] - 1) ** 3 - 2 * x[0] * middle.sum() - 2 * x[0] * end),
    )  # fmt: skip


def _schmvett(x: Array) -> complex:
    a, b, c = x[:-2], x[1:-1], x[2:]
    return (-1 / (1 + (a - b) ** 2) - np.sin((np.pi * b + c) / 2) - np.exp(-(((a + c) / b - 2) ** 2))).sum()


def _schmvett_g(x: Array) -> Array:
    a, b, c = x[:-2], x[1:-1], x[2:]
    u = 2 * (a - b) / (1 + (a - b) ** 2) ** 2
    v = -0.5 * np.cos((np.pi * b + c) / 2)
    w = (a + c) / b - 2
    e = 2 * w * np.exp(-(w**2))
    middle = -u + np.pi * v - e * (a + c) / b**2
    return _spread(x.size, (slice(0, -2), u + e / b), (slice(1, -1), middle), (slice(2, None), v + e / b))


def _extrosnb(x: Array) -> complex:
    return (x[0] - 1) ** 2 + 100 * ((x[1:] - x[:-1] ** 2) ** 2).sum()


def _extrosnb_g(x: Array) -> Array:
    s = 200 * (x[1:] - x[:-1] ** 2)
    return _spread(x.size, (A, -2 * s * x[:-1]), (B, s), (0, 2 * (x[0] - 1)))


def _vareigvl(x: Array) -> complex:
    i = np.arange(1, x.size + 1)
    return (i * x**2).sum() * 0.5 - 1.5 * x.sum() + 0.25 * (x**2).sum() ** 2 / x.size


def _vareigvl_g(x: Array) -> Array:
    return np.arange(1, x.size + 1) * x - 1.5 + (x**2).sum() * x / x.size


def _raydan1(x: Array) -> complex:
    return (np.arange(1, x.size + 1) / 10 * (np.exp(x) - x)).sum()


def _raydan1_g(x: Array) -> Array:
    return np.arange(1, x.size + 1) / 10 * (np.exp(x) - 1)


def _hager(x: Array) -> complex:
    return (np.exp(x) - np.sqrt(np.arange(1, x.size + 1)) * x).sum()


def _hager_g(x: Array) -> Array:
    return np.exp(x) - np.sqrt(np.arange(1, x.size + 1))


def _himmelblau(x: Array) -> complex:
    a, b = x[0::2], x[1::2]
    return ((a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2).sum()


def _himmelblau_g(x: Array) -> Array:
    a, b = x[0::2], x[1::2]
    u, v = 2 * (a**2 + b - 11), 2 * (a + b**2 - 7)
    return np.stack([2 * a * u + v, u + 2 * b * v], axis=1).ravel()


def _beale(x: Array) -> complex:
    a, b = x[0::2], x[1::2]
    return sum(((y - a * (1 - b**i)) ** 2).sum() for i, y in ((1, 1.5), (2, 2.25), (3, 2.625)))


def _beale_g(x: Array) -> Array:
    a, b = x[0::2], x[1::2]
    u, v = np.zeros(a.size), np.zeros(a.size)
    for i, y in ((1, 1.5), (2, 2.25), (3, 2.625)):
        r = 2 * (y - a * (1 - b**i))
        u -= r * (1 - b**i)
        v += r * a * i * b ** (i - 1)
    return np.stack([u, v], axis=1).ravel()


def _problems() -> list[Smooth]:
    ones = np.ones
    dixmaan = {
        "a": (1.0, 0.0, 0.125, 0.125, (0, 0, 0, 0)), "b": (1.0, 0.0625, 0.0625, 0.0625, (0, 0, 0, 1)),
        "e": (1.0, 0.0, 0.125, 0.125, (1, 0, 0, 1)), "i": (1.0, 0.0, 0.125, 0.125, (2, 0, 0, 2)),
    }  # fmt: skip
    return [
        Smooth("WOODS", _woods, _woods_g, np.tile([-3.0, -1, -3, -1], 1)),
        Smooth("WOODS-100", _woods, _woods_g, np.tile([-3.0, -1, -3, -1], 25)),
        Smooth("ARWHEAD", _arwhead, _arwhead_g, ones(100)),
        Smooth("BDQRTIC", _bdqrtic, _bdqrtic_g, ones(100)),
        Smooth("COSINE", _cosine, _cosine_g, ones(100)),
        Smooth("CRAGGLVY", _cragglvy, _cragglvy_g, np.append(1.0, np.full(99, 2.0))),
        *(Smooth(f"DIXMAAN{k.upper()}", *_dixmaan(*v), np.full(90, 2.0)) for k, v in dixmaan.items()),
        Smooth("DQDRTIC", _dqdrtic, _dqdrtic_g, np.full(100, 3.0)),
        Smooth("EDENSCH", _edensch, _edensch_g, np.full(100, 8.0)),
        Smooth("ENGVAL1", _engval1, _engval1_g, np.full(100, 2.0)),
        Smooth("FLETCHCR", _fletchcr, _fletchcr_g, np.zeros(100)),
        Smooth("FREUROTH", _freuroth, _freuroth_g, np.append([0.5, -2.0], np.zeros(98))),
        Smooth("GENROSE", _genrose, _genrose_g, np.arange(1, 51) / 51.0),
        Smooth("LIARWHD", _liarwhd, _liarwhd_g, np.full(100, 4.0)),
        Smooth("NONDIA", _nondia, _nondia_g, np.full(100, -1.0)),
        Smooth("NONDQUAR", _nondquar, _nondquar_g, np.tile([1.0, -1.0], 50)),
        Smooth("PENALTY1", _penalty, _penalty_g, np.arange(1.0, 101.0)),
        Smooth("QUARTC", _quartc, _quartc_g, np.full(100, 2.0)),
        Smooth("TRIDIA", _tridia, _tridia_g, ones(100)),
        Smooth("SINQUAD", _sinquad, _sinquad_g, np.full(50, 0.1)),
        Smooth("SCHMVETT", _schmvett, _schmvett_g, np.full(100, 0.5)),
        Smooth("EXTROSNB", _extrosnb, _extrosnb_g, np.full(5, -1.0)),
        Smooth("VAREIGVL", _vareigvl, _vareigvl_g, ones(50)),
        Smooth("RAYDAN1", _raydan1, _raydan1_g, ones(100)),
        Smooth("HAGER", _hager, _hager_g, ones(100)),
        Smooth("HIMMELBLAU", _himmelblau, _himmelblau_g, ones(100)),
        Smooth("BEALE", _beale, _beale_g, np.tile([1.0, 0.8], 50)),
        Smooth("SROSENBR", _srosenbr, _srosenbr_g, np.tile([-1.2, 1.0], 50)),
        Smooth("POWELLSG", _powellsg, _powellsg_g, np.tile([3.0, -1, 0, 1], 25)),
    ]


def _srosenbr(x: Array) -> complex:
    return (100 * (x[1::2] - x[::2] ** 2) ** 2 + (1 - x[::2]) ** 2).sum()


def _srosenbr_g(x: Array) -> Array:
    s = 200 * (x[1::2] - x[::2] ** 2)
    return np.stack([-2 * s * x[::2] - 2 * (1 - x[::2]), s], axis=1).ravel()


def _powellsg(x: Array) -> complex:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    return ((a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4).sum()


def _powellsg_g(x: Array) -> Array:
    a, b, c, d = x[0::4], x[1::4], x[2::4], x[3::4]
    p, q, r, s = 2 * (a + 10 * b), 10 * (c - d), 4 * (b - 2 * c) ** 3, 40 * (a - d) ** 3
    return np.stack([p + s, 10 * p + r, q - 2 * r, -q - s], axis=1).ravel()


OUTSIDE = _problems()

"""The 27 nonlinear regressions of NIST's Statistical Reference Datasets, two starts each, with certified
values.

Data: https://www.itl.nist.gov/div898/strd/nls/nls_main.shtml (public domain), in tests/data/nist.json.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from optimize_problems import Problem

Array = np.ndarray
DATA = json.loads((Path(__file__).parents[2] / "data" / "nist.json").read_text(encoding="utf-8"))


def _gauss(b: Array, x: Array) -> Array:
    first, second = np.exp(-((x - b[3]) ** 2) / b[4] ** 2), np.exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * np.exp(-b[1] * x) + b[2] * first + b[5] * second


def _lanczos(b: Array, x: Array) -> Array:
    return b[0] * np.exp(-b[1] * x) + b[2] * np.exp(-b[3] * x) + b[4] * np.exp(-b[5] * x)


def _cubics(b: Array, x: Array) -> Array:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


def _enso(b: Array, x: Array) -> Array:
    def wave(cosine: complex, sine: complex, period: complex) -> Array:
        return cosine * np.cos(2 * np.pi * x / period) + sine * np.sin(2 * np.pi * x / period)

    return b[0] + wave(b[1], b[2], 12.0) + wave(b[4], b[5], b[3]) + wave(b[7], b[8], b[6])


#: y of the parameters b and the predictors, as NIST prints it; Nelson's model is that of log y.
MODELS: dict[str, Callable[..., Array]] = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "BoxBOD": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Chwirut1": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "Chwirut2": lambda b, x: np.exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": _enso,
    "Eckerle4": lambda b, x: b[0] / b[1] * np.exp(-0.5 * ((x - b[2]) / b[1]) ** 2),
    "Gauss1": _gauss,
    "Gauss2": _gauss,
    "Gauss3": _gauss,
    "Hahn1": _cubics,
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": _lanczos,
    "Lanczos2": _lanczos,
    "Lanczos3": _lanczos,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * np.exp(b[1] / (x + b[2])),
    "MGH17": lambda b, x: b[0] + b[1] * np.exp(-x * b[3]) + b[2] * np.exp(-x * b[4]),
    "Misra1a": lambda b, x: b[0] * (1 - np.exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** -2),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** -0.5),
    "Misra1d": lambda b, x: b[0] * b[1] * x / (1 + b[1] * x),
    "Nelson": lambda b, x1, x2: b[0] - b[1] * x1 * np.exp(-b[2] * x2),
    "Rat42": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)),
    "Rat43": lambda b, x: b[0] / (1 + np.exp(b[1] - b[2] * x)) ** (1 / b[3]),
    "Roszman1": lambda b, x: b[0] - b[1] * x - np.arctan(b[2] / (x - b[3])) / np.pi,
    "Thurber": _cubics,
}


@dataclass(frozen=True)
class Regression(Problem):
    """One problem from one of its starts (1 or 2)."""

    certified: Array
    sum_of_squares: float
    start: int

    def digits(self, x: Array) -> float:
        """The fewest correct digits of a parameter, -log10 of the largest relative error; at most 11."""
        error = float(np.max(np.abs(np.asarray(x) - self.certified) / np.abs(self.certified)))
        return min(-np.log10(max(error, 1e-11)), 11.0) if np.isfinite(error) else -np.inf


def _regression(name: str, start: int) -> Regression:
    data, model = DATA[name], MODELS[name]
    y, columns = np.array(data["y"]), [np.array(column) for column in data["x"]]
    response = np.log(y) if name == "Nelson" else y
    return Regression(
        f"{name}-{start}", lambda b: model(b, *columns) - response, np.array(data["starts"][start - 1]),
        np.array(data["certified"]), data["sum_of_squares"], start,
    )  # fmt: skip


REGRESSIONS = [_regression(name, start) for name in MODELS for start in (1, 2)]

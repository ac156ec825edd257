"""A hand-written multilayer perceptron with its residuals and Jacobian, and the worked cases."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray
CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[2] / "data" / "cases.json").read_text(encoding="utf-8"))[
        "cases"
    ]
}
ACTIVATIONS = {"tanh": (np.tanh, lambda y: 1 - y * y), "identity": (lambda z: z, np.ones_like)}


def case(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Inputs and expected values, number lists as arrays."""
    found = CASES[name]
    return _arrays(found["inputs"]), _arrays(found["expected"])


def _arrays(values: dict[str, Any]) -> dict[str, Any]:
    return {k: np.array(v) if isinstance(v, list) and v and not isinstance(v[0], (str, dict)) else v
            for k, v in values.items()}  # fmt: skip


def assert_close(actual: Any, expected: Any) -> None:
    """The cases' tolerance: |a - b| <= 1e-11 max(1, |b|)."""
    expected = np.asarray(expected)
    np.testing.assert_array_less(
        np.abs(actual - expected), 1e-11 * np.maximum(1.0, np.abs(expected)) + 1e-300
    )


class Network:
    """Residuals t - y, sample by sample, output by output; omega per layer: W row-major, then b."""

    def __init__(self, sizes: Any, activations: list[str], x: Array, t: Array, chunk: int = 10**9):
        self.sizes = [int(size) for size in sizes]
        self.activations = activations
        self.x, self.t, self.chunk = x, t, chunk
        self.n = sum((p + 1) * n for p, n in zip(self.sizes, self.sizes[1:], strict=False))

    def layers(self, omega: Array) -> list[tuple[Array, Array]]:
        out, at = [], 0
        for p, n in zip(self.sizes, self.sizes[1:], strict=False):
            out.append((omega[at : at + n * p].reshape(n, p), omega[at + n * p : at + n * (p + 1)]))
            at += n * (p + 1)
        return out

    def forward(self, omega: Array, x: Array) -> list[Array]:
        ys = [x]
        for (w, b), name in zip(self.layers(omega), self.activations, strict=True):
            ys.append(ACTIVATIONS[name][0](ys[-1] @ w.T + b))
        return ys

    def residuals(self, omega: Array) -> Array:
        return (self.t - self.forward(omega, self.x)[-1]).ravel()

    def value(self, omega: Array) -> float:
        r = self.residuals(omega)
        return 0.5 * float(r @ r)

    def residuals_and_jacobian_chunks(self, omega: Array) -> Iterator[tuple[Array, Array]]:
        for at in range(0, len(self.x), self.chunk):
            x, t = self.x[at : at + self.chunk], self.t[at : at + self.chunk]
            ys = self.forward(omega, x)
            yield (t - ys[-1]).ravel(), self.jacobian(omega, ys)

    def jacobian(self, omega: Array, ys: list[Array]) -> Array:
        samples, outputs = ys[-1].shape
        delta = -np.einsum("sk,kj->skj", ACTIVATIONS[self.activations[-1]][1](ys[-1]), np.eye(outputs))
        blocks: list[Array] = []
        for l in range(len(self.sizes) - 2, -1, -1):
            weights = np.einsum("skn,sp->sknp", delta, ys[l]).reshape(samples * outputs, -1)
            blocks = [weights, delta.reshape(samples * outputs, -1), *blocks]
            if l:
                slope = ACTIVATIONS[self.activations[l - 1]][1](ys[l])
                delta = np.einsum("skn,np,sp->skp", delta, self.layers(omega)[l][0], slope)
        return np.concatenate(blocks, axis=1)

    def value_and_gradient(self, omega: Array) -> tuple[float, Array]:
        value, gradient = 0.0, np.zeros(self.n)
        for r, jacobian in self.residuals_and_jacobian_chunks(omega):
            value += 0.5 * float(r @ r)
            gradient += jacobian.T @ r
        return value, gradient

    @property
    def sample_count(self) -> int:
        return len(self.x)

    def batch(self, indices: Array) -> Network:
        return Network(self.sizes, self.activations, self.x[indices], self.t[indices])


class Quartic:
    """x^T A x / 2 - b^T x + kappa / 4 sum x_i^4, the objective of the worked optimizer cases."""

    def __init__(self, inputs: dict[str, Any]):
        self.a, self.b, self.kappa = inputs["A"], inputs["b"], inputs["kappa"]

    def value(self, x: Array) -> float:
        return float(x @ self.a @ x / 2 - self.b @ x + self.kappa / 4 * (x**4).sum())

    def value_and_gradient(self, x: Array) -> tuple[float, Array]:
        return self.value(x), self.a @ x - self.b + self.kappa * x**3

    def exact_step(self, x: Array, d: Array) -> float:
        """The root of phi'(alpha), a cubic with positive leading coefficients."""
        k = self.kappa
        coefficients = [
            k * (d**4).sum(), 3 * k * (d**3 * x).sum(), d @ self.a @ d + 3 * k * (d**2 * x**2).sum(),
            d @ (self.a @ x - self.b) + k * (d * x**3).sum(),
        ]  # fmt: skip
        roots = np.roots(np.trim_zeros(coefficients, "f"))
        alpha = float(min(roots, key=lambda root: abs(root.imag)).real)
        slope, curve = np.polyval(coefficients, alpha), np.polyval(np.polyder(np.poly1d(coefficients)), alpha)
        return alpha - slope / curve

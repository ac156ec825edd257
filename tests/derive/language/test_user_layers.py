"""Layers that the built-in ones do not name, as definitions under ``tests/layers``.

Each runs through the interpreter: the forward pass against a direct NumPy formula written here without
looking at the derivation, and every delta and gradient against central differences in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pytest
from phiz.derive.language.layer import Family
from scipy.special import erf

from tests.harness import LayerRun, derived
from tests.layers import (
    attention,
    average_pooling,
    bilinear,
    centred,
    depthwise,
    gated,
    graph,
    local_response_normalisation,
    locally_connected,
    maximum_pooling,
    maxout,
    nested,
    norm_pooling,
    normalisation,
    resampling,
    tails,
    transposed_convolution,
)

Array = np.ndarray
Parameters = Mapping[str, Array]
Reference = Callable[[Array, Parameters, Mapping[str, Any]], Array]


@dataclass(frozen=True)
class Case:
    """A layer at one size, with its formula for one sample."""

    family: Family
    shape: tuple[int, ...]
    reference: Reference
    sizes: dict[str, int] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    relations: dict[str, dict[str, list[int]]] = field(default_factory=dict)
    low: float = -1.0

    def __str__(self) -> str:
        sizes = ",".join(f"{k}={v}" for k, v in self.sizes.items())
        return f"{self.family.name}{self.options or ''}{list(self.shape)}{sizes}"


def windows(
    Y: Array, M: list[int], k: list[int], low: list[int], out: list[int], fill: float
) -> dict[tuple[int, ...], Array]:
    """The windows of one map, by output coordinate, as flat arrays; ``fill`` stands outside (NaN leaves
    out).
    """
    found = {}
    for x in product(*map(range, out)):
        values = []
        for u in product(*map(range, M)):
            y = tuple(k[r] * x[r] + u[r] - low[r] for r in range(Y.ndim))
            values.append(Y[y] if all(0 <= a < n for a, n in zip(y, Y.shape, strict=True)) else fill)
        array = np.array(values)
        found[x] = array[~np.isnan(array)]
    return found


def pooling(
    statistic: Callable[[Array], float], window: str = "M", fill: float = np.nan, tiled: bool = False
) -> Reference:
    def reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
        d = range(Y.ndim - 1)
        M = [s[f"{window}{r}"] for r in d]
        k = M if tiled else [s.get(f"k{r}", 1) for r in d]
        low, high = [s.get(f"p{r}", 0) for r in d], [s.get(f"q{r}", 0) for r in d]
        out = [(Y.shape[r + 1] + low[r] + high[r] - M[r]) // k[r] + 1 for r in d]
        Z = np.zeros((len(Y), *out))
        for i in range(len(Y)):
            for x, values in windows(Y[i], M, k, low, out, fill).items():
                Z[(i, *x)] = statistic(values)
        return Z

    return reference


def depthwise_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    d = range(Y.ndim - 1)
    Yp = np.pad(Y, [(0, 0), *((s[f"p{r}"], s[f"q{r}"]) for r in d)])
    k, M = [s[f"k{r}"] for r in d], p["w"].shape[1:]
    Z = np.zeros((len(Y), *((Yp.shape[r + 1] - M[r]) // k[r] + 1 for r in d)))
    for i, *x in np.ndindex(Z.shape):
        cut = tuple(slice(k[r] * x[r], k[r] * x[r] + M[r]) for r in d)
        Z[(i, *x)] = (Yp[i][cut] * p["w"][i]).sum() + p["b"][i]
    return Z


def multiplier_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return np.stack([np.correlate(Y[n // s["m"]], p["w"][n], "valid") for n in range(len(p["w"]))])


def locally_connected_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    Z = p["b"].copy()
    d, k = range(Y.ndim - 1), [s[f"k{r}"] for r in range(Y.ndim - 1)]
    for i, *x in np.ndindex(Z.shape):
        cut = (slice(None), *(slice(k[r] * x[r], k[r] * x[r] + s[f"M{r}"]) for r in d))
        Z[(i, *x)] += (Y[cut] * p["w"][(i, slice(None), *x)]).sum()
    return Z


def transposed_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    w, d = p["w"], range(Y.ndim - 1)
    k, e, c = ([s[f"{n}{r}"] for r in d] for n in "kdp")
    full = np.zeros((len(w), *(k[r] * (Y.shape[r + 1] - 1) + e[r] * (w.shape[r + 2] - 1) + 1 for r in d)))
    for i, j in np.ndindex(w.shape[:2]):
        for y in np.ndindex(Y.shape[1:]):
            for u in np.ndindex(w.shape[2:]):
                full[(i, *(k[r] * y[r] + e[r] * u[r] for r in d))] += Y[(j, *y)] * w[(i, j, *u)]
    crop = tuple(slice(c[r], full.shape[r + 1] - c[r]) for r in d)
    return full[(slice(None), *crop)] + p["b"].reshape(-1, *(1 for _ in d))


def lrn_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    r = s["r"]
    energy = np.stack([(Y[max(0, i - r) : i + r + 1] ** 2).sum(0) for i in range(len(Y))])
    return Y / (2 + 0.1 * energy) ** 0.75


def power_mean(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    a = p["a"][:, None]
    cut = Y[:, : Y.shape[1] // s["K0"] * s["K0"]].reshape(len(Y), -1, s["K0"])
    return ((cut ** a[..., None]).mean(-1)) ** (1 / a)


def sigmoid(z: Array) -> Array:
    return 1 / (1 + np.exp(-z))


def squeeze(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    means = Y.reshape(len(Y), -1).mean(1)
    gate = sigmoid(p["v"] @ np.maximum(p["w"] @ means, 0))
    return Y * gate.reshape(-1, *(1 for _ in Y.shape[1:]))


def standardise(Y: Array, axes: tuple[int, ...]) -> Array:
    return (Y - Y.mean(axes, keepdims=True)) / np.sqrt(Y.var(axes, keepdims=True) + 1e-5)


def per_map(v: Array, Y: Array) -> Array:
    return v.reshape(-1, *(1 for _ in Y.shape[1:]))


def layer_norm(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return per_map(p["g"], Y) * standardise(Y, tuple(range(Y.ndim))) + per_map(p["b"], Y)


def group_norm(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    groups = Y.reshape(s["G"], -1, *Y.shape[1:])
    return per_map(p["a"], Y) * standardise(groups, tuple(range(1, groups.ndim))).reshape(Y.shape) + per_map(
        p["b"], Y
    )


def cosine(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return p["w"] @ Y / (np.linalg.norm(p["w"], axis=1) * np.linalg.norm(Y) + 1e-3)


def dilation_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    w = p["w"]
    Z = np.zeros((len(w), *(Y.shape[r + 1] - w.shape[r + 2] + 1 for r in range(Y.ndim - 1))))
    for i, *x in np.ndindex(Z.shape):
        cut = (slice(None), *(slice(a, a + m) for a, m in zip(x, w.shape[2:], strict=True)))
        Z[(i, *x)] = (Y[cut] + w[i]).max()
    return Z


def median(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return np.median(np.stack([Y[:, :-2], Y[:, 1:-1], Y[:, 2:]]), axis=0)


def nearest(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return np.kron(Y, np.ones((1, *(s[f"K{r}"] for r in range(Y.ndim - 1)))))


def linear_upsampling(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    H, K = Y.shape[1], s["K0"]
    return np.stack([np.interp(np.arange(K * (H - 1)) / K, np.arange(H), row) for row in Y])


def rational(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    a, b = s["a"], s["b"]
    return Y[:, [b * x // a for x in range(Y.shape[1] * a // b)]]


def shuffle_pixels(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    R, (J, H0, H1) = s["R"], Y.shape
    cube = Y[: J // R**2 * R**2].reshape(-1, R, R, H0, H1)
    return cube.transpose(0, 3, 1, 4, 2).reshape(-1, H0 * R, H1 * R)


def shuffle_maps(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    c = len(Y) // s["G"]
    return Y[: s["G"] * c].reshape(s["G"], c, *Y.shape[1:]).swapaxes(0, 1).reshape(-1, *Y.shape[1:])


def flipped(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return np.stack([sum(np.convolve(y, k, "valid") for y, k in zip(Y, w, strict=True)) for w in p["w"]])


def periodic(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return np.stack([sum(np.roll(Y[j], -u) * w[j, u] for j, u in np.ndindex(w.shape)) for w in p["w"]])


def attend(Y: Array, p: Parameters, causal: bool) -> Array:
    Q, K, V = p["q"] @ Y, p["k"] @ Y, p["v"] @ Y
    scores = Q.T @ K / np.sqrt(len(Q))
    if causal:
        scores[np.triu_indices(len(scores), 1)] = -np.inf
    weights = np.exp(scores)
    return V @ (weights / weights.sum(1, keepdims=True)).T


def softmax_of_maps(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    E = np.exp(Y)
    return E / E.sum(tuple(range(1, Y.ndim)), keepdims=True)


EDGES = {"x": [0, 3, 3, 1, 0, 3], "y": [1, 0, 2, 1, 4, 0]}


def graph_mean(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    A = np.zeros((Y.shape[1], Y.shape[1]))
    np.add.at(A, (EDGES["x"], EDGES["y"]), 1)
    return p["w"] @ Y @ (A / (1 + A.sum(1, keepdims=True))).T + p["b"][:, None]


TYPED = {"x": [0, 2, 2, 2, 0], "y": [1, 0, 2, 0, 1], "q": [1, 0, 0, 2, 1]}


def graph_windows(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    w = p["w"]
    Z = np.zeros((len(w), Y.shape[1], Y.shape[2] - w.shape[3] + 1))
    for x, y, q in zip(*TYPED.values(), strict=True):
        for i, j in np.ndindex(w.shape[:2]):
            Z[i, x] += np.correlate(Y[j, y], w[i, j, q], "valid")
    return Z


STRIDED = {"x": [0, 2, 2, 3, 2], "y": [1, 0, 2, 1, 2]}


def strided_graph(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    Z = np.zeros((len(p["w"]), Y.shape[1]))
    for x, y in zip(*STRIDED.values(), strict=True):
        Z[:, x] += p["w"] @ Y[:, s["k"] * y : s["k"] * y + s["M0"]].sum(1)
    return Z


def tail_without_inverse(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    A = p["w"] @ Y
    E = A * (1 + erf(A))
    return np.sin(E) / (1 + (np.tanh(E) ** 2).sum()) + E


def normalised_softmax(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    E = np.exp(p["w"] @ Y)
    return E / np.linalg.norm(E)


def strided_rows(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    Z = np.zeros_like(Y)
    for x, y in zip(*STRIDED.values(), strict=True):
        if 0 <= s["k"] * y - 1 < Y.shape[1]:
            Z[:, x] += Y[:, s["k"] * y - 1]
    return Z


def network_in_network(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    windows = np.lib.stride_tricks.sliding_window_view(Y, s["M0"], axis=1)
    return np.tanh(p["v"] @ np.maximum(np.einsum("hju,jxu->hx", p["w"], windows), 0)).max(1)


def centred_reference(Y: Array, p: Parameters, s: Mapping[str, Any]) -> Array:
    return np.array(
        [sum(w * (y - m) for w, y in zip(row, Y, strict=True)) for row, m in zip(p["w"], p["m"], strict=True)]
    )


A, R, N, G = average_pooling, resampling, normalisation, gated
TWO = {"rank": 2}
CASES = [
    Case(A.average_pooling, (2, 7), pooling(np.mean), {"M0": 3, "k0": 2}),
    Case(A.average_pooling, (1, 4, 5), pooling(np.mean), {"M0": 2, "k0": 1, "M1": 3, "k1": 2}, TWO),
    Case(A.average_pooling, (1, 3, 2, 3), pooling(np.mean), {f"M{r}": 2 for r in range(3)}, {"rank": 3}),
    Case(A.clipped_average_pooling, (2, 5), pooling(np.mean), {"M0": 3, "k0": 2, "p0": 2, "q0": 1}),
    Case(
        A.clipped_average_pooling,
        (1, 3, 4),
        pooling(np.mean),
        {"M0": 2, "M1": 3, "k1": 2, "p0": 1, "p1": 1, "q1": 2},
        TWO,
    ),
    Case(A.global_average_pooling, (3, 4), lambda Y, p, s: Y.mean(1)),
    Case(A.global_average_pooling, (3, 2, 3), lambda Y, p, s: Y.mean((1, 2)), {}, TWO),
    Case(maximum_pooling.padded_max_pooling, (2, 6), pooling(np.max), {"M0": 3, "k0": 2, "p0": 1, "q0": 2}),
    Case(
        maximum_pooling.padded_max_pooling,
        (1, 4, 3),
        pooling(np.max),
        {"M0": 3, "M1": 2, "k0": 2, "p0": 1, "q1": 1},
        TWO,
    ),
    Case(
        maximum_pooling.zero_padded_max_pooling,
        (2, 6),
        pooling(np.max, fill=0.0),
        {"M0": 3, "k0": 2, "p0": 2, "q0": 1},
    ),
    Case(
        maximum_pooling.zero_padded_max_pooling,
        (1, 3, 3),
        pooling(np.max, fill=0.0),
        {"M0": 2, "M1": 2, "p0": 1, "q1": 1},
        TWO,
    ),
    Case(centred.centred, (3,), centred_reference, {"I": 2}),
    Case(depthwise.depthwise, (2, 6), depthwise_reference, {"M0": 3, "k0": 2, "p0": 1}),
    Case(
        depthwise.depthwise,
        (2, 4, 3),
        depthwise_reference,
        {"M0": 2, "M1": 3, "k0": 2, "p1": 1, "q1": 1},
        TWO,
    ),
    Case(
        depthwise.depthwise,
        (1, 2, 3, 2),
        depthwise_reference,
        {"M0": 2, "M1": 2, "M2": 1, "q2": 1},
        {"rank": 3},
    ),
    Case(depthwise.depthwise_multiplier, (3, 5), multiplier_reference, {"m": 2, "M0": 3}),
    Case(
        locally_connected.locally_connected, (2, 6), locally_connected_reference, {"I": 2, "M0": 3, "k0": 2}
    ),
    Case(
        locally_connected.locally_connected,
        (2, 3, 3),
        locally_connected_reference,
        {"I": 1, "M0": 2, "M1": 2},
        TWO,
    ),
    Case(
        transposed_convolution.transposed_convolution,
        (2, 3),
        transposed_reference,
        {"I": 2, "M0": 3, "k0": 2},
    ),
    Case(
        transposed_convolution.transposed_convolution,
        (1, 4),
        transposed_reference,
        {"I": 2, "M0": 3, "k0": 3, "d0": 2, "p0": 1},
    ),
    Case(
        transposed_convolution.transposed_convolution,
        (1, 2, 3),
        transposed_reference,
        {"I": 2, "M0": 2, "M1": 3, "k0": 2, "k1": 1, "d1": 2, "p1": 1},
        TWO,
    ),
    Case(
        transposed_convolution.transposed_convolution,
        (1, 2, 1, 2),
        transposed_reference,
        {"I": 1, "M0": 2, "M1": 2, "M2": 1, "k0": 2},
        {"rank": 3},
    ),
    Case(local_response_normalisation.local_response_normalisation, (5, 3), lrn_reference, {"r": 1}),
    Case(local_response_normalisation.local_response_normalisation, (3, 2, 2), lrn_reference, {"r": 2}, TWO),
    Case(norm_pooling.norm_pooling, (2, 7), pooling(np.linalg.norm, "K", tiled=True), {"K0": 3}),
    Case(
        norm_pooling.norm_pooling,
        (1, 4, 5),
        pooling(np.linalg.norm, "K", tiled=True),
        {"K0": 2, "K1": 2},
        TWO,
    ),
    Case(
        norm_pooling.log_sum_exp_pooling,
        (2, 7),
        pooling(lambda v: np.log(np.exp(v).sum()), "K", tiled=True),
        {"K0": 2},
    ),
    Case(norm_pooling.product_pooling, (2, 5), pooling(np.prod, "K", tiled=True), {"K0": 2}, low=0.2),
    Case(norm_pooling.power_mean_pooling, (2, 7), power_mean, {"K0": 3}, low=0.2),
    Case(bilinear.bilinear, (3, 2), lambda Y, p, s: np.einsum("ijk,jx,kx->ix", p["w"], Y, Y), {"I": 2}),
    Case(
        bilinear.bilinear,
        (2, 2, 2),
        lambda Y, p, s: np.einsum("ijk,jxy,kxy->ixy", p["w"], Y, Y),
        {"I": 2},
        TWO,
    ),
    Case(
        bilinear.quadratic_neuron,
        (3,),
        lambda Y, p, s: np.einsum("ijk,j,k->i", p["w"], Y, Y) + p["v"] @ Y + p["b"],
        {"I": 2},
    ),
    Case(bilinear.factorised_bilinear, (4,), lambda Y, p, s: (p["w"] @ Y) * (p["v"] @ Y), {"I": 3}),
    Case(
        G.gated, (4,), lambda Y, p, s: np.tanh(p["w"] @ Y + p["b"]) * sigmoid(p["v"] @ Y + p["c"]), {"I": 3}
    ),
    Case(
        G.highway,
        (3,),
        lambda Y, p, s: (g := sigmoid(p["v"] @ Y + p["c"])) * np.tanh(p["w"] @ Y) + (1 - g) * Y,
    ),
    Case(G.squeeze_excitation, (3, 4), squeeze, {"R": 2}),
    Case(G.squeeze_excitation, (3, 2, 2), squeeze, {"R": 2}, TWO),
    Case(N.layer_normalisation, (3, 4), layer_norm),
    Case(N.layer_normalisation, (2, 2, 3), layer_norm, {}, TWO),
    Case(N.instance_normalisation, (2, 5), lambda Y, p, s: standardise(Y, (1,))),
    Case(N.instance_normalisation, (2, 2, 3), lambda Y, p, s: standardise(Y, (1, 2)), {}, TWO),
    Case(N.group_normalisation, (6, 3), group_norm, {"G": 2}),
    Case(N.group_normalisation, (4, 2, 2), group_norm, {"G": 2}, TWO),
    Case(N.cosine_similarity, (4,), cosine, {"I": 3}),
    Case(
        N.weight_normalised,
        (4,),
        lambda Y, p, s: p["g"] * (p["v"] @ Y) / np.linalg.norm(p["v"], axis=1),
        {"I": 3},
    ),
    Case(maxout.maxout, (4,), lambda Y, p, s: (p["w"] @ Y + p["b"]).max(1), {"I": 3, "n": 3}),
    Case(maxout.dilation, (2, 5), dilation_reference, {"I": 2, "M0": 2}),
    Case(maxout.dilation, (1, 3, 4), dilation_reference, {"I": 2, "M0": 2, "M1": 3}, TWO),
    Case(maxout.median_of_three, (2, 6), median),
    Case(R.nearest_upsampling, (2, 3), nearest, {"K0": 3}),
    Case(R.nearest_upsampling, (1, 2, 3), nearest, {"K0": 2, "K1": 3}, TWO),
    Case(R.linear_upsampling, (2, 4), linear_upsampling, {"K0": 3}),
    Case(R.rational_resampling, (2, 7), rational, {"a": 3, "b": 2}),
    Case(R.rational_resampling, (1, 5), rational, {"a": 3, "b": 5}),
    Case(R.pixel_shuffle, (9, 2, 2), shuffle_pixels, {"R": 2}),
    Case(R.pixel_shuffle, (9, 1, 2), shuffle_pixels, {"R": 3}),
    Case(R.channel_shuffle, (6, 2), shuffle_maps, {"G": 3}),
    Case(R.channel_shuffle, (7, 2, 2), shuffle_maps, {"G": 2}, TWO),
    Case(R.finite_difference, (2, 2, 4), lambda Y, p, s: np.diff(Y, axis=2)),
    Case(R.diagonal, (2, 3, 3), lambda Y, p, s: p["w"] * np.diagonal(Y, axis1=1, axis2=2)),
    Case(R.flipped_convolution, (2, 5), flipped, {"I": 2, "M0": 3}),
    Case(R.periodic_convolution, (2, 4), periodic, {"I": 2, "M0": 3}),
    Case(R.periodic_convolution, (1, 2), periodic, {"I": 1, "M0": 5}),
    Case(R.mirrored_difference, (2, 5), lambda Y, p, s: Y - Y[:, ::-1]),
    Case(attention.attention, (3, 4), lambda Y, p, s: attend(Y, p, False), {"I": 2, "A": 2}),
    Case(attention.attention, (3, 4), lambda Y, p, s: attend(Y, p, True), {"I": 2, "A": 2}, {"causal": True}),
    Case(attention.spatial_softmax, (2, 4), softmax_of_maps),
    Case(attention.spatial_softmax, (2, 2, 3), softmax_of_maps, {}, TWO),
    Case(attention.causal_sum, (2, 5), lambda Y, p, s: np.cumsum(p["w"] * Y, axis=1)),
    Case(graph.graph_convolution, (2, 5), graph_mean, {"I": 2}, relations={"E": EDGES}),
    Case(nested.strided_graph, (2, 5), strided_graph, {"I": 2, "k": 2, "M0": 3}, relations={"E": STRIDED}),
    Case(nested.strided_rows, (2, 5), strided_rows, {"k": 2}, relations={"E": STRIDED}),
    Case(nested.triangular, (2, 4), lambda Y, p, s: np.cumsum(Y, axis=1) * p["w"][:, None]),
    Case(nested.min_max_pooling, (2, 3, 4), lambda Y, p, s: Y.max(2).min(1)),
    Case(nested.network_in_network, (2, 5), network_in_network, {"I": 2, "R": 3, "M0": 2}),
    Case(nested.variance_pooling, (2, 7), pooling(np.var, "K", tiled=True), {"K0": 3}),
    Case(tails.squared_share, (3,), lambda Y, p, s: (p["w"] @ Y) ** 4 / ((p["w"] @ Y) ** 2).sum(), {"I": 3}),
    Case(tails.tail_without_inverse, (3,), tail_without_inverse, {"I": 3}),
    Case(tails.normalised_softmax, (3,), normalised_softmax, {"I": 3}),
    Case(graph.windowed_graph, (2, 3, 4), graph_windows, {"I": 2, "M0": 2}, relations={"E": TYPED}),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_forward_and_derivatives(case: Case) -> None:
    derivation = derived(case.family, **case.options)
    run = LayerRun(derivation, case.shape, case.relations, samples=2, **case.sizes)
    run.randomise(np.random.default_rng(5), low=case.low)
    run.forward()
    Z, Y = run.array("Z"), run.array("Y")
    called = derivation.definition.names
    parameters = {called.get(name, name): run.array(name) for name in run.parameters}
    env = {called.get(name, name): value for name, value in run.env.items()}
    for t in range(run.samples):
        expected = case.reference(Y[..., t], parameters, env)
        np.testing.assert_allclose(Z[..., t], expected, rtol=1e-12, atol=1e-12)
    run.check_differences()


def test_every_definition_is_tried() -> None:
    modules = [
        attention,
        average_pooling,
        bilinear,
        centred,
        depthwise,
        gated,
        graph,
        local_response_normalisation,
        locally_connected,
        maximum_pooling,
        maxout,
        nested,
        norm_pooling,
        normalisation,
        resampling,
        tails,
        transposed_convolution,
    ]
    defined = {f.name for module in modules for f in vars(module).values() if isinstance(f, Family)}
    assert defined == {case.family.name for case in CASES}

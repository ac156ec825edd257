"""Equations 86-103: weighted sub-sampling, max pooling and vanilla sub-sampling."""

from ..language.layer import Layer, layer
from ..language.stages import Definition
from ..language.tensors import Max, Sum


@layer(rank=(1, 2, 3), connections=("own", "table"))
def subsampling(L: Layer, rank: int, connections: str) -> Definition:
    """Weighted sub-sampling: a factor times the sum over each K-window (equations 86, 87, 96); leftover edges are dropped."""
    Y = L.input(rank)
    c = L.connections(connections, Y)
    K = L.sizes("K", "window", rank, default=2)
    x, u = L.coordinates("x", Y.H // K), L.window("u", K)
    alpha, b = L.parameter("alpha", *c.q), L.parameter("b", c.i)
    return L.output(c.i, x)(Sum(alpha[c.q] * Y[c.j, K * x + u], c, u) + b[c.i])


@layer(rank=(1, 2, 3))
def max_pooling(L: Layer, rank: int) -> Definition:
    """The largest value of each K-window; the first of tied values gets the delta (equations 98-100, ledger D7, D8)."""
    Y = L.input(rank)
    i, K = L.own(Y), L.sizes("K", "window", rank, default=2)
    x, u = L.coordinates("x", Y.H // K), L.window("u", K)
    return L.output(i, x)(Max(Y[i, K * x + u], u))


@layer(rank=(1, 2, 3))
def vanilla_subsampling(L: Layer, rank: int) -> Definition:
    """Every K-th sample of each map, ceil(H / K) of them (equations 101-103, ledger D7)."""
    Y = L.input(rank)
    i, K = L.own(Y), L.sizes("K", "window", rank, default=2)
    x = L.coordinates("x", Y.H.ceildiv(K))
    return L.output(i, x)(Y[i, K * x])

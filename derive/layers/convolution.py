"""Equations 60-62 with Remarks 2-5: the convolution layer."""

from ..language.layer import Layer, layer
from ..language.stages import Definition
from ..language.tensors import Sum


@layer(rank=(1, 2, 3), connections=("full", "table"))
def convolution(L: Layer, rank: int, connections: str) -> Definition:
    """Convolution with stride k, dilation d, padding p below and q above (equations 60-62, Remarks 2-5)."""
    Y = L.input(rank, ragged=connections == "table")
    c = L.connections(connections, Y)
    M, k = L.sizes("M", "kernel", rank, per=c), L.sizes("k", "stride", rank, default=1)
    d, (p, q) = L.sizes("d", "dilation", rank, default=1), L.padding(rank)
    u = L.window("u", M[c.q])
    x = L.coordinates("x", c.smallest((Y.H[c.j] + p + q - d * (M[c.q] - 1) - 1) // k + 1))
    w, b = L.parameter("w", *c.q, u), L.parameter("b", c.i)
    return L.output(c.i, x)(Sum(Y.padded[c.j, k * x + d * u - p] * w[c.q, u], c, u) + b[c.i])

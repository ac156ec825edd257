"""Depthwise convolution: every map has its own kernels."""

from phiz.derive.language.layer import Definition, Eq, Layer, Sum, layer


@layer(rank=(1, 2, 3))
def depthwise(L: Layer, rank: int) -> Definition:
    """Map i of the layer below, and no other, feeds map i."""
    Y = L.input(rank)
    i, M, k = L.own(Y), L.sizes("M", "kernel", rank), L.sizes("k", "stride", rank, default=1)
    (p, q), u = L.padding(rank), L.window("u", M)
    x = L.coordinates("x", (Y.H + p + q - M) // k + 1)
    w, b = L.parameter("w", i, u), L.parameter("b", i)
    return L.output(i, x)(Sum(Y.padded[i, k * x + u - p] * w[i, u], u) + b[i])


@layer(rank=(1, 2))
def depthwise_multiplier(L: Layer, rank: int) -> Definition:
    """Every map below feeds m maps of this layer: map i = m j + r."""
    Y = L.input(rank)
    m, M = L.size("m", "multiplier"), L.sizes("M", "kernel", rank)
    i, r, u = L.axis("i", m * Y.J), L.axis("r", m), L.window("u", M)
    x, w = L.coordinates("x", Y.H - M + 1), L.parameter("w", i, u)
    return L.output(i, x)(Sum(Y[Y.j, x + u] * w[i, u], Y.j, r, u, where=Eq(m * Y.j + r, i)))

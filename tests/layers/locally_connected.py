"""Locally connected layer: a kernel for every coordinate."""

from phiz.derive.language.layer import Definition, Layer, Sum, layer


@layer(rank=(1, 2))
def locally_connected(L: Layer, rank: int) -> Definition:
    """A convolution whose weights differ from place to place."""
    Y = L.input(rank)
    i, M, k = L.maps("i"), L.sizes("M", "kernel", rank), L.sizes("k", "stride", rank, default=1)
    x, u = L.coordinates("x", (Y.H - M) // k + 1), L.window("u", M)
    w, b = L.parameter("w", i, Y.j, x, u), L.parameter("b", i, x)
    return L.output(i, x)(Sum(Y[Y.j, k * x + u] * w[i, Y.j, x, u], Y.j, u) + b[i, x])

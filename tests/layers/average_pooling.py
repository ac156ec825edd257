"""Overlapping average pooling, and average pooling with windows clipped at the border."""

from phiz.derive.language.layer import Definition, Layer, Sum, layer


@layer(rank=(1, 2, 3))
def average_pooling(L: Layer, rank: int) -> Definition:
    """The mean of windows of M values, k apart; windows may overlap."""
    Y = L.input(rank)
    i, M, k = L.own(Y), L.sizes("M", "window", rank), L.sizes("k", "stride", rank, default=1)
    x, u = L.coordinates("x", (Y.H - M) // k + 1), L.window("u", M)
    return L.output(i, x)(Sum(Y[i, k * x + u], u) / M.product)


@layer(rank=(1, 2))
def clipped_average_pooling(L: Layer, rank: int) -> Definition:
    """The mean of the part of each window that lies inside the map."""
    Y = L.input(rank)
    i, M, k = L.own(Y), L.sizes("M", "window", rank), L.sizes("k", "stride", rank, default=1)
    p, q = L.padding(rank)
    x, u = L.coordinates("x", (Y.H + p + q - M) // k + 1), L.window("u", M)
    y = k * x + u - p
    return L.output(i, x)(Sum(Y.clipped[i, y], u) / Sum(1, u, where=(y >= 0, y < Y.H)))


@layer(rank=(1, 2))
def global_average_pooling(L: Layer, rank: int) -> Definition:
    """The mean of each map."""
    Y = L.input(rank)
    i = L.own(Y)
    return L.output(i)(Sum(Y[i, Y.y], Y.y) / Y.H.product)

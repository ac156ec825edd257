"""Strided, overlapping max pooling with clipped padding."""

from phiz.derive.language.layer import Definition, Layer, Max, layer


@layer(rank=(1, 2))
def padded_max_pooling(L: Layer, rank: int) -> Definition:
    """The largest value of each window; what a window holds outside the map does not count."""
    Y = L.input(rank)
    i, M, k = L.own(Y), L.sizes("M", "window", rank), L.sizes("k", "stride", rank, default=1)
    p, q = L.padding(rank)
    x, u = L.coordinates("x", (Y.H + p + q - M) // k + 1), L.window("u", M)
    return L.output(i, x)(Max(Y.clipped[i, k * x + u - p], u))


@layer(rank=(1, 2))
def zero_padded_max_pooling(L: Layer, rank: int) -> Definition:
    """The largest value of each window on a map that zeros surround."""
    Y = L.input(rank)
    i, M, k = L.own(Y), L.sizes("M", "window", rank), L.sizes("k", "stride", rank, default=1)
    p, q = L.padding(rank)
    x, u = L.coordinates("x", (Y.H + p + q - M) // k + 1), L.window("u", M)
    return L.output(i, x)(Max(Y.padded[i, k * x + u - p], u))

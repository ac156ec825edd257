"""Local response normalisation across maps."""

from phiz.derive.language.layer import Definition, Layer, Sum, layer


@layer(rank=(1, 2))
def local_response_normalisation(L: Layer, rank: int) -> Definition:
    """Each value over a power of the energy of the r maps on either side."""
    Y = L.input(rank)
    i, x, r = L.own(Y), L.coordinates("x", Y.H), L.size("r", "radius")
    v = L.axis("v", 2 * r + 1, "window")
    energy = Sum(Y.clipped[i + v - r, x] ** 2, v)
    return L.output(i, x)(Y[i, x] / (2 + 0.1 * energy) ** 0.75)

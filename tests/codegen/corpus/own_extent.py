"""A ragged map that an access reaches at a computed number: a loop whose range depended on itself."""

from phiz.derive import Sum, layer


@layer()
def own_extent(L):
    """The input of another map, under a weight of every connection."""
    Y = L.input(2, ragged=True)
    k = L.size("k", "step")
    c = L.connections("table", Y)
    x = L.coordinates("x", c.smallest((Y.H[c.j][0] // k, Y.H[c.j][1] // k)))
    w = L.parameter("w", *c.q)
    own = Sum(w[*c.q] * Y.padded[c.j, x[0], x[1]], c)
    return L.output(c.i, x[0], x[1])(own * Y.padded[2 * x[0] - 1, c.i + x[0] - x[1], x[0] + 2])

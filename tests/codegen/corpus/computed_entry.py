"""A ragged map at a number that follows from an index equation: its size was read before that was tested."""

from phiz.derive import Sum, layer, tanh


@layer()
def computed_entry(L):
    """The input of another map beside a weighted sum."""
    Y = L.input(1, ragged=True)
    k = L.size("k", "step")
    c = L.connections("table", Y)
    x = L.coordinates("x", c.smallest((Y.H[c.j][0] // k,)))
    w = L.parameter("w", *c.q)
    return L.output(c.i, x[0])(
        Sum(w[*c.q] * Y.padded[c.j, x[0]], c) + tanh(Y.padded[2 * c.i + x[0] + 1, x[0]])
    )

"""A stage of ragged maps without one of their coordinates: it was read at the offsets of the whole maps."""

from phiz.derive import Sum, layer, minimum, sigmoid


@layer()
def ragged_stage(L):
    """A sum over connections that depends on the second coordinate alone."""
    Y = L.input(2, ragged=True)
    k = L.size("k", "step")
    c = L.connections("table", Y)
    x = L.coordinates("x", c.smallest((Y.H[c.j][0] // k, Y.H[c.j][1] // k)))
    S = L.stage("S", c.i, x[1])(Sum(sigmoid(Y.padded[c.j, k * c.i + 1, x[1]]), c))
    return L.output(c.i, x[0], x[1])(minimum(S[c.i, x[1]], 1) * Y.padded[c.i + x[0] - 1, x[1], k])

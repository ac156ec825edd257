"""A coordinate as the number of a ragged map: its size was read before that was compared."""

from phiz.derive import Max, layer, tanh


@layer()
def entry_of_a_coordinate(L):
    """The largest of what connections read, and a map beside."""
    Y = L.input(1, ragged=True)
    k = L.size("k", "step")
    c = L.connections("table", Y)
    x = L.coordinates("x", c.smallest((Y.H[c.j][0] // k,)))
    return L.output(c.i, x[0])(Max(tanh(Y.padded[c.j, c.i]), c) + tanh(Y.padded[c.i + x[0], c.i]))

"""A column of a relation as a coordinate: it was taken to be inside, as a map is."""

from phiz.derive import Sum, layer, tanh


@layer()
def column_of_another_size(L):
    """Every connection reads the coordinate that has the number of its output map."""
    Y = L.input(1)
    c = L.connections("table", Y)
    w = L.parameter("w", *c.q)
    return L.output(c.i)(Sum(w[*c.q] * tanh(Y.padded[c.j, c.i]) * Y.padded[c.j, 2 * c.i], c))

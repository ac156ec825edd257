"""Convolution on a graph: positions with explicit lists of neighbours."""

from phiz.derive.language.layer import Definition, Eq, Layer, Sum, layer


@layer()
def graph_convolution(L: Layer) -> Definition:
    """The mean over the neighbours y of x, mixed over maps; edges are rows (x, y) in any number and order."""
    Y = L.input(1)
    i, j, e, (x,) = L.maps("i"), Y.j, L.relation("E", x="H0", y="H0"), L.coordinates("x", Y.H)
    w, b = L.parameter("w", i, j), L.parameter("b", i)
    total = Sum(w[i, j] * Y[j, e.y], j, e, where=Eq(e.x, x))
    return L.output(i, x)(total / (1 + Sum(1, e, where=Eq(e.x, x))) + b[i])


@layer()
def windowed_graph(L: Layer) -> Definition:
    """Each edge reads a window of the neighbour with a kernel of its own type q."""
    Y = L.input(2)
    i, j, (M,), e = L.maps("i"), Y.j, L.sizes("M", "kernel", 1), L.relation("E", x="H0", y="H0", q="Q")
    x0, x1, u = *L.coordinates("x", (Y.H[0], Y.H[1] - M + 1)), L.axis("u", M, "window")
    w = L.parameter("w", i, j, e.q, u)
    return L.output(i, x0, x1)(Sum(w[i, j, e.q, u] * Y[j, e.y, x1 + u], j, e, u, where=Eq(e.x, x0)))

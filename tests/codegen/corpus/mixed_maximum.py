"""A maximum over rows, a window and coordinates, named in this order: loops ran in another one."""

from phiz.derive import Max, layer


@layer()
def mixed_maximum(L):
    """The largest product of two weights of every map."""
    Y = L.input(1)
    A = L.size("A", "wide", random=(1, 4))
    c, u = L.connections("table", Y), L.axis("u", A, "window")
    w, v = L.parameter("w", *c.q, Y.y[0], u), L.parameter("v", *c.q, u, Y.y[0], c.i)
    b = L.parameter("b", c.i)
    product = Max(w[*c.q, Y.y[0], u] * v[*c.q, u, Y.y[0], c.i] * Y[c.j, Y.y[0]], c, u, Y.y[0])
    return L.output(c.i)(product + b[c.i])

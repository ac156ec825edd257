"""Layers that nest reductions, index by relations with a stride, or have ranges that depend on an index."""

from phiz.derive.language.layer import Definition, Eq, Layer, Max, Sum, layer, maximum, tanh


@layer()
def strided_graph(L: Layer) -> Definition:
    """Every edge adds a window of M values that starts at k times its column y."""
    Y = L.input(1)
    i, j, k, (M,) = L.maps("i"), Y.j, L.size("k", "stride"), L.sizes("M", "kernel", 1)
    e, u, (x,) = L.relation("E", x="H0", y="H0"), L.axis("u", M, "window"), L.coordinates("x", Y.H)
    w = L.parameter("w", i, j)
    return L.output(i, x)(Sum(w[i, j] * Sum(Y.padded[j, k * e.y + u], u), j, e, where=Eq(e.x, x)))


@layer()
def strided_rows(L: Layer) -> Definition:
    """Every edge adds the value at k times its column y: a condition on the rows that no bound can say."""
    Y = L.input(1)
    i, k, e, (x,) = L.own(Y), L.size("k", "stride"), L.relation("E", x="H0", y="H0"), L.coordinates("x", Y.H)
    return L.output(i, x)(Sum(Y.padded[i, k * e.y - 1], e, where=Eq(e.x, x)))


@layer()
def triangular(L: Layer) -> Definition:
    """A sum whose range is the output's own index."""
    Y = L.input(1)
    i, (x,) = L.own(Y), L.coordinates("x", Y.H)
    n = L.axis("n", x + 1, "window")
    w = L.parameter("w", i)
    return L.output(i, x)(Sum(w[i] * Y[i, n], n))


@layer()
def min_max_pooling(L: Layer) -> Definition:
    """The least of the row maxima of each map."""
    Y = L.input(2)
    i, (y0, y1) = L.own(Y), Y.y
    return L.output(i)(-Max(-Max(Y[i, y0, y1], y1), y0))


@layer()
def network_in_network(L: Layer) -> Definition:
    """A small network slides over the map: a convolution of rectified units, mixed and squashed, then
    pooled.
    """
    Y = L.input(1)
    i, j, h, (M,) = L.maps("i"), Y.j, L.maps("h", "R", "hidden"), L.sizes("M", "kernel", 1)
    u, (x,) = L.axis("u", M, "window"), L.coordinates("x", Y.H - M + 1)
    w, v = L.parameter("w", h, j, u), L.parameter("v", i, h)
    hidden = maximum(Sum(w[h, j, u] * Y[j, x + u], j, u), 0)
    return L.output(i)(Max(tanh(Sum(v[i, h] * hidden, h)), x))


@layer()
def variance_pooling(L: Layer) -> Definition:
    """The variance of each window, with the mean written inside the sum."""
    Y = L.input(1)
    i, (K,) = L.own(Y), L.sizes("K", "window", 1, default=2)
    u, v, (x,) = L.axis("u", K, "window"), L.axis("v", K, "window"), L.coordinates("x", Y.H // K)
    return L.output(i, x)(Sum((Y[i, K * x + u] - Sum(Y[i, K * x + v], v) / K) ** 2, u) / K)

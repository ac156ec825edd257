"""Layer, group and instance normalisation, standardised and cosine units."""

from phiz.derive.language.layer import Definition, Eq, Layer, Sum, layer, root, sqrt


@layer(rank=(1, 2))
def layer_normalisation(L: Layer, rank: int) -> Definition:
    """Mean 0 and variance 1 over maps and coordinates, then a gain and a shift for every map."""
    Y = L.input(rank)
    i, x, j, y = L.own(Y), L.coordinates("x", Y.H), Y.j, Y.y
    g, b = L.parameter("g", i, initial=1.0), L.parameter("b", i, initial=0.0)
    n = Y.J * Y.H.product
    m = L.stage("m")(Sum(Y[j, y], j, y) / n)
    v = L.stage("v")(Sum((Y[j, y] - m()) ** 2, j, y) / n)
    return L.output(i, x)(g[i] * (Y[i, x] - m()) / sqrt(v() + 1e-5) + b[i])


@layer(rank=(1, 2))
def instance_normalisation(L: Layer, rank: int) -> Definition:
    """Mean 0 and variance 1 over the coordinates of every map, written without naming a stage."""
    Y = L.input(rank)
    i, x, y = L.own(Y), L.coordinates("x", Y.H), Y.y
    m = Sum(Y[i, y], y) / Y.H.product
    return L.output(i, x)((Y[i, x] - m) / sqrt(Sum((Y[i, y] - m) ** 2, y) / Y.H.product + 1e-5))


@layer(rank=(1, 2))
def group_normalisation(L: Layer, rank: int) -> Definition:
    """Mean 0 and variance 1 over the maps of each of G groups; map j = c g + r is map r of group g."""
    Y = L.input(rank)
    G = L.size("G", "groups")
    L.require(Eq(Y.J % G, 0), "groups divide the maps")
    c = L.derived_size("c", Y.J // G)
    i, x, y, g, r = L.own(Y), L.coordinates("x", Y.H), Y.y, L.axis("g", G), L.axis("r", c)
    gain, b, n = L.parameter("a", i, initial=1.0), L.parameter("b", i, initial=0.0), c * Y.H.product
    m = L.stage("m", g)(Sum(Y[c * g + r, y], r, y) / n)
    v = L.stage("v", g)(Sum((Y[c * g + r, y] - m[g]) ** 2, r, y) / n)
    N = Sum((Y[i, x] - m[g]) / sqrt(v[g] + 1e-5), g, r, where=Eq(c * g + r, i))
    return L.output(i, x)(gain[i] * N + b[i])


@layer()
def cosine_similarity(L: Layer) -> Definition:
    """The cosine of the angle between the input and each unit's weights."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    return L.output(i)(Sum(w[i, j] * Y[j], j) / (root(Sum(w[i, j] ** 2, j)) * root(Sum(Y[j] ** 2, j)) + 1e-3))


@layer()
def weight_normalised(L: Layer) -> Definition:
    """A dense layer whose weights have a direction v and a length g (weight normalisation)."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    v, g = L.parameter("v", i, j), L.parameter("g", i, initial=1.0)
    return L.output(i)(g[i] * Sum(v[i, j] * Y[j], j) / sqrt(Sum(v[i, j] ** 2, j)))

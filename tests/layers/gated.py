"""Gated layers: one part of the layer decides how much of the other passes."""

from phiz.derive.language.layer import Definition, Layer, Sum, layer, maximum, sigmoid, tanh


@layer()
def gated(L: Layer) -> Definition:
    """The hyperbolic tangent of one affine map times the sigmoid of another."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w, v = L.parameter("w", i, j), L.parameter("v", i, j)
    b, c = L.parameter("b", i), L.parameter("c", i)
    return L.output(i)(tanh(Sum(w[i, j] * Y[j], j) + b[i]) * sigmoid(Sum(v[i, j] * Y[j], j) + c[i]))


@layer()
def highway(L: Layer) -> Definition:
    """A gate between a transformed input and the input itself."""
    Y = L.input()
    i, j = L.own(Y), Y.j
    w, v, c = L.parameter("w", i, j), L.parameter("v", i, j), L.parameter("c", i)
    G = L.stage("G", i)(sigmoid(Sum(v[i, j] * Y[j], j) + c[i]))
    return L.output(i)(G[i] * tanh(Sum(w[i, j] * Y[j], j)) + (1 - G[i]) * Y[i])


@layer(rank=(1, 2))
def squeeze_excitation(L: Layer, rank: int) -> Definition:
    """Every map is scaled by a small network of the maps' means."""
    Y = L.input(rank)
    i, j, h, x = L.own(Y), Y.j, L.maps("h", "R", "reduced"), L.coordinates("x", Y.H)
    w, v = L.parameter("w", h, j), L.parameter("v", i, h)
    s = L.stage("s", j)(Sum(Y[j, Y.y], Y.y) / Y.H.product)
    a = L.stage("a", h)(maximum(Sum(w[h, j] * s[j], j), 0))
    return L.output(i, x)(Y[i, x] * sigmoid(Sum(v[i, h] * a[h], h)))

"""Layers that couple positions: attention, causal sums, spatial softmax."""

from phiz.derive.language.layer import Definition, Layer, Max, Sum, exp, layer, sqrt


@layer(causal=(False, True))
def attention(L: Layer, causal: bool) -> Definition:
    """Single-head attention over the positions of a sequence of J features."""
    Y = L.input(1)
    A = L.size("A", "head")
    i, j, h, (y,), (x,) = L.maps("i"), Y.j, L.axis("h", A), Y.y, L.coordinates("x", Y.H)
    q, k, v = L.parameter("q", h, j), L.parameter("k", h, j), L.parameter("v", i, j)
    Q = L.stage("Q", h, x)(Sum(q[h, j] * Y[j, x], j))
    K = L.stage("K", h, y)(Sum(k[h, j] * Y[j, y], j))
    S = L.stage("S", x, y)(Sum(Q[h, x] * K[h, y], h) / sqrt(A))
    before = (y <= x) if causal else None
    m = L.shift("m", x)(Max(S[x, y], y, where=before))
    E = exp(S[x, y] - m[x])
    V = L.stage("V", i, y)(Sum(v[i, j] * Y[j, y], j))
    return L.output(i, x)(Sum(E * V[i, y], y, where=before) / Sum(E, y, where=before))


@layer(rank=(1, 2))
def spatial_softmax(L: Layer, rank: int) -> Definition:
    """A softmax over the coordinates of every map."""
    Y = L.input(rank)
    i, x, y = L.own(Y), L.coordinates("x", Y.H), Y.y
    m = L.shift("m", i)(Max(Y[i, y], y))
    E = L.stage("E", i, x)(exp(Y[i, x] - m[i]))
    return L.output(i, x)(E[i, x] / Sum(E[i, y], y))


@layer()
def causal_sum(L: Layer) -> Definition:
    """A weighted sum of everything up to x."""
    Y = L.input(1)
    i, (y,), (x,) = L.own(Y), Y.y, L.coordinates("x", Y.H)
    w = L.parameter("w", i, y)
    return L.output(i, x)(Sum(w[i, y] * Y[i, y], y, where=y <= x))

"""Layers that end in a coupling of all units, where no loss cancels against it."""

from phiz.derive.language.layer import Definition, Layer, Sum, erf, exp, layer, root, sin, tanh


@layer()
def squared_share(L: Layer) -> Definition:
    """The share of the fourth power in the sum of squares."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    k, w = L.copy(i, "k"), L.parameter("w", i, j)
    E = L.stage("E", i)(Sum(w[i, j] * Y[j], j) ** 2)
    return L.output(i)(E[i] ** 2 / Sum(E[k], k))


@layer()
def tail_without_inverse(L: Layer) -> Definition:
    """Z is no function of the stage below that could be solved for."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    k, w = L.copy(i, "k"), L.parameter("w", i, j)
    A = L.stage("A", i)(Sum(w[i, j] * Y[j], j))
    E = L.stage("E", i)(A[i] * (1 + erf(A[i])))
    S = L.stage("S")(Sum(tanh(E[k]) ** 2, k))
    return L.output(i)(sin(E[i]) / (1 + S()) + E[i])


@layer()
def normalised_softmax(L: Layer) -> Definition:
    """A softmax of Euclidean length 1."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    k, w = L.copy(i, "k"), L.parameter("w", i, j)
    E = L.stage("E", i)(exp(Sum(w[i, j] * Y[j], j)))
    P = L.stage("P", i)(E[i] / Sum(E[k], k))
    return L.output(i)(P[i] / root(Sum(P[k] ** 2, k)))

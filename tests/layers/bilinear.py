"""Layers with products of the input with itself."""

from phiz.derive.language.layer import Definition, Layer, Sum, layer


@layer(rank=(1, 2))
def bilinear(L: Layer, rank: int) -> Definition:
    """Weighted products of every pair of maps, coordinate by coordinate."""
    Y = L.input(rank)
    i, j, x = L.maps("i"), Y.j, L.coordinates("x", Y.H)
    k = L.copy(j, "k")
    w = L.parameter("w", i, j, k)
    return L.output(i, x)(Sum(w[i, j, k] * Y[j, x] * Y[k, x], j, k))


@layer()
def quadratic_neuron(L: Layer) -> Definition:
    """A quadratic form of the input in every unit."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    k = L.copy(j, "k")
    w, v, b = L.parameter("w", i, j, k), L.parameter("v", i, j), L.parameter("b", i)
    return L.output(i)(Sum(w[i, j, k] * Y[j] * Y[k], j, k) + Sum(v[i, j] * Y[j], j) + b[i])


@layer()
def factorised_bilinear(L: Layer) -> Definition:
    """The product of two affine maps in every unit."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w, v = L.parameter("w", i, j), L.parameter("v", i, j)
    return L.output(i)(Sum(w[i, j] * Y[j], j) * Sum(v[i, j] * Y[j], j))

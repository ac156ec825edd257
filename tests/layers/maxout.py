"""Layers that maximise over affine maps."""

from phiz.derive.language.layer import Definition, Layer, Max, Sum, layer


@layer()
def maxout(L: Layer) -> Definition:
    """The largest of n affine maps in every unit."""
    Y = L.input()
    i, j, m = L.maps("i"), Y.j, L.maps("m", "n", "pieces")
    w, b = L.parameter("w", i, m, j), L.parameter("b", i, m)
    return L.output(i)(Max(Sum(w[i, m, j] * Y[j], j) + b[i, m], m))


@layer(rank=(1, 2))
def dilation(L: Layer, rank: int) -> Definition:
    """Grey-scale dilation: the largest sum of value and structuring element (morphology)."""
    Y = L.input(rank)
    i, M = L.maps("i"), L.sizes("M", "kernel", rank)
    x, u = L.coordinates("x", Y.H - M + 1), L.window("u", M)
    w = L.parameter("w", i, Y.j, u)
    return L.output(i, x)(Max(Y[Y.j, x + u] + w[i, Y.j, u], Y.j, u))


@layer()
def median_of_three(L: Layer) -> Definition:
    """Max and min of neighbours: y0 + y1 + y2 - max - min, with the minimum as -max(-y)."""
    Y = L.input(1)
    i, u, x = L.own(Y), L.axis("u", 3, "window"), L.coordinates("x", Y.H - 2)
    return L.output(i, x)(Sum(Y[i, x + u], u) - Max(Y[i, x + u], u) + Max(-Y[i, x + u], u))

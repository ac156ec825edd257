"""Sums of products with a term that no round changes."""

from phiz.derive.language.layer import Definition, Layer, Sum, layer


@layer()
def centred(L: Layer) -> Definition:
    """Weighted deviations from a point of each unit: the sum of w (y - m)."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w, m = L.parameter("w", i, j), L.parameter("m", i, initial="normal")
    return L.output(i)(Sum(w[i, j] * (Y[j] - m[i]), j))

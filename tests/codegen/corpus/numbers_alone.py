"""A maximum of parameters and indices alone: a guarded number was a float64 in float32."""

from phiz.derive import Max, layer, maximum, sin


@layer()
def numbers_alone(L):
    """The largest of a weight that may be outside and the sine of an index."""
    Y = L.input()
    k = L.size("k", "step")
    j, u = Y.j, L.axis("u", k + 1, "window")
    w = L.parameter("w", j)
    return L.output(L.maps("i"))(Max(maximum(w.padded[u], sin(j - 2 * u)), u, j) * Y[0])

"""A function of a parameter alone inside a maximum: OpenCL had it for vectors only."""

from phiz.derive import Max, layer, maximum, sigmoid, softplus


@layer()
def scalar_function(L):
    """The largest input under a weight that is the same for all samples."""
    Y = L.input()
    i, j, u = L.maps("i"), Y.j, L.axis("u", 2, "window")
    w = L.parameter("w", i, u)
    return L.output(i)(Max(softplus(Y[j]) * sigmoid(maximum(w[i, u], 0)) + softplus(w[i, u]), u, j))

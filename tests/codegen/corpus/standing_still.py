"""An index in which a stride of 1 cancels another index: a slice with the step 0."""

from phiz.derive import Sum, layer, tanh


@layer()
def standing_still(L):
    """k y + v - x in one index, where y follows from x."""
    Y = L.input(1)
    (k,) = L.sizes("k", "stride", 1)
    x, v = L.axis("x", Y.H[0], "coordinate"), L.axis("v", k + 1, "window")
    S = L.stage("S", L.own(Y), x)(tanh(Y[L.own(Y), x]))
    w = L.parameter("w", v, Y.y[0])
    return L.output(x)(Sum(tanh(S.padded[v + 1, k * v + k * Y.y[0] + 1]) * w[v, Y.y[0]] * Y[0, x], Y.y, v))

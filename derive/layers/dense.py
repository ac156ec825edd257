"""Equations 17, 18 and 33: the fully connected layer."""

from ..language import Layer, layer
from ..stages import Definition
from ..tensors import Sum


@layer(bias=(True, False))
def dense(L: Layer, bias: bool) -> Definition:
    """Fully connected layer on the flattened maps below (equations 17, 18, 33)."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    Z = Sum(w[i, j] * Y[j], j)
    return L.output(i)(Z + L.parameter("b", i)[i] if bias else Z)

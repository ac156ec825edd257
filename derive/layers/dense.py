"""Equations 17, 18 and 33: the fully connected layer."""

from ..language.layer import Layer, layer
from ..language.stages import Definition
from ..language.tensors import Sum


@layer(bias=(True, False))
def dense(L: Layer, bias: bool) -> Definition:
    """Fully connected layer on the flattened maps below (equations 17, 18, 33)."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w = L.parameter("w", i, j)
    Z = Sum(w[i, j] * Y[j], j)
    return L.output(i)(Z + L.parameter("b", i)[i] if bias else Z)

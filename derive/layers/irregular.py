"""Table 1 and equation 1: units with explicit connection lists and shared parameters ("images with random indexing")."""

from ..language.layer import Layer, layer
from ..language.stages import Definition
from ..language.tensors import Sum


@layer()
def irregular(L: Layer) -> Definition:
    """Every unit has its own list of (unit below, parameter) pairs; parameters are shared at will (ledger G4, G5)."""
    Y = L.input()
    c = L.connections("table", Y, keyword="units")
    w = L.parameter("w", *c.q)
    return L.output(c.i)(Sum(w[c.q] * Y[c.j], c))

"""Equation 25: the softmax layer, whose combinator couples all units."""

from ..language.layer import Layer, layer
from ..language.stages import Definition
from ..language.tensors import Max, Sum
from ..symbols.functions import exp


@layer()
def softmax(L: Layer) -> Definition:
    """Softmax of an affine map (equation 25), shifted by its maximum so that exp stays finite."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    k = L.copy(i, "k")
    w, b = L.parameter("w", i, j), L.parameter("b", i)
    A = L.stage("A", i)(Sum(w[i, j] * Y[j], j) + b[i])
    m = L.shift("m")(Max(A[k], k))
    E = L.stage("E", i)(exp(A[i] - m()))
    S = L.stage("S")(Sum(E[k], k))
    return L.output(i)(E[i] / S())

"""Equations 54 and 55: radial basis functions and their linear combination."""

from ..language.layer import Layer, layer
from ..language.stages import Definition
from ..language.tensors import Sum
from ..symbols.functions import exp, root


@layer(radius=("squared", "norm"))
def radial_basis(L: Layer, radius: str) -> Definition:
    """Radial basis functions exp(-beta |y - c|^2), or exp(-beta |y - c|) as printed (equation 54, ledger D5)."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    c, beta = L.parameter("c", i, j, initial="normal"), L.parameter("beta", i, initial=1.0)
    R = L.stage("R", i)(Sum((Y[j] - c[i, j]) ** 2, j))
    return L.output(i)(exp(-beta[i] * (R[i] if radius == "squared" else root(R[i]))))


@layer(connections=("full", "table"))
def linear_combination(L: Layer, connections: str) -> Definition:
    """Linear combination of the connected units below, without bias (equation 55, connections D)."""
    Y = L.input()
    c = L.connections(connections, Y)
    a = L.parameter("a", *c.q)
    return L.output(c.i)(Sum(a[c.q] * Y[c.j], c))

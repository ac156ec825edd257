"""Activations move behind layers that select, where fewer numbers are left: phi of the largest z is the
largest phi(z).

A convolution with tanh below 2x2 max pooling needs four times as many tanh as are used; the other three are
never seen.  So the program has the convolution's Z pooled, and the pooling layer applies tanh; equation 7
then has phi' of what was selected, and the derivative of the selection carries it down.  Both are the same
function with the same gradient: where phi never falls, the largest z has the largest phi(z), and what is
selected at a fixed place has it whatever phi is.  Where two different z have the same phi(z) in floating
point, the larger z is taken instead of the first.

What a layer selects and whether phi never falls was read from the derived kernel and proved when they were
generated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .layer import Layer


def moved(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """The chain to compute instead of ``layers``.

    The last one keeps its activation, which the loss depends on.
    """
    found = list(layers)
    for n in range(len(found) - 2):
        below, above = found[n : n + 2]
        if _commute(below, above):
            found[n], found[n + 1] = (
                replace(below, activation=above.activation),
                replace(above, activation=below.activation),
            )
    return tuple(found)


def _commute(below: Layer, above: Layer) -> bool:
    selected = above.info.selects == "one" or (
        above.info.selects == "largest" and below.activation.increasing
    )
    return not below.linear and above.linear and selected and above.output.units < below.output.units

"""Layers that select: each of their outputs is one of their inputs, as it is.

What is done to every number alike may then be done to those that were selected, which are fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ...derive.ir import Accumulator, Expr, Kernel, Load, loads

Selection = Literal["", "one", "largest"]


def selects(kernels: Sequence[Kernel], source: str, output: str) -> Selection:
    """How ``output`` before phi selects an entry of ``source``; "" where it does not.

    "one": the entry at a fixed point.
    "largest": the largest of some, which are neither empty nor padded.
    No other kernel may read what is selected, or from what.
    """
    forward = [kernel for kernel in kernels if kernel.role == "forward"]
    others = [kernel for kernel in kernels if kernel.role != "forward"]
    if len(forward) != 1 or any(
        load.tensor in (source, output) for kernel in others for load in loads(kernel)
    ):
        return ""
    found, value = _selected(forward[0])
    return found if isinstance(value, Load) and value.tensor == source and not value.inside else ""


def _selected(kernel: Kernel) -> tuple[Selection, Expr]:
    if kernel.result != Accumulator(0):
        return "one", kernel.result
    nest = kernel.nests[0]
    whole = nest.combine == "max" and not nest.conditions and not nest.guards
    return ("largest" if whole else ""), nest.body

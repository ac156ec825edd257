"""Sums of a single term, written where their value is used: nothing is added up, so nothing needs an
accumulator.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...derive.ir import Accumulator, Kernel, Nest
from .rewrite import rewritten


def inlined(kernel: Kernel) -> Kernel:
    """``kernel`` without nests that have no loop, condition or temporary; one that sums samples keeps
    all of its nests.
    """
    if kernel.sums_samples:
        return kernel
    kept = [number for number, nest in enumerate(kernel.nests) if not _single(nest)]
    if len(kept) == len(kernel.nests):
        return kernel

    def now(e: Any) -> Any:
        if not isinstance(e, Accumulator):
            return e
        return replace(e, nest=kept.index(e.nest)) if e.nest in kept else kernel.nests[e.nest].body

    result, temporaries = rewritten((kernel.result, kernel.temporaries), now)
    return replace(kernel, nests=tuple(kernel.nests[n] for n in kept), result=result, temporaries=temporaries)


def _single(nest: Nest) -> bool:
    return nest.combine == "sum" and not (
        nest.loops or nest.lets or nest.conditions or nest.guards or nest.temporaries
    )

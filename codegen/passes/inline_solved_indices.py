"""Solved indices written where they are used, so that each point of a tile has its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...derive.ir import IntExpr, Kernel, Name, Nest, names
from .rewrite import rewritten


def without_lets(kernel: Kernel) -> Kernel:
    """``kernel`` with the values of lets in their places, where nothing but bodies uses these."""
    return replace(kernel, nests=tuple(_without_lets(nest) for nest in kernel.nests))


def _without_lets(nest: Nest) -> Nest:
    used = (*nest.loops, *nest.guards, *(() if nest.position is None else (nest.position,)))
    solved = {let.name for let in nest.lets}
    if not solved or any(solved & names(part) for part in used):
        return nest
    values: dict[str, IntExpr] = {}

    def now(e: Any) -> Any:
        return values.get(e.name, e) if isinstance(e, Name) else e

    for let in nest.lets:
        values[let.name] = rewritten(let.value, now)
    body, temporaries = rewritten((nest.body, nest.temporaries), now)
    return replace(nest, lets=(), body=body, temporaries=temporaries)

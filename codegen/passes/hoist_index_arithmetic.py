"""Hoists ``gcd`` and ``inverse`` of sizes out of the kernels.

Their values are the same for every work item.  Each becomes a new size, which the runtime computes once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...derive.ir import IntExpr, IntOp, Kernel, Size, names
from .rewrite import rewritten


def hoisted(kernels: Sequence[Kernel]) -> tuple[tuple[Kernel, ...], dict[str, IntExpr]]:
    """Replaces ``gcd`` and ``inverse`` of sizes by new sizes; also returns the new sizes' expressions."""
    known: dict[IntExpr, str] = {}

    def named(node: Any) -> Any:
        if not isinstance(node, IntOp) or node.op not in ("gcd", "inverse") or names(node):
            return node
        if node not in known:
            known[node] = f"{node.op}{sum(name.startswith(node.op) for name in known.values())}"
        return Size(known[node])

    found = tuple(rewritten(kernel, named) for kernel in kernels)
    return found, {name: e for e, name in known.items()}

"""Number theory out of the kernels: ``gcd`` and ``inverse`` of sizes are the same for every work item.

They become sizes of their own, which the runtime computes once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...derive.ir import IntExpr, IntOp, Kernel, Size, names
from .rewrite import rewritten


def hoisted(kernels: Sequence[Kernel]) -> tuple[tuple[Kernel, ...], dict[str, IntExpr]]:
    """``kernels`` without ``gcd`` and ``inverse`` of sizes, and what the new sizes in their place stand for."""
    known: dict[IntExpr, str] = {}

    def named(node: Any) -> Any:
        if not isinstance(node, IntOp) or node.op not in ("gcd", "inverse") or names(node):
            return node
        if node not in known:
            known[node] = f"{node.op}{sum(name.startswith(node.op) for name in known.values())}"
        return Size(known[node])

    found = tuple(rewritten(kernel, named) for kernel in kernels)
    return found, {name: e for e, name in known.items()}

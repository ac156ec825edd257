"""Pass: number theory out of the kernels.

``gcd`` and ``inverse`` of sizes are the same for every work item; they become sizes of their own, which the runtime computes once.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...derive.ir import IntExpr, IntOp, Kernel, Size, names
from .rewrite import rewritten


class ConstantPass:
    """Replaces constants in kernels and remembers what they stand for, in ``values``."""

    def __init__(self) -> None:
        self.values: dict[str, IntExpr] = {}
        self._known: dict[IntExpr, str] = {}

    def _name(self, e: IntOp) -> str:
        if e not in self._known:
            name = f"{e.op}{sum(n.startswith(e.op) for n in self.values)}"
            self._known[e] = name
            self.values[name] = e
        return self._known[e]

    def _replaced(self, node: Any) -> Any:
        constant = isinstance(node, IntOp) and node.op in ("gcd", "inverse") and not names(node)
        return Size(self._name(node)) if constant else node

    def run(self, kernels: Iterable[Kernel]) -> tuple[Kernel, ...]:
        """The kernels without ``gcd`` and ``inverse``."""
        return tuple(rewritten(k, self._replaced) for k in kernels)

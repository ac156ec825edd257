"""Pass: number theory out of the kernels.

``gcd`` and ``inverse`` of sizes are the same for every work item; they become sizes of their own, which the runtime computes once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar

from ..derive.ir import IntExpr, IntOp, Kernel, Size, names

Node = TypeVar("Node")


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

    def apply(self, node: Node) -> Node:
        """``node`` with every constant replaced by its size."""
        if isinstance(node, tuple):
            return tuple(self.apply(n) for n in node)  # type: ignore[return-value]
        if not is_dataclass(node) or isinstance(node, type):
            return node
        changed = {}
        for f in fields(node):
            old = getattr(node, f.name)
            new = self.apply(old) if isinstance(old, tuple) or is_dataclass(old) else old
            if new is not old and new != old:
                changed[f.name] = new
        result = replace(node, **changed) if changed else node
        if isinstance(result, IntOp) and result.op in ("gcd", "inverse") and not names(result):
            return Size(self._name(result))  # type: ignore[return-value]
        return result

    def run(self, kernels: Iterable[Kernel]) -> tuple[Kernel, ...]:
        """The kernels without ``gcd`` and ``inverse``."""
        return tuple(self.apply(k) for k in kernels)

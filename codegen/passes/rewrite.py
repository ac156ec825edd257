"""Nodes of the IR, rebuilt with some of them changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from ...derive.ir import Name

Node = TypeVar("Node")


def rewritten(node: Node, change: Callable[[Any], Any]) -> Node:
    """``node`` with ``change`` applied to every node below it and then to itself; what does not change
    is not copied.
    """
    if isinstance(node, tuple):
        return tuple(rewritten(n, change) for n in node)  # type: ignore[return-value]
    if not is_dataclass(node) or isinstance(node, type):
        return node
    changed = {}
    for f in fields(node):
        old = getattr(node, f.name)
        new = rewritten(old, change) if isinstance(old, tuple) or is_dataclass(old) else old
        if new is not old and new != old:
            changed[f.name] = new
    result: Node = change(replace(node, **changed) if changed else node)
    return result


def renamed(node: Node, names: Mapping[str, str]) -> Node:
    """``node`` with other names of loop variables."""
    return rewritten(node, lambda e: Name(names[e.name]) if isinstance(e, Name) and e.name in names else e)

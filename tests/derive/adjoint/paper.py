"""Layers on symbolic tensors: the interpreter run exactly, and small helpers to write the paper's
tables as loops.
"""

from __future__ import annotations

from typing import Any

import sympy as sp
from phiz.derive.language.layer import Family

from tests.harness import LayerRun, Relations, derived
from tests.interpreter import EXACT

Entries = dict[tuple[int, ...], Any]


def symbolic(
    family: Family,
    shape: Any,
    relations: Relations | None = None,
    options: dict[str, Any] | None = None,
    **sizes: Any,
) -> LayerRun:
    """The layer with a symbol for every entry of its input, parameters and output delta; every kernel
    has run.
    """
    run = LayerRun(derived(family, **(options or {})), shape, relations, 1, EXACT, **sizes)
    for name in ("Y", *run.parameters, "delta_Z"):
        entries = run.fill(name, lambda: 0)
        for key in entries:
            entries[key] = sp.Symbol(f"{name}_{'_'.join(map(str, key))}", real=True)
    run.run("forward", "delta", "gradient")
    return run


def without_sample(entries: Entries) -> Entries:
    """Keys without the sample index, for tensors that have one."""
    return {key[:-1]: value for key, value in entries.items()}


def equal(derived: Entries, expected: Entries) -> bool:
    """The same keys, and every difference is 0 as a polynomial."""
    return derived.keys() == expected.keys() and all(
        sp.expand(derived[k] - expected[k]) == 0 for k in derived
    )

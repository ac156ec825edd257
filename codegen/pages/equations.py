"""Markdown pages with the definition and the derived equations, as LaTeX."""

from __future__ import annotations

import inspect
from collections.abc import Iterable

from ...derive.adjoint.loss_kernels import LossDerivation
from ...derive.pipeline import Derivation
from ...derive.print.legend import legend, loss_legend, marks
from ...derive.symbols.names import of_function

_HEADINGS = {
    "forward": "Forward (equation 1)",
    "delta": "Delta (equation 7)",
    "gradient": "Gradient (equation 8)",
    "loss": "Fused with the error function (equation 6)",
}


def layer_page(derivation: Derivation) -> str:
    """The page of one layer variant."""
    lines = [
        f"# {derivation.name}",
        "",
        derivation.family.doc,
        "",
        *_definition(derivation),
        "## Symbols",
        "",
    ]
    lines += [*_listed(symbols(derivation)), ""]
    for role, heading in _HEADINGS.items():
        kernels = [k for k in derivation.kernels if k.role == role]
        if not kernels:
            continue
        lines += [f"## {heading}", ""]
        for kernel in kernels:
            lines += ["$$", kernel.latex, "$$", ""]
    return "\n".join(lines).rstrip() + "\n"


def _listed(entries: Iterable[tuple[str, str]]) -> list[str]:
    return [f"- `{symbol}`: {meaning}" for symbol, meaning in entries]


def symbols(derivation: Derivation) -> list[tuple[str, str]]:
    """The legend: sizes, tables, and the marks that the equations use."""
    text = "\n".join(kernel.text for kernel in derivation.kernels)
    return [*legend(derivation.definition), *marks(derivation.definition, text)]


def _definition(derivation: Derivation) -> list[str]:
    try:
        source = inspect.getsource(derivation.family.function).rstrip()
    except OSError:  # typed at a prompt: there is no file to quote
        return []
    return ["## Definition", "", "```python", source, "```", ""]


def loss_page(derived: LossDerivation) -> str:
    """The page of one loss with every activation."""
    lines = [
        f"# loss_{derived.loss.name}",
        "",
        "Value and output delta (equation 6) for every activation.",
        "",
    ]
    equations = "".join(kernel.latex for kernel in derived.kernels)
    lines += ["## Symbols", "", *_listed(loss_legend(equations)), ""]
    for name in derived.pairs:
        value, delta = (
            next(k for k in derived.kernels if k.name == f"{part}_{of_function(name)}")
            for part in ("value", "delta")
        )
        lines += [f"## {name}", "", "$$", value.latex, "$$", "", "$$", delta.latex, "$$", ""]
    return "\n".join(lines).rstrip() + "\n"

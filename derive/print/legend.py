"""The legend of a layer's equations: what every size, table and mark in them stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..language.stages import Definition
from ..symbols.indices import SizeInfo
from ..symbols.names import shown
from .text import ROW, plain

_MARKS = {
    "delta_S": "the derivative of one sample's error with respect to the stage S",
    "phi'(below)": "the derivative of the activation of the layer below",
    "position_S": "u* of S, the number of its first largest term, row by row",
    "t": "the sample, left out of tensors' indices",
    "r": "one sample's error",
    "T": "the target, in the shape of the output Z",
}

_FUNCTIONS = (
    (r"\sigma\left", "sigma(a)", "1 / (1 + exp(-a))"),
    (r"\sigma'\left", "sigma'(a)", "sigma(a) sigma(-a), its derivative"),
    ("{softplus}", "softplus(a)", "log(1 + exp(a))"),
    ("{expm1}", "expm1(a)", "exp(a) - 1"),
    ("{log1p}", "log1p(a)", "log(1 + a)"),
    ("{erfc}", "erfc(a)", "1 - erf(a)"),
)
"""How a function is seen in LaTeX, and what it is; each is computed without loss of digits."""


def legend(definition: Definition) -> list[tuple[str, str]]:
    """Symbols and their meanings: sizes, sizes alike together, then tables, then what sizes must meet."""
    found: dict[str, list[str]] = {}
    for info in definition.sizes.values():
        found.setdefault(_meaning(info), []).append(info.name)
    entries = [(", ".join(names), meaning) for meaning, names in found.items()]
    for relation in definition.relations.values():
        columns = ", ".join(f"{column}({ROW})" for column, _ in relation.columns)
        entries.append((relation.name, f"the table of connections, whose row {ROW} is ({columns})"))
    for need in definition.requirements:
        entries.append((f"{plain(need.left)} {need.op} {plain(need.right)}", f"required: {need.reason}"))
    return [(shown(symbol), shown(meaning)) for symbol, meaning in entries]


def marks(definition: Definition, text: str) -> Iterator[tuple[str, str]]:
    """Those of the names that every layer shares which occur in ``text``, the equations."""
    yield "delta_S", _MARKS["delta_S"]
    if "phi'(below)" in text:
        yield "phi'(below)", _MARKS["phi'(below)"]
    if "position_" in text:
        yield "position_S", _MARKS["position_S"]
    if definition.parameters:
        yield "t", _MARKS["t"]
        yield "r", _MARKS["r"]
    if "T[" in text:
        yield "T", _MARKS["T"]
    for primed in sorted(set(re.findall(r"sum over (\w+'(?:, \w+')*) of", text))):
        own = primed.replace("'", "")
        yield primed, f"the output unit that a sum is taken over, where {own} is the equation's own"


def loss_legend(latex: str) -> Iterator[tuple[str, str]]:
    """What stands in the equations of a loss, and those of its functions that occur in ``latex``."""
    yield "n", "an output unit"
    yield "t", "the target of this unit"
    yield "y", "the output of this unit"
    yield "z", "what phi was applied to, so that y = phi(z)"
    yield "r", "one sample's error, the sum over its output units"
    yield "delta_n", "the derivative of r with respect to z"
    yield from ((name, meaning) for mark, name, meaning in _FUNCTIONS if mark in latex)


def _meaning(info: SizeInfo) -> str:
    along = " along its coordinate" if re.search(r"\d", shown(info.name)) else ""
    which = f" of {info.index}" if info.index else ""
    if info.smallest is not None and info.value is not None:
        relation, by, _ = info.smallest
        return (
            f"the least of {plain(info.value)} over the rows {ROW} of {relation} with {by}({ROW}) = "
            f"{info.index or by}"
        )
    match info.source:
        case "input":
            return (
                f"the extent of the input{along}{which}"
                if along
                else "the number of units or maps of the input"
            )
        case "keyword":
            default = "" if info.default is None else f", {info.default} by default"
            return f"given as {info.keyword}{along}{which}{default}"
        case "relation":
            return f"the number of values in column {info.column} of {info.relation}"
    return f"{plain(info.value)}{which}" if info.value is not None else f"derived{along}{which}"

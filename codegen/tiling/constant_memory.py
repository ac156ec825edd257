"""Which of a kernel's parameters may lie in constant memory.

A launch over a few output maps reads only a slice of some of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...derive.ir import Integer, IntExpr, Kernel, Name, Tensor, loads
from ..analysis.addresses import units
from ..analysis.affine import multiply
from ..analysis.signature import arguments


@dataclass(frozen=True)
class ConstantParameters:
    """The parameters of one kernel.

    ``macro``: their address space.
    ``sliced``: tensors of which output map m reads entry m alone, with the units of an entry.
    ``whole``: the others, with all of their units.
    ``slicing``: the macro that says whether a launch is given slices.
    """

    macro: str
    sliced: Mapping[str, IntExpr]
    whole: Mapping[str, IntExpr]
    slicing: str


def constant_parameters(kernel: Kernel, tensors: Mapping[str, Tensor]) -> ConstantParameters | None:
    """What of ``kernel`` may be constant; None where it reads no parameters."""
    names = [name for name in arguments(kernel, tensors) if not tensors[name].samples]
    if not names:
        return None
    sliced = {
        name: multiply(*tensors[name].shape[1:], Integer(1))
        for name in names
        if _by_map(kernel, tensors[name])
    }
    whole = {name: units(tensors[name]) for name in names if name not in sliced}
    return ConstantParameters(
        f"SPACE_{kernel.name}", sliced, whole, f"SLICED_{kernel.name}" if sliced else ""
    )


def _by_map(kernel: Kernel, tensor: Tensor) -> bool:
    """True where every access is to the entry of the output's own first index."""
    if tensor.ragged or not tensor.shape or not kernel.axes:
        return False
    first = Name(kernel.axes[0].name)
    return all(load.index[0] == first for load in loads(kernel) if load.tensor == tensor.name)


def from_name(tensor: str, tensors: Mapping[str, Tensor]) -> str:
    """The argument that says at which unit a slice of ``tensor`` begins."""
    name = f"{tensor}_from"
    while name in tensors:
        name += "_"
    return name

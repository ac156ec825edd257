"""The way of a kernel from the derivation to text, every pass in order; nothing else changes a kernel.

| stage | input | output |
|---|---|---|
| ``derive`` | a definition | kernels of the IR, named by ``derive/symbols/names.py``; NumPy's are printed from these |
| ``PASSES``, below | kernels of the IR | kernels of the IR with tiles, once for every layout of OpenCL |
| ``opencl.source`` | kernels with tiles | pieces of text, laid out by a template, in which no name hides another one |
| ``pages`` | kernels as derived and their text | pages of equations, ``manifest.json`` |
"""  # noqa: E501

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..derive.ir import IntExpr, Kernel, Tensor
from .opencl.source import LAYOUTS, SAMPLE_INNER, SAMPLE_OUTER, Layout
from .passes.factor_out_invariants import distributed
from .passes.hoist_index_arithmetic import hoisted
from .passes.inline_single_terms import inlined
from .passes.inline_solved_indices import without_lets
from .tiling.lane_tiles import tiled_by_sample
from .tiling.tiling import TiledKernel, tiled_by_vector


@dataclass(frozen=True)
class Lowering:
    """The kernels on their way to text: what one pass hands to the next.

    ``sizes``: those that passes have made, and what they stand for.
    ``tiled``: kernels with their tiles, once these are chosen.
    """

    kernels: tuple[Kernel, ...]
    tensors: Mapping[str, Tensor]
    sizes: Mapping[str, IntExpr] = field(default_factory=dict)
    tiled: tuple[TiledKernel, ...] = ()


@dataclass(frozen=True)
class Pass:
    """One pass: what it takes, what it gives, and for which layouts it runs."""

    name: str
    takes: str
    gives: str
    run: Callable[[Lowering], Lowering]
    layouts: tuple[Layout, ...] = LAYOUTS


def _hoist(lowering: Lowering) -> Lowering:
    kernels, sizes = hoisted(lowering.kernels)
    return replace(lowering, kernels=kernels, sizes=sizes)


def _factor_out(lowering: Lowering) -> Lowering:
    return replace(
        lowering, kernels=tuple(distributed(kernel, lowering.tensors) for kernel in lowering.kernels)
    )


def _tile(choose: Callable[[Kernel, Mapping[str, Tensor]], TiledKernel]) -> Callable[[Lowering], Lowering]:
    return lambda lowering: replace(
        lowering, tiled=tuple(choose(kernel, lowering.tensors) for kernel in lowering.kernels)
    )


def _solved(lowering: Lowering) -> Lowering:
    return replace(lowering, kernels=tuple(map(without_lets, lowering.kernels)))


def _inline(lowering: Lowering) -> Lowering:
    tiled = tuple(replace(found, kernel=inlined(found.kernel)) for found in lowering.tiled)
    return replace(lowering, kernels=tuple(found.kernel for found in tiled), tiled=tiled)


#: Every pass, in order.
PASSES = (
    Pass(
        "hoist_index_arithmetic",
        "gcd and inverse of sizes, in bounds and steps",
        "sizes that the runtime computes once",
        _hoist,
    ),
    Pass(
        "factor_out_invariants",
        "sum of p (a + b), where a is the same in all iterations",
        "a (sum of p) + sum of p b",
        _factor_out,
        (SAMPLE_INNER,),
    ),
    Pass(
        "inline_solved_indices",
        "indices that the solver found, as names",
        "their values where they are used",
        _solved,
        (SAMPLE_OUTER,),
    ),
    Pass("tile", "kernels", "kernels with tiles; lanes are samples", _tile(tiled_by_vector), (SAMPLE_INNER,)),
    Pass(
        "tile", "kernels", "kernels with tiles and an axis of lanes", _tile(tiled_by_sample), (SAMPLE_OUTER,)
    ),
    Pass("inline_single_terms", "a sum of one term", "the term", _inline),
)


def steps(
    kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], layout: Layout
) -> Iterator[tuple[Pass, Lowering]]:
    """Every pass that runs for ``layout``, and what it hands on."""
    lowering = Lowering(tuple(kernels), tensors)
    for found in PASSES:
        if layout in found.layouts:
            lowering = found.run(lowering)
            yield found, lowering


def lowered(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], layout: Layout) -> Lowering:
    """The kernels after the last pass."""
    *_, (_, lowering) = steps(kernels, tensors, layout)
    return lowering

"""The way of a kernel from the derivation to text, every pass in order; nothing else changes a kernel.

| stage | input | output |
|---|---|---|
| ``derive`` | a definition | kernels of the IR, named by ``derive/symbols/names.py``; NumPy's are printed from these |
| ``PASSES``, below | kernels of the IR | kernels of the IR with tiles, once for every layout of OpenCL |
| ``opencl.source`` | kernels with tiles | pieces of text, laid out by a template, in which no name hides another one |
| ``pages`` | kernels as derived and their text | pages of equations, ``manifest.json`` |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..derive.ir import IntExpr, Kernel, Tensor
from .opencl.source import LAYOUTS, SAMPLE_INNER, SAMPLE_OUTER, Layout
from .passes.factor_out_invariants import distributed
from .passes.hoist_index_arithmetic import hoisted
from .passes.inline_single_terms import inlined
from .tiling.tiling import TiledKernel, tiled_by_sample, tiled_by_vector


@dataclass(frozen=True)
class Program:
    """What one pass hands to the next.

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
    run: Callable[[Program], Program]
    layouts: tuple[Layout, ...] = LAYOUTS


def _hoist(program: Program) -> Program:
    kernels, sizes = hoisted(program.kernels)
    return replace(program, kernels=kernels, sizes=sizes)


def _factor_out(program: Program) -> Program:
    return replace(program, kernels=tuple(distributed(kernel, program.tensors) for kernel in program.kernels))


def _tile(choose: Callable[[Kernel, Mapping[str, Tensor]], TiledKernel]) -> Callable[[Program], Program]:
    return lambda program: replace(program, tiled=tuple(choose(kernel, program.tensors) for kernel in program.kernels))


def _inline(program: Program) -> Program:
    kernels = tuple(inlined(kernel) for kernel in program.kernels)
    pairs = zip(program.tiled, kernels, strict=True)
    return replace(program, kernels=kernels, tiled=tuple(replace(tiled, kernel=kernel) for tiled, kernel in pairs))


#: Every pass, in order.
PASSES = (
    Pass("hoist_index_arithmetic", "gcd and inverse of sizes, in bounds and steps", "sizes that the runtime computes once", _hoist),
    Pass(
        "factor_out_invariants", "sum of p (a + b), where a is the same in all iterations", "a (sum of p) + sum of p b",
        _factor_out, (SAMPLE_INNER,),
    ),
    Pass("tile", "kernels", "kernels with tiles; lanes are samples", _tile(tiled_by_vector), (SAMPLE_INNER,)),
    Pass("tile", "kernels", "kernels with tiles and an axis of lanes", _tile(tiled_by_sample), (SAMPLE_OUTER,)),
    Pass("inline_single_terms", "a sum of one term", "the term", _inline),
)  # fmt: skip


def steps(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], layout: Layout) -> Iterator[tuple[Pass, Program]]:
    """Every pass that runs for ``layout``, and the program after it."""
    program = Program(tuple(kernels), tensors)
    for found in PASSES:
        if layout in found.layouts:
            program = found.run(program)
            yield found, program


def lowered(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], layout: Layout) -> Program:
    """The program after every pass."""
    *_, (_, program) = steps(kernels, tensors, layout)
    return program

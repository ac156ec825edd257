"""OpenCL source text of one layer variant or loss."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...derive.ir import Column, Kernel, Size, TableLoop, Tensor, integers
from ...derive.language.frozen_activation import FrozenActivation
from ..analysis.signature import sizes
from ..templates.render import render
from ..tiling.tiling import TiledKernel
from .blocks.kernel import KernelText, KernelWriter
from .blocks.layout import initial
from .blocks.layout import layout as indented
from .prelude import Include, activation_functions, prelude
from .rows.kernel import LaneWriter
from .scopes import check_scopes


@dataclass(frozen=True)
class Layout:
    """How the tensors of a folder's kernels lie in memory, and who writes its kernels.

    ``folder``: its name in a generated folder.
    ``note``: what the top of every file says about it.
    ``write``: from a tiled kernel to the pieces of its text.
    ``by_sample``: samples lie one after the other.
    """

    name: str
    folder: str
    note: tuple[str, ...]
    write: Callable[[TiledKernel, Mapping[str, Tensor]], KernelText]
    by_sample: bool = False


SAMPLE_INNER = Layout(
    "sample_inner",
    "opencl",
    (
        "Tensors with samples are stored in blocks of VECTORS_PER_BLOCK sample vectors, each [map, "
        "coordinates..., vector];",
        "a realv holds V samples.  An item that writes samples works on one block; one that sums them "
        "walks all blocks",
        "where BLOCKED is 1, all vectors of each in use, else the first `vectors` vectors of a single "
        "one.  Blocks lie an",
        "odd number of units apart: else the same unit of all blocks might be in the same sets of a cache.",
    ),
    lambda tiled, tensors: KernelWriter(tiled.kernel, tensors, tiled.tiling).text(),
)
SAMPLE_OUTER = Layout(
    "sample_outer",
    "opencl_rows",
    (
        "Tensors with samples are stored sample after sample, [sample, map, coordinates...].  A realv "
        "holds V neighbouring",
        "points of one axis, or V parts of a sum.  Where lanes would differ in their bounds, a point "
        "function computes one",
        "point, alike in all lanes.  `vectors` is the number of samples; VECTORS_PER_BLOCK is not used.",
    ),
    lambda tiled, tensors: LaneWriter(tiled, tensors).text(),
    by_sample=True,
)
LAYOUTS = (SAMPLE_INNER, SAMPLE_OUTER)


@dataclass(frozen=True)
class OpenCLModule:
    """The text of a ``.cl`` file, its kernels' launch data, the macros that it requires, and what it
    includes.
    """

    text: str
    kernels: Mapping[str, KernelText]
    macros: tuple[str, ...]
    includes: tuple[Include, ...] = ()


def opencl_source(
    kernels: Sequence[TiledKernel],
    tensors: Mapping[str, Tensor],
    header: Sequence[str],
    activations: Sequence[FrozenActivation],
    layout: Layout = SAMPLE_INNER,
) -> OpenCLModule:
    """The module of ``kernels``, which includes ``activations`` where one of them applies phi or phi'.

    Raises ValueError or IRError for what OpenCL C cannot express.
    """
    plain = [tiled.kernel for tiled in kernels]
    texts = [layout.write(tiled, tensors) for tiled in kernels]
    names = _Names.of(plain, tensors)
    applies = any(k.finish for k in plain)
    groups = _macros(texts, names, applies, not layout.by_sample and any(k.sums_samples for k in plain))
    includes = (prelude(layout.by_sample), *([activation_functions(activations)] if applies else []))
    text = render(
        "opencl/module.cl.mako",
        header=header,
        note=layout.note,
        includes=includes,
        defined=_defined(groups),
        names=names,
        kernels=texts,
        layout=indented,
        initial=initial,
    )
    check_scopes(f"{layout.folder}, {header[0] if header else ''}", text)
    return OpenCLModule(
        text, {t.name: t for t in texts}, tuple(macro for group in groups for macro in group), includes
    )


@dataclass(frozen=True)
class _Names:
    """Sizes and tables that the kernels of a file read: scalars are macros, tables parts of ``index``."""

    scalars: tuple[str, ...]
    tables: tuple[str, ...]

    @classmethod
    def of(cls, kernels: Sequence[Kernel], tensors: Mapping[str, Tensor]) -> _Names:
        used = sorted({name for k in kernels for name in sizes(k, {**tensors, k.output.name: k.output})})
        tables = _tables(kernels, tensors)
        scalars = [name for name in used if name not in tables]
        scalars += [f"{name}_max" for name in tables if not name.endswith("_at")]
        scalars += [f"{name}_rows" for name in _whole_relations(kernels)]
        return cls(tuple(scalars), (*tables, *_relations(kernels)))


def _macros(texts: Sequence[KernelText], names: _Names, applies: bool, walks: bool) -> list[list[str]]:
    """What a build must define, in groups: of all kernels, sizes, tables, then those of each kernel."""
    common = ["REAL", "V", *(["BLOCKED"] if walks else []), *(["PHI", "DPHI", "STORE_Z"] if applies else [])]
    groups = [common, [f"SIZE_{n}" for n in names.scalars], [f"{n}_AT" for n in names.tables]]
    return [group for group in (*groups, *(text.tiling.macros for text in texts)) if group]


def _defined(groups: Sequence[Sequence[str]]) -> str:
    """The test for all macros, a group a line; long groups take several."""
    lines: list[str] = []
    for group in groups:
        tests = textwrap.wrap(" ".join(f"defined({macro})" for macro in group), 90, break_long_words=False)
        lines += [test.replace(" ", " && ") for test in tests]
    return " \\\n    && ".join(lines)


def _tables(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor]) -> list[str]:
    """Size tables and the offset tables of ragged tensors, sorted."""
    found = set()
    for kernel in kernels:
        nodes: list[object] = [kernel, *(t for t in tensors.values() if t.ragged)]
        found |= {
            i.name for node in nodes for i in integers(node) if isinstance(i, Size) and i.index is not None
        }
        found |= {f"{t.layout}_at" for t in (*tensors.values(), kernel.output) if t.ragged}
    return sorted(found)


def _relations(kernels: Sequence[Kernel]) -> list[str]:
    """Relation columns and groupings, sorted."""
    found = set()
    for kernel in kernels:
        found |= {f"{i.relation}_{i.column}" for i in integers(kernel) if isinstance(i, Column)}
        for nest in kernel.nests:
            for loop in nest.loops:
                if isinstance(loop, TableLoop) and loop.by:
                    found |= {f"{loop.relation}_by_{loop.by}", f"{loop.relation}_by_{loop.by}_rows"}
    return sorted(found)


def _whole_relations(kernels: Sequence[Kernel]) -> list[str]:
    loops = [
        loop
        for k in kernels
        for n in k.nests
        for loop in n.loops
        if isinstance(loop, TableLoop) and not loop.by
    ]
    return sorted({loop.relation for loop in loops})

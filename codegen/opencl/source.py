"""OpenCL source text of one layer variant or loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ...derive.ir import Call, Column, Expr, IntOp, Kernel, Load, RowLoop, Size, Tensor, integers
from ...derive.language.frozen_activation import FrozenActivation
from ..analysis.names import check_size_name
from ..analysis.signature import sizes
from ..passes.factor_out_invariants import distributed
from ..templates.render import render
from ..tiling.schedule import choose
from .blocks import functions as opencl_functions
from .blocks.kernel import KernelText, KernelWriter
from .blocks.layout import initial, layout
from .blocks.printer import ScalarPrinter
from .blocks.team import FOLD
from .rows.kernel import FUNCTIONS, LaneWriter


@dataclass(frozen=True)
class Form:
    """How the tensors of a file lie, and who writes its kernels.  ``functions``: what their text calls."""

    note: tuple[str, ...]
    write: Callable[[Kernel, Mapping[str, Tensor]], KernelText]
    functions: tuple[str, ...] = ()
    blocked: bool = False


def _in_blocks(kernel: Kernel, tensors: Mapping[str, Tensor]) -> KernelText:
    kernel = distributed(kernel, tensors)
    return KernelWriter(kernel, tensors, choose(kernel, dict(tensors))).text()


BLOCKS = Form(
    (
        "Tensors with samples are stored in blocks of TV sample vectors, each [map, coordinates..., vector]; a realv holds V",
        "samples.  An item that writes samples works on one block; one that sums them walks all blocks where BLOCKED is 1, each of",
        "TV vectors in use, else the first `vectors` vectors of a single one.  Blocks lie an odd number of units apart: else the",
        "same unit of all blocks might be in the same sets of a cache.",
    ),
    _in_blocks,
    blocked=True,
)
ROWS = Form(
    (
        "Tensors with samples are stored sample after sample, [sample, map, coordinates...].  A realv holds V neighbouring places",
        "of one axis, or V parts of a sum.  Where lanes would differ in their bounds, a place function computes one place, alike",
        "in all lanes.  `vectors` is the number of samples; TV is not used.",
    ),
    lambda kernel, tensors: LaneWriter(kernel, tensors).text(),
    FUNCTIONS,
)


@dataclass(frozen=True)
class OpenCLModule:
    """The text of a ``.cl`` file, its kernels' launch data, and the macros that it requires."""

    text: str
    kernels: Mapping[str, KernelText]
    macros: tuple[str, ...]


def opencl_source(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], header: Sequence[str],
                  activations: Sequence[FrozenActivation], form: Form = BLOCKS) -> OpenCLModule:  # fmt: skip
    """The module of ``kernels``; ``activations`` are emitted where a kernel applies phi or phi'.

    Raises ValueError or IRError for what OpenCL C cannot express.
    """
    texts = [form.write(k, tensors) for k in kernels]
    used = sorted({name for k in kernels for name in sizes(k, {**tensors, k.output.name: k.output})})
    tables = _tables(kernels, tensors)
    relations = _relations(kernels)
    scalars = [name for name in used if name not in tables]
    scalars += [f"{name}_max" for name in tables if not name.endswith("_at")]
    scalars += [f"{name}_rows" for name in _whole_relations(kernels)]
    for name in used:
        check_size_name(name)
    applies = {k.finish for k in kernels} - {""}
    macros = ["REAL", "V", *(f"SIZE_{n}" for n in scalars), *(f"{n}_AT" for n in (*tables, *relations))]
    walks = form.blocked and any(k.sums_samples for k in kernels)
    macros += ["BLOCKED"] if walks else []
    if applies:
        macros += ["PHI", "DPHI", "STORE_Z"]
    macros += sorted(tile.macro for text in texts for tile in text.schedule.tiles)
    macros += sorted(macro for text in texts for macro in text.schedule.choices)
    macros += sorted(text.schedule.local.macro for text in texts if text.schedule.local)
    constants = [text.schedule.constant for text in texts if text.schedule.constant]
    macros += sorted(macro for found in constants for macro in (found.macro, found.split) if macro)
    emitted = list(activations) if applies else []
    functions = [*form.functions, *([opencl_functions.ODD] if walks else [])]
    functions += [*([FOLD] if any(text.team for text in texts) else []), *_functions(kernels, emitted)]
    text = render(
        "opencl/module.cl.mako",
        header=header, macros=macros, scalars=scalars, tables=tables, relations=relations, kernels=texts, note=form.note,
        functions=functions, activations=[_activation(a) for a in emitted], layout=layout, initial=initial,
    )  # fmt: skip
    return OpenCLModule(text, {t.name: t for t in texts}, tuple(macros))


def _tables(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor]) -> list[str]:
    """Size tables and the offset tables of ragged tensors, sorted."""
    found = set()
    for kernel in kernels:
        nodes: list[object] = [kernel, *(t for t in tensors.values() if t.ragged)]
        found |= {i.name for node in nodes for i in integers(node) if isinstance(i, Size) and i.index is not None}
        found |= {f"{t.layout}_at" for t in (*tensors.values(), kernel.output) if t.ragged}
    return sorted(found)


def _relations(kernels: Sequence[Kernel]) -> list[str]:
    """Relation columns and groupings, sorted."""
    found = set()
    for kernel in kernels:
        found |= {f"{i.relation}_{i.column}" for i in integers(kernel) if isinstance(i, Column)}
        for nest in kernel.nests:
            for loop in nest.loops:
                if isinstance(loop, RowLoop) and loop.by:
                    found |= {f"{loop.relation}_by_{loop.by}", f"{loop.relation}_by_{loop.by}_rows"}
    return sorted(found)


def _whole_relations(kernels: Sequence[Kernel]) -> list[str]:
    loops = [loop for k in kernels for n in k.nests for loop in n.loops if isinstance(loop, RowLoop) and not loop.by]
    return sorted({loop.relation for loop in loops})


def _calls(node: object) -> set[str]:
    """The functions that an expression calls."""
    match node:
        case Call(function=function, args=args):
            return {function}.union(*(_calls(a) for a in args))
        case Kernel():
            found = _calls(node.result).union(*(_calls(v) for _, v in node.temporaries))
            return found.union(*(_calls(n.body).union(*(_calls(v) for _, v in n.temporaries)) for n in node.nests))
    if hasattr(node, "test"):
        return _calls(node.test.left) | _calls(node.test.right) | _calls(node.yes) | _calls(node.no)  # type: ignore[attr-defined]
    return set()


def _functions(kernels: Sequence[Kernel], activations: Sequence[FrozenActivation]) -> list[str]:
    operations = {i.op for k in kernels for i in integers(k) if isinstance(i, IntOp)}
    calls = set().union(*(_calls(k) for k in kernels), *(_calls(a.phi) | _calls(a.dphi) for a in activations))
    found = [text for name, text in opencl_functions.INTEGER.items() if name in operations]
    return found + [text for name, text in opencl_functions.SCALAR.items() if name in calls]


@dataclass(frozen=True)
class _ActivationText:
    name: str
    phi: str
    dphi: str
    argument: str


def _activation(code: FrozenActivation) -> _ActivationText:
    def no_load(load: Load) -> str:
        raise TypeError(f"activation {code.name} reads {load.tensor}")

    printer = ScalarPrinter(lambda load: False, no_load, frozenset({"z", "y"}), str)

    def text(e: Expr) -> str:
        return printer(e) if printer.is_vector(e) else f"(realv)({printer(e)})"

    return _ActivationText(code.name, text(code.phi), text(code.dphi), code.derivative_in)


"""OpenCL source text of one layer variant or loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..derive.frozen_activation import FrozenActivation
from ..derive.ir import Call, Column, Expr, IntOp, Kernel, Load, RowLoop, Size, Tensor, integers
from .opencl_frame import Line
from .opencl_kernel import KernelText, KernelWriter
from .opencl_names import check_size_name
from .opencl_nest import NestText
from .opencl_printer import ScalarPrinter
from .render import render
from .schedule import choose
from .signature import sizes

_INTEGER_FUNCTIONS = {
    "floordiv": "static int floordiv(int a, int b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }",
    "ceildiv": "static int ceildiv(int a, int b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }",
    "mod": "static int modulo(int a, int b) { const int r = a % b; return r < 0 ? r + b : r; }",
}
_SCALAR_FUNCTIONS = {
    "sigmoid": "static realv sigmoid(realv z) { return (realv)(1.0) / ((realv)(1.0) + exp(-z)); }",
    "softplus": "static realv softplus(realv z) { return fmax(z, (realv)(0.0)) + log1p(exp(-fabs(z))); }",
    "xlogy": "static realv xlogy(realv x, realv y) { return (x == (realv)(0.0)) ? (realv)(0.0) : x * log(y); }",
}


@dataclass(frozen=True)
class OpenCLModule:
    """The text of a ``.cl`` file, its kernels' launch data, and the macros that it requires."""

    text: str
    kernels: Mapping[str, KernelText]
    macros: tuple[str, ...]


def opencl_source(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], header: Sequence[str],
                  activations: Sequence[FrozenActivation]) -> OpenCLModule:  # fmt: skip
    """The module of ``kernels``; ``activations`` are emitted where a kernel applies phi or phi'.

    Raises ValueError or IRError for what OpenCL C cannot express.
    """
    texts = [KernelWriter(k, tensors, choose(k, dict(tensors))).text() for k in kernels]
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
    if any(k.sums_samples for k in kernels):
        macros.append("BLOCKED")
    if applies:
        macros += ["PHI", "DPHI", "STORE_Z"]
    macros += sorted(tile.macro for text in texts for tile in text.schedule.tiles)
    macros += sorted(macro for text in texts for macro in (text.schedule.parts, text.schedule.unroll) if macro)
    macros += sorted(text.schedule.local.macro for text in texts if text.schedule.local)
    constants = [text.schedule.constant for text in texts if text.schedule.constant]
    macros += sorted(macro for found in constants for macro in (found.macro, found.split) if macro)
    emitted = list(activations) if applies else []
    text = render(
        "opencl/module.cl.mako",
        header=header, macros=macros, scalars=scalars, tables=tables, relations=relations, kernels=texts,
        functions=_functions(kernels, emitted), activations=[_activation(a) for a in emitted], layout=_layout, initial=_initial,
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
    found = [text for name, text in _INTEGER_FUNCTIONS.items() if name in operations]
    return found + [text for name, text in _SCALAR_FUNCTIONS.items() if name in calls]


@dataclass(frozen=True)
class _ActivationText:
    name: str
    phi: str
    dphi: str
    argument: str


def _activation(code: FrozenActivation) -> _ActivationText:
    def no_load(load: Load) -> str:
        raise TypeError(f"activation {code.name} reads {load.tensor}")

    printer = ScalarPrinter({}, no_load, frozenset({"z", "y"}), str)

    def text(e: Expr) -> str:
        return printer(e) if printer.is_vector(e) else f"(realv)({printer(e)})"

    return _ActivationText(code.name, text(code.phi), text(code.dphi), code.derivative_in)


def _layout(line: Line, depth: int) -> str:
    text = "" if line.text.startswith("#") else "    " * (depth + line.depth)
    return f"{text}{line.text}"


def _initial(nest: NestText, kernel: KernelText) -> list[Line]:
    """Accumulators start at 0, maxima at minus infinity."""
    lines, depth, place = [], 0, ""
    for tile in kernel.schedule.tiles:
        counter = "t" if tile.axis == "t" else f"n_{tile.axis}"
        lines.append(Line(depth, f"for (int {counter} = 0; {counter} < {tile.macro}; ++{counter}) {{"))
        place += f"[{counter}]"
        depth += 1
    if nest.combine == "sum":
        lines.append(Line(depth, f"acc{nest.number}{place} = (realv)(0.0);"))
    else:
        lines.append(Line(depth, f"acc{nest.number}{place} = (realv)(-INFINITY);"))
        lines.append(Line(depth, f"position{nest.number}{place} = (realv)(0.0);"))
    lines.extend(Line(depth - 1 - n, "}") for n in range(len(kernel.schedule.tiles)))
    return lines

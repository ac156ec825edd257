"""NumPy modules from the kernel IR: the readable reference that runs everything without OpenCL."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal, Protocol

from ...derive.ir import Accumulator, Axis, Expr, IntExpr, Kernel, Tensor, loads, names
from ...derive.symbols.names import of_function
from ..analysis.signature import arguments, relations, sizes
from ..templates.render import render
from .axes import SAMPLE, AxisPlan, Domain, PrintError, choose, scalars
from .nests import Code, NestCode, OwnNames, print_nest
from .scalars import Scalars
from .scope import Scope
from .text import comments, docstring, wrapped
from .values import ATOM, Value, aligned, multiply

_Outputs = Sequence[tuple[Tensor, Value]]
#: What the text of every module uses; the derivation gives nothing such a name (``derive/symbols/names.py``).
_SPECIAL = ("erf", "expit", "xlog1py", "xlogy")
_HELPERS = {
    "sigmoid_slope": (),
    "erfc": (),
    "square_rest": ("halves",),
    "product_rest": ("halves",),
}
"""Functions of ``templates/numpy/helpers.py.mako`` that kernels call, and the others that those call."""
_RESERVED = frozenset({"np", "math", "span", "halves", "scipy_erfc", *_SPECIAL, *_HELPERS, SAMPLE})


class PrintedActivation(Protocol):
    """phi over ``Temporary("z")`` and its derivative over ``Temporary(derivative_in)``."""

    @property
    def name(self) -> str: ...
    @property
    def phi(self) -> Expr: ...
    @property
    def dphi(self) -> Expr: ...
    @property
    def derivative_in(self) -> Literal["y", "z"]: ...
    @property
    def latex(self) -> str: ...


@dataclass(frozen=True)
class Function:
    """One function of a generated module."""

    name: str
    signature: str
    document: str
    body: tuple[str, ...]
    guarded: bool


def numpy_source(kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], header: Mapping[str, str]) -> str:
    """The module with one function for each of ``kernels``.

    ``tensors`` holds every tensor that a kernel reads, in the order in which functions take them.  ``header``
    becomes comments.  A kernel without an argument that tells the number of samples or the dtype takes them
    as keywords, ``samples`` and ``dtype``.  Raises PrintError, naming the kernel, for what NumPy text cannot
    express.
    """
    functions = [_KernelPrinter(kernel, tensors).function() for kernel in kernels]
    return _module("module.py.mako", functions, header)


def numpy_activations_source(
    activations: Sequence[PrintedActivation], header: Mapping[str, str] | None = None
) -> str:
    """The module with ``phi_NAME(z)`` and ``dphi_NAME(y or z)`` for each activation."""
    functions = []
    for activation in activations:
        argument, function = activation.derivative_in, of_function(activation.name)
        about = (
            f"phi(z) of {activation.name}: {activation.latex}"
            if activation.latex
            else f"phi(z) of {activation.name}."
        )
        functions.append(_elementwise(f"phi_{function}", "z", activation.phi, about))
        about = f"phi'(z) of {activation.name}, from {argument}{' = phi(z)' if argument == 'y' else ''}."
        functions.append(_elementwise(f"dphi_{function}", argument, activation.dphi, about))
    return _module("module.py.mako", functions, header or {})


def _module(template: str, functions: Sequence[Function], header: Mapping[str, str]) -> str:
    body = "\n".join(line for f in functions for line in f.body)
    special, helpers = _functions(body)
    text = render(
        f"numpy/{template}",
        header=comments(header),
        functions=functions,
        docstring=docstring,
        uses_math="math." in body or "erfc" in helpers,
        uses_numpy="np." in body or "span(" in body or bool(helpers) or any(f.guarded for f in functions),
        special=special,
        helpers=helpers,
        uses_span="span(" in body,
    )
    return re.sub(r"\n{4,}", "\n\n\n", str(text)).strip() + "\n"


def _functions(body: str) -> tuple[list[str], set[str]]:
    """What ``body`` needs from SciPy, and the helpers that it calls with those that they call."""
    called = [name for name in (*_SPECIAL, *_HELPERS) if re.search(rf"\b{name}\(", body)]
    helpers = {name for found in called if found in _HELPERS for name in (found, *_HELPERS[found])}
    special = [name for name in _SPECIAL if name in called]
    return special + (["erfc as scipy_erfc"] if "erfc" in helpers else []), helpers


def _elementwise(name: str, argument: str, expression: Expr, about: str) -> Function:
    scope = Scope(name, {}, [Domain("array")])
    printer = Scalars(scope, f"{argument}.dtype", temporaries={argument: Value(argument, ("array",))})
    value = printer(expression)
    text = value.text if value.axes else f"np.full_like({argument}, {value.text})"
    return Function(name, argument, about, tuple(wrapped(f"    return {text}")), printer.guarded)


def _check_names(where: str, found: set[str]) -> None:
    for name in sorted(found):
        if not name.isidentifier() or keyword.iskeyword(name) or name in _RESERVED:
            raise PrintError(f"{where}: {name!r} cannot be a name in NumPy code")


class _KernelPrinter:
    """Prints one kernel."""

    def __init__(self, kernel: Kernel, tensors: Mapping[str, Tensor]) -> None:
        self.kernel, self.tensors = kernel, tensors
        self.where = f"kernel {kernel.name}"
        unknown = sorted({load.tensor for load in loads(kernel)} - set(tensors))
        if unknown:
            raise PrintError(f"{self.where}: reads the undeclared tensor {unknown[0]}")
        if len(kernel.axes) != len(kernel.output.shape):
            raise PrintError(
                f"{self.where}: {len(kernel.axes)} axes for {len(kernel.output.shape)} indices of the output"
            )
        self.arguments = arguments(kernel, tensors)
        self.keywords = (*sizes(kernel, tensors), *relations(kernel))
        taken = {*self.arguments, *self.keywords, kernel.output.name, "dphi", *self._variables()}
        if kernel.position:
            taken.add(kernel.position.name)
        _check_names(self.where, taken - {"dphi"})
        self.taken = frozenset(taken)
        self.own = OwnNames(self.fresh, self.fresh("dtype"), self.fresh("samples"))
        self.plan: AxisPlan = choose(kernel, tensors)
        self.arrays = tuple(a.name for a in self.plan.arrays)
        self.sampled = (SAMPLE,) if kernel.output.samples else ()
        self.code = Code(depth=1)

    def fresh(self, base: str) -> str:
        """``base``, or a name like it that the kernel does not use."""
        while base in self.taken:
            base += "_"
        return base

    def _variables(self) -> set[str]:
        kernel = self.kernel
        bound = {a.name for a in kernel.axes} | {name for name, _ in kernel.temporaries}
        for nest in kernel.nests:
            bound |= (
                {loop.name for loop in nest.loops}
                | {let.name for let in nest.lets}
                | {n for n, _ in nest.temporaries}
            )
        free = {n for nest in kernel.nests for n in names(nest)} | set(names(kernel.result))
        if free - bound:
            raise PrintError(f"{self.where}: the name {sorted(free - bound)[0]} is not bound")
        return bound

    def function(self) -> Function:
        """The kernel as a function."""
        kernel = self.kernel
        late = self._samples_at_the_end()
        nests = [self._nest(n, late) for n in range(len(kernel.nests))]
        nests = [nest.inlined() if self._inlines(n, nest) else nest for n, nest in enumerate(nests)]
        tail, value, guarded = self._result(nests, late)
        self._frame(nests, tail, value)
        statements, unknown = self._preamble(self.code.lines)
        lines = statements + self.code.lines
        parameters = ", ".join([*self.arguments, *(["dphi"] if kernel.finish == "dphi" else [])])
        keywords = f", *, {', '.join([*self.keywords, *unknown])}" if self.keywords or unknown else ""
        guarded = guarded or any(n.guarded for n in nests)
        body = tuple(piece for line in lines for piece in wrapped(line))
        return Function(
            kernel.name, f"{parameters}{keywords}".removeprefix(", "), self._document(), body, guarded
        )

    def _samples_at_the_end(self) -> bool:
        """True where t is summed last because the result itself reads tensors with samples."""
        result = [self.kernel.result, *(value for _, value in self.kernel.temporaries)]
        return self.kernel.sums_samples and any(
            self.tensors[x.tensor].samples for part in result for x in loads(part)
        )

    def _nest(self, n: int, late: bool) -> NestCode:
        number = str(n) if len(self.kernel.nests) > 1 else ""
        keeps = bool(self.sampled) or late
        return print_nest(self.where, self.plan.nests[n], number, self.tensors, self.own, keeps, not keeps)

    def _inlines(self, n: int, nest: NestCode) -> bool:
        """True where a nest's value can stand in the result.

        It is used once, and its names still mean the same there.
        """
        result = [self.kernel.result, *(value for _, value in self.kernel.temporaries)]
        uses = sum(node == Accumulator(n) for part in result for node in scalars(part))
        return uses == 1 and (
            len(nest.code.lines) == 1
            or (len(self.kernel.nests) == 1 and self.kernel.result == Accumulator(n))
        )

    def _result(self, nests: Sequence[NestCode], late: bool) -> tuple[Code, Value, bool]:
        """The statements after the nests, and the value of the output at the current entries."""
        code = Code()
        scope = Scope(
            self.where, self.tensors, [Domain(a.name, stop=a.extent, whole=True) for a in self.plan.arrays]
        )
        printer = Scalars(scope, self.own.dtype, {n: nest.value for n, nest in enumerate(nests)})
        for name, expression in self.kernel.temporaries:
            bound = printer(expression)
            code.add(f"{name} = {bound.text}")
            printer.temporaries[name] = Value(name, bound.axes, literal=bound.literal)
        value = printer(self.kernel.result)
        for axis in reversed(self.plan.arrays):
            if axis.name in scope.used:
                code.lines.insert(0, f"{axis.name} = np.arange({scope.integer(axis.extent)})")
        if late:
            value = Value(f"{value.within(ATOM)}.sum(axis=-1)", value.axes[:-1])
        if self.kernel.finish == "dphi":
            value = multiply([value, self._dphi()], scope.order)
        return code, value, printer.guarded

    def _dphi(self) -> Value:
        index = [":" if a.name in self.arrays else a.name for a in self.kernel.axes]
        base = "dphi"
        if self.kernel.output.ragged:
            base = f"dphi[{index.pop(0)}]"
        while index and index[-1] == ":":
            index.pop()
        return Value(
            f"{base}[{', '.join(index)}]" if index else base, (*self.arrays, *self.sampled), view=True
        )

    # -------------------------------------------------------------------------------------------------- frame
    def _frame(self, nests: Sequence[NestCode], tail: Code, value: Value) -> None:
        """The loops over output entries around the nests, and where the values go."""
        outputs = [(self.kernel.output, value)]
        if self.kernel.position is not None:
            position = nests[0].position if nests else None
            if position is None:
                raise PrintError(f"{self.where}: no nest gives the position that it stores")
            outputs.append((self.kernel.position, position))
        complete = all(self._complete(v) for _, v in outputs)
        loops = self.plan.loops
        if complete and not loops:
            self._inner(nests, tail)
            self.code.add(f"return {', '.join(self._own_array(v) for _, v in outputs)}")
            return
        if not self.kernel.output.ragged:
            self._filled(outputs, loops, nests, tail)
        else:
            self._listed(outputs, complete and len(loops) == 1, nests, tail)
        self.code.add(f"return {', '.join(tensor.name for tensor, _ in outputs)}")

    def _listed(self, outputs: _Outputs, complete: bool, nests: Sequence[NestCode], tail: Code) -> None:
        """A ragged output: a list with one array for each entry of the first axis."""
        first, *inner = self.plan.loops
        for tensor, _ in outputs:
            self.code.add(f"{tensor.name} = []")
        with self.code.block(self._header(first)):
            if complete:
                self._inner(nests, tail)
            else:
                self._filled(outputs, inner, nests, tail)
            for tensor, value in outputs:
                self.code.add(
                    f"{tensor.name}.append({self._own_array(value) if complete else self._entry(tensor)})"
                )

    def _filled(
        self, outputs: _Outputs, loops: Sequence[Axis], nests: Sequence[NestCode], tail: Code
    ) -> None:
        """Arrays that the Python loops ``loops`` fill."""
        skip = 1 if self.kernel.output.ragged else 0
        for tensor, _ in outputs:
            self.code.add(f"{self._entry(tensor)} = np.empty({self._shape(skip)}, {self.own.dtype})")
        with ExitStack() as blocks:
            for axis in loops:
                blocks.enter_context(self.code.block(self._header(axis)))
            self._inner(nests, tail)
            for tensor, value in outputs:
                text = aligned(value, (*self.arrays, *self.sampled)).text
                self.code.add(f"{self._target(tensor, skip)} = {text}")

    def _header(self, axis: Axis) -> str:
        return f"for {axis.name} in range({self._integer(axis.extent)}):"

    def _inner(self, nests: Sequence[NestCode], tail: Code) -> None:
        for nest in nests:
            self.code.extend(nest.code)
        self.code.extend(tail)

    def _entry(self, tensor: Tensor) -> str:
        return (
            self.fresh(f"{tensor.name}_entry") if tensor.ragged or self.kernel.output.ragged else tensor.name
        )

    def _complete(self, value: Value) -> bool:
        return not value.literal and value.axes == (*self.arrays, *self.sampled)

    def _own_array(self, value: Value) -> str:
        """The value as an array that shares no memory with an argument."""
        if value.view:
            return f"np.array({value.text})"
        return value.text if value.axes else f"np.asarray({value.text}, {self.own.dtype})"

    def _target(self, tensor: Tensor, skip: int) -> str:
        index = [":" if a.name in self.arrays else a.name for a in self.kernel.axes[skip:]]
        while index and index[-1] == ":":
            index.pop()
        return f"{self._entry(tensor)}[{', '.join(index) or '...'}]"

    def _integer(self, e: IntExpr) -> str:
        return Scope(self.where, self.tensors, []).integer(e)

    def _shape(self, skip: int) -> str:
        extents = [self._integer(a.extent) for a in self.kernel.axes[skip:]]
        extents += [self.own.samples] if self.sampled else []
        return f"({extents[0]},)" if len(extents) == 1 else f"({', '.join(extents)})"

    def _preamble(self, lines: Sequence[str]) -> tuple[list[str], list[str]]:
        """``samples`` and ``dtype`` where the body mentions them: statements, and parameters for what
        no argument tells.
        """
        body = "\n".join(lines)
        sources = [*self.arguments, *(["dphi"] if self.kernel.finish == "dphi" else [])]
        sampled = [a for a in sources if a == "dphi" or self.tensors[a].samples]
        statements, parameters = [], []
        for name, found, attribute in (
            (self.own.samples, sampled, "shape[-1]"),
            (self.own.dtype, sources, "dtype"),
        ):
            if re.search(rf"\b{name}\b", body) and found:
                statements.append(f"    {name} = {self._sample(found[0])}.{attribute}")
            elif re.search(rf"\b{name}\b", body):
                parameters.append(name)
        return statements, parameters

    def _sample(self, name: str) -> str:
        tensor = self.kernel.output if name == "dphi" else self.tensors[name]
        return f"{name}[0]" if tensor.ragged else name

    def _document(self) -> str:
        tensors = [self.tensors[a] for a in self.arguments]
        outputs = [self.kernel.output] + ([self.kernel.position] if self.kernel.position else [])
        shapes = (
            f"{', '.join(self._described(t) for t in tensors)} -> "
            f"{', '.join(self._described(t) for t in outputs)}"
        )
        return (
            f"{self.kernel.text.strip()}\n\n{shapes.strip()}" if self.kernel.text.strip() else shapes.strip()
        )

    def _described(self, tensor: Tensor) -> str:
        sizes_ = [self._integer(s) for s in tensor.shape] + (["samples"] if tensor.samples else [])
        return f"{tensor.name} ({', '.join(sizes_)})"


__all__ = ["Function", "PrintError", "PrintedActivation", "numpy_activations_source", "numpy_source"]

"""Which axes of a kernel become Python loops in NumPy code, and which become array axes.

Python loops: windows, the rows of a relation, the entries of a ragged tensor, and whatever an array axis
cannot express.  All other axes are array axes, the sample axis t last.  A loop whose tight bounds depend on
array axes runs over offsets from its lower bound.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from ...derive.ir import (
    Axis,
    Condition,
    Expr,
    FromInteger,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Let,
    Load,
    Loop,
    Name,
    Nest,
    TableLoop,
    Temporary,
    Tensor,
    loads,
    names,
)
from ..analysis.products import product

SAMPLE = "t"
ZERO, ONE = Integer(0), Integer(1)
Mode = Literal["tight", "full", "upper", "offset"]


class PrintError(ValueError):
    """Something in a kernel that cannot be printed as NumPy code; the message names the kernel."""


@dataclass(frozen=True)
class Domain:
    """An array axis: ``range(start, stop, step)``, or the rows of ``rows``; ``whole`` where that is the
    full extent.
    """

    name: str
    start: IntExpr = ZERO
    stop: IntExpr = ZERO
    step: IntExpr = ONE
    rows: TableLoop | None = None
    whole: bool = False


@dataclass(frozen=True)
class PythonLoop:
    """``for name in range(start, stop, step)``, or over rows, or over offsets from array-valued bounds."""

    name: str
    start: IntExpr = ZERO
    stop: IntExpr = ZERO
    step: IntExpr = ONE
    rows: TableLoop | None = None
    offsets: bool = False


@dataclass(frozen=True)
class NestPlan:
    """A nest with its axes chosen: ``domains`` are the array axes in mesh order, outputs first, then
    ``reduced`` ones.
    """

    nest: Nest
    loops: tuple[PythonLoop, ...]
    domains: tuple[Domain, ...]
    reduced: frozenset[str]
    lets: tuple[Let, ...]
    conditions: tuple[Condition, ...]
    factors: tuple[Expr, ...]  # of a summed body, without the ``inside`` that became conditions


@dataclass(frozen=True)
class AxisPlan:
    """``loops`` are the output axes that are Python loops, ``arrays`` the others."""

    loops: tuple[Axis, ...]
    arrays: tuple[Axis, ...]
    nests: tuple[NestPlan, ...]


def choose(kernel: Kernel, tensors: Mapping[str, Tensor]) -> AxisPlan:
    """The axes of ``kernel``."""
    chooser = _Chooser(kernel, tensors)
    while chooser.demand():
        pass
    loops = tuple(a for a in kernel.axes if a.name in chooser.outer)
    arrays = tuple(a for a in kernel.axes if a.name not in chooser.outer)
    return AxisPlan(loops, arrays, tuple(chooser.plan(k) for k in range(len(kernel.nests))))


class _Chooser:
    """Moves axes from arrays to Python loops until nothing demands it any more."""

    def __init__(self, kernel: Kernel, tensors: Mapping[str, Tensor]) -> None:
        self.kernel, self.tensors = kernel, tensors
        for nest in kernel.nests:
            _check_order(kernel, nest)
        self.outer = {a.name for a in kernel.axes if a.kind == "window"}
        if kernel.output.ragged:
            self.outer.add(kernel.axes[0].name)
        self.inner: list[set[str]] = [set() for _ in kernel.nests]
        for nest, chosen in zip(kernel.nests, self.inner, strict=True):
            everything = nest.position is not None and not is_argmax(nest)
            chosen.update(
                loop.name for loop in nest.loops if everything or not self._may_be_array(nest, loop)
            )

    def _may_be_array(self, nest: Nest, loop: Loop | TableLoop) -> bool:
        if isinstance(loop, Loop):
            return loop.kind != "window"
        axes = {a.name for a in self.kernel.axes if a.kind == "coordinate"}
        axes |= {other.name for other in nest.loops if isinstance(other, Loop)}
        return not axes and not any(self.tensors[load.tensor].ragged for load in loads(nest))

    # ------------------------------------------------------------------------------------------- what depends
    def mode(self, nest: int, loop: Loop) -> Mode:
        """How ``loop`` gets its range: its tight bounds as far as they are Python numbers."""
        if not self.vectors(nest, loop.lower, loop.upper, loop.step):
            return "tight"
        if loop.kind == "window":
            return "full"
        return "offset" if self.vectors(nest, loop.lower, loop.step, loop.extent) else "upper"

    def vectors(self, nest: int, *nodes: object) -> frozenset[str]:
        """The array axes that ``nodes`` depend on."""
        found: frozenset[str] = frozenset()
        for node in nodes:
            for name in names(node):
                found |= self._vectors_of(nest, name)
        return found

    def _vectors_of(self, nest: int, name: str) -> frozenset[str]:
        content = self.kernel.nests[nest] if nest >= 0 else None
        for let in content.lets if content else ():
            if let.name == name:
                return self.vectors(nest, let.value)
        for loop in content.loops if content else ():
            if loop.name == name and isinstance(loop, Loop) and self.mode(nest, loop) == "offset":
                return self.vectors(nest, loop.lower, loop.step)
            if loop.name == name:
                return frozenset() if name in self.inner[nest] else frozenset({name})
        arrays = {a.name for a in self.kernel.axes} - self.outer
        return frozenset({name}) & arrays

    def axes(self, nest: int, expression: Expr, temporaries: Mapping[str, Expr]) -> frozenset[str]:
        """The array axes of a scalar expression, t included."""
        found: frozenset[str] = frozenset()
        for load in loads(expression):
            found |= self.access(nest, load)
        for node in scalars(expression):
            if isinstance(node, FromInteger):
                found |= self.vectors(nest, node.value)
            elif isinstance(node, Temporary) and node.name in temporaries:
                found |= self.axes(nest, temporaries[node.name], temporaries)
        return found

    def access(self, nest: int, load: Load) -> frozenset[str]:
        """The array axes of one access."""
        sampled = frozenset({SAMPLE}) if self.tensors[load.tensor].samples else frozenset()
        return self.vectors(nest, *load.index) | sampled

    # ------------------------------------------------------------------------------------------- what demands
    def demand(self) -> bool:
        """Turn one array axis into a Python loop where something needs it; False where all is well."""
        return any(self._serve(nest, axes) for nest, axes in self._demands())

    def _serve(self, nest: int, axes: frozenset[str]) -> bool:
        """Take the first reduction among ``axes``, or else the first output axis."""
        inner = (
            [loop.name for loop in self.kernel.nests[nest].loops if loop.name in axes] if nest >= 0 else []
        )
        if inner:
            self.inner[nest].add(inner[0])
            return True
        outer = [a.name for a in self.kernel.axes if a.name in axes]
        self.outer.update(outer[:1])
        return bool(outer)

    def _demands(self) -> Iterator[tuple[int, frozenset[str]]]:
        """Axes of which one must become a Python loop, the most certain first."""
        nests = list(enumerate(self.kernel.nests))
        result = [self.kernel.result, *(value for _, value in self.kernel.temporaries)]
        accesses = [(n, load) for n, content in nests for load in loads(content)]
        accesses += [(-1, load) for part in result for load in loads(part)]
        for n, load in accesses:
            if self.tensors[load.tensor].ragged:
                yield n, self.vectors(n, load.index[0])
        for axis in self.kernel.axes:
            yield -1, self.vectors(-1, axis.extent)
        for n, content in nests:
            yield from self._loop_demands(n, content)
        for n, _ in nests:
            for condition in self.conditions(n):
                yield n, _all_but_one(self.vectors(n, condition))
        for n, load in accesses:
            for index in load.index:
                yield n, _all_but_one(self.vectors(n, index))
        for n, content in nests:
            yield from self._mesh_demands(n, content)

    def _loop_demands(self, nest: int, content: Nest) -> Iterator[tuple[int, frozenset[str]]]:
        for loop in content.loops:
            if isinstance(loop, TableLoop):
                yield nest, self.vectors(nest, loop.key)
            elif self.mode(nest, loop) == "full":
                yield nest, self.vectors(nest, loop.extent)
            elif self.mode(nest, loop) != "tight" and loop.name not in self.inner[nest]:
                yield nest, frozenset({loop.name})

    def _mesh_demands(self, nest: int, content: Nest) -> Iterator[tuple[int, frozenset[str]]]:
        """The output axes to loop over, until no array is larger than the output or an access of this
        nest.
        """
        temporaries = dict(content.temporaries)
        output = frozenset(a.name for a in self.kernel.axes if a.name not in self.outer)
        covers = [self.access(nest, load) for load in loads(content)]
        covers.append(output | {SAMPLE} if self.kernel.output.samples else output)
        bodies = self.factors(nest) if content.combine == "sum" else (content.body,)
        parts = [*bodies, *temporaries.values()]
        for part in parts:
            axes = self.axes(nest, part, temporaries)
            if any(axes <= cover for cover in covers):
                continue
            yield nest, self._outermost_helpful(axes, covers)

    def _outermost_helpful(self, axes: frozenset[str], covers: Sequence[frozenset[str]]) -> frozenset[str]:
        """The axis to loop over, if any: one without which a cover holds the others, else the first."""
        order = [a.name for a in self.kernel.axes if a.name in axes] or sorted(axes - {SAMPLE})
        helpful = [a for a in order if any(axes - {a} <= cover for cover in covers)]
        return frozenset((helpful or order)[:1])

    def factors(self, nest: int) -> tuple[Expr, ...]:
        """What is multiplied in the nest's body."""
        return tuple(product(self.kernel.nests[nest].body).factors)

    # ------------------------------------------------------------------------------------------------- result
    def conditions(self, nest: int) -> tuple[Condition, ...]:
        """What restricts the points of a nest, given how its loops run."""
        content = self.kernel.nests[nest]
        modes = [self.mode(nest, loop) for loop in content.loops if isinstance(loop, Loop)]
        found = list(content.conditions if "full" in modes else content.guards)
        for loop in content.loops:
            if isinstance(loop, Loop) and self.mode(nest, loop) in ("upper", "offset"):
                found.append(Condition(Name(loop.name), "<", self._upper(nest, loop)[1]))
        if content.combine == "sum":
            found.extend(c for f in self.factors(nest) if isinstance(f, Load) for c in f.inside)
        return tuple(dict.fromkeys(found))

    def plan(self, nest: int) -> NestPlan:
        """The nest with its axes chosen."""
        content = self.kernel.nests[nest]
        loops: list[PythonLoop] = []
        lets: list[Let] = []
        domains = [
            Domain(a.name, stop=a.extent, whole=True) for a in self.kernel.axes if a.name not in self.outer
        ]
        outputs = len(domains)
        for loop in content.loops:
            if isinstance(loop, Loop) and self.mode(nest, loop) == "offset":
                offset = f"{loop.name}_offset"
                loops.append(PythonLoop(offset, loop.lower, loop.upper, loop.step, offsets=True))
                lets.append(Let(loop.name, _offset(loop, offset)))
            elif loop.name in self.inner[nest]:
                loops.append(self._python_loop(nest, loop))
            else:
                domains.append(self._domain(nest, loop))
        factors = tuple(replace(f, inside=()) if isinstance(f, Load) else f for f in self.factors(nest))
        return NestPlan(
            content,
            tuple(loops),
            tuple(domains),
            frozenset(d.name for d in domains[outputs:]),
            (*lets, *content.lets),
            self.conditions(nest),
            factors,
        )

    def _upper(self, nest: int, loop: Loop) -> tuple[IntExpr, IntExpr]:
        """The upper bound of a loop in two parts: what is a Python number, and what arrays restrict.

        Other indices may be in range because the number is; an empty array does not keep them there.
        """
        if self.mode(nest, loop) != "upper":
            return loop.extent, loop.upper
        bounds = (
            loop.upper.args if isinstance(loop.upper, IntOp) and loop.upper.op == "min" else (loop.upper,)
        )
        numbers = [b for b in bounds if not self.vectors(nest, b)]
        arrays = [b for b in bounds if self.vectors(nest, b)]
        return _least(numbers or [loop.extent]), _least(arrays)

    def _python_loop(self, nest: int, loop: Loop | TableLoop) -> PythonLoop:
        if isinstance(loop, TableLoop):
            return PythonLoop(loop.name, rows=loop)
        if self.mode(nest, loop) == "full":
            return PythonLoop(loop.name, stop=loop.extent)
        upper = self._upper(nest, loop)[0] if self.mode(nest, loop) == "upper" else loop.upper
        return PythonLoop(loop.name, loop.lower, upper, loop.step)

    def _domain(self, nest: int, loop: Loop | TableLoop) -> Domain:
        if isinstance(loop, TableLoop):
            return Domain(loop.name, rows=loop)
        whole = (loop.lower, loop.upper, loop.step) == (Integer(0), loop.extent, Integer(1))
        return Domain(loop.name, loop.lower, loop.upper, loop.step, whole=whole)


def _check_order(kernel: Kernel, nest: Nest) -> None:
    """Lets must be in order of dependence."""
    late = [let.name for let in nest.lets]
    for let in nest.lets:
        early = sorted(names(let.value) & set(late))
        if early:
            raise PrintError(
                f"kernel {kernel.name}: {let.name} is computed from {early[0]} before {early[0]} is known"
            )
        late.remove(let.name)


def is_argmax(nest: Nest) -> bool:
    """True for the largest of one whole axis that the body depends on, numbered by that axis."""
    read = {name for part in (nest.body, *(value for _, value in nest.temporaries)) for name in names(part)}
    match nest.loops:
        case (
            Loop(
                name=name,
                kind=kind,
                extent=extent,
                lower=Integer(value=0),
                upper=upper,
                step=Integer(value=1),
            ),
        ):
            return (
                kind != "window"
                and name in read
                and upper == extent
                and nest.position == Name(name)
                and not nest.conditions
            )
    return False


def _least(bounds: Sequence[IntExpr]) -> IntExpr:
    return bounds[0] if len(bounds) == 1 else IntOp("min", tuple(bounds))


def _offset(loop: Loop, offset: str) -> IntExpr:
    stride: IntExpr = Name(offset) if loop.step == Integer(1) else IntOp("mul", (loop.step, Name(offset)))
    return stride if loop.lower == Integer(0) else IntOp("add", (loop.lower, stride))


def _all_but_one(axes: frozenset[str]) -> frozenset[str]:
    return axes if len(axes) > 1 else frozenset()


def scalars(expression: object) -> Iterator[object]:
    """Every scalar node below ``expression``, itself included."""
    yield expression
    for attribute in ("left", "right", "test", "yes", "no"):
        if hasattr(expression, attribute):
            yield from scalars(getattr(expression, attribute))
    for part in getattr(expression, "args", ()):
        yield from scalars(part)

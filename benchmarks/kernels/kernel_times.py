"""Times every kernel of a gradient and counts its arithmetic.

Floating-point operations are counted from the derived loops.  Bounds, guards and connections are evaluated,
so a padded or strided kernel counts only the terms that it really sums.

* An accumulation, each operation of the body and each function count as one operation.
* Some factors of a product may not depend on an index of the body.  Their product is counted once, not for
  every value of that index.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyopencl as cl

from ...codegen.user_file import BUILT_IN
from ...derive.adjoint.loss_kernels import derive_loss
from ...derive.ir import (
    Axis,
    Call,
    Column,
    Compare,
    Condition,
    Expr,
    Integer,
    IntExpr,
    IntOp,
    Kernel,
    Let,
    Loop,
    Name,
    Nest,
    Select,
    Size,
    TableLoop,
    names,
)
from ...derive.language.layer import Family
from ...derive.pipeline import derive_definition
from ...runtime.backend import Request
from ...runtime.network.network import Network
from ...runtime.opencl.executor import OpenCLExecutor
from ...runtime.opencl.single import SingleStep
from ...runtime.program.program import Step, Unit
from ...runtime.tuner.trials.timer import out_of_step

Array = npt.NDArray[Any]
Numbers = int | Array
COMPARE = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
DIVIDE: dict[str, Callable[..., Any]] = {
    "floordiv": np.floor_divide,
    "ceildiv": lambda a, b: -(-a // b),
    "mod": np.mod,
    "gcd": np.gcd,
}
_DERIVED: dict[tuple[int, tuple[tuple[str, Any], ...]], tuple[Family, tuple[Kernel, ...]]] = {}
#: A launch that repeats a kernel takes about LONG seconds and repeats it at most MOST_TIMES times.
#: A time of 0 is replaced by NOTHING seconds.
LONG, MOST_TIMES, NOTHING = 0.002, 256, 1e-9
FINISH = {"": 0, "phi": 1, "dphi": 2}


@dataclass(frozen=True)
class KernelTime:
    """The time of one kernel of a pass over all samples of a micro-batch.

    layer, kernel: the names of its layer and of the kernel.
    seconds: the median time.
    operations: floating-point operations, counted from its loops.
    bytes: the least number of bytes that it must move.
    launches: the number of launches whose overhead is part of ``seconds``.
    """

    layer: str
    kernel: str
    seconds: float
    operations: int
    bytes: int
    launches: int = 0

    @property
    def gflops(self) -> float:
        """10^9 operations per second."""
        return self.operations / self.seconds / 1e9


# -------------------------------------------------------------------------------------------------- measuring
def profile(
    network: Network,
    inputs: Array,
    targets: Array,
    repeats: int = 20,
    delta: Array | None = None,
    families: Sequence[Family] = (),
) -> list[KernelTime]:
    """Times every kernel of one gradient over one micro-batch, in order and one at a time.

    The device's own clock measures.  If passes are fused, launching one kernel often costs more than the
    kernel itself, as the cores wake up and wait for each other.  Then a launch repeats the kernel, and the
    time that the repetitions add is measured.

    delta: the deltas of the outputs, ``(N, units)``; if given, the forward pass and the backward pass that
        starts from them are timed instead of a gradient of the loss.
    families: definitions of layers that phiz does not come with.
    """
    count = network.part_length(len(inputs))
    placed = network.place(inputs[:count], targets[:count] if delta is None else None)
    executor, resident = placed.executor, placed.parts[0][1]
    if not isinstance(executor, OpenCLExecutor):
        raise TypeError("kernels are timed on OpenCL only")
    executor.set_parameters(network.parameters)
    if delta is None:
        singles = executor.single("loss", resident, Request(losses=True, gradients="sum"))
    else:
        backward = Request(gradients="sum", input_gradient=True)
        singles = executor.single("loss", resident, Request(keep=True))
        singles += executor.single("delta", resident, backward, delta[:count].T)
    queue = cl.CommandQueue(executor.context, properties=cl.command_queue_properties.PROFILING_ENABLE)
    seconds = [[_time(queue, single) for single in singles] for _ in range(repeats + 1)]
    medians = [statistics.median(times) for times in zip(*seconds[1:], strict=True)]
    found = []
    for single, median in zip(singles, medians, strict=True):
        step, unit = single.step, network.program.units[single.step.unit]
        counted = (
            operations(step, unit, network, len(placed), families),
            moved_bytes(step, unit, network, len(placed)),
        )
        launches = 0 if single.repeats else len(single.events(queue))
        found.append(KernelTime(unit.label, step.kernel.name, median, *counted, launches))
    queue.finish()
    return found


def _time(queue: cl.CommandQueue, single: SingleStep) -> float:
    """Seconds of one step.

    In a fused pass one launch repeats the step, and the launch's own time is subtracted.
    """
    once = elapsed(single.events(queue))
    if not single.repeats:
        return once
    times = repetitions(queue, once)
    return max(NOTHING, (elapsed(single.events(queue, times)) - once) / (times - 1))


def repetitions(queue: cl.CommandQueue, once: float) -> int:
    """How often a launch repeats a step that takes ``once`` seconds in a launch of its own."""
    return out_of_step(min(MOST_TIMES, 2 + int(LONG / once)), queue.device.max_compute_units)


def elapsed(events: Sequence[Any]) -> float:
    """Seconds that the launches of one step take together."""
    if events:
        events[-1].wait()
    return max(NOTHING, sum(float(event.profile.end - event.profile.start) * 1e-9 for event in events))


# --------------------------------------------------------------------------------------------------- counting
def moved_bytes(step: Step, unit: Unit, network: Network, samples: int) -> int:
    """Bytes that one kernel must move for ``samples`` samples.

    Every tensor that it reads or writes moves once, and so do its index tables.
    phi' of a linear layer is 1 whatever it is given.
    """
    factor = None if unit.lower == "linear" else step.factor
    arguments = [*step.reads, step.writes, *(a for a in (step.position, factor) if a is not None)]
    extents = {a.key: a.extent.units * (samples if a.samples else 1) for a in arguments}
    if step.z is not None:
        extents[step.z] = extents[step.writes.key]
    tables = (
        4 * sum(len(r.columns) * r.count for r in unit.connection_tables.values()) if step.kernel.index else 0
    )
    return sum(extents.values()) * np.dtype(network.dtype).itemsize + tables


def operations(
    step: Step, unit: Unit, network: Network, samples: int, families: Sequence[Family] = ()
) -> int:
    """Floating-point operations of one kernel for ``samples`` samples.

    families: definitions of layers besides the built-in ones.
    """
    kernel = _kernel(step, network, (*families, *BUILT_IN.families))
    bodies = [_body(nest.body, nest.temporaries) - _shared(nest.body) + 1 for nest in kernel.nests]
    count = sum(
        _points(kernel.axes, nest, unit) * each for nest, each in zip(kernel.nests, bodies, strict=True)
    )
    per_output = _body(kernel.result, kernel.temporaries)
    outputs = _points(kernel.axes, None, unit)
    if kernel.sums_samples:
        return count * samples + per_output * outputs
    return (count + (per_output + FINISH[kernel.finish]) * outputs) * samples


def _kernel(step: Step, network: Network, families: Sequence[Family]) -> Kernel:
    if step.unit < len(network.layers):
        info = network.layers[step.unit].info
        kernels = _layer_kernels(
            next(f for f in families if f.name == info.family), tuple(info.options.items())
        )
    else:
        kernels = _loss_kernels(network.loss.name)
    return next(kernel for kernel in kernels if kernel.name == step.kernel.name)


def _layer_kernels(family: Family, options: tuple[tuple[str, Any], ...]) -> tuple[Kernel, ...]:
    key = id(family), options  # a family is not hashable; it is kept below, so that no other gets its id
    if key not in _DERIVED:
        _DERIVED[key] = family, derive_definition(family, dict(options)).kernels
    return _DERIVED[key][1]


@cache
def _loss_kernels(name: str) -> tuple[Kernel, ...]:
    return derive_loss(
        next(loss for loss in BUILT_IN.losses if loss.name == name), BUILT_IN.activations
    ).kernels


def _shared(body: Expr) -> int:
    """Counts the multiplications of a product that are not repeated at every point.

    For example, w[i, j, k] Y[j] Y[k] computes Y[j] Y[k] once for all i.
    """
    if not (isinstance(body, Call) and body.function == "mul"):
        return 0
    groups: list[frozenset[str]] = []
    for factor in sorted((names(arg) for arg in body.args), key=len):
        fitting = [group for group in groups if group | factor < names(body)]
        if fitting:
            groups.remove(fitting[0])
        groups.append(factor | (fitting[0] if fitting else frozenset()))
    return len(body.args) - len(groups)


def _body(body: Expr, temporaries: Sequence[tuple[str, Expr]]) -> int:
    return _arithmetic(body) + sum(_arithmetic(value) for _, value in temporaries)


def _arithmetic(node: Expr | Compare) -> int:
    match node:
        case Call(function="neg", args=args):
            return _arithmetic(args[0])
        case Call(function=function, args=args):
            own = len(args) - 1 if function in ("add", "mul") else 1
            return own + sum(map(_arithmetic, args))
        case Select(test=test, yes=yes, no=no):
            return 1 + _arithmetic(test) + _arithmetic(yes) + _arithmetic(no)
        case Compare(left=left, right=right):
            return _arithmetic(left) + _arithmetic(right)
    return 0


class _Space:
    """The points of a loop nest, one column for each variable.

    Only variables that are read later get a column.  For the others ``times`` counts how many points a row
    stands for.
    """

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.columns: dict[str, Array] = {}
        self.times = np.ones(1, np.int64)

    def value(self, e: IntExpr) -> Numbers:
        """An integer expression at every point."""
        match e:
            case Integer(value=value):
                return value
            case Name(name=name):
                return self.columns[name]
            case Size(name=name, index=None):
                return int(self.unit.sizes[name])
            case Size(name=name, index=index) if index is not None:
                return np.asarray(self.unit.sizes[name])[self.value(index)]
            case Column(relation=relation, column=column, row=row):
                return self.unit.connection_tables[relation].columns[column][self.value(row)]
            case IntOp(op=op, args=args):
                return self._operation(op, [self.value(a) for a in args])
        raise TypeError(e)

    @staticmethod
    def _operation(op: str, args: list[Numbers]) -> Numbers:
        if op == "inverse":
            return np.vectorize(lambda a, m: pow(int(a), -1, int(m)) if m > 1 else 0, otypes=[np.int64])(
                *args
            )
        many = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}
        if op not in many:
            divided: Numbers = DIVIDE[op](*args)
            return divided
        result: Any = args[0]
        for one in args[1:]:
            result = many[op](result, one)
        return result

    def holds(self, condition: Condition) -> Array:
        """Which points satisfy the condition."""
        found = COMPARE[condition.op](self.value(condition.left), self.value(condition.right))
        return np.broadcast_to(found, self.times.shape)

    def extend(
        self, name: str, counts: Numbers, needed: bool, start: Numbers = 0, step: Numbers = 1
    ) -> Array:
        """Repeats every point ``counts`` times.

        needed: whether the new variable gets a column.  If so, the number of each repetition is returned,
            else how often each point is repeated.
        """
        each: Array = np.maximum(0, np.broadcast_to(np.asarray(counts), self.times.shape))
        if not needed:
            self.times = self.times * each
            return each
        first = np.repeat(np.cumsum(each) - each, each)
        number: Array = np.arange(each.sum()) - first
        start, step = (np.repeat(np.broadcast_to(np.asarray(v), each.shape), each) for v in (start, step))
        self.columns = {key: np.repeat(column, each) for key, column in self.columns.items()}
        self.times = np.repeat(self.times, each)
        self.columns[name] = start + step * number
        return number

    def axis(self, axis: Axis, needed: bool) -> None:
        """Adds an output axis."""
        self.extend(axis.name, self.value(axis.extent), needed)

    def loop(self, loop: Loop, needed: bool) -> None:
        """Adds a reduction loop with its tight bounds."""
        lower, upper, step = self.value(loop.lower), self.value(loop.upper), self.value(loop.step)
        self.extend(loop.name, -((lower - upper) // step), needed, lower, step)

    def rows(self, loop: TableLoop, needed: bool) -> None:
        """A loop over connections."""
        relation = self.unit.connection_tables[loop.relation]
        if not loop.by:
            self.extend(loop.name, relation.count, needed)
            return
        pointers, rows = relation.group(loop.by)
        key = self.value(loop.key)
        self.extend(loop.name, pointers[np.asarray(key) + 1] - pointers[key], needed, pointers[key])
        if needed:
            self.columns[loop.name] = rows[self.columns[loop.name]]


def _points(axes: tuple[Axis, ...], nest: Nest | None, unit: Unit) -> int:
    """How often the body of ``nest`` is evaluated for one sample.

    Without a nest it is the number of outputs.
    """
    loops, lets, guards = (nest.loops, nest.lets, nest.guards) if nest else ((), (), ())
    used = set().union(*(names(guard) for guard in guards)) if guards else set()
    kept: list[Let] = []
    for let in reversed(lets):
        if let.name in used:
            kept.insert(0, let)
            used |= names(let.value)
    space, levels = _Space(unit), (*axes, *loops)
    for number, level in enumerate(levels):
        needed = level.name in used.union(*(names(later) for later in levels[number + 1 :]))
        {Axis: space.axis, Loop: space.loop, TableLoop: space.rows}[type(level)](level, needed)  # type: ignore[operator]
    for let in kept:
        space.columns[let.name] = np.broadcast_to(np.asarray(space.value(let.value)), space.times.shape)
    inside = np.ones(space.times.shape, bool)
    for guard in guards:
        inside &= space.holds(guard)
    return int(space.times[inside].sum())

"""One nest as Python statements: its loops, what restricts its array axes, and how it accumulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from ...derive.ir import Condition, Integer, IntExpr, IntOp, Let, Tensor, names
from ..analysis.products import product, unguarded
from .axes import SAMPLE, Domain, NestPlan, PrintError, PythonLoop
from .scalars import Scalars
from .scope import Scope
from .values import ATOM, Value, aligned, contract, ordered, scaled


@dataclass
class Code:
    """Lines of Python with their indentation."""

    lines: list[str] = field(default_factory=list)
    depth: int = 0

    def add(self, text: str) -> None:
        """Append one statement."""
        self.lines.append("    " * self.depth + text)

    @contextmanager
    def block(self, header: str) -> Iterator[None]:
        """``header`` and an indented block below it."""
        self.add(header)
        self.depth += 1
        yield
        self.depth -= 1

    def extend(self, other: Code) -> None:
        """Append the lines of ``other`` at this depth."""
        self.lines.extend("    " * self.depth + line if line else line for line in other.lines)


@dataclass(frozen=True)
class OwnNames:
    """The names of a kernel's own variables, free of its sizes and tensors."""

    fresh: Callable[[str], str]
    dtype: str
    samples: str


@dataclass(frozen=True)
class NestCode:
    """A printed nest: its statements, the value of its accumulator, and of the position of a maximiser."""

    code: Code
    value: Value
    position: Value | None
    guarded: bool
    expression: Value | None = None  # what the last statement assigns to ``value``

    def inlined(self) -> NestCode:
        """The nest without its last statement, with what that assigned as its value."""
        if self.expression is None:
            return self
        return replace(self, code=Code(self.code.lines[:-1]), value=self.expression)


def print_nest(
    where: str,
    plan: NestPlan,
    number: str,
    tensors: Mapping[str, Tensor],
    own: OwnNames,
    samples: bool,
    sum_samples: bool,
) -> NestCode:
    """The statements of ``plan``.

    ``samples``: the accumulator keeps the sample axis.
    ``sum_samples``: t is one more summed axis.
    """
    used: set[str] = set()
    while True:  # what later text mentions must be defined before it
        writer = _Nest(where, plan, number, tensors, own, samples, sum_samples, used)
        printed = writer.write()
        if writer.scope.used <= used:
            return printed
        used = used | writer.scope.used


class _Nest:
    def __init__(
        self,
        where: str,
        plan: NestPlan,
        number: str,
        tensors: Mapping[str, Tensor],
        own: OwnNames,
        samples: bool,
        sum_samples: bool,
        used: set[str],
    ) -> None:
        self.where, self.plan, self.number, self.own, self.used = where, plan, number, own, used
        self.samples = samples
        self.reduced = plan.reduced | {SAMPLE} if sum_samples else plan.reduced
        rows = frozenset(loop.name for loop in plan.loops if loop.rows)
        self.scope = Scope(where, tensors, plan.domains, plan.lets, plan.conditions, rows)
        self.scalars = Scalars(self.scope, own.dtype)
        self.outputs = tuple(d.name for d in plan.domains if d.name not in plan.reduced)
        self.levels = {loop.name: n + 1 for n, loop in enumerate(plan.loops)}
        self.code = Code()
        self.direct = Value("")
        self.found: Value | None = None
        self.expression: Value | None = None
        self.defined: set[str] = set()

    # ------------------------------------------------------------------------------------------------- levels
    def _scalar_level(self, *nodes: object) -> int:
        """How many of the nest's Python loops ``nodes`` are inside of, array axes aside."""
        found = 0
        for name in {n for node in nodes for n in names(node)}:
            found = max(
                found,
                self._scalar_level(self.scope.lets[name])
                if name in self.scope.lets
                else self.levels.get(name, 0),
            )
        return found

    def _array_level(self, axis: str) -> int:
        domain = self.scope.domains[axis]
        bounds: list[object] = [domain.rows] if domain.rows else [domain.start, domain.stop, domain.step]
        return self._scalar_level(*bounds, *(c for c in self.plan.conditions if axis in self.scope.axes(c)))

    def _level(self, node: object) -> int:
        return max([self._scalar_level(node), *(self._array_level(a) for a in self.scope.axes(node))])

    # -------------------------------------------------------------------------------------------- definitions
    def _define(self, level: int) -> list[Condition]:
        """Define what is known inside of ``level`` loops; returns the scalar tests of that level."""
        self._define_lets(self._lets_of(level, arrays=False))
        tests = [c for c in self.plan.conditions if not self.scope.axes(c) and self._scalar_level(c) == level]
        if tests and level:
            self._skip_unless(tests)
        if not tests or level:
            self._define_arrays(level)
        return tests

    def _define_arrays(self, level: int) -> None:
        """The arrays of ``level``; what tests say of their bounds is known by then."""
        for domain in self.plan.domains:
            wanted = domain.name in self.used or domain.name in self.scope.restricted
            if wanted and self._array_level(domain.name) == level:
                self._define_array(domain)
        self._define_lets([x for x in self._lets_of(level, arrays=True) if x.name not in self.defined])

    def _lets_of(self, level: int, arrays: bool) -> list[Let]:
        """What later text uses and is known at ``level``: numbers, or arrays."""
        used = [x for x in self.plan.lets if x.name in self.used and self._level(x) == level]
        return [x for x in used if bool(self.scope.axes(x)) is arrays]

    def _define_lets(self, lets: Sequence[Let]) -> None:
        for let in lets:
            self.code.add(f"{let.name} = {self.scope.integer(let.value)}")
            self.defined.add(let.name)

    def _skip_unless(self, tests: Sequence[Condition]) -> None:
        if len(tests) == 1:
            opposite = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}[tests[0].op]
            text = self.scope.condition(Condition(tests[0].left, opposite, tests[0].right))  # type: ignore[arg-type]
        else:
            text = f"not ({self.scope.together(tests, array=False)})"
        with self.code.block(f"if {text}:"):
            self.code.add("continue")

    def _define_array(self, domain: Domain) -> None:
        """The values of an array axis, narrowed to those that satisfy its conditions."""
        name = domain.name
        self.code.add(f"{name} = {self._values(domain)}")
        conditions = [c for c in self.plan.conditions if name in self.scope.axes(c)]
        needed = {n for c in conditions for n in self._closure(c)}
        lets = [x for x in self.plan.lets if x.name in needed and name in self.scope.axes(x)]
        along = [name]
        while conditions:
            waiting = {let.name for let in lets}
            ready = [c for c in conditions if not waiting & names(c)]
            if ready:
                self._narrow(along, ready)
                conditions = [c for c in conditions if c not in ready]
            else:
                self._define_lets(lets[:1])
                along.append(lets.pop(0).name)

    def _closure(self, node: object) -> set[str]:
        found = set(names(node))
        for name in sorted(found):
            if name in self.scope.lets:
                found |= self._closure(self.scope.lets[name])
        return found

    def _narrow(self, along: Sequence[str], conditions: Sequence[Condition]) -> None:
        text = self.scope.together(conditions, array=True)
        if len(along) == 1:
            self.code.add(f"{along[0]} = {along[0]}[{text}]")
            return
        keep = self.own.fresh("keep")
        self.code.add(f"{keep} = {text}")
        self.code.add(f"{', '.join(along)} = {', '.join(f'{n}[{keep}]' for n in along)}")

    def _values(self, domain: Domain) -> str:
        if domain.rows:
            return self._rows(PythonLoop(domain.name, rows=domain.rows))
        return f"np.arange({self._bounds(domain)})"

    def _bounds(self, loop: Domain | PythonLoop) -> str:
        start, stop, step = (self.scope.integer(e) for e in (loop.start, loop.stop, loop.step))
        if step != "1":
            return f"{start}, {stop}, {step}"
        return stop if start == "0" else f"{start}, {stop}"

    def _rows(self, loop: PythonLoop) -> str:
        assert loop.rows is not None
        return f'{loop.rows.relation}.rows("{loop.rows.by}", {self.scope.integer(loop.rows.key)})'

    def _header(self, loop: PythonLoop) -> str:
        if loop.rows:
            return f"for {loop.name} in {self._rows(loop)}:"
        if not loop.offsets:
            return f"for {loop.name} in range({self._bounds(loop)}):"
        count: IntExpr = IntOp("add", (loop.stop, IntOp("mul", (Integer(-1), loop.start))))
        if loop.step != Integer(1):
            count = IntOp("ceildiv", (count, loop.step))
        whole = (
            self._closure(count) - self.defined
        )  # arrays over the whole axis: inside, the loop narrows them
        for domain in self.plan.domains:
            if domain.name in whole:
                self.code.add(f"{domain.name} = {self._values(domain)}")
        for let in self.plan.lets:
            if let.name in whole and self.scope.axes(let.value):
                self.code.add(f"{let.name} = {self.scope.integer(let.value)}")
        return f"for {loop.name} in range(int(np.max({self.scope.integer(count)}, initial=0))):"

    # --------------------------------------------------------------------------------------------------- text
    def write(self) -> NestCode:
        """Print everything once, with what ``used`` says is needed."""
        body = Code()
        self.code, outside = body, self.code
        tests = self._define(0)
        narrowed = self.scope.restricted & set(self.outputs)
        plain = (
            not tests
            and not self.plan.loops
            and not narrowed
            and (self.plan.nest.position is None or bool(self.plan.reduced))
        )
        value, position = self._accumulators(outside, plain)
        self._loops(0, tests, value, position, plain)
        self.code = outside
        self.code.extend(body)
        if plain:
            value, position = self.direct, self.found
        return NestCode(self.code, value, position, self.scalars.guarded, self.expression)

    def _loops(
        self, level: int, tests: Sequence[Condition], value: Value, position: Value | None, plain: bool
    ) -> None:
        if tests and not level:
            with self.code.block(f"if {self.scope.together(tests, array=False)}:"):
                self._define_arrays(0)
                self._loops(0, (), value, position, plain)
            return
        if level == len(self.plan.loops):
            self._point(value, position, plain)
            return
        with self.code.block(self._header(self.plan.loops[level])):
            self._define(level + 1)
            self._loops(level + 1, (), value, position, plain)

    def _accumulators(self, code: Code, plain: bool) -> tuple[Value, Value | None]:
        """Prepare what the nest adds to."""
        nest = self.plan.nest
        axes = (*self.outputs, SAMPLE) if self.samples else self.outputs
        value = Value(self.own.fresh(("total" if nest.combine == "sum" else "largest") + self.number), axes)
        where = Value(self.own.fresh("position" + self.number), axes) if nest.position is not None else None
        if nest.combine == "max" and SAMPLE in self.reduced:
            raise PrintError(f"{self.where}: a maximum over samples cannot be printed")
        if plain:
            return value, where
        shape = self.shape(axes)
        start = (
            f"np.zeros({shape}, {self.own.dtype})"
            if nest.combine == "sum"
            else f"np.full({shape}, -np.inf, {self.own.dtype})"
        )
        code.add(f"{value.text} = {start}")
        if where is not None:
            code.add(f"{where.text} = np.full({shape}, -1, {self.own.dtype})")
        return value, where

    def shape(self, axes: Sequence[str]) -> str:
        """The text of the shape of an array over ``axes``."""
        sizes = [
            self.own.samples if a == SAMPLE else self.scope.integer(self.scope.domains[a].stop) for a in axes
        ]
        return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"

    def _point(self, value: Value, position: Value | None, plain: bool) -> None:
        """What happens at one point of the Python loops."""
        nest = self.plan.nest
        for name, expression in nest.temporaries:
            bound = self.scalars(expression)
            self.code.add(f"{name} = {bound.text}")
            self.scalars.temporaries[name] = Value(name, bound.axes, literal=bound.literal)
        if position is not None and self.plan.reduced:
            self._argmax(value, position)
            return
        term = self._sum() if nest.combine == "sum" else self._maximum()
        if position is not None:
            self._update(value, position, term)
        elif plain:
            self.code.add(f"{value.text} = {term.text}")
            self.direct = Value(value.text, term.axes, literal=term.literal, view=term.view)
            self.expression = term
        else:
            here = self.scope.reached(value.text, self.outputs, self.samples)
            text = aligned(term, value.axes).text
            self.code.add(
                f"{here} += {text}" if nest.combine == "sum" else f"{here} = np.maximum({here}, {text})"
            )

    def _sum(self) -> Value:
        body = self.plan.nest.body
        if not self.reduced:
            return self.scalars(unguarded(body))
        found = product(body)
        factors = [self.scalars(f) for f in self.plan.factors]
        missing = self.reduced - {a for f in factors for a in f.axes}
        counts = [self._count(a) for a in self.scope.order if a in missing]
        literals = [f.within(ATOM) for f in factors if f.literal]
        arrays = [f for f in factors if not f.literal]
        above = [*(n.text for n in found.above), *counts, *literals]
        below = [n.text for n in found.below]
        if not arrays:
            total = Value(" * ".join(above) or "1.0", literal=True)
            return scaled(total, found.negative, [], below)
        return scaled(contract(arrays, self.reduced, self.scope.order), found.negative, above, below)

    def _count(self, axis: str) -> str:
        """The number of points of an axis that no factor depends on."""
        if axis == SAMPLE:
            return self.own.samples
        domain = self.scope.domains[axis]
        if domain.whole and axis not in self.scope.restricted:
            return self.scope.integer(domain.stop, rank=ATOM)
        self.scope.used.add(axis)
        return f"len({axis})"

    def _maximum(self) -> Value:
        term = self.scalars(self.plan.nest.body)
        where = [str(n) for n, a in enumerate(term.axes) if a in self.plan.reduced]
        if not where:
            return term
        axis = where[0] if len(where) == 1 else f"({', '.join(where)})"
        left = tuple(a for a in term.axes if a not in self.plan.reduced)
        return Value(f"{term.within(ATOM)}.max(axis={axis}, initial=-np.inf)", left)

    def _argmax(self, largest: Value, position: Value) -> None:
        """The largest along one axis and where it is; the first maximiser wins, and a NaN before any
        number.
        """
        (axis,) = self.plan.reduced
        term = self.scalars(self.plan.nest.body)
        term = aligned(term, ordered(term.axes, self.scope.order))
        where, left = term.axes.index(axis), tuple(a for a in term.axes if a != axis)
        self.code.add(f"{position.text} = {term.within(ATOM)}.argmax(axis={where})")
        index = f"np.expand_dims({position.text}, {where})"
        self.code.add(
            f"{largest.text} = np.take_along_axis({term.text}, {index}, axis={where}).squeeze({where})"
        )
        self.code.add(f"{position.text} = {position.text}.astype({self.own.dtype})")
        self.direct, self.found = Value(largest.text, left), Value(position.text, left)

    def _update(self, largest: Value, position: Value, term: Value) -> None:
        """The first maximiser wins; a NaN replaces a number and then stays."""
        point = self.plan.nest.position
        assert point is not None
        axes = self.scope.axes(point)
        number = Value(self.scope.integer(point, rank=ATOM if axes else 0), axes)
        if axes:
            number = Value(f"{number.text}.astype({self.own.dtype})", axes)
        elif not self.scope.plain(point):  # a NumPy integer would make a float32 array wider
            number = Value(f"float({number.text})")
        value, better = self.own.fresh("value"), self.own.fresh("better")
        best = self.scope.reached(largest.text, self.outputs, self.samples)
        found = self.scope.reached(position.text, self.outputs, self.samples)
        self.code.add(f"{value} = {aligned(term, largest.axes).text}")
        self.code.add(f"{better} = ({found} < 0) | (~({value} <= {best}) & ~np.isnan({best}))")
        self.code.add(f"{best} = np.where({better}, {value}, {best})")
        self.code.add(f"{found} = np.where({better}, {aligned(number, largest.axes).text}, {found})")

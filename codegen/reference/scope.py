"""Integers, conditions and accesses of one nest as NumPy text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ...derive.ir import (
    Column,
    Condition,
    Integer,
    IntExpr,
    IntOp,
    Let,
    Load,
    Name,
    Size,
    Tensor,
    integers,
    names,
)
from .axes import SAMPLE, Domain, PrintError
from .values import ADD, ATOM, COMPARE, LOGICAL, MULTIPLY, NEGATE, Value, access, aligned, ordered, subscript


class Scope:
    """The names that are in scope in one nest.

    ``domains`` are its array axes in mesh order, ``conditions`` what restricts them.  ``used`` collects the
    names that the printed text mentions, so that only those are defined.
    """

    def __init__(
        self,
        where: str,
        tensors: Mapping[str, Tensor],
        domains: Sequence[Domain],
        lets: Sequence[Let] = (),
        conditions: Sequence[Condition] = (),
        rows: frozenset[str] = frozenset(),
    ) -> None:
        self.where, self.tensors, self.rows = where, tensors, rows
        self.domains = {d.name: d for d in domains}
        self.lets = {let.name: let.value for let in lets}
        self.conditions = tuple(conditions)
        self.order = (*self.domains, SAMPLE)
        self.used: set[str] = set()
        self.restricted = {v for c in conditions for v in self.axes(c)}
        self.even = {name for name in self.domains if self._even_domain(name)}

    # --------------------------------------------------------------------------------------------- dependence
    def axes(self, *nodes: object) -> tuple[str, ...]:
        """The array axes that ``nodes`` depend on, in mesh order."""
        return ordered({a for node in nodes for n in names(node) for a in self._axes_of(n)}, self.order)

    def _axes_of(self, name: str) -> tuple[str, ...]:
        if name in self.lets:
            return self.axes(self.lets[name])
        return (name,) if name in self.domains else ()

    def plain(self, e: IntExpr) -> bool:
        """True where ``e`` is a Python int: nothing of it comes out of an array."""
        for part in integers(e):
            if isinstance(part, Column) or (isinstance(part, Size) and part.index is not None):
                return False
            if isinstance(part, Name) and (part.name in self.rows or part.name in self.domains):
                return False
            if isinstance(part, Name) and part.name in self.lets and not self.plain(self.lets[part.name]):
                return False
        return True

    # ----------------------------------------------------------------------------------------------- integers
    def integer(self, e: IntExpr, target: tuple[str, ...] | None = None, rank: int = LOGICAL) -> str:
        """``e`` as text; where it depends on array axes, an array that broadcasts against ``target``
        (default: its own axes).
        """
        return self._integer(e, self.axes(e) if target is None else target).within(rank)

    def _integer(self, e: IntExpr, target: tuple[str, ...]) -> Value:
        match e:
            case Integer(value=value):
                return Value(str(value), rank=ATOM if value >= 0 else NEGATE)
            case Name(name=name):
                self.used.add(name)
                return aligned(Value(name, self._axes_of(name)), target)
            case Size(name=name, index=None):
                return Value(name)
            case Size(name=name, index=index) if index is not None:
                return Value(f"{name}[{self.integer(index, target)}]")
            case Column(relation=relation, column=column, row=row):
                return Value(f"{relation}.{column}[{self.integer(row, target)}]")
            case IntOp():
                return self._operation(e, target)
        raise PrintError(f"{self.where}: no integer expression: {e!r}")

    def _operation(self, e: IntOp, target: tuple[str, ...]) -> Value:
        def part(n: int, rank: int = LOGICAL) -> str:
            return self.integer(e.args[n], target, rank)

        array = bool(self.axes(e))
        match e.op:
            case "add":
                return self._sum(e.args, target)
            case "mul":
                return self._product(e, target)
            case "floordiv":
                return Value(f"{part(0, MULTIPLY)} // {part(1, NEGATE)}", rank=MULTIPLY)
            case "ceildiv":
                return Value(f"-(-{part(0, NEGATE)} // {part(1, NEGATE)})", rank=NEGATE)
            case "mod":
                return Value(f"{part(0, MULTIPLY)} % {part(1, NEGATE)}", rank=MULTIPLY)
            case "min" | "max":
                return Value(_extreme(e.op, [part(n) for n in range(len(e.args))], array))
            case "gcd":
                return Value(f"{'np' if array else 'math'}.gcd({part(0)}, {part(1)})")
            case "inverse" if not array and self.plain(e):
                return Value(f"pow({part(0)}, -1, {part(1)})")
            case "inverse" if not array:
                return Value(f"pow(int({part(0)}), -1, int({part(1)}))")
        raise PrintError(
            f"{self.where}: cannot print the integer operation {e.op} over the array axes {self.axes(e)}"
        )

    def _sum(self, args: Sequence[IntExpr], target: tuple[str, ...]) -> Value:
        text = ""
        for arg in args:
            negative, positive = _sign(arg)
            operand = self.integer(positive, target, MULTIPLY)
            if text:
                text += f" - {operand}" if negative else f" + {operand}"
            else:
                text = f"-{self.integer(positive, target, NEGATE)}" if negative else operand
        return Value(text, rank=ADD)

    def _product(self, e: IntOp, target: tuple[str, ...]) -> Value:
        negative, positive = _sign(e)
        if negative:
            return Value(f"-{self.integer(positive, target, NEGATE)}", rank=NEGATE)
        parts = [self.integer(a, target, MULTIPLY if n == 0 else NEGATE) for n, a in enumerate(e.args)]
        return Value(" * ".join(parts), rank=MULTIPLY)

    def condition(self, c: Condition) -> str:
        """``c`` as text: a Python bool, or a boolean array over its axes."""
        target = self.axes(c)
        return f"{self.integer(c.left, target, ADD)} {c.op} {self.integer(c.right, target, ADD)}"

    def together(self, conditions: Sequence[Condition], array: bool) -> str:
        """All of ``conditions``."""
        texts = [self.condition(c) for c in conditions]
        if array and len(texts) > 1:
            return " & ".join(f"({t})" for t in texts)
        return " and ".join(texts)

    # ----------------------------------------------------------------------------------------------- accesses
    def load(self, load: Load) -> Value:
        """An access as an array: a view where its indices are evenly spaced, 0 where ``inside`` does
        not hold.
        """
        tensor = self.tensors.get(load.tensor)
        if tensor is None:
            raise PrintError(f"{self.where}: reads the undeclared tensor {load.tensor}")
        if len(tensor.shape) != len(load.index):
            raise PrintError(
                f"{self.where}: {tensor.name} has {len(tensor.shape)} indices, not {len(load.index)}"
            )
        base, index, shape, inside = tensor.name, load.index, tensor.shape, load.inside
        if tensor.ragged:
            first = _nearest(index[0], shape[0]) if self._may_leave(index[0], inside) else index[0]
            base = f"{base}[{self.integer(first, ())}]"
            shape = tuple(entry(size, first) for size in shape[1:])
            inside = tuple(
                replace(c, left=_sized(c.left, index[0], first), right=_sized(c.right, index[0], first))
                for c in inside
            )
            index = index[1:]
        return self._zero_extended(base, index, shape, tensor.samples, inside)

    def _may_leave(self, first: IntExpr, inside: Sequence[Condition]) -> bool:
        """True where one of ``inside`` is what keeps the entry ``first`` of a ragged tensor in it."""
        if isinstance(first, Column):
            return False
        tests = [c for c in inside if not self.axes(c)]
        return any(not names(first) or names(first) & names(c) for c in tests)

    def _zero_extended(
        self,
        base: str,
        index: Sequence[IntExpr],
        shape: Sequence[IntExpr],
        samples: bool,
        inside: Sequence[Condition],
    ) -> Value:
        """``base[index]``, and 0 where one of ``inside`` does not hold.

        What has axes keeps them wherever it is 0: it is read at the nearest entry, and chosen by a mask.
        """
        masks, tests = [c for c in inside if self.axes(c)], [c for c in inside if not self.axes(c)]
        test = self.together(tests, array=False)
        guarded = frozenset(n for c in tests for n in names(c)) if tests else None
        value = self.read(base, index, shape, samples, clip=bool(masks), guarded=guarded)
        if not inside:
            return value
        axes = ordered({*value.axes, *self.axes(*masks)}, self.order)
        parts = [aligned(Value(self.condition(c), self.axes(c), COMPARE), axes).within(ATOM) for c in masks]
        if tests:
            parts.insert(0, f"({test})" if masks else test)
        return Value(f"np.where({' & '.join(parts)}, {aligned(value, axes).text}, 0)", axes)

    def read(
        self,
        base: str,
        index: Sequence[IntExpr],
        shape: Sequence[IntExpr],
        samples: bool,
        clip: bool = False,
        guarded: frozenset[str] | None = None,
    ) -> Value:
        """``base[index]``.

        * ``clip``: indices that are arrays are limited to their range.
        * ``guarded``: so are numbers that are made of these names, or of none.
        """
        axes = [self.axes(e) for e in index]
        if self._separate(axes):
            slices = [
                None if clip or len(group) != 1 else self._slice(e, group[0], size)
                for e, size, group in zip(index, shape, axes, strict=True)
            ]
            texts = [
                s or self._entry(e, size, None, clip, guarded)
                for e, size, s in zip(index, shape, slices, strict=True)
            ]
            return _chained(base, list(zip(texts, axes, slices, strict=True)), samples)
        return self._gather(base, index, shape, samples, clip, guarded)

    def _gather(
        self,
        base: str,
        index: Sequence[IntExpr],
        shape: Sequence[IntExpr],
        samples: bool,
        clip: bool,
        guarded: frozenset[str] | None = None,
    ) -> Value:
        """``base`` at index arrays that broadcast against each other."""
        target = self.axes(*index)
        texts = [self._entry(e, size, target, clip, guarded) for e, size in zip(index, shape, strict=True)]
        return Value(subscript(base, texts), (*target, SAMPLE) if samples else target)

    def _entry(
        self,
        e: IntExpr,
        size: IntExpr,
        target: tuple[str, ...] | None,
        clip: bool,
        guarded: frozenset[str] | None = None,
    ) -> str:
        text = self.integer(e, target)
        if self.axes(e):
            return f"np.clip({text}, 0, {self.integer(_minus_one(size))})" if clip else text
        if guarded is None or (names(e) and not names(e) & guarded):
            return text
        return f"min(max({text}, 0), {self.integer(_minus_one(size))})"

    @staticmethod
    def _separate(axes: Sequence[tuple[str, ...]]) -> bool:
        """True where every index has an axis of its own, or none."""
        found = [a for group in axes for a in group]
        return len(found) == len(set(found)) and all(len(group) < 2 for group in axes)

    def reached(self, name: str, axes: Sequence[str], samples: bool) -> str:
        """The part of an array over the output axes that this nest reaches."""
        index, shape = [Name(a) for a in axes], [self.domains[a].stop for a in axes]
        slices = [self._slice(e, a, size) for e, a, size in zip(index, axes, shape, strict=True)]
        if None in slices and len(axes) > 1:
            return self._gather(name, index, shape, samples, clip=False).text
        return subscript(name, [s or a for s, a in zip(slices, axes, strict=True)])

    # ------------------------------------------------------------------------------------------- even spacing
    def _slice(self, e: IntExpr, axis: str, size: IntExpr) -> str | None:
        """``e`` as a slice along ``axis``; None where its values are not evenly spaced."""
        domain = self.domains[axis]
        before = set(self.used)
        if domain.whole and axis not in self.restricted:
            text = self._range(e, axis, domain.stop, size)
            if text is not None:
                return text
        self.used = before
        if axis in self.even and self._even(e, axis) and self._direction(e, axis):
            return f"span({self.integer(e)})"
        return None

    def _range(self, e: IntExpr, axis: str, extent: IntExpr, size: IntExpr) -> str | None:
        found = self._affine(e, axis)
        if found is None:
            return None
        factor, rest = found
        if not all(_positive(f) for f in factor):
            return None
        if not factor and not rest and size == extent:
            return ":"
        length = IntOp("mul", (*factor, extent)) if factor else extent
        start = self.integer(_add(rest), rank=ADD) if rest else ""
        stop = self.integer(_add((*rest, length)), rank=ADD)
        step = f":{self.integer(_multiply(factor), rank=ADD)}" if factor else ""
        return f"{start}:{stop}{step}"

    def _affine(self, e: IntExpr, axis: str) -> tuple[tuple[IntExpr, ...], tuple[IntExpr, ...]] | None:
        """``e`` as product(first) * axis + sum(second)."""
        match e:
            case Name(name=name) if name == axis:
                return (), ()
            case Name(name=name) if name in self.lets:
                return self._affine(self.lets[name], axis)
            case IntOp(op="add" | "mul" as op, args=args):
                moving, fixed = [a for a in args if self.axes(a)], [a for a in args if not self.axes(a)]
                found = self._affine(moving[0], axis) if len(moving) == 1 else None
                if found is None or (op == "mul" and found[1]):
                    return None
                return (found[0], (*found[1], *fixed)) if op == "add" else ((*found[0], *fixed), ())
        return None

    def _even(self, e: IntExpr, axis: str) -> bool:
        """True where ``e`` is evenly spaced along evenly spaced values of ``axis``."""
        if axis not in self.axes(e):
            return True
        match e:
            case Name(name=name):
                return name not in self.lets or self._even(self.lets[name], axis)
            case IntOp(op="add", args=args):
                return all(self._even(a, axis) for a in args)
            case IntOp(op="mul", args=args):
                return len([a for a in args if self.axes(a)]) == 1 and all(self._even(a, axis) for a in args)
            case IntOp(op="floordiv", args=(a, b)):
                exact = Condition(IntOp("mod", (a, b)), "==", Integer(0))
                return not self.axes(b) and exact in self.conditions and self._even(a, axis)
        return False

    def _direction(self, e: IntExpr, axis: str) -> int:
        """1 where ``e`` is known to rise from point to point of ``axis``, -1 where it falls, else 0.

        Evenly spaced values that stand still are no slice.
        """
        match e:
            case Name(name=name):
                return self._direction(self.lets[name], axis) if name in self.lets else int(name == axis)
            case IntOp(op="add", args=args):
                found = {self._direction(a, axis) for a in args if axis in self.axes(a)}
                return found.pop() if len(found) == 1 else 0
            case IntOp(op="mul"):
                return self._scaled_direction(e, axis)
            case IntOp(op="floordiv", args=(a, b)):
                return self._direction(a, axis) if _positive(b) else 0
        return 0

    def _scaled_direction(self, e: IntOp, axis: str) -> int:
        negative, positive = _sign(e)
        if negative:
            return -self._direction(positive, axis)
        steady = [a for a in e.args if axis not in self.axes(a)]
        (moving,) = [a for a in e.args if axis in self.axes(a)]
        return self._direction(moving, axis) if all(map(_positive, steady)) else 0

    def _even_domain(self, axis: str) -> bool:
        if self.domains[axis].rows is not None:
            return False
        return all(self._keeps_even(c, axis) for c in self.conditions if axis in self.axes(c))

    def _keeps_even(self, c: Condition, axis: str) -> bool:
        """True where the points of an evenly spaced axis that satisfy ``c`` are evenly spaced."""
        sides = (c.left, c.right)
        if all(self._even(s, axis) for s in sides):
            return c.op != "!="
        moving = [s for s in sides if self.axes(s)]
        if len(moving) != 1 or c.op == "!=":
            return False
        if c.op != "==":
            return self._monotone(moving[0], axis)
        side = self._value(moving[0])
        return (
            isinstance(side, IntOp)
            and side.op == "mod"
            and not self.axes(side.args[1])
            and self._even(side.args[0], axis)
        )

    def _monotone(self, e: IntExpr, axis: str) -> bool:
        """True where ``e`` never turns along ``axis``, so that what is below a bound is a range."""
        e = self._value(e)
        if self._even(e, axis):
            return True
        if not isinstance(e, IntOp) or e.op not in ("add", "mul", "min", "max", "floordiv", "ceildiv"):
            return False
        moving = [a for a in e.args if self.axes(a)]
        return (
            len(moving) == 1
            and (not e.op.endswith("div") or moving[0] == e.args[0])
            and self._monotone(moving[0], axis)
        )

    def _value(self, e: IntExpr) -> IntExpr:
        return self._value(self.lets[e.name]) if isinstance(e, Name) and e.name in self.lets else e


def _extreme(op: str, operands: Sequence[str], array: bool) -> str:
    """The smallest or largest of ``operands``; NumPy takes two at a time."""
    if not array:
        return f"{op}({', '.join(operands)})" if len(operands) > 1 else operands[0]
    text = operands[0]
    for part in operands[1:]:
        text = f"np.{op}imum({text}, {part})"
    return text


def _chained(base: str, entries: Sequence[tuple[str, tuple[str, ...], str | None]], samples: bool) -> Value:
    """Basic subscripts first, then one index array after the other, so that axes stay where they are."""
    along = [axes[0] if axes else "" for _, axes, _ in entries]
    arrays = [axis for axis, (_, _, cut) in zip(along, entries, strict=True) if axis and cut is None]
    basic = [":" if axis in arrays else text for axis, (text, _, _) in zip(along, entries, strict=True)]
    value = access(base, [*zip(basic, along, strict=True), *([(":", SAMPLE)] if samples else [])])
    if not arrays:
        return value
    texts = [text for text, _, _ in entries]
    if len(arrays) == 1 and all(along):
        return Value(subscript(base, texts), value.axes)
    return _one_after_the_other(value, arrays, dict(zip(along, texts, strict=True)))


def _one_after_the_other(value: Value, arrays: Sequence[str], texts: Mapping[str, str]) -> Value:
    """``value`` with an index array along each of the axes ``arrays``."""
    text = value.text
    for axis in arrays:
        text = subscript(text, [*([":"] * value.axes.index(axis)), texts[axis]])
    return Value(text, value.axes)


def entry(size: IntExpr, first: IntExpr) -> IntExpr:
    """A size of a ragged tensor's entry ``first``."""
    match size:
        case Name(name="_"):
            return first
        case Size(name=name, index=index) if index is not None:
            return Size(name, entry(index, first))
        case Column(relation=relation, column=column, row=row):
            return Column(relation, column, entry(row, first))
        case IntOp(op=op, args=args):
            return IntOp(op, tuple(entry(a, first) for a in args))
    return size


def _sized(e: IntExpr, old: IntExpr, new: IntExpr) -> IntExpr:
    """``e`` with the sizes of entry ``old`` read at entry ``new``."""
    match e:
        case Size(name=name, index=index) if index == old:
            return Size(name, new)
        case IntOp(op=op, args=args):
            return IntOp(op, tuple(_sized(a, old, new) for a in args))
    return e


def _nearest(e: IntExpr, size: IntExpr) -> IntExpr:
    """``e``, or the end of ``range(size)`` that is nearest to it."""
    return IntOp("min", (IntOp("max", (e, Integer(0))), _minus_one(size)))


def _minus_one(size: IntExpr) -> IntExpr:
    return Integer(size.value - 1) if isinstance(size, Integer) else IntOp("add", (size, Integer(-1)))


def _sign(e: IntExpr) -> tuple[bool, IntExpr]:
    """Whether ``e`` carries a minus sign, and the rest."""
    if isinstance(e, Integer) and e.value < 0:
        return True, Integer(-e.value)
    if isinstance(e, IntOp) and e.op == "mul":
        for n, arg in enumerate(e.args):
            if isinstance(arg, Integer) and arg.value < 0:
                rest = (*e.args[:n], *(() if arg.value == -1 else (Integer(-arg.value),)), *e.args[n + 1 :])
                return True, _multiply(rest)
    return False, e


def _add(args: Sequence[IntExpr]) -> IntExpr:
    flat = [a for arg in args for a in (arg.args if isinstance(arg, IntOp) and arg.op == "add" else (arg,))]
    return flat[0] if len(flat) == 1 else IntOp("add", tuple(flat))


def _multiply(args: Sequence[IntExpr]) -> IntExpr:
    if not args:
        return Integer(1)
    return args[0] if len(args) == 1 else IntOp("mul", tuple(args))


def _positive(e: IntExpr) -> bool:
    match e:
        case Integer(value=value):
            return value > 0
        case Size():
            return True
        case IntOp(op="mul", args=args):
            return all(_positive(a) for a in args)
    return False

"""Pieces of NumPy text that know their array axes, and how they combine."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

LOGICAL, COMPARE, ADD, MATMUL, MULTIPLY, NEGATE, POWER, ATOM = range(8)


@dataclass(frozen=True)
class Value:
    """``text`` is an array with the axes ``axes``, in that order.

    ``rank`` is the precedence of its outermost operator.  ``literal`` marks a Python number of no dtype.
    ``items`` are the entries of a basic subscript of ``base``, each with the axis that it keeps; ``view``
    marks text that may share memory with an argument.
    """

    text: str
    axes: tuple[str, ...] = ()
    rank: int = ATOM
    literal: bool = False
    base: str = ""
    items: tuple[tuple[str, str], ...] | None = None
    view: bool = False

    def within(self, rank: int) -> str:
        """The text as an operand of an operator of precedence ``rank``."""
        return self.text if self.rank >= rank else f"({self.text})"


def subscript(base: str, items: Sequence[str]) -> str:
    """``base[items]`` without trailing full slices."""
    kept = list(items)
    while kept and kept[-1] == ":":
        kept.pop()
    return f"{base}[{', '.join(kept)}]" if kept else base


def access(base: str, items: Sequence[tuple[str, str]]) -> Value:
    """A basic subscript; ``items`` are (text, kept axis or "")."""
    axes = tuple(axis for _, axis in items if axis)
    return Value(subscript(base, [text for text, _ in items]), axes, base=base, items=tuple(items), view=True)


def ordered(axes: Collection[str], order: Sequence[str]) -> tuple[str, ...]:
    """``axes`` in mesh order."""
    return tuple(a for a in order if a in axes)


def transposed(value: Value, axes: tuple[str, ...]) -> Value:
    """``value`` with its axes in the order ``axes``."""
    if value.axes == axes:
        return value
    if len(axes) == 2:
        return Value(f"{value.within(ATOM)}.T", axes, view=value.view)
    order = ", ".join(str(value.axes.index(a)) for a in axes)
    return Value(f"{value.within(ATOM)}.transpose({order})", axes, view=value.view)


def aligned(value: Value, target: tuple[str, ...]) -> Value:
    """``value`` so that it broadcasts against an array with the axes ``target``."""
    if not value.axes:
        return value
    value = transposed(value, ordered(value.axes, target))
    wanted = target[target.index(value.axes[0]) :]
    if value.axes == wanted:
        return value
    base, items = (
        (value.base, value.items)
        if value.items is not None
        else (value.within(ATOM), [(":", a) for a in value.axes])
    )
    pieces: list[str] = []
    position = 0
    for text, axis in items:
        while axis and wanted[position] != axis:
            pieces.append("None")
            position += 1
        position += 1 if axis else 0
        pieces.append(text)
    pieces.extend("None" for _ in wanted[position:])
    return Value(subscript(base, pieces), value.axes, view=value.view)


def together(values: Iterable[Value], order: Sequence[str]) -> tuple[tuple[str, ...], list[Value]]:
    """The joint axes of ``values``, and the values aligned to them."""
    found = list(values)
    target = ordered({a for v in found for a in v.axes}, order)
    return target, [aligned(v, target) for v in found]


def multiply(values: Sequence[Value], order: Sequence[str]) -> Value:
    """The elementwise product."""
    if len(values) == 1:
        return values[0]
    axes, parts = together(values, order)
    text = " * ".join(v.within(MULTIPLY) for v in parts)
    return Value(text, axes, MULTIPLY, all(v.literal for v in parts))


def letters(axes: Iterable[str]) -> dict[str, str]:
    """One einsum letter for each axis: its initial where that is free."""
    chosen: dict[str, str] = {}
    for axis in axes:
        initial = re.sub("[^a-z]", "", axis[0].lower())
        options = [initial, *"xyzuvwabcdefghijklmnopqrs", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
        chosen[axis] = next(c for c in options if c and c not in chosen.values())
    return chosen


def contract(factors: Sequence[Value], reduced: frozenset[str], order: Sequence[str]) -> Value:
    """The product of ``factors`` summed over ``reduced``; every reduced axis must be an axis of some
    factor.
    """
    outside = [v for v in factors if not reduced & set(v.axes)]
    inside = _merged([v for v in factors if reduced & set(v.axes)], order)
    if not inside:
        return multiply(outside, order)
    if len(inside) == 1:
        total = _total(inside[0], reduced)
    else:
        total = (_matmul(inside[0], inside[1], reduced, order) if len(inside) == 2 else None) or _einsum(
            inside, reduced, order
        )
    return multiply([*outside, total], order)


def _merged(factors: list[Value], order: Sequence[str]) -> list[Value]:
    """At most two factors, as long as one's axes hold another's."""
    while len(factors) > 2:
        pairs = [
            (len(b.axes), m, n)
            for m, a in enumerate(factors)
            for n, b in enumerate(factors)
            if m != n and set(a.axes) <= set(b.axes)
        ]
        if not pairs:
            break
        _, m, n = min(pairs)
        both = multiply([factors[m], factors[n]], order)
        factors = [both if k == n else v for k, v in enumerate(factors) if k != m]
    return factors


def _total(value: Value, reduced: frozenset[str]) -> Value:
    left = tuple(a for a in value.axes if a not in reduced)
    where = [str(n) for n, a in enumerate(value.axes) if a in reduced]
    axis = "" if not left else f"axis={where[0]}" if len(where) == 1 else f"axis=({', '.join(where)})"
    return Value(f"{value.within(ATOM)}.sum({axis})", left)


def _matmul(a: Value, b: Value, reduced: frozenset[str], order: Sequence[str]) -> Value | None:
    """``a @ b`` where one axis is contracted and at most one stays on each side."""
    shared = set(a.axes) & set(b.axes)
    free = [tuple(x for x in v.axes if x not in shared) for v in (a, b)]
    if len(shared) != 1 or not shared <= reduced or any(len(f) > 1 or reduced & set(f) for f in free):
        return None
    if free[0] and free[1] and order.index(free[0][0]) > order.index(free[1][0]):
        a, b, free = b, a, free[::-1]
    inner = tuple(shared)
    left, right = transposed(a, free[0] + inner), transposed(b, inner + free[1])
    return Value(f"{left.within(NEGATE)} @ {right.within(NEGATE)}", free[0] + free[1], MATMUL)


def _einsum(values: list[Value], reduced: frozenset[str], order: Sequence[str]) -> Value:
    axes = ordered({a for v in values for a in v.axes}, order)
    letter = letters(axes)
    left = tuple(a for a in axes if a not in reduced)
    inputs = ",".join("".join(letter[a] for a in v.axes) for v in values)
    outputs = "".join(letter[a] for a in left)
    return Value(
        f'np.einsum("{inputs}->{outputs}", {", ".join(v.text for v in values)}, optimize=True)', left
    )


def scaled(value: Value, negative: bool, above: Sequence[str], below: Sequence[str]) -> Value:
    """``value`` times and divided by literals."""
    if above:
        value = replace(
            value, text=" * ".join([*above, value.within(NEGATE)]), rank=MULTIPLY, items=None, view=False
        )
    for divisor in below:
        value = replace(
            value, text=f"{value.within(MULTIPLY)} / {divisor}", rank=MULTIPLY, items=None, view=False
        )
    if negative:
        value = replace(value, text=f"-{value.within(NEGATE)}", rank=NEGATE, items=None, view=False)
    return value

"""The kernels of grouped passes as text, and how many work items each has."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from typing import Literal

import numpy as np

from ...powers import power_above
from ...program.flat_vectors import Parts
from ...program.program import Step
from ..device.programs import REAL
from ..plan.kernel_plan import KernelPlan
from ..plan.kernel_problem import tile_extents
from ..plan.plan import Plan
from .calls import Size, partial_sums_key
from .compose import Offsets, given, keys, parameters, tables, whole_slices

#: Work items of a group of a single step; how many of them are neighbours along the samples at most.
GROUP, ALONG = 128, 32
#: Work items of a group that takes ``STRETCH`` samples through several steps.
TOGETHER, STRETCH = 256, 16

Kind = Literal["single", "stretch", "sums", "parts"]


@dataclass(frozen=True)
class LaunchGroup:
    """The steps of one launch, of one kind.

    ``turn``: when it is queued, the same for a launch of sums and the one that adds up their partial sums.
    """

    kind: Kind
    steps: tuple[Step, ...]
    turn: int


def planned(plan: Plan, step: Step) -> KernelPlan:
    """The plan of a step's kernel."""
    return plan.kernels[step.unit, step.kernel.name]


def prefix(plan: Plan, step: Step) -> str:
    """One text serves the kernels of a unit that share a vector width."""
    return f"u{step.unit}w{planned(plan, step).width}"


class Writer:
    """The text of one launch, and its sizes."""

    def __init__(
        self, plan: Plan, number: int, launch_group: LaunchGroup, vectors: Parts, offsets: Offsets
    ) -> None:
        self.plan, self.number, self.launch_group, self.vectors, self.offsets = (
            plan,
            number,
            launch_group,
            vectors,
            offsets,
        )
        self.names = self._names()
        self.real, self.itemsize = REAL[plan.dtype], np.dtype(plan.dtype).itemsize

    def own(self, step: Step) -> KernelPlan:
        """The plan of a step's kernel."""
        return planned(self.plan, step)

    def _names(self) -> list[str]:
        """Keys of the tensors that the kernel is given.

        Where a sum is taken in partial sums, these stand for it.
        """
        if self.launch_group.kind == "sums":
            whole = [
                key
                for step in self.launch_group.steps
                for key in keys([step], self.vectors)
                if not self._in_partial_sums(step, key)
            ]
            return list(
                dict.fromkeys(
                    [
                        *whole,
                        *(
                            partial_sums_key(s)
                            for s in self.launch_group.steps
                            if self.own(s).partial_sums > 1
                        ),
                    ]
                )
            )
        if self.launch_group.kind == "parts":
            written = [
                key
                for step in self.launch_group.steps
                for key in (self._vector(step.writes.key)[0], partial_sums_key(step))
            ]
            return list(dict.fromkeys(written))
        return keys(self.launch_group.steps, self.vectors)

    def _address(self, key: str) -> str:
        """Where a tensor begins."""
        return f"b{self.names.index(key)} + {self.offsets.get(key, 0)}"

    def _vector(self, key: str) -> tuple[str, slice]:
        return self.vectors.get(key, (key, slice(0)))

    def _in_partial_sums(self, step: Step, key: str) -> bool:
        return (
            self.own(step).partial_sums > 1
            and key == self._vector(step.writes.key)[0]
            and step.writes.key not in self._read(step)
        )

    @staticmethod
    def _read(step: Step) -> set[str]:
        return {argument.key for argument in step.reads}

    def text(self) -> str:
        """The kernel."""
        units = tables(self.launch_group.steps)
        bodies = {
            "single": self._single,
            "stretch": self._stretch,
            "sums": self._side_by_side,
            "parts": self._add,
        }
        body = bodies[self.launch_group.kind]
        head = f"{self._group()}__kernel void launch{self.number}({parameters(self.names, units, 'used')})"
        return "\n".join([head, "{", *body(), "}"])

    def _group(self) -> str:
        size = {"stretch": TOGETHER, "sums": self._size}.get(self.launch_group.kind, 0)
        return f"__attribute__((reqd_work_group_size({size}, 1, 1))) " if size else ""

    @property
    def _size(self) -> int:
        """Work items of a group of a launch of sums: the largest reduction group, or several smaller ones."""
        return max((self.own(step).reduction_group for step in self.launch_group.steps), default=0) or GROUP

    def sizes(self, used: int) -> tuple[Size, Size]:
        """Global and local size for ``used`` samples."""
        if self.launch_group.kind == "stretch":
            return (-(-used // STRETCH) * TOGETHER, 1, 1), (TOGETHER, 1, 1)
        if self.launch_group.kind == "sums":
            return (sum(map(self._groups, self.launch_group.steps)) * self._size, 1, 1), (self._size, 1, 1)
        if self.launch_group.kind == "parts":
            count = sum(step.writes.extent.units for step in self.launch_group.steps)
            return (-(-count // GROUP) * GROUP, 1, 1), (GROUP, 1, 1)
        along, plain, tiles = self._extents(self.launch_group.steps[0], used)
        if 0 in (along, plain, tiles):
            return (0, 0, 0), (1, 1, 1)
        inner, outer = (plain, tiles) if self.own(self.launch_group.steps[0]).across else (tiles, plain)
        first = min(ALONG, power_above(along))
        second = min(GROUP // first, power_above(inner))
        third = min(GROUP // (first * second), power_above(outer), 64)
        group = first, second, third
        return tuple(-(-n // k) * k for n, k in zip((along, inner, outer), group, strict=True)), group

    def _extents(self, step: Step, used: int) -> Size:
        """Work items along the samples, over plain axes, and over tiles."""
        binding = self.plan.binding(step.unit, step.kernel.name)
        return (*binding.global_size(step.kernel.global_size, used // self.own(step).width), 1, 1)[:3]

    def _item(self, step: Step, places: str) -> str:
        """The call of an item function."""
        plan = self.own(step)
        numbers = [f"used / {plan.width}", str(self.plan.capacity // plan.width), *whole_slices(step)]
        reduction_group = ["group"] if plan.reduction_group else []
        name = f"{prefix(self.plan, step)}_{step.kernel.name}_item"
        return f"{name}({places}, {', '.join([*self._tensors(step), *numbers, *reduction_group])});"

    def _tensors(self, step: Step) -> list[str]:
        """What an item is given before numbers.

        Where a sum is taken in partial sums, these stand for it.
        """
        missing = [key for key in keys([step], self.vectors) if key not in self.names]
        found = given(step, [*self.names, *missing], self.vectors, self.itemsize, self.offsets)
        if self.own(step).partial_sums > 1:
            found[len(step.reads)] = f"(__global void *)({self._address(partial_sums_key(step))})"
        return found

    def _single(self) -> Iterator[str]:
        step = self.launch_group.steps[0]
        plan = self.own(step)
        _, plain, tiles = self._extents(step, plan.width)
        yield f"    const int samples = (used / {plan.width} + {plan.sample_tile - 1}) / {plan.sample_tile};"
        inner, outer = ("point", "n") if plan.across else ("n", "point")
        yield f"    const int {inner} = get_global_id(1), {outer} = get_global_id(2);"
        yield f"    if (get_global_id(0) >= samples || n >= {tiles} || point >= {plain}) return;"
        yield f"    {self._item(step, f'get_global_id(0), point, {self._tile(step, tiles)}')}"

    def _tile(self, step: Step, count: int) -> str:
        """The number of the tile that neighbour ``n`` takes: the first axis, which no bound depends on,
        moves the fastest.
        """
        unit, plan = self.plan.units[step.unit], self.own(step)
        extents = tile_extents(unit, step.kernel, 1, 1)
        pieces = [
            -(-extents[macro] // plan.tiles[macro])
            for macro, info in step.kernel.tiles.items()
            if info.extent is not None
        ]
        if prod(pieces) != count or len(pieces) < 2:
            return "n"
        text, below = "", 1
        for size in pieces:
            own = f"n / {below} % {size}" if below > 1 else f"n % {size}"
            text = f"({text}) * {size} + {own}" if text else own
            below *= size
        return text

    def _stretch(self) -> Iterator[str]:
        yield f"    const int item = get_local_id(0), begin = get_group_id(0) * {STRETCH};"
        for number, step in enumerate(self.launch_group.steps):
            plan = self.own(step)
            _, plain, tiles = self._extents(step, plan.width)
            if number:
                yield "    barrier(CLK_GLOBAL_MEM_FENCE);"
            yield "    {"
            last = f"min((begin + {STRETCH}) / {plan.step}, (used + {plan.step - 1}) / {plan.step})"
            yield f"        const int first = begin / {plan.step}, last = {last};"
            yield f"        for (int n = item; n < (last - first) * {plain * tiles}; n += {TOGETHER}) {{"
            yield "            const int rest = n / (last - first);"
            places = f"first + n % (last - first), rest / {tiles}, rest % {tiles}"
            yield f"            {self._item(step, places)}"
            yield "        }"
            yield "    }"

    def _items(self, step: Step) -> int:
        """Reduction groups of a step of a launch of sums, or work items where there are none."""
        plan = self.own(step)
        return prod(self._extents(step, plan.width)) // max(1, plan.reduction_group)

    def _groups(self, step: Step) -> int:
        """Work groups of a step of a launch of sums."""
        plan = self.own(step)
        return -(-self._items(step) * max(1, plan.reduction_group) // self._size)

    def _side_by_side(self) -> Iterator[str]:
        """Every work group finds its step.

        The barriers of reduction groups stand outside, so that all work groups come by the same ones.
        """
        grouped = [step for step in self.launch_group.steps if self.own(step).reduction_group]
        yield "    const int item = get_local_id(0);"
        if grouped:
            yield f"    __local {self.real} groups[{max(map(self._local, grouped))}];"
            yield f"    __local {self.real} *group = groups;"
            yield "    int points = 0, steps = 0;"
        yield from self._choice(self._sum)
        if grouped:
            yield f"    {prefix(self.plan, grouped[0])}_fold_group(group, points, steps);"
            yield from self._choice(self._store)

    def _choice(self, lines: Callable[[Step], list[str]]) -> Iterator[str]:
        """Code that runs ``lines`` of the step that the group belongs to.

        ``n`` in it is the number of the item, or of its reduction group, among the step's.
        """
        before = 0
        for step in self.launch_group.steps:
            until, sharing, found = before + self._groups(step), self.own(step).reduction_group, lines(step)
            if found:
                # apart from one another: PoCL 3.0 loses items in long chains of else
                yield f"    if (get_group_id(0) >= {before} && get_group_id(0) < {until}) {{"
                each = self._size // max(1, sharing)
                yield (
                    f"        const int n = (get_group_id(0) - {before}) * {each} + "
                    f"item{f' / {sharing}' if sharing else ''};"
                )
                yield from (f"        {line}" for line in found)
                yield "    }"
            before = until

    def _sum(self, step: Step) -> list[str]:
        items, tile = self.own(step).reduction_group, prod(self.own(step).tiles.values())
        item = f"if (n < {self._items(step)}) {self._item(step, self._places(step))}"
        if not items:
            return [item]
        return [
            f"points = {tile}, steps = {items.bit_length() - 1}, group += item / {items} * "
            f"{tile * (items + 1)};",
            item,
        ]

    def _store(self, step: Step) -> list[str]:
        if not self.own(step).reduction_group:
            return []
        arguments = [
            self._tensors(step)[len(step.reads)],
            *([f"index{step.unit}"] if step.kernel.index else []),
            "group",
        ]
        name = f"{prefix(self.plan, step)}_{step.kernel.name}_store"
        return [f"if (n < {self._items(step)}) {name}({self._places(step)}, {', '.join(arguments)});"]

    def _local(self, step: Step) -> int:
        """Numbers of local memory of a work group of reduction groups."""
        plan = self.own(step)
        return self._size // plan.reduction_group * prod(plan.tiles.values()) * (plan.reduction_group + 1)

    def _places(self, step: Step) -> str:
        """The three numbers of item ``n``, or of an item of reduction group ``n``.

        Partial sums come first, then plain axes, then tiles.
        """
        plan = self.own(step)
        first, plain, _ = self._extents(step, plan.width)
        items, sums = plan.reduction_group, plan.partial_sums
        if not items:
            return f"n % {first}, n / {first} % {plain}, n / {first * plain}"
        return f"n % {sums} * {items} + item % {items}, n / {sums} % {plain}, n / {sums * plain}"

    def _add(self) -> Iterator[str]:
        real = self.real
        yield "    int n = get_global_id(0);"
        for step in self.launch_group.steps:
            units, partial_sums = step.writes.extent.units, self.own(step).partial_sums
            vector, part = self._vector(step.writes.key)
            yield f"    if (n < {units}) {{"
            yield (
                f"        __global const {real} *partial_sums = (__global const {real} "
                f"*)({self._address(partial_sums_key(step))});"
            )
            yield f"        {real} total = partial_sums[n];"
            yield f"        for (int m = 1; m < {partial_sums}; ++m) total += partial_sums[m * {units} + n];"
            yield f"        ((__global {real} *)({self._address(vector)}))[{part.start or 0} + n] = total;"
            yield "        return;"
            yield "    }"
            yield f"    n -= {units};"

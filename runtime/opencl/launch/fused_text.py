"""The kernels of fused passes as text.

What is equal is compiled once: layers with the same text and macros share their item functions, neighbouring
steps that differ only in their tensors are a loop over a table of pointers, and kernels with the same text
are one function.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import prod

from ...program.flat_vectors import Parts
from ...program.pass_stages import PassStage
from ...program.program import Step
from ..plan.plan import Plan
from .blocking import Blocking
from .calls import Size
from .compose import Offsets, TensorStart, keys, parameters, program_text, tables, tensor_starts, whole_slices


@dataclass(frozen=True)
class StageText:
    """The kernel of one stage.

    ``name``: the function, which stages with equal text share.
    ``text``: its text; empty where an earlier stage has it.
    ``numbers``: the values of its last parameters but one, at which byte of an argument tensors begin.
    ``units``: those whose text it calls.
    """

    name: str
    text: str
    numbers: tuple[int, ...]
    units: tuple[int, ...]


def grouped(stage: PassStage) -> PassStage:
    """Sums do not read one another, so those of equal kernels may be neighbours."""
    if stage.kind != "sums":
        return stage
    order = list(dict.fromkeys(step.kernel.name for step in stage.steps))
    return PassStage("sums", tuple(sorted(stage.steps, key=lambda step: order.index(step.kernel.name))))


def program(plan: Plan, stages: Sequence[StageText]) -> str:
    """The whole program: the units' texts, then the stages' kernels."""
    used = sorted({unit for stage in stages for unit in stage.units})
    units = {f"u{unit}": plan.binding(unit) for unit in used}
    return program_text(units, True, [stage.text for stage in stages if stage.text])


@dataclass(frozen=True)
class StageWriter:
    """Writes the stages of one pass; the fields are those of ``fused.Fusion`` and ``compose.given``."""

    plan: Plan
    blocks: Blocking
    shares: int
    vectors: Parts
    offsets: Offsets

    def stages(self, found: Sequence[PassStage]) -> list[StageText]:
        """The text of each stage."""
        alike = equal_units(self.plan)
        known: dict[str, str] = {}
        texts = []
        for number, stage in enumerate(found):
            units = tuple(alike[step.unit] for step in stage.steps)
            body, numbers = self._stage(stage, alike)
            name = known.setdefault(body, f"launch{number}")
            text = body.replace(NAME, name, 1) if name == f"launch{number}" else ""
            texts.append(StageText(name, text, numbers, units))
        return texts

    def _stage(self, stage: PassStage, alike: Mapping[int, int]) -> tuple[str, tuple[int, ...]]:
        """The text of a stage's kernel, and its numbers."""
        blocks, names = self.blocks, keys(stage.steps, self.vectors)
        numbers: list[int] = []
        lines: list[str] = []
        for steps in self._runs(stage, alike):
            lines += self._run(steps, stage, alike[steps[0].unit], names, numbers)
        wide = "__attribute__((min_vector_width(512))) " if 16 in (blocks.width, blocks.lanes) else ""
        last = ", const int ".join([*(f"start{n}" for n in range(len(numbers))), "vectors"])
        whole = f"(vectors + {blocks.vectors - 1}) / {blocks.vectors}"
        opening = [
            f"{wide}__kernel void {NAME}({parameters(names, tables(stage.steps), last)})",
            "{",
            "    const int share = get_global_id(0);",
            f"    const int used = {'vectors' if blocks.lanes else f'{whole} * {blocks.vectors}'};",
        ]
        return "\n".join([*opening, *lines, "}"]), tuple(numbers)

    def _runs(self, stage: PassStage, alike: Mapping[int, int]) -> Iterator[list[Step]]:
        """Neighbouring steps that differ in their tensors only."""

        def key(entry: tuple[int, Step]) -> object:
            number, step = entry
            shapes = tuple((a.extent.units, a.samples) for a in (*step.reads, step.writes))
            own = number if step.kernel.index or stage.kind == "spread" else -1
            return alike[step.unit], step.kernel.name, step.numbers, shapes, step.z is None, own

        for _, found in groupby(enumerate(stage.steps), key):
            yield [step for _, step in found]

    def _run(
        self, steps: Sequence[Step], stage: PassStage, unit: int, names: Sequence[str], numbers: list[int]
    ) -> Iterator[str]:
        """One step, or equal ones in a loop; ``numbers`` gets where tensors of a spread kernel begin."""
        step, blocks = steps[0], self.blocks
        size = self.plan.binding(step.unit).global_size(step.kernel.global_size, blocks.vectors)
        itemsize, layout = 4 if self.plan.dtype == "float32" else 8, blocks.layout(blocks.samples)
        block = {"samples": "share", "spread": "block", "sums": ""}[stage.kind]
        found = [tensor_starts(s, names, self.vectors, itemsize, self.offsets, layout) for s in steps]
        pad = "    "
        if len(steps) > 1:
            tensors = [f"at[n_step][{n}]" for n in range(len(found[0]))]
            rows = ", ".join(f"{{{', '.join(p.text(block) for p in row)}}}" for row in found)
            yield "    {"
            yield f"    __global char *const at[{len(steps)}][{len(found[0])}] = {{{rows}}};"
            yield f"    for (int n_step = 0; n_step < {len(steps)}; ++n_step) {{"
        elif stage.kind == "spread":
            tensors = [self._numbered(place, block, numbers) for place in found[0]]
        else:
            tensors = [place.text(block) for place in found[0]]
        index = [f"index{step.unit}"] if step.kernel.index else []
        further = ["used", str(blocks.vectors), *whole_slices(step), *map(str, step.numbers)]
        arguments = ", ".join([*(f"(__global void *)({t})" for t in tensors), *index, *further])
        item = f"u{unit}_{step.kernel.name}_item"
        yield from self._loops(stage, step, item, arguments, size)
        if len(steps) > 1:
            yield f"{pad}}}"
            yield f"{pad}}}"

    @staticmethod
    def _numbered(place: TensorStart, block: str, numbers: list[int]) -> str:
        """The pointer to a tensor that begins at a byte which is an argument."""
        if 0 < place.start < 2**31:
            numbers.append(place.start)
            return place.text(block, f"start{len(numbers) - 1}")
        return place.text(block)

    def _loops(self, stage: PassStage, step: Step, item: str, arguments: str, size: Size) -> Iterator[str]:
        if stage.kind == "sums":
            yield from self._shared(item, arguments, size)
        elif stage.kind == "spread":
            yield from self._spread(item, arguments, size, samples_first(step))
        else:
            yield from self._blocked(item, arguments, size, self.blocks.lanes > 0 and samples_first(step))

    def _blocked(self, item: str, arguments: str, size: Size, by_sample: bool) -> Iterator[str]:
        """All items of a kernel for one block of samples; tiles inside, which read the same input.

        Where samples are outermost, those of a last block that is not full are left out.
        """
        first, second, third = (*size, 1, 1)[:3]
        samples = self.blocks.vectors
        outside = f" && share * {samples} + g0 * {samples // first} < vectors"
        loops = [
            f"for (int g1 = 0; g1 < {second}; ++g1)",
            f"for (int g2 = 0; g2 < {third}; ++g2)",
            f"for (int g0 = 0; g0 < {first}{outside if self.blocks.lanes else ''}; ++g0)",
        ]
        for depth, loop in enumerate(loops[2:] + loops[:2] if by_sample else loops, 1):
            yield f"{'    ' * depth}{loop}"
        yield f"                {item}(g0, g1, g2, {arguments});"

    def _spread(self, item: str, arguments: str, size: Size, by_sample: bool) -> Iterator[str]:
        """A share of a kernel's items for all blocks of samples."""
        (first, second, third), samples, shares = (*size, 1, 1)[:3], self.blocks.vectors, self.shares
        count = prod((first, second, third))
        g0, g1, g2 = f"g % {first}", f"g / {first} % {second}", f"g / {first * second}"
        if by_sample:
            g0, g1, g2 = f"g / {second * third}", f"g / {third} % {second}", f"g % {third}"
        yield f"    const long all = (long)((vectors + {samples - 1}) / {samples}) * {count};"
        yield f"    for (long n = share * all / {shares}; n < (share + 1) * all / {shares}; ++n) {{"
        yield f"        const int block = n / {count}, g = n % {count}, g0 = {g0};"
        yield f"        if (block * {samples} + g0 * {samples // first} < vectors)"
        yield f"            {item}(g0, {g1}, {g2}, {arguments});"
        yield "    }"

    def _shared(self, item: str, arguments: str, size: Size) -> Iterator[str]:
        """A share of a kernel's items."""
        (first, second, third), shares = (*size, 1, 1)[:3], self.shares
        count = prod((first, second, third))
        begin, end = f"(long)share * {count} / {shares}", f"(long)(share + 1) * {count} / {shares}"
        yield f"    for (long n = {begin}; n < {end}; ++n)"
        yield f"        {item}(n % {first}, n / {first} % {second}, n / {first * second}, {arguments});"


#: Stands for the name of a kernel until it is known whether an earlier one has the same text.
NAME = "launch_of_this_stage"


def equal_units(plan: Plan) -> dict[int, int]:
    """For each unit, the first one with the same text and macros."""
    first: dict[tuple[object, ...], int] = {}
    found = {}
    for number, unit in enumerate(plan.units):
        binding = plan.binding(number)
        key = (str(unit.folder.path), unit.path, tuple(sorted(binding.values.items())))
        found[number] = first.setdefault(key, number)
    return found


def samples_first(step: Step) -> bool:
    """Whether one sample after the other is computed: what it reads of a sample outweighs the parameters."""
    counts = [0, 0]
    for read in step.reads:
        counts[read.samples] += read.extent.units
    return counts[True] > counts[False]

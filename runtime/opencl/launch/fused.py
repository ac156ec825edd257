"""Fused passes: all kernels of a stage in one launch.

On a CPU a launch of some microseconds ends before the other cores have woken up.  So a pass is composed of
few launches: the text of every unit once, its names set apart by a prefix, and for each stage a kernel that
calls the items of the stage's kernels one after the other.  In a stage over samples a work item takes a block
of samples through all of them, so that what one kernel wrote is still in the core's cache when the next one
reads it; in a stage of sums it takes its share of every kernel's items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, inf, prod
from typing import Any

import pyopencl as cl

from ...manifest.records import KernelInfo
from ...program.flat_vectors import Parts
from ...program.memory_plan import MemoryLayout
from ...program.pass_stages import PassStage, pass_stages
from ...program.program import Step, Unit
from ..plan.config import KernelConfig, KernelConfigs
from ..plan.cpu_cost_model import VECTOR_COST
from ..plan.form import predicted_cycles
from ..plan.plan import Plan
from .block_layout import BlockLayout
from .calls import Size
from .compose import (
    ComposedPass,
    Offsets,
    given,
    has_items,
    keys,
    parameters,
    program_text,
    tables,
    whole_slices,
)
from .memory import OpenCLResident

#: What a sample costs where they lie one after the other, by the samples of a block: each weight that is
#: loaded serves all of a block.
SAMPLE_COST = {32: 1.0, 16: 1.01, 8: 1.02, 4: 1.05, 2: 1.12, 1: 1.25}
#: Kernels are spread over the compute units where each unit has fewer blocks than this.
FEW_BLOCKS = 4
#: Predicted cycles of a compute unit in a kernel that is worth a launch of its own.
WORTH_A_LAUNCH = 60_000
#: Vectors narrower than this leave too much of a register empty to be worth a second core.
LEAST_WIDTH = {"float32": 8, "float64": 4}


@dataclass(frozen=True)
class Blocking:
    """Samples per vector, and vectors that a work item takes through a stage.

    ``lanes``: of a vector of units where samples lie one after the other (``width`` is 1); 0 where lanes are
    samples.
    """

    width: int
    vectors: int
    lanes: int = 0

    @property
    def samples(self) -> int:
        """Samples of a block."""
        return self.width * self.vectors

    def whole(self, samples: int) -> int:
        """``samples`` rounded up to whole blocks, at least one."""
        return -(-max(1, samples) // self.samples) * self.samples

    def idle(self, samples: int, units: int) -> float:
        """The time in which ``units`` compute units are through ``samples``, relative to an even share."""
        vectors = -(-samples // self.width)
        return -(-vectors // (self.vectors * units)) * self.vectors * units / vectors

    def layout(self, capacity: int) -> BlockLayout:
        """How tensors lie: the samples of a block side by side, or one after the other."""
        return BlockLayout(capacity, 1) if self.lanes else BlockLayout(capacity, self.samples, spread=True)


def blocking(capacity: int, width: int, units: int, dtype: str) -> Blocking:
    """The blocks of samples that are the soonest through all of ``capacity``.

    Vectors are as wide as leaves one for every compute unit.

    ``width``: the device's samples per vector.
    """
    own = width
    while -(-capacity // own) < units and own // 2 >= LEAST_WIDTH[dtype]:
        own //= 2
    count = -(-capacity // own)

    def cost(vectors: int) -> float:
        rounds = -(-count // (vectors * units))  # the blocks that one unit takes, whole ones
        return rounds * vectors * VECTOR_COST[vectors]

    return Blocking(own, min(VECTOR_COST, key=cost))


def sample_outer_blocking(capacity: int, lanes: int, units: int) -> Blocking:
    """The blocks where samples lie one after the other, which are the soonest through all of ``capacity``."""

    def cost(samples: int) -> float:
        rounds = -(-capacity // (samples * units))  # the blocks that one unit takes
        return rounds * samples * SAMPLE_COST[samples]

    return Blocking(1, min(SAMPLE_COST, key=cost), lanes)


@dataclass(frozen=True)
class Fusion:
    """How passes are fused.

    ``plan``: the tile sizes for ``blocks``.
    ``shares``: work items of a stage of sums.
    ``spread``: predicted cycles for a block above which a kernel has a launch of its own, where samples are
        outermost.
    """

    plan: Plan
    blocks: Blocking
    shares: int
    offsets: bool = True
    spread: float = inf

    @property
    def sample_outer(self) -> bool:
        """Whether samples lie one after the other."""
        return self.blocks.lanes > 0

    def room(self, samples: int) -> int:
        """The capacity in whole blocks."""
        return self.blocks.whole(samples)

    def layout(self, capacity: int) -> BlockLayout:
        """How tensors lie."""
        return self.blocks.layout(capacity)

    def whole(self, samples: int) -> int:
        """``samples`` and those that are computed beside them."""
        return self.blocks.whole(samples)

    def partial_sums(self, step: Step) -> int:
        """A sum over the samples is taken as a whole."""
        return 1

    def scratch(
        self, steps: Sequence[Step], counts: Mapping[str, int], align: int, apart: bool = False
    ) -> MemoryLayout:
        """Tensors one after the other: at any time blocks of samples are at different steps."""
        return MemoryLayout.packed(counts, align)

    def compose(
        self, steps: Sequence[Step], device: Any, vectors: Parts, offsets: Offsets, apart: bool = False
    ) -> FusedPass:
        """The pass of ``steps``; see ``FusedPass``."""
        return FusedPass(steps, self, device, vectors, offsets, apart)


@dataclass(frozen=True)
class InBlocks:
    """``configs`` for kernels of fused passes: tiles and unrolled loops alone, and sample tiles that divide a
    block.

    Tiles that were found for blocks which do not go with these are left to the default.
    """

    configs: KernelConfigs
    blocks: Blocking

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> KernelConfig:
        """What is left of the configuration."""
        found, packed = self.configs.find(unit, kernel, dtype, samples), self.blocks.lanes > 0
        tiles, whole = dict(found.tiles), self.blocks.vectors
        for macro, size in found.tiles.items():
            if kernel.tiles[macro].extent is None:
                tiles[macro] = gcd(size, whole)
                if tiles[macro] not in (size, whole):
                    return KernelConfig(unroll=found.unroll, packed=packed)
        return KernelConfig(tiles, unroll=found.unroll, packed=packed)


class FusedPass(ComposedPass):
    """The launches of one kind of pass, one per stage.

    Tensors with samples are ``[blocks, units, lanes]``, so that a work item's block is one stretch of memory.
    ``apart``: every step is a stage of its own.
    """

    repeats = True

    def __init__(
        self,
        steps: Sequence[Step],
        fusion: Fusion,
        device: Any,
        vectors: Parts,
        offsets: Offsets,
        apart: bool = False,
    ) -> None:
        self.blocks, self.shares = fusion.blocks, fusion.shares
        self.stages = (
            [stage for step in steps for stage in pass_stages([step])] if apart else pass_stages(steps)
        )
        self.stages = [part for stage in self.stages for part in _spread(stage, fusion)]
        text = _text(self.stages, fusion, vectors, offsets)
        steps_of = [stage.steps for stage in self.stages]
        super().__init__(
            steps_of, [keys(found, vectors) for found in steps_of], text, fusion.plan.dtype, device
        )
        self._ready: list[tuple[cl.Kernel, int]] = []

    def resize(self, resident: OpenCLResident) -> None:
        """Blocks, or shares, for the samples of ``resident``."""
        vectors = -(-resident.samples // self.blocks.width)
        self._ready = []
        for number, stage in enumerate(self.stages):
            self.set_last(number, vectors)
            items = self.shares if stage.kind != "samples" else -(-vectors // self.blocks.vectors)
            self._ready.append((self.kernels[number], items))

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queue one stage, ``times`` times in one launch; its event.

        The work items of a second axis do the same again.

        See ``tuner.timer.out_of_step`` for how many.
        """
        kernel, items = self._ready[number]
        return cl.enqueue_nd_range_kernel(queue, kernel, (items, times), (1, 1))

    def events(self, number: int, queue: cl.CommandQueue, times: int = 1) -> list[Any]:
        """Queue one stage; the event of each of its launches."""
        return [self.launch(number, queue, times)]


def fusible(fusion: Fusion, kernels: Iterable[tuple[int, str]] | None = None) -> bool:
    """Whether every kernel (unit, name) has an item function, and every sample tile divides a block;
    without names, all kernels.
    """
    for number, name in fusion.plan.kernels if kernels is None else kernels:
        kernel = fusion.plan.kernels[number, name]
        if fusion.blocks.vectors % kernel.sample_tile or kernel.width != fusion.blocks.width:
            return False
        if not has_items(fusion.plan, number, name):
            return False
    return True


def _spread(stage: PassStage, fusion: Fusion) -> Iterator[PassStage]:
    """``stage`` in parts: a kernel that is worth it is one by itself."""
    if stage.kind != "samples" or fusion.spread == inf:
        yield stage
        return
    near: list[Step] = []
    for step in stage.steps:
        if predicted_cycles(fusion.plan, step, fusion.blocks.samples) <= fusion.spread:
            near.append(step)
            continue
        if near:
            yield PassStage("samples", tuple(near))
        yield PassStage("spread", (step,))
        near = []
    if near:
        yield PassStage("samples", tuple(near))


# ------------------------------------------------------------------------------------------------------- text
def _text(found: Sequence[PassStage], fusion: Fusion, vectors: Parts, offsets: Offsets) -> str:
    """The whole program: the units' texts, then a kernel for each stage."""
    used = sorted({step.unit for stage in found for step in stage.steps})
    units = {f"u{unit}": fusion.plan.binding(unit) for unit in used}
    return program_text(
        units, True, ["\n".join(_stage(n, stage, fusion, vectors, offsets)) for n, stage in enumerate(found)]
    )


def _stage(number: int, stage: PassStage, fusion: Fusion, vectors: Parts, offsets: Offsets) -> Iterator[str]:
    """The kernel of one stage."""
    plan, blocks = fusion.plan, fusion.blocks
    names = keys(stage.steps, vectors)
    wide = "__attribute__((min_vector_width(512))) " if 16 in (blocks.width, blocks.lanes) else ""
    yield f"{wide}__kernel void launch{number}({parameters(names, tables(stage.steps), 'vectors')})"
    yield "{"
    yield "    const int share = get_global_id(0);"
    whole = f"(vectors + {blocks.vectors - 1}) / {blocks.vectors}"
    yield f"    const int used = {'vectors' if fusion.sample_outer else f'{whole} * {blocks.vectors}'};"
    itemsize, layout = 4 if plan.dtype == "float32" else 8, blocks.layout(blocks.samples)
    for step in stage.steps:
        size = plan.binding(step.unit).global_size(step.kernel.global_size, blocks.vectors)
        block = {"samples": "share", "spread": "block", "sums": ""}[stage.kind]
        tensors = given(step, names, vectors, itemsize, offsets, layout, block)
        item, arguments = f"u{step.unit}_{step.kernel.name}_item", ", ".join(
            [*tensors, "used", str(blocks.vectors), *whole_slices(step), *map(str, step.numbers)]
        )  # fmt: skip
        if stage.kind == "sums":
            yield from _shared(item, arguments, size, fusion.shares)
        elif stage.kind == "spread":
            yield from _spread_out(item, arguments, size, fusion, _samples_first(step))
        else:
            yield from _blocked(item, arguments, size, fusion, fusion.sample_outer and _samples_first(step))
    yield "}"


def _samples_first(step: Step) -> bool:
    """Whether one sample after the other is computed: what it reads of a sample outweighs the parameters."""
    counts = [0, 0]
    for read in step.reads:
        counts[read.samples] += read.extent.units
    return counts[True] > counts[False]


def _blocked(item: str, arguments: str, size: Size, fusion: Fusion, samples_first: bool) -> Iterator[str]:
    """All items of a kernel for one block of samples; tiles inside, which read the same part of the input.

    Where samples are outermost, those of a last block that is not full are left out.
    """
    first, second, third = (*size, 1, 1)[:3]
    outside = f" && share * {fusion.blocks.vectors} + g0 * {fusion.blocks.vectors // first} < vectors"
    loops = [
        f"for (int g1 = 0; g1 < {second}; ++g1)",
        f"for (int g2 = 0; g2 < {third}; ++g2)",
        f"for (int g0 = 0; g0 < {first}{outside if fusion.sample_outer else ''}; ++g0)",
    ]
    for depth, loop in enumerate(loops[2:] + loops[:2] if samples_first else loops, 1):
        yield f"{'    ' * depth}{loop}"
    yield f"                {item}(g0, g1, g2, {arguments});"


def _spread_out(item: str, arguments: str, size: Size, fusion: Fusion, samples_first: bool) -> Iterator[str]:
    """A share of a kernel's items for all blocks of samples."""
    (first, second, third), samples = (*size, 1, 1)[:3], fusion.blocks.vectors
    count = prod((first, second, third))
    g0, g1, g2 = f"g % {first}", f"g / {first} % {second}", f"g / {first * second}"
    if samples_first:
        g0, g1, g2 = f"g / {second * third}", f"g / {third} % {second}", f"g % {third}"
    yield f"    const long all = (long)((vectors + {samples - 1}) / {samples}) * {count};"
    yield f"    for (long n = share * all / {fusion.shares}; n < (share + 1) * all / {fusion.shares}; ++n) {{"
    yield f"        const int block = n / {count}, g = n % {count}, g0 = {g0};"
    yield f"        if (block * {samples} + g0 * {samples // first} < vectors)"
    yield f"            {item}(g0, {g1}, {g2}, {arguments});"
    yield "    }"


def _shared(item: str, arguments: str, size: Size, shares: int) -> Iterator[str]:
    """A share of a kernel's items."""
    first, second, third = (*size, 1, 1)[:3]
    count = prod((first, second, third))
    yield f"    for (int n = share * {count} / {shares}; n < (share + 1) * {count} / {shares}; ++n)"
    yield f"        {item}(n % {first}, n / {first} % {second}, n / {first * second}, {arguments});"

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
from math import gcd, inf
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
from .blocking import Blocking
from .compose import ComposedPass, Offsets, has_items, keys
from .fused_text import StageWriter, grouped, program
from .memory import OpenCLResident

#: Samples of a block where they lie one after the other, and from how many samples for each compute unit on.
#: A weight that is loaded serves all of a block.  There are few sizes, as each has kernels of its own.
SAMPLES_OF_BLOCK = ((32, 32.0), (8, 1.5), (1, 0.0))
#: Predicted cycles of a compute unit in a kernel that is worth a launch of its own.
WORTH_A_LAUNCH = 60_000
#: Vectors narrower than this leave too much of a register empty to be worth a second core.
LEAST_WIDTH = {"float32": 8, "float64": 4}


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
    """The blocks where samples lie one after the other."""
    samples = next(size for size, least in SAMPLES_OF_BLOCK if capacity >= least * units)
    return Blocking(1, samples, lanes)


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
        self.stages = [grouped(stage) for stage in self.stages]
        texts = StageWriter(fusion.plan, fusion.blocks, fusion.shares, vectors, offsets).stages(self.stages)
        steps_of, names = [stage.steps for stage in self.stages], [stage.name for stage in texts]
        super().__init__(
            steps_of,
            [keys(found, vectors) for found in steps_of],
            program(fusion.plan, texts),
            fusion.plan.dtype,
            device,
            names,
            [stage.numbers for stage in texts],
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

"""Fused passes: all kernels of a phase in one launch.

On a CPU a launch of some microseconds ends before the other cores have woken up.  So a pass is composed of few launches: the text
of every unit once, its names set apart by a prefix, and for each phase a kernel that calls the items of the phase's kernels one
after the other.  In a phase over samples a work item takes a block of samples through all of them, so that what one kernel wrote
is still in the core's cache when the next one reads it; in a phase of sums it takes its share of every kernel's items.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import gcd, prod
from typing import Any

import pyopencl as cl

from .block_layout import BlockLayout
from .flat_vectors import Parts
from .manifest import KernelInfo
from .opencl_calls import Size, set_number
from .opencl_memory import OpenCLResident, Region
from .opencl_plan import Plan
from .opencl_program import REAL, Binding, compiled, precision_options
from .phases import Phase, phases
from .program import Step, Unit
from .register_tiles import VECTOR_COST
from .schedule import Schedule, Schedules

#: The most samples of a block where they lie one after the other: each weight that is loaded serves them all.
MOST_ROWS = 32
#: Vectors narrower than this leave too much of a register empty to be worth a second core.
LEAST_WIDTH = {"float32": 8, "float64": 4}

_FUNCTION = re.compile(r"^(?:static \w+|WIDE __kernel void) (\w+)\(", re.MULTILINE)
_ENUM = re.compile(r"^enum \{ (.*) \};$", re.MULTILINE)
_DEFINE = re.compile(r"^#define (\w+)", re.MULTILINE)
_TYPE = re.compile(r"^typedef [\w(), ]+ (\w+);", re.MULTILINE)


@dataclass(frozen=True)
class Blocking:
    """Samples per vector, and vectors that a work item takes through a phase.

    ``lanes``: of a vector of units where samples lie one after the other (``width`` is 1); 0 where lanes are samples.
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

    def layout(self, capacity: int) -> BlockLayout:
        """How tensors lie: the samples of a block side by side, or one after the other."""
        return BlockLayout(capacity, 1) if self.lanes else BlockLayout(capacity, self.samples, spread=True)


def blocking(capacity: int, width: int, units: int, dtype: str) -> Blocking:
    """Vectors as wide as leaves one for every compute unit, and blocks of them that are the soonest through all of ``capacity``.

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


def row_blocking(capacity: int, lanes: int, units: int) -> Blocking:
    """The same where samples lie one after the other: as many samples as leave a block for every compute unit."""
    samples = MOST_ROWS
    while samples > 1 and -(-capacity // samples) < units:
        samples //= 2
    return Blocking(1, samples, lanes)


@dataclass(frozen=True)
class Fusion:
    """How passes are fused: ``plan`` has the tile sizes for ``blocks``; ``shares``: work items of a phase of sums."""

    plan: Plan
    blocks: Blocking
    shares: int


@dataclass(frozen=True)
class InBlocks:
    """``schedules`` for kernels of fused passes: tiles and unrolled loops alone, and sample tiles that divide a block.

    Tiles that were found for blocks which do not go with these are left to the default.
    """

    schedules: Schedules
    blocks: Blocking

    def find(self, unit: Unit, kernel: KernelInfo, dtype: str, samples: int) -> Schedule:
        """What is left of the schedule."""
        found = self.schedules.find(unit, kernel, dtype, samples)
        tiles, whole = dict(found.tiles), self.blocks.vectors
        for macro, size in found.tiles.items():
            if kernel.tiles[macro].extent is None:
                tiles[macro] = gcd(size, whole)
                if tiles[macro] not in (size, whole):
                    return Schedule(unroll=found.unroll)
        return Schedule(tiles, unroll=found.unroll)


class FusedPass:
    """The launches of one kind of pass, one per phase.

    Tensors with samples are ``[blocks, units, lanes]``, so that a work item's block is one stretch of memory.  Those that are
    parts of ``vectors`` come with the vector, as one argument.  ``apart``: every step is a phase of its own.  Raises DeviceError
    where the device's compiler refuses the text.
    """

    def __init__(
        self, steps: Sequence[Step], fusion: Fusion, device: Any, vectors: Parts | None = None, apart: bool = False
    ) -> None:
        self.blocks, self.shares = fusion.blocks, fusion.shares
        self.phases = [phase for step in steps for phase in phases([step])] if apart else phases(steps)
        vectors = {} if vectors is None else vectors
        text = _text(self.phases, fusion, vectors)
        program = compiled(text, precision_options(REAL[fusion.plan.dtype]), device, "a fused pass")
        self.kernels = [cl.Kernel(program, f"phase{n}") for n in range(len(self.phases))]
        self.keys = [_keys(phase, vectors) for phase in self.phases]
        self.tables = [_tables(phase) for phase in self.phases]
        self._moving: list[tuple[cl.Kernel, int, str]] = []
        self._regions: tuple[Region, ...] = ()
        self._given: list[Any] = []
        self._samples = -1
        self._ready: list[tuple[cl.Kernel, int]] = []

    def bind(self, where: Mapping[str, Region], index: Mapping[int, Any]) -> None:
        """Set the arguments that stay: tensors in ``where``, and each unit's index tables."""
        for kernel, keys, tables in zip(self.kernels, self.keys, self.tables, strict=True):
            for position, key in enumerate(keys):
                if key in where:
                    kernel.set_arg(position, where[key].arguments[key])
                else:
                    self._moving.append((kernel, position, key))
                    self._given.append(None)
            for position, unit in enumerate(tables, len(keys)):
                kernel.set_arg(position, index[unit])

    def fit(self, regions: tuple[Region, ...], resident: OpenCLResident) -> None:
        """Compute on ``resident``, with the moving arguments that ``regions`` hold between them."""
        if resident.samples != self._samples:
            vectors = -(-resident.samples // self.blocks.width)
            self._ready = []
            for kernel, phase, keys, tables in zip(self.kernels, self.phases, self.keys, self.tables, strict=True):
                set_number(kernel, len(keys) + len(tables), vectors)
                items = self.shares if phase.kind == "sums" else -(-vectors // self.blocks.vectors)
                self._ready.append((kernel, items))
            self._samples = resident.samples
        if regions != self._regions:
            given = {key: argument for region in regions for key, argument in region.arguments.items()}
            for number, (kernel, position, key) in enumerate(self._moving):
                if self._given[number] is not given[key]:
                    kernel.set_arg(position, given[key])
                    self._given[number] = given[key]
            self._regions = regions

    def run(self, queue: cl.CommandQueue) -> Any:
        """Queue them all without waiting; the event of the last, None where there is nothing to do."""
        event = None
        for number in range(len(self._ready)):
            event = self.launch(number, queue)
        return event

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queue one phase, ``times`` times in one launch: the work items of a second axis do the same again; its event.

        See ``tuner.timer.out_of_step`` for how many.
        """
        kernel, items = self._ready[number]
        return cl.enqueue_nd_range_kernel(queue, kernel, (items, times), (1, 1))


def fusible(fusion: Fusion, kernels: Iterable[tuple[int, str]] | None = None) -> bool:
    """Whether every kernel (unit, name) has an item function, and every sample tile divides a block; without names, all kernels."""
    for number, name in fusion.plan.kernels if kernels is None else kernels:
        unit, kernel = fusion.plan.units[number], fusion.plan.kernels[number, name]
        if fusion.blocks.vectors % kernel.sample_tile or kernel.width != fusion.blocks.width:
            return False
        if f"static void {name}_item(" not in unit.folder.text(unit.path):
            return False
    return True


# ------------------------------------------------------------------------------------------------------------------- text
def _keys(phase: Phase, vectors: Parts) -> list[str]:
    """What the phase's kernel is given: tensors, and vectors in the place of their parts."""
    return list(dict.fromkeys(vectors[key][0] if key in vectors else key for step in phase.steps for key in step.keys))


def _tables(phase: Phase) -> list[int]:
    return sorted({step.unit for step in phase.steps if step.kernel.index})


def _text(found: Sequence[Phase], fusion: Fusion, vectors: Parts) -> str:
    """The whole program: the units' texts, then a kernel for each phase."""
    used = sorted({step.unit for phase in found for step in phase.steps})
    parts = ["#define __kernel static __attribute__((unused))"]
    parts += [_unit(unit, fusion.plan.binding(unit)) for unit in used]
    parts += ["#undef __kernel"]
    parts += ["\n".join(_phase(n, phase, fusion, vectors)) for n, phase in enumerate(found)]
    return "\n".join(parts) + "\n"


def _source(text: str) -> str:
    """A unit's text without its opening comments."""
    return text[text.index("#") :] if "#" in text else text


def names(text: str) -> list[str]:
    """What a unit's text defines at file scope besides macros, in order."""
    found = [*_FUNCTION.findall(text), *_TYPE.findall(text)]
    for line in _ENUM.findall(text):
        found += [entry.split("=")[0].strip() for entry in line.split(",")]
    return list(dict.fromkeys(found))


def _unit(number: int, binding: Binding) -> str:
    """A unit's text between its macros and the prefixes of its names."""
    text = _source(binding.unit.folder.text(binding.unit.path))
    macros = {name: 1 if name == "BLOCKED" else binding.values[name] for name in binding.unit.macros}
    prefixed = {name: f"u{number}_{name}" for name in names(text)}
    before = [f"#define {name} {value}" for name, value in (prefixed | macros).items()]
    defined = dict.fromkeys([*prefixed, *macros, *(n for n in _DEFINE.findall(text) if n not in prefixed)])
    return "\n".join([f"// {binding.unit.label}: {binding.unit.file}.cl", *before, text, *(f"#undef {n}" for n in defined)])


def _phase(number: int, phase: Phase, fusion: Fusion, vectors: Parts) -> Iterator[str]:
    """The kernel of one phase."""
    plan, blocks = fusion.plan, fusion.blocks
    keys, tables = _keys(phase, vectors), _tables(phase)
    parameters = [f"__global char *b{n}" for n in range(len(keys))] + [f"__global const int *index{unit}" for unit in tables]
    wide = "__attribute__((min_vector_width(512))) " if 16 in (blocks.width, blocks.lanes) else ""
    yield f"{wide}__kernel void phase{number}({', '.join(parameters)}, const int vectors)"
    yield "{"
    yield "    const int share = get_global_id(0);"
    yield f"    const int used = (vectors + {blocks.vectors - 1}) / {blocks.vectors} * {blocks.vectors};"
    itemsize, layout = 4 if plan.dtype == "float32" else 8, blocks.layout(blocks.samples)
    for step in phase.steps:
        units = _units(step)
        size = plan.binding(step.unit).global_size(step.kernel.global_size, blocks.vectors)
        arguments = []
        for key in step.keys:
            stride = layout.count(units[key]) * itemsize if key in units else 0
            moved = f" + (size_t)share * {stride}" if stride and phase.kind == "samples" else ""
            vector, part = vectors.get(key, (key, slice(0)))
            moved += f" + {part.start * itemsize}" if part.start else ""
            arguments.append(f"(__global void *)(b{keys.index(vector)}{moved})")
        arguments += [f"index{step.unit}"] if step.kernel.index else []
        item = f"u{step.unit}_{step.kernel.name}_item"
        whole = ["0"] * len(step.kernel.constant.sliced if step.kernel.constant else ())  # where slices of parameters begin
        given = ", ".join([*arguments, "used", str(blocks.vectors), *whole])
        yield from _shared(item, given, size, fusion.shares) if phase.kind == "sums" else _blocked(item, given, size)
    yield "}"


def _units(step: Step) -> dict[str, int]:
    """Units of each tensor with samples that the step touches."""
    found = {a.key: a.extent.units for a in (*step.reads, step.writes, step.position, step.factor) if a is not None and a.samples}
    return found | ({step.z: step.writes.extent.units} if step.z is not None else {})


def _blocked(item: str, given: str, size: Size) -> Iterator[str]:
    """All items of a kernel for one block of samples; tiles innermost, which read the same part of the input."""
    first, second, third = (*size, 1, 1)[:3]
    yield f"    for (int g1 = 0; g1 < {second}; ++g1)"
    yield f"        for (int g2 = 0; g2 < {third}; ++g2)"
    yield f"            for (int g0 = 0; g0 < {first}; ++g0)"
    yield f"                {item}(g0, g1, g2, {given});"


def _shared(item: str, given: str, size: Size, shares: int) -> Iterator[str]:
    """A share of a kernel's items."""
    first, second, third = (*size, 1, 1)[:3]
    count = prod((first, second, third))
    yield f"    for (int n = share * {count} / {shares}; n < (share + 1) * {count} / {shares}; ++n)"
    yield f"        {item}(n % {first}, n / {first} % {second}, n / {first * second}, {given});"

"""Runs one program at one capacity on an OpenCL device.

Memory is planned ahead, and a pass is queued without waiting between its kernels.

Tensors with samples are ``[blocks, units, lanes]``.  A fused pass takes block after block through its
kernels.  If the lanes of vectors go along units, such a block has one sample.  Other passes have a single
block with all lanes, a multiple of the vector width.  The tensors lie here:

| tensors | where they lie | how long they live |
|---|---|---|
| parameters | in their own region, or in the caller's vector if kernels read it | up to ``set_parameters`` |
| inputs, targets, weights | in the region of the micro-batch | as long as the micro-batch |
| results, and the delta that a seeded pass starts from | in a frame of the pass | until the result is read |
| what the forward steps of a pass with ``keep`` write | in the kept region | until the next such pass |
| all others | in scratch memory that all passes share, overlapping if never alive together | for the pass |
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyopencl as cl

from ..backend import Array, Request
from ..backend import calls as pass_steps
from ..errors import DeviceError
from ..program.flat_vectors import GRADIENT, PARAMETERS, Parts, parts_of_vectors
from ..program.memory_plan import MemoryLayout
from ..program.program import PACK, Gradients, Program, Step
from .device import device as devices
from .launch.calls import partial_sums_key
from .launch.launcher import Launcher
from .launch.memory import Memory, OpenCLResident, Region, to_blocks, to_rows
from .launch.packing import with_packing
from .passes import PassKind
from .pending import OpenCLPending
from .single import BoundPass, SingleStep

BATCH_KEYS = ("input", "target", "weight")
Start = Literal["loss", "delta"]


class OpenCLExecutor:
    """Runs one program at one capacity.

    Kernels are built and memory is allocated when they are first needed.

    ``launcher`` puts the kernels of a pass into launches.
    """

    def __init__(self, program: Program, dtype: str, capacity: int, device: Any, launcher: Launcher) -> None:
        self.program, self.dtype, self.device = program, np.dtype(dtype), device
        self.capacity, self.launcher, self.plan = capacity, launcher, launcher.plan
        self.layout, self.sample_outer = launcher.layout(capacity), launcher.sample_outer
        self.context = devices.context(device)
        self.queue = cl.CommandQueue(self.context)
        self.memory = Memory(self.queue, self.dtype, apart=not launcher.offsets)
        # If kernels know offsets, all parameters are one argument and all gradients are another.
        self._vectors: Parts = parts_of_vectors(program) if launcher.offsets else {}
        self._pieces = self._laid_out("none")
        self._vector: Array | None = None  # the caller's parameters, if kernels read them in place
        self._region: Region | None = None  # the memory of that vector, or of the copied parameters
        self._slots: dict[tuple[int, bool], OpenCLResident] = {}
        self._passes: dict[tuple[Start, Request], PassKind] = {}
        self._scratch: tuple[Any, int] = None, -1
        self._kept: Region | None = None
        self._indices: dict[int, Any] = {}
        self.flying: deque[OpenCLPending] = deque()  # keeps the memory alive that queued passes use

    # --------------------------------------------------------------------------------------------------- data
    def upload(
        self, inputs: Array, targets: Array | None, weights: Array | None, slot: int | None = None
    ) -> OpenCLResident:
        """Brings samples to the device in its layout; padding repeats the last sample with weight 0."""
        devices.refuse_inherited()
        samples = len(inputs)
        resident = self._slot(slot, targets is not None)
        resident.samples, resident.used = samples, self.launcher.whole(samples)
        to_blocks(resident.blocks("input"), inputs, resident.used)
        if targets is not None:
            to_blocks(resident.blocks("target"), targets, resident.used)
        weight = resident.region.host("weight")
        weight[:samples] = 1 if weights is None else weights
        weight[samples:] = 0
        resident.region.send(resident.region.layout.offsets)
        return resident

    def _slot(self, slot: int | None, targets: bool) -> OpenCLResident:
        if slot is not None and (slot, targets) in self._slots:
            return self._slots[slot, targets]
        units = {
            "input": self.program.layers[0].input.units,
            "target": self.program.layers[-1].output.units,
            "weight": 1,
        }
        resident = OpenCLResident(self.memory.region(self._batch_layout(targets)), self.layout, units)
        if slot is not None:
            self._slots[slot, targets] = resident
        return resident

    def set_parameters(self, parameters: Array) -> None:
        """Sets the parameters: kernels read them in place if they can, else from copies on the device."""
        devices.refuse_inherited()
        self._settle()
        if self._vectors and self.memory.reads(parameters):
            if parameters is not self._vector:
                self._vector, self._region = (
                    parameters,
                    self.memory.region(MemoryLayout.packed(self._lengths, 1), parameters),
                )
            return
        if self._vector is not None:
            self._vector = self._region = None
        for key, part in self._pieces:
            self._parameters.send_from(key, parameters[part])

    @property
    def _lengths(self) -> dict[str, int]:
        return {key: part.stop - part.start for key, part in self._pieces}

    @property
    def _parameters(self) -> Region:
        """The memory from which kernels read the parameters.

        That is the caller's vector, or a region that is made when it is first needed.
        """
        if self._region is None:
            self._region = self.memory.packed(self._lengths)
        return self._region

    def _laid_out(self, gradients: Gradients) -> list[tuple[str, slice]]:
        """The tensors that hold gradients, by key, and the part of the flat vector that each one holds.

        ``gradients``: "none" stands for the parameters themselves.
        """
        if self._vectors and gradients != "sample":
            return [(PARAMETERS if gradients == "none" else GRADIENT, slice(0, self.program.parameter_count))]
        return [(s.key(gradients), s.part) for s in self.program.parameters]

    def _settle(self) -> None:
        """Waits for passes that may still run because nobody took their results."""
        if self.flying:
            self.flying[-1].wait()

    def __del__(self) -> None:
        if hasattr(self, "flying"):
            self._settle()

    # --------------------------------------------------------------------------------------------------- runs
    def start(self, resident: OpenCLResident, request: Request) -> OpenCLPending:
        """Queues the pass that ``request`` needs."""
        return self._queue_up(self._pass("loss", request), resident, request)

    def seeded(self, resident: OpenCLResident, delta: Array, request: Request) -> OpenCLPending:
        """Queues the backward pass from ``delta``; padding lanes get delta 0."""
        kind = self._pass("delta", request)
        frame = kind.frame()
        self._seed(frame, resident, delta)
        return self._queue_up(kind, resident, request, frame)

    def _seed(self, frame: Region, resident: OpenCLResident, delta: Array) -> None:
        key = f"delta:{self.program.last}"
        seed = self.blocks(frame, key)
        seed[:] = 0
        to_blocks(seed, delta.T, resident.samples)
        frame.send([key])

    def _queue_up(
        self, kind: PassKind, resident: OpenCLResident, request: Request, frame: Region | None = None
    ) -> OpenCLPending:
        frame = kind.frame() if frame is None else frame
        kind.launches.fit((resident.region, frame, self._parameters), resident)
        try:
            event = kind.launches.run(self.queue)
            pending = OpenCLPending(self, kind, frame, resident, request, event)
            self.queue.flush()
        except cl.Error as error:
            self.queue.finish()
            raise DeviceError(
                f"{self.device.name.strip()}: a kernel could not be launched ({error})"
            ) from None
        self.flying.append(pending)
        return pending

    def derivative_source(self, resident: OpenCLResident) -> Array:
        """Y or Z of the last layer."""
        key, region = self.program.factor_key(self.program.last), self.kept()
        event = region.fetch([key], None)
        if event is not None:
            event.wait()
        return self.columns(region, key, resident.samples)

    def trace(self, resident: OpenCLResident, request: Request) -> Iterator[tuple[Step, Array]]:
        """Runs a pass step by step, waiting for each; yields each step with what it wrote."""
        for one in self.single("loss", resident, request):
            event, argument = one.run(), one.step.writes
            if one.step.kernel.role == PACK:
                continue
            key, part = self._vectors.get(argument.key, (argument.key, slice(None)))
            region = one.where.get(key, one.frame)
            event = region.fetch([key], event)
            if event is not None:
                event.wait()
            values = region.host(key)[part].copy()
            yield (
                one.step,
                self.columns(region, argument.key, resident.samples) if argument.samples else values,
            )

    def single(
        self, start: Start, resident: OpenCLResident, request: Request, delta: Array | None = None
    ) -> list[SingleStep]:
        """The steps of a pass, in order, each of which can be queued by itself.

        ``start``: "loss" for the pass of ``start()``, "delta" for that of ``seeded()`` from ``delta``.
        """
        kind = self._new_pass(start, request, apart=True)
        frame = kind.frame()
        if delta is not None:
            self._seed(frame, resident, delta)
        kind.launches.fit((resident.region, frame, self._parameters), resident)
        return [
            SingleStep(step, kind.launches, number, kind.where, frame, self.queue)
            for number, step in enumerate(kind.steps)
        ]

    def blocks(self, region: Region, key: str) -> Array:
        """A tensor with samples on the host, ``(blocks, units, lanes)``."""
        return self.layout.blocks(region.host(key), self.program.buffers[key].units)

    def columns(self, region: Region, key: str, samples: int) -> Array:
        """A copy of a tensor's samples, ``(units, samples)``."""
        blocks = self.blocks(region, key)
        rows = np.empty((samples, blocks.shape[1]), self.dtype)
        to_rows(blocks, rows)
        return rows.T

    def bound(
        self, start: Start, resident: OpenCLResident, request: Request, delta: Array | None = None
    ) -> BoundPass:
        """The kernels of a pass, which can be queued without reading results.

        ``start``: "loss" for the pass of ``start()``, "delta" for that of ``seeded()`` from ``delta``.
        """
        kind = self._new_pass(start, request)
        frame = kind.frame()
        if delta is not None:
            self._seed(frame, resident, delta)
        kind.launches.fit((resident.region, frame, self._parameters), resident)
        return BoundPass(self, kind, frame, resident, self.queue)

    # ------------------------------------------------------------------------------------------------- passes
    def _pass(self, start: Start, request: Request) -> PassKind:
        found = self._passes.get((start, request))
        if found is None:
            found = self._new_pass(start, request)
            self._passes[start, request] = found
        return found

    def _new_pass(self, start: Start, request: Request, apart: bool = False) -> PassKind:
        """Memory and launches of a kind of pass.  ``apart``: its steps are queued one by one."""
        steps = self._steps(start, request)
        where = {} if self._vectors else dict.fromkeys(self._parameters.layout.offsets, self._parameters)
        if request.keep or start == "delta":
            where |= dict.fromkeys(self.kept().layout.offsets, self.kept())
        gradients = self._laid_out(request.gradients) if request.gradients != "none" else []
        results = self._results(request, [key for key, _ in gradients])
        # The delta of a seeded pass comes last in the frame, so that results are read in one stretch.
        seeds = [f"delta:{self.program.last}"] if start == "delta" else []
        frame = self.memory.packed({key: self._count(key) for key in (*results, *seeds) if key not in where})
        counts = self._scratch_counts(steps, {*where, *results, *seeds})
        where |= self._in_scratch(self.launcher.scratch(steps, counts, self.memory.align, apart))
        launches = self.launcher.compose(
            steps, self.device, self._vectors, self._offsets(where, frame), apart
        )
        launches.bind(
            where, {unit: self._index(unit) for unit in {step.unit for step in steps if step.kernel.index}}
        )
        return PassKind(steps, launches, where, frame, results, gradients)

    def _steps(self, start: Start, request: Request) -> tuple[Step, ...]:
        """The kernel calls of a pass, in order, for the layout of the samples."""
        if start == "loss":
            steps = pass_steps(self.program, request)
        else:
            steps = self.program.backward("delta", request.gradients, request.input_gradient)
        if not self.sample_outer:
            return steps
        return with_packing([step.as_sample_outer() for step in steps], self.plan)

    def _results(self, request: Request, gradients: Sequence[str]) -> list[str]:
        """The keys of all tensors that are read back.

        ``gradients``: the keys of the gradients.
        """
        results = [f"output:{self.program.last}"] if request.outputs else []
        results += ["loss"] if request.losses else []
        return [*results, *gradients, *(["delta:-1"] if request.input_gradient else [])]

    def _scratch_counts(self, steps: Sequence[Step], elsewhere: Collection[str]) -> dict[str, int]:
        """The length of each tensor that lives only during the pass.

        These are partial sums, and what the steps write that does not lie ``elsewhere``.
        """
        known = {*elsewhere, *BATCH_KEYS, *self._vectors}
        packed = {s.writes.key: s.writes.extent.units for s in steps if s.kernel.role == PACK}
        known.update(packed)
        counts = packed | {
            key: self._count(key) for step in steps for key in step.use.writes if key not in known
        }
        split = [(step, self.launcher.partial_sums(step)) for step in steps]
        return counts | {
            partial_sums_key(step): partial_sums * step.writes.extent.units
            for step, partial_sums in split
            if partial_sums > 1
        }

    def _offsets(self, where: Mapping[str, Region], frame: Region) -> dict[str, int]:
        """The byte at which each tensor begins in its argument; tensors that are left out begin at byte 0."""
        if self.memory.shared:
            return {}
        regions = {
            **where,
            **{key: region for region in (frame, self._parameters) for key in region.layout.offsets},
        }
        batch = {key: start * self.dtype.itemsize for key, start in self._batch_layout(True).offsets.items()}
        return {key: region.place(key)[1] for key, region in regions.items()} | batch

    def _batch_layout(self, targets: bool) -> MemoryLayout:
        """Targets come last, so that the others lie where they do with or without them."""
        units = {"input": self.program.layers[0].input.units, "weight": 1}
        units |= {"target": self.program.layers[-1].output.units} if targets else {}
        return MemoryLayout.packed({key: self.layout.count(n) for key, n in units.items()}, self.memory.align)

    def _count(self, key: str) -> int:
        if key == GRADIENT:
            return self.program.parameter_count
        info = self.program.buffers[key]
        return self.layout.count(info.units) if info.samples else info.units

    def kept(self) -> Region:
        """The kept region, in which everything that the forward steps write lies side by side."""
        if self._kept is None:
            written = dict.fromkeys(key for step in self.program.forward for key in step.use.writes)
            self._kept = self.memory.packed({key: self._count(key) for key in written})
        return self._kept

    def _in_scratch(self, layout: MemoryLayout) -> dict[str, Region]:
        """Where the tensors of ``layout`` lie.

        Scratch memory that is too small is replaced, and passes over it are forgotten.
        """
        if self.memory.apart or not self.memory.fits(layout.total):
            return {key: self.memory.packed({key: count}) for key, count in layout.counts.items()}
        if layout.total > self._scratch[1]:
            self._settle()
            self._passes.clear()
            self._scratch = None, -1  # frees the old memory before the new one is allocated
            self._scratch = self.memory.block(layout.total), layout.total
        return dict.fromkeys(layout.offsets, self.memory.region(layout, self._scratch[0]))

    def _index(self, unit: int) -> Any:
        if unit not in self._indices:
            flags = cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR
            self._indices[unit] = cl.Buffer(self.context, flags, hostbuf=self.plan.binding(unit).index)
        return self._indices[unit]

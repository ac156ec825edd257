"""One candidate on the device: built, run into buffers of its own that hold NaN, compared with the reference,
timed.

A candidate is timed only after its numbers were right, twice and bit for bit the same.  It runs as it would
in a pass: where the backend fuses passes, alone in a fused one.
"""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from math import lcm
from typing import TYPE_CHECKING, Any

import numpy as np
import pyopencl as cl

from ...backend import Array
from ...errors import ManifestError
from ...opencl.device import device as devices
from ...opencl.launch.block_layout import BlockLayout
from ...opencl.launch.fused import Fusion, fusible
from ...opencl.launch.grouped import Grouping, groupable
from ...opencl.plan.config import DEFAULT, Fixed, KernelConfig
from ...opencl.plan.plan import Plan
from ...opencl.tuned.record import Trialled
from ...verify.kernel_run import PHI
from ...verify.verdict import BACKENDS, relative
from ..space.space import Space
from ..space.traits import traits
from .candidate import Candidate, Composed, Launched, RefusedError, allocated, first_line, shape
from .jobs import Job
from .timer import FINAL, ROUNDS, Timer, WallTimer

if TYPE_CHECKING:
    from ...opencl.backend import OpenCLBackend

#: How a refusal names what phi finished.
PHI_LABEL = "the output"


def composed(job: Job, backend: OpenCLBackend, config: KernelConfig = DEFAULT) -> Fusion | Grouping | None:
    """How the backend composes a pass with this kernel; None where it launches the kernel."""
    own = copy(backend)
    own.configs = Fixed({(job.unit.file, job.kernel.name): config})
    if backend.groups:
        grouping = own.grouping((job.unit,), job.dtype, job.samples)
        return grouping if groupable(grouping, [(0, job.kernel.name)]) else None
    if not backend.fuses:
        return None
    if job.unit.is_sample_outer:
        fusion = own.sample_outer_fusion((job.unit,), job.dtype, job.samples)
    else:
        fusion = own.fusion((job.unit,), job.dtype, job.samples)
    return fusion if fusible(fusion, [(0, job.kernel.name)]) else None


def space(job: Job, backend: OpenCLBackend) -> Space:
    """The kernel's configurations on the backend's device.

    In a fused pass its samples are those of a block, which one core computes.
    """
    device, composition = traits(backend, job.dtype), composed(job, backend)
    if not isinstance(composition, Fusion):
        device = replace(device, grouped=composition is not None)
        return Space(job.unit, job.kernel, job.dtype, job.samples, device, job.image)
    blocks = composition.blocks
    device = replace(device, width=blocks.lanes or blocks.width, machine=device.machine.fused(), fused=True)
    return Space(job.unit, job.kernel, job.dtype, blocks.samples, device, job.image)


class Trials:
    """The candidates of one kernel.  ``timer``: what compares their times."""

    def __init__(self, job: Job, backend: OpenCLBackend, timer: Timer | None = None) -> None:
        backend.require(job.dtype)
        self.job, self.backend = job, backend
        self.space = space(job, backend)
        self.timer = timer or WallTimer(
            units=int(backend.device.max_compute_units) if self.space.device.fused else 1
        )
        self.queue = cl.CommandQueue(devices.context(backend.device))
        self._inputs: tuple[tuple[BlockLayout, int] | None, dict[str, Any]] = (None, {})
        self._default: Candidate | None = None
        self._terms: dict[str, float] = {}

    # -------------------------------------------------------------------------------------- one configuration
    def prepare(self, config: KernelConfig, beside: KernelConfig = DEFAULT) -> Candidate:
        """Build; for as many samples as the tiles of ``beside`` divide too, so that both run on the
        same arrays.  RefusedError.
        """
        reason = self.space.illegal(config)
        if reason:
            raise RefusedError("invalid", reason)
        try:
            return (
                self._composed(config, beside)
                if self.space.device.composed
                else self._launched(config, beside)
            )
        except ManifestError as error:
            raise RefusedError("compile", str(error)) from None
        except (cl.Error, MemoryError) as error:
            raise RefusedError("failed", first_line(error)) from None

    def _launched(self, config: KernelConfig, beside: KernelConfig) -> Candidate:
        plan, other = self._plan(config), self._plan(beside)
        layout, used = self._both(plan, other)
        return Launched(
            self.job, config, plan, layout, self.queue, self._placed(layout, used), self.backend.kind == "cpu"
        )

    def _both(self, plan: Plan, other: Plan) -> tuple[BlockLayout, int]:
        """A capacity that the tiles of both plans divide, and the lanes that either computes."""
        step = lcm(*(k.step for p in (plan, other) for k in p.kernels.values()), plan.lanes, other.lanes)
        capacity = -(-self.job.samples // step) * step
        return BlockLayout(capacity, capacity), max(
            plan.padded(self.job.samples), other.padded(self.job.samples)
        )

    def _composed(self, config: KernelConfig, beside: KernelConfig) -> Candidate:
        found = composed(self.job, self.backend, config)
        if found is None:
            samples = self.space.samples
            raise RefusedError(
                "invalid", f"{self.job.kernel.name}: its tiles do not divide a block of {samples} samples"
            )
        if isinstance(found, Fusion):
            layout = found.layout(found.whole(self.job.samples))
            return Composed(
                self.job, config, found, layout, self.queue, self._placed(layout, layout.capacity)
            )
        layout, used = self._both(found.plan, self._plan(beside))
        grouping = Grouping(found.plan.over(layout.capacity))
        return Composed(self.job, config, grouping, layout, self.queue, self._placed(layout, used))

    def check(self, config: KernelConfig, beside: KernelConfig = DEFAULT) -> Candidate:
        """The candidate, once its numbers are right; RefusedError that names kernel and worst entry
        where they are not.
        """
        candidate = self.prepare(config, beside)
        first, second = candidate.run(), candidate.run()
        for name, expected in self.job.expected.items():
            self._compare(name, first[name], expected)
            if first[name].tobytes() != second[name].tobytes():
                raise RefusedError("wrong", f"{self.job.kernel.name}: {name} differs from run to run")
        return candidate

    def _compare(self, name: str, values: Array, expected: Array) -> None:
        tolerance = BACKENDS[self.job.dtype]
        errors = relative(values, expected)
        if not errors.size or errors.max() <= tolerance:
            return
        if name not in self._terms:
            self._terms[name] = self.job.terms(name)
        errors = relative(values, expected, self._terms[name])
        worst = tuple(int(n) for n in np.unravel_index(int(np.argmax(errors)), errors.shape))
        if errors[worst] > tolerance:
            label = PHI_LABEL if name == PHI else name
            raise RefusedError(
                "wrong",
                f"{self.job.kernel.name}: {label}{list(worst)} is {values[worst]:.9g}, the reference "
                f"{expected[worst]:.9g} "
                f"(error {errors[worst]:.1e}, tolerance {tolerance:.0e})",
            )

    def try_out(self, config: KernelConfig, best: float = 1.0) -> Trialled:
        """Check, then time beside the default; what is refused says why."""
        try:
            candidate = self.check(config)
            timing = self.timer.compare(
                self.default(candidate.layout.capacity, config), candidate, best, ROUNDS
            )
        except RefusedError as error:
            return Trialled(config, refused=error.kind, reason=error.reason)
        except cl.Error as error:
            return Trialled(config, refused="failed", reason=first_line(error))
        return Trialled(config, timing.candidate, timing.ratio)

    def confirm(self, config: KernelConfig) -> tuple[float, float]:
        """Seconds of the default and of ``config``, measured again and for longer: the fastest of many
        was lucky too.
        """
        candidate = self.check(config)
        timing = self.timer.compare(self.default(candidate.layout.capacity, config), candidate, 1.0, FINAL)
        return timing.default, timing.default * timing.ratio

    def default(self, capacity: int, beside: KernelConfig) -> Candidate:
        """The default at ``capacity``; kept."""
        if self._default is None or self._default.layout.capacity != capacity:
            self._default = self.prepare(DEFAULT, beside)
        return self._default

    def default_seconds(self) -> float:
        """The seconds of one run of the default, roughly.

        Raises RefusedError where its numbers are wrong.
        """
        candidate = self.check(DEFAULT)
        return self.timer.seconds(candidate)

    # ---------------------------------------------------------------------------------------------- arguments
    def _plan(self, config: KernelConfig) -> Plan:
        backend = copy(self.backend)
        backend.configs = Fixed({(self.job.unit.file, self.job.kernel.name): config})
        return backend.plan((self.job.unit,), self.job.dtype, self.job.samples)

    def _placed(self, layout: BlockLayout, used: int) -> dict[str, Any]:
        """The arguments in ``layout``: padded up to ``used`` with copies of the last sample whose
        deltas and weights are 0.
        """
        if self._inputs[0] == (layout, used):
            return self._inputs[1]
        placed = {}
        for name, values in self.job.arrays.items():
            units, samples = shape(self.job, name)
            host = np.full(layout.count(units) if samples else units, np.nan, self.job.dtype)
            if samples:
                columns = np.full((units, layout.capacity), np.nan, self.job.dtype)
                columns[:, : self.job.samples] = values
                columns[:, self.job.samples : used] = (
                    0 if name.startswith("delta") or name == "weight" else values[:, -1:]
                )
                layout.blocks(host, units)[:] = columns.reshape(units, -1, layout.lanes).swapaxes(0, 1)
            else:
                host[:] = values
            placed[name] = allocated(self.queue.context, max(1, host.size) * host.itemsize)
            if host.size:
                cl.enqueue_copy(self.queue, placed[name], host)
        self._inputs, self._default = ((layout, used), placed), None
        return placed

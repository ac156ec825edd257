"""Kernels beside the device's roof: how much of the peak, or of the bandwidth, each one reaches.

A kernel with at least ``INTENSITY`` operations a byte counts as bound by arithmetic, and is held against the multiply-add peak;
any other is bound by memory, and is held against the bandwidth of the level that holds what it touches.  Operations are counted
from the derived loops, bytes from the tensors: each is read or written once at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..cases.problem import Problem
from ..cases.works import DEFINITIONS, Work
from .device_peaks import Peaks
from .kernel_times import KernelTime, profile

#: Seconds that a kernel takes at least, where its launch takes longer than itself.
LEAST = 5e-7
INTENSITY = 10.0
SHARE = 0.6


@dataclass(frozen=True)
class RooflinePoint:
    """One kernel of a work against the roof; rates a second."""

    work: str
    layer: str
    kernel: str
    seconds: float
    of_work: float
    operations: int
    bytes: int
    bound: str  # compute | memory
    level: str
    share: float

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.operations / self.bytes

    @property
    def flops(self) -> float:
        """Operations a second."""
        return self.operations / self.seconds

    @property
    def bandwidth(self) -> float:
        """Bytes a second."""
        return self.bytes / self.seconds

    @property
    def met(self) -> bool:
        """Whether it reaches the share that is asked for."""
        return self.share >= SHARE


def points(work: str, kernels: Sequence[KernelTime], peaks: Peaks) -> list[RooflinePoint]:
    """The kernels of one work, in order, without what empty launches take."""
    kernels = [replace(k, seconds=max(k.seconds - k.launches * peaks.launch, LEAST)) for k in kernels]
    total = sum(kernel.seconds for kernel in kernels)
    found = []
    for k in kernels:
        bound = "compute" if k.operations >= INTENSITY * k.bytes else "memory"
        level = peaks.level(k.bytes)
        share = k.operations / k.seconds / peaks.flops if bound == "compute" else k.bytes / k.seconds / level.bandwidth
        part = k.seconds / total
        found.append(RooflinePoint(work, k.layer, k.kernel, k.seconds, part, k.operations, k.bytes, bound, level.name, share))
    return found


def record(point: RooflinePoint) -> dict[str, Any]:
    """JSON-able."""
    return asdict(point) | {"gflops": point.flops / 1e9, "gbs": point.bandwidth / 1e9, "met": point.met}


def profiled(works: Sequence[Work]) -> list[Work]:
    """Of each case the first work with gradients."""
    first: dict[str, Work] = {}
    for work in works:
        if work.mode in ("gradient", "pass"):
            first.setdefault(work.case.name, work)
    return list(first.values())


def profile_work(work: Work, folders: Sequence[str], repeats: int, device: str | None = None) -> list[KernelTime]:
    """Every kernel of ``work`` on OpenCL; in the child process, whose threads are limited."""
    problem = Problem.of(work, folders, "opencl", device)
    families = ()
    if work.case.definition:
        from ...codegen.user_file import load_definitions

        families = load_definitions([DEFINITIONS / f"{work.case.definition}.py"]).families  # type: ignore[assignment]
    delta = problem.delta if work.mode == "pass" else None
    return profile(problem.network, problem.inputs, problem.targets, repeats, delta, families)

"""Kernels beside the device's roof: how much of the peak, or of the bandwidth, each one reaches.

A kernel with at least ``INTENSITY`` operations a byte counts as bound by arithmetic, and is held against the
multiply-add peak; any other is bound by memory, and is held against the bandwidth of the level that holds
what it touches.  Operations are counted from the derived loops, bytes from the tensors: each is read or
written once at least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..cases.cases import DEFINITIONS, Case
from ..cases.problem import Problem
from .device_peaks import Peaks
from .kernel_times import KernelTime, profile

#: Seconds that a kernel takes at least, where its launch takes longer than itself.
LEAST = 5e-7
INTENSITY = 10.0
SHARE = 0.6


@dataclass(frozen=True)
class RooflinePoint:
    """One kernel of a case against the roof; rates a second."""

    case: str
    layer: str
    kernel: str
    seconds: float
    of_case: float
    operations: int
    bytes: int
    bound: str  # compute | memory
    level: str
    share: float

    @property
    def intensity(self) -> float:
        """Operations for each byte that moves."""
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


def points(case: str, kernels: Sequence[KernelTime], peaks: Peaks) -> list[RooflinePoint]:
    """The kernels of one case, in order, without what empty launches take."""
    kernels = [replace(k, seconds=max(k.seconds - k.launches * peaks.launch, LEAST)) for k in kernels]
    total = sum(kernel.seconds for kernel in kernels)
    found = []
    for k in kernels:
        bound = "compute" if k.operations >= INTENSITY * k.bytes else "memory"
        level = peaks.level(k.bytes)
        share = (
            k.operations / k.seconds / peaks.flops
            if bound == "compute"
            else k.bytes / k.seconds / level.bandwidth
        )
        part = k.seconds / total
        found.append(
            RooflinePoint(
                case, k.layer, k.kernel, k.seconds, part, k.operations, k.bytes, bound, level.name, share
            )
        )
    return found


def record(point: RooflinePoint) -> dict[str, Any]:
    """What JSON can hold."""
    return asdict(point) | {"gflops": point.flops / 1e9, "gbs": point.bandwidth / 1e9, "met": point.met}


def profiled(cases: Sequence[Case]) -> list[Case]:
    """Of each model the first case with gradients."""
    first: dict[str, Case] = {}
    for case in cases:
        if case.mode in ("gradient", "pass"):
            first.setdefault(case.model.name, case)
    return list(first.values())


def profile_case(
    case: Case, folders: Sequence[str], repeats: int, device: str | None = None
) -> list[KernelTime]:
    """Every kernel of ``case`` on OpenCL; in the child process, whose threads are limited."""
    problem = Problem.of(case, folders, "opencl", device)
    families = ()
    if case.model.definition:
        from ...codegen.user_file import load_definitions

        families = load_definitions([DEFINITIONS / f"{case.model.definition}.py"]).families  # type: ignore[assignment]
    delta = problem.delta if case.mode == "pass" else None
    return profile(problem.network, problem.inputs, problem.targets, repeats, delta, families)

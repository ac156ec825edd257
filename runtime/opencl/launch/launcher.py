"""Protocols of launches, and of a launcher, which puts the kernels of a pass into launches.

* ``single_launches`` makes one launch for every kernel.
* ``fused`` makes one for every stage of a pass (CPUs).
* ``grouped`` makes few launches (devices of many work items).

The backend chooses once, and an executor does not know which launcher it has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyopencl as cl

from ...program.flat_vectors import Parts
from ...program.memory_plan import MemoryLayout
from ...program.program import Step
from ..plan.plan import Plan
from .block_layout import BlockLayout
from .compose import Offsets
from .memory import OpenCLResident, Region


class Launches(Protocol):
    """The launches of one kind of pass, numbered by the step, stage or turn that they belong to."""

    @property
    def repeats(self) -> bool:
        """Whether one launch can repeat its work."""

    def bind(self, where: Mapping[str, Region], index: Mapping[int, Any]) -> None:
        """Sets the arguments that stay the same: tensors in ``where``, and the index tables of each unit."""

    def fit(self, regions: tuple[Region, ...], resident: OpenCLResident) -> None:
        """Lets the launches compute on ``resident``; the arguments that change lie in one of ``regions``."""

    def run(self, queue: cl.CommandQueue) -> Any:
        """Queues all launches without waiting; returns the last event, None if there is nothing to do."""

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queues the launches of ``number``, ``times`` times.

        Returns the last event, None if there is nothing to do.
        """

    def events(self, number: int, queue: cl.CommandQueue, times: int = 1) -> list[Any]:
        """Queues the launches of ``number`` and returns the event of each.

        ``times``: how often one launch repeats its work; ignored unless ``repeats``.
        """


class Launcher(Protocol):
    """Puts the kernels of a pass into launches, and says what memory they need."""

    @property
    def plan(self) -> Plan:
        """The plan by which every kernel runs."""

    @property
    def sample_outer(self) -> bool:
        """Whether samples lie one after the other."""

    @property
    def offsets(self) -> bool:
        """Whether kernels know at which byte of an argument a tensor begins.

        If so, tensors share buffers; all parameters are one argument, and all gradients are another.
        """

    def room(self, samples: int) -> int:
        """The capacity of an executor that serves ``samples`` samples."""

    def layout(self, capacity: int) -> BlockLayout:
        """The layout of tensors with samples."""

    def whole(self, samples: int) -> int:
        """The number of samples that are computed for ``samples``: these, and padding that must be finite."""

    def partial_sums(self, step: Step) -> int:
        """The number of partial sums in which the step sums over the samples."""

    def scratch(
        self, steps: Sequence[Step], counts: Mapping[str, int], align: int, apart: bool = False
    ) -> MemoryLayout:
        """Where the tensors of ``counts`` lie that nothing outside the pass reads.

        ``apart``: see ``compose``.
        """

    def compose(
        self, steps: Sequence[Step], device: Any, vectors: Parts, offsets: Offsets, apart: bool = False
    ) -> Launches:
        """The launches of ``steps``.

        ``vectors``: the flat vectors that contain parameters and gradients.
        ``offsets``: see ``compose.given``.
        ``apart``: whether every step has a launch of its own.
        """

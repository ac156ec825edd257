"""The two protocols of launches: how a backend puts the kernels of a pass into launches, and the launches themselves.

``single_launches`` has a launch for every kernel, ``fused`` one for every stage of a pass (CPUs), ``grouped`` few (devices of many
work items).  The backend chooses once; an executor does not know which one it has.
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
    """The launches of one kind of pass, by the number of the step, stage or turn that they belong to."""

    @property
    def repeats(self) -> bool:
        """Whether one launch can do its work several times."""

    def bind(self, where: Mapping[str, Region], index: Mapping[int, Any]) -> None:
        """Set the arguments that stay: tensors in ``where``, and the index tables of each unit."""

    def fit(self, regions: tuple[Region, ...], resident: OpenCLResident) -> None:
        """Compute on ``resident``, with the moving arguments that ``regions`` hold between them."""

    def run(self, queue: cl.CommandQueue) -> Any:
        """Queue them all without waiting; the event of the last, None where there is nothing to do."""

    def launch(self, number: int, queue: cl.CommandQueue, times: int = 1) -> Any:
        """Queue those of ``number``, ``times`` times; the event of the last, None where there is nothing to do."""

    def events(self, number: int, queue: cl.CommandQueue, times: int = 1) -> list[Any]:
        """Queue those of ``number``; the event of each.  ``times``: where it ``repeats``, so often in one launch."""


class Launcher(Protocol):
    """Puts the kernels of a pass into launches, and says what that asks of memory."""

    @property
    def plan(self) -> Plan:
        """How every kernel runs."""

    @property
    def sample_outer(self) -> bool:
        """Whether samples lie one after the other."""

    @property
    def offsets(self) -> bool:
        """Whether kernels know at which byte of an argument a tensor begins.

        Then tensors share buffers, and all parameters are one argument, as are their gradients.
        """

    def room(self, samples: int) -> int:
        """The capacity of an executor that serves ``samples`` samples."""

    def layout(self, capacity: int) -> BlockLayout:
        """How tensors with samples lie."""

    def whole(self, samples: int) -> int:
        """``samples`` and those that are computed beside them, which must hold finite numbers."""

    def partial_sums(self, step: Step) -> int:
        """How many partial sums the step's sum over the samples is taken in."""

    def scratch(self, steps: Sequence[Step], counts: Mapping[str, int], align: int, apart: bool = False) -> MemoryLayout:
        """Where the tensors of ``counts`` lie that nothing outside the pass reads.  ``apart``: see ``compose``."""

    def compose(self, steps: Sequence[Step], device: Any, vectors: Parts, offsets: Offsets, apart: bool = False) -> Launches:
        """The launches of ``steps``; with ``apart`` no two steps share one.

        ``vectors``: the flat vectors that parameters and gradients are parts of.  ``offsets``: see ``compose.given``.
        """

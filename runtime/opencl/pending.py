"""Results of a queued pass, on their way from the device to the user's sample-first arrays."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import numpy as np

from ..backend import Array, Request, Result
from ..program.program import Program
from .launch.memory import OpenCLResident, Region, to_rows
from .passes import PassKind


class PassOwner(Protocol):
    """What a pass on its way needs of the executor that queued it."""

    program: Program
    dtype: np.dtype[Any]
    flying: deque[OpenCLPending]

    def kept(self) -> Region:
        """The region of what forward steps with ``keep`` write."""

    def blocks(self, region: Region, key: str) -> Array:
        """A tensor with samples on the host, ``(blocks, units, lanes)``."""

    def columns(self, region: Region, key: str, samples: int) -> Array:
        """A copy of a tensor's samples, ``(units, samples)``."""


class BorrowedFrame:
    """A frame that goes back to its owner with the last reference to it.

    An array that lies in the frame holds such a reference.
    """

    def __init__(self, frame: Region, frames: list[Region]) -> None:
        self._frame, self._frames = frame, frames

    def array(self, key: str) -> Array:
        """A tensor of the frame, where it lies, as an array that keeps the frame borrowed."""
        self.__array_struct__ = self._frame.host(key).__array_struct__
        return np.asarray(self)

    def __del__(self) -> None:
        self._frames.append(self._frame)


class OpenCLPending:
    """The results of a pass, on their way into its frame."""

    def __init__(
        self,
        owner: PassOwner,
        kind: PassKind,
        frame: Region,
        resident: OpenCLResident,
        request: Request,
        event: Any,
    ) -> None:
        self.owner, self.kind, self.frame, self.resident, self.request = owner, kind, frame, resident, request
        self.samples = resident.samples
        self.event = frame.fetch(kind.framed, event)
        if kind.kept:
            self.event = owner.kept().fetch(kind.kept, self.event)

    def wait(self) -> None:
        """Until all of it is on the host."""
        if self.event is not None:
            self.event.wait()
            self.event = None
        flying = self.owner.flying
        if self in flying:  # the queue is in order: those before have ended as well
            while flying.popleft() is not self:
                pass

    def result(self, rows: Array | None = None, total: Array | None = None, add: bool = False) -> Result:
        """Wait, bring the results into sample-first order, and give the frame back."""
        self.wait()
        request, last, borrowed = (
            self.request,
            self.owner.program.last,
            BorrowedFrame(self.frame, self.kind.frames),
        )
        outputs = self._sample_first(f"output:{last}") if request.outputs else None
        losses = self._region("loss").host("loss")[: self.samples].copy() if request.losses else None
        below = self._sample_first("delta:-1") if request.input_gradient else None
        gradient = None
        if request.gradients == "sum":
            gradient = self._sum(borrowed, total, add)
        elif request.gradients == "sample":
            rows = (
                np.empty((self.samples, self.owner.program.parameter_count), self.owner.dtype)
                if rows is None
                else rows
            )
            for key, part in self.kind.gradients:
                to_rows(self.owner.blocks(self._region(key), key), rows[:, part])
        return Result(outputs, losses, gradient, rows, below)

    def _sum(self, borrowed: BorrowedFrame, total: Array | None, add: bool) -> Array | None:
        """Put the gradient into ``total``, or give it as a vector.

        The vector is that of the frame where it holds the whole gradient.
        """
        if total is None:
            keys = [key for key, _ in self.kind.gradients]
            if len(keys) == 1:
                return borrowed.array(keys[0])
            return np.concatenate([np.zeros(0, self.owner.dtype), *map(self.frame.host, keys)])
        for key, part in self.kind.gradients:
            if add:
                total[part] += self.frame.host(key)
            else:
                total[part] = self.frame.host(key)
        return None

    def _region(self, key: str) -> Region:
        return self.owner.kept() if key in self.kind.kept else self.frame

    def _sample_first(self, key: str) -> Array:
        return self.owner.columns(self._region(key), key, self.samples).T

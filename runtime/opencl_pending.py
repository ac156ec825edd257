"""Results of a queued pass, on their way from the device to the user's sample-first arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .backend import Array, Request, Result
from .opencl_memory import OpenCLResident, Region, in_blocks, to_rows

if TYPE_CHECKING:
    from .opencl_executor import OpenCLExecutor, Pass


class Lent:
    """A vector in the memory of a frame, which is free for the next pass when no array looks at it any more."""

    def __init__(self, vector: Array, frame: Region, frames: list[Region]) -> None:
        self.__array_interface__ = vector.__array_interface__
        self._vector, self._frame, self._frames = vector, frame, frames

    def __del__(self) -> None:
        self._frames.append(self._frame)


class OpenCLPending:
    """The results of a pass, on their way into its frame."""

    def __init__(
        self, owner: OpenCLExecutor, kind: Pass, frame: Region, resident: OpenCLResident, request: Request, event: Any
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
        request, last = self.request, self.owner.program.last
        outputs = self._sample_first(f"output:{last}") if request.outputs else None
        losses = self._host("loss")[: self.samples].copy() if request.losses else None
        below = self._sample_first("delta:-1") if request.input_gradient else None
        gradient = None
        if request.gradients == "sum":
            gradient = self._sum(total, add)
        elif request.gradients == "sample":
            rows = np.empty((self.samples, self.owner.program.parameter_count), self.owner.dtype) if rows is None else rows
            for key, part in self.kind.gradients:
                to_rows(in_blocks(self._host(key), self.owner.lanes, self.owner.capacity), rows[:, part])
        if gradient is None or not isinstance(gradient.base, Lent):
            self.kind.frames.append(self.frame)
        return Result(outputs, losses, gradient, rows, below)

    def _sum(self, total: Array | None, add: bool) -> Array | None:
        """Into ``total``, or as a vector: that of the frame where it holds the whole gradient."""
        if total is None:
            parts = [self.frame.host(key) for key, _ in self.kind.gradients]
            if len(parts) == 1:
                return np.asarray(Lent(parts[0], self.frame, self.kind.frames))
            return np.concatenate([np.zeros(0, self.owner.dtype), *parts])
        for key, part in self.kind.gradients:
            if add:
                total[part] += self.frame.host(key)
            else:
                total[part] = self.frame.host(key)
        return None

    def _host(self, key: str) -> Array:
        return (self.owner.kept() if key in self.kind.kept else self.frame).host(key)

    def _sample_first(self, key: str) -> Array:
        host = in_blocks(self._host(key), self.owner.lanes, self.owner.capacity)
        rows = np.empty((self.samples, host.shape[1]), host.dtype)
        to_rows(host, rows)
        return rows

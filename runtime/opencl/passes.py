"""Keeps what the passes of one kind share: launches, memory, and frames for their results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..program.program import Step
from .launch.launcher import Launches
from .launch.memory import Region


class PassKind:
    """One kind of pass: its launches, where its tensors lie, and frames that no pass uses at the moment.

    ``launches``: the launches of its steps.
    ``where``: the region of each tensor, by key.
    ``frames``: frames that no pass uses at the moment.
    ``framed``: the keys of the results in the frame.
    ``kept``: the keys of the results in the kept region.
    ``gradients``: the key of each gradient, and the part of the flat vector that it holds.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        launches: Launches,
        where: Mapping[str, Region],
        frame: Region,
        results: Sequence[str],
        gradients: Sequence[tuple[str, slice]],
    ) -> None:
        self.steps, self.launches, self.where, self.frames = tuple(steps), launches, where, [frame]
        self.framed = tuple(key for key in results if key not in where)
        self.kept = tuple(key for key in results if key in where)
        self.gradients = tuple(gradients)
        self._pattern = frame

    def frame(self) -> Region:
        """Takes a frame for the next pass; two passes that run at the same time have one each."""
        return self.frames.pop() if self.frames else self._pattern.another()

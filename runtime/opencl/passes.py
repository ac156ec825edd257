"""One kind of pass: its launches, where its tensors lie, and the frames that its results go to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..program.program import Step
from .launch.launcher import Launches
from .launch.memory import Region


class PassKind:
    """One kind of pass: its launches, where its tensors lie, and frames that no pass uses at the moment.

    ``framed``: the results in the frame.
    ``kept``: the results in the kept region.
    ``gradients``: the key of each parameter's gradient, and its part of the flat vector.
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
        """One for the next pass; two passes that are on their way have one each."""
        return self.frames.pop() if self.frames else self._pattern.another()

"""Steps of a pass one by one, and passes whose results stay on the device.

Traces, the tuner's checks and benchmarks queue them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..program.program import Step
from .launch.launcher import Launches
from .launch.memory import OpenCLResident, Region
from .passes import PassKind


@dataclass(frozen=True)
class SingleStep:
    """One step with all its arguments set."""

    step: Step
    launches: Launches
    number: int
    where: Mapping[str, Region]
    frame: Region
    queue: Any

    def run(self) -> Any:
        """Queue it; its event, None where there is nothing to do."""
        return self.launches.launch(self.number, self.queue)

    def events(self, queue: Any, times: int = 1) -> list[Any]:
        """Queue it; the event of each of its launches.

        ``times``: where it ``repeats``, so often in one launch.
        """
        return self.launches.events(self.number, queue, times)

    @property
    def repeats(self) -> bool:
        """Whether one launch can do it several times: where passes are fused."""
        return self.launches.repeats


@dataclass(frozen=True)
class BoundPass:
    """Kernels with all their arguments set, for benchmarks: what they compute stays on the device."""

    owner: object  # whose memory the kernels use
    kind: PassKind
    frame: Region
    resident: OpenCLResident
    queue: Any

    def run(self) -> None:
        """Queue them all."""
        self.kind.launches.run(self.queue)

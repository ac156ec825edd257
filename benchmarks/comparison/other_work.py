"""How busy other processes kept the machine during a measurement.

Libraries whose threads spin at barriers suffer more from it than others.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
#: Above this part of the processors' time, figures are not to be quoted.
MUCH = 0.1


@dataclass(frozen=True)
class Clock:
    """Seconds since some moment.

    wall: by the clock.
    busy: of all processors at work; None where the system does not tell (no /proc/stat).
    own: of this process, with those children that it has waited for.
    """

    wall: float
    busy: float | None
    own: float

    @classmethod
    def now(cls) -> Clock:
        """Reads the clocks."""
        mine = os.times()
        return cls(
            time.monotonic(),
            busy_seconds(),
            mine.user + mine.system + mine.children_user + mine.children_system,
        )


def busy_seconds(text: str | None = None) -> float | None:
    """Seconds of all processors at work or taken away, of the first line of /proc/stat."""
    if text is None:
        if not STAT.is_file():
            return None
        text = STAT.read_text()
    user, nice, system, _, _, irq, soft, steal = (int(field) for field in text.split()[1:9])
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def by_others(start: Clock, end: Clock, cores: int) -> float | None:
    """The part of the processors' time that other processes took between two readings."""
    if start.busy is None or end.busy is None or end.wall <= start.wall:
        return None
    return max(0.0, (end.busy - start.busy) - (end.own - start.own)) / ((end.wall - start.wall) * cores)


def load() -> float:
    """The load average of the last minute; 0 where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def warn_when_busy(threads: int) -> None:
    """Say on stderr that others compete for the cores; spinning thread pools then wait for one another."""
    found, cores = load(), os.cpu_count() or 1
    if found + threads > cores + 0.5:
        print(f"load average {found:.1f} on {cores} cores: the times below compare little", file=sys.stderr)

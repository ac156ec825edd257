"""What a person sees on stderr while kernels are tuned.

On a terminal this is a bar of the budget, elsewhere a line for each kernel.
"""

from __future__ import annotations

import sys
import time
from typing import TextIO

from ..opencl.tuned.record import Trialled, words
from .tune import Observer, Silent

__all__ = ["observer"]


def observer(quiet: bool = False, stream: TextIO | None = None) -> Observer:
    """A bar where ``stream`` (stderr) is a terminal, lines where it is not, nothing where ``quiet``."""
    out = stream or sys.stderr
    if quiet:
        return Silent()
    return Bar(out) if out.isatty() else Lines(out)


class _Count:
    """Candidates tried of the kernel in hand, and its best."""

    def __init__(self) -> None:
        self.tried, self.refused, self.best = 0, 0, 1.0

    def add(self, trial: Trialled) -> None:
        self.tried += 1
        self.refused += bool(trial.refused)
        if not trial.refused:
            self.best = min(self.best, trial.ratio)

    def __str__(self) -> str:
        refused = f", {self.refused} refused" if self.refused else ""
        return f"{self.tried} tried{refused}, best {self.best:.2f} of the default"


class Lines:
    """One line per kernel, when its search ends."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.name, self.count = out, "", _Count()

    def begin(self, kernels: int, budget: float) -> None:
        self.kernels = kernels
        print(f"{kernels} kernels, {budget:g} s", file=self.out, flush=True)

    def kernel(self, number: int, name: str) -> None:
        self._show()
        self.name, self.count = name, _Count()

    def tried(self, name: str, trial: Trialled) -> None:
        self.count.add(trial)

    def end(self) -> None:
        self._show()

    def _show(self) -> None:
        if self.count.tried:
            print(f"{self.name}: {self.count}", file=self.out, flush=True)


class Bar:
    """The seconds of the budget, the kernel in hand, and the candidate."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
            TextColumn("{task.fields[words]}"),
            console=Console(file=out),
            transient=True,
        )
        self.count = _Count()

    def begin(self, kernels: int, budget: float) -> None:
        self.started = time.monotonic()
        self.task = self.progress.add_task(f"{kernels} kernels", total=budget, words="measuring the defaults")
        self.progress.start()

    def kernel(self, number: int, name: str) -> None:
        self.count = _Count()
        self._show(name, "")

    def tried(self, name: str, trial: Trialled) -> None:
        self.count.add(trial)
        self._show(name, f"{self.count}; {words(trial.config)}")

    def _show(self, name: str, text: str) -> None:
        self.progress.update(
            self.task, completed=time.monotonic() - self.started, description=name, words=text
        )

    def end(self) -> None:
        self.progress.stop()

"""What a person sees while training runs, on stderr: a bar on a terminal, some plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TextIO

from .history import Epoch
from .train import Observer, Silent

_REFRESH = 0.1
_MOST_LINES = 12


def observer(quiet: bool = False, stream: TextIO | None = None) -> Observer:
    """A bar where ``stream`` (stderr) is a terminal, lines where it is not, nothing where ``quiet``."""
    out = stream or sys.stderr
    if quiet:
        return Silent()
    return Bar(out) if out.isatty() else Lines(out)


def measures(epoch: Epoch) -> str:
    """``loss 0.1234, 97.8%  validation 0.2345, 96.1%``: short enough for a bar on 80 columns."""
    words = f"loss {epoch.loss:.4g}{_share(epoch.accuracy)}"
    if epoch.validation_loss is None:
        return words
    return f"{words}  validation {epoch.validation_loss:.4g}{_share(epoch.validation_accuracy)}"


def _share(accuracy: float | None) -> str:
    return "" if accuracy is None else f", {accuracy:.1%}"


class Lines:
    """At most about a dozen lines over the run, the last epoch among them."""

    def __init__(self, out: TextIO) -> None:
        self.out = out
        self.last: Epoch | None = None
        self.shown = -1

    def begin(self, epochs: int, done: int, unit: str) -> None:
        self.epochs, self.unit = epochs, unit
        self.every = max(1, epochs // _MOST_LINES)

    def step(self, done: float) -> None:
        return None

    def epoch(self, epoch: Epoch) -> None:
        self.last = epoch
        if epoch.number % self.every == 0:
            self._show(epoch)

    def end(self) -> None:
        if self.last is not None and self.last.number != self.shown:
            self._show(self.last)

    def _show(self, epoch: Epoch) -> None:
        self.shown = epoch.number
        print(f"{self.unit} {epoch.number}/{self.epochs}  {measures(epoch)}", file=self.out, flush=True)


class Bar:
    """A bar with epoch, loss, accuracy, and the time that is left (at the end, that it took)."""

    def __init__(self, out: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=12), TextColumn("{task.fields[measures]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True), console=Console(file=out),
        )  # fmt: skip
        self.shown = 0.0

    def begin(self, epochs: int, done: int, unit: str) -> None:
        self.epochs, self.unit = epochs, unit
        self.task = self.progress.add_task(self._count(done), total=epochs, completed=done, measures="")
        self.progress.start()

    def _count(self, number: int) -> str:
        return f"{self.unit} {number}/{self.epochs}"

    def step(self, done: float) -> None:
        now = time.monotonic()
        if now - self.shown >= _REFRESH:
            self.shown = now
            self.progress.update(self.task, completed=done)

    def epoch(self, epoch: Epoch) -> None:
        self.progress.update(
            self.task, completed=epoch.number, description=self._count(epoch.number), measures=measures(epoch)
        )  # fmt: skip

    def end(self) -> None:
        self.progress.stop()

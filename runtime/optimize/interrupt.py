"""Holds Ctrl-C back while state changes, so that it is only ever seen whole."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class InterruptGate:
    """Within the gate's `with` block, Ctrl-C passes at once, except inside `closed()`, where it waits for its
    end.

    Outside the main thread, or where SIGINT is ignored, the gate does nothing.
    """

    def __init__(self) -> None:
        self._previous: Any = None
        self._closed = False
        self._pending = False

    def __enter__(self) -> InterruptGate:
        if threading.current_thread() is threading.main_thread():
            previous = signal.getsignal(signal.SIGINT)
            if callable(previous):
                self._previous = previous
                signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._closed:
            self._pending = True
        else:
            self._previous(number, frame)

    @contextmanager
    def closed(self) -> Iterator[None]:
        """A Ctrl-C inside the block is delivered at its end."""
        self._closed = True
        try:
            yield
        finally:
            self._closed = False
            if self._pending:
                self._pending = False
                self._previous(signal.SIGINT, None)

"""The executors of a network, found by need.  Each thread has its own."""

from __future__ import annotations

import threading

import numpy as np

from ..backend import Backend, Executor, Request
from ..program.program import Program

#: Bytes that per-sample gradients and Jacobian rows may take at a time.
ROW_BYTES = 64 * 2**20
#: An executor serves needs down to this share of its capacity.
SPARE = 8


class Executors(threading.local):
    """Executors of one program by the number of samples and what is asked for.

    An executor is the memory of one pass at a time, so no two threads share one: a thread that first asks builds its own, from
    programs that all threads share, and its memory goes with the thread.
    """

    def __init__(self, backend: Backend, program: Program, dtype: str) -> None:
        self.backend, self.program, self.dtype = backend, program, dtype
        self.built: dict[tuple[int, bool], Executor] = {}  # by capacity and form
        self._fitting: dict[tuple[int, Request], Executor] = {}

    def find(self, samples: int, request: Request) -> Executor:
        """Buffers and kernels for such passes of ``samples`` samples: at hand where one of up to 8 times the need is.

        Building kernels takes longer than any pass, and an executor that adds in the same order changes no bit of a result.
        """
        if (samples, request) not in self._fitting:
            self._fitting[samples, request] = self._find(samples, request)
        return self._fitting[samples, request]

    def rows_within_bounds(self) -> int:
        """Samples whose gradients, one by one, ``ROW_BYTES`` hold."""
        return int(ROW_BYTES // (max(1, self.program.parameter_count) * np.dtype(self.dtype).itemsize))

    def _find(self, samples: int, request: Request) -> Executor:
        rows = self.backend.in_rows(self.program, self.dtype, samples, request)
        capacity = self.backend.capacity(self.program, self.dtype, samples, rows)
        most = SPARE * capacity
        if request.gradients == "sample":
            most = min(most, self.rows_within_bounds())
        at_hand = [c for c, form in self.built if form == rows and capacity <= c <= max(most, capacity)]
        fitting = [c for c in at_hand if self.backend.same_sums(self.program, self.dtype, capacity, c, request, rows)]
        if not fitting:
            self.built[capacity, rows] = self.backend.executor(self.program, self.dtype, capacity, rows)
            return self.built[capacity, rows]
        return self.built[min(fitting), rows]

"""The executors of a network, found by need.  Each thread has its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from ..backend import Backend, Executor, Request
from ..program.program import Program
from .batch import Batch

#: Bytes that per-sample gradients and Jacobian rows may take at a time.
ROW_BYTES = 64 * 2**20
#: An executor serves needs down to this share of its capacity.
SPARE = 8


class Executors(threading.local):
    """Executors of one program by the number of samples and what is asked for.

    An executor is the memory of one pass at a time, so no two threads share one: a thread that first asks
    builds its own, from programs that all threads share, and its memory goes with the thread.
    """

    def __init__(self, backend: Backend, program: Program, dtype: str) -> None:
        self.backend, self.program, self.dtype = backend, program, dtype
        self.built: dict[tuple[int, bool], Executor] = {}  # by capacity, and whether samples are outermost
        self._fitting: dict[tuple[int, Request], Executor] = {}

    def find(self, samples: int, request: Request) -> Executor:
        """Buffers and kernels for passes of ``samples`` samples; reuses an executor of up to 8 times the
        needed capacity.

        Building kernels takes longer than any pass, and an executor that adds in the same order changes no
        bit of a result.
        """
        if (samples, request) not in self._fitting:
            self._fitting[samples, request] = self._find(samples, request)
        return self._fitting[samples, request]

    def rows_within_bounds(self) -> int:
        """Samples whose gradients, one by one, ``ROW_BYTES`` hold."""
        return int(ROW_BYTES // (max(1, self.program.parameter_count) * np.dtype(self.dtype).itemsize))

    def _find(self, samples: int, request: Request) -> Executor:
        backend, program, dtype = self.backend, self.program, self.dtype
        sample_outer = backend.prefers_sample_outer(program, dtype, samples, request)
        capacity = backend.capacity(program, dtype, samples, sample_outer)
        most = SPARE * capacity
        if request.gradients == "sample":
            most = min(most, self.rows_within_bounds())
        at_hand = [
            c for c, outer in self.built if outer == sample_outer and capacity <= c <= max(most, capacity)
        ]
        fitting = [
            c for c in at_hand if backend.same_sums(program, dtype, capacity, c, request, sample_outer)
        ]
        if not fitting:
            self.built[capacity, sample_outer] = backend.executor(program, dtype, capacity, sample_outer)
            return self.built[capacity, sample_outer]
        return self.built[min(fitting), sample_outer]


class Residents(threading.local):
    """Samples on the device, for one thread: ``parts`` of at most ``size`` samples, in the memory of
    its ``executor``.
    """

    def __init__(self, batch: Batch, size: int, executor: Callable[[], Executor]) -> None:
        self.executor = own = executor()
        self.parts = tuple(
            (part, own.upload(cut.inputs, cut.targets, cut.weights)) for part, cut in batch.cut(size)
        )

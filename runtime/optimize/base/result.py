"""What every method hands back: the point, why it stopped, and the history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from enum import IntEnum

import numpy as np

from .vector import Vector


class Status(IntEnum):
    """Why a run stopped.  Up to 9 the run found what was asked for.

    UNBOUNDED: f falls without end.  LOST: the run settled where f is higher than it was before; x is that
    earlier point.
    """

    GRADIENT = 0
    FUNCTION = 1
    STEP = 2
    TARGET = 3
    ZERO_RESIDUAL = 4
    MAX_ITERATIONS = 10
    MAX_EVALUATIONS = 11
    TIME_LIMIT = 12
    CALLBACK = 13
    INTERRUPTED = 14
    LINE_SEARCH = 20
    DAMPING = 21
    DIVERGED = 22
    NOT_FINITE = 23
    RAISED = 24  # see `OptimizeResult.error`
    UNBOUNDED = 25
    LOST = 26

    @property
    def converged(self) -> bool:
        """True where a tolerance or target was met."""
        return self < 10


@dataclass(frozen=True, slots=True)
class Record:
    """One iteration.

    `gradient_norm` is max|g|; `step` is alpha (lambda for LM); counts and seconds are totals.
    """

    nit: int
    fun: float
    gradient_norm: float
    step: float
    nfev: int
    njev: int
    seconds: float
    note: str = ""


@dataclass
class History:
    """The records of a run, in order; record 0 is the start."""

    records: list[Record] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records)

    def __getitem__(self, index: int) -> Record:
        return self.records[index]

    def column(self, name: str) -> np.ndarray:
        """One field of all records as an array, shape (iterations + 1,)."""
        return np.array([getattr(record, name) for record in self.records])

    def to_dict(self) -> dict[str, list[float | int | str]]:
        """Columns by name, for JSON."""
        return {f.name: [getattr(record, f.name) for record in self.records] for f in fields(Record)}

    def to_json(self) -> str:
        """The records as JSON text; NaN is written as NaN, as Python's json reads it."""
        return json.dumps([asdict(record) for record in self.records])

    @classmethod
    def from_json(cls, text: str) -> History:
        """The inverse of `to_json`."""
        return cls([Record(**record) for record in json.loads(text)])


@dataclass(frozen=True, slots=True)
class Progress:
    """What a callback sees after each iteration; x and jac are its own copies."""

    nit: int
    x: Vector
    fun: float
    jac: Vector
    step: float
    nfev: int
    njev: int
    seconds: float
    note: str


@dataclass(frozen=True)
class OptimizeResult:
    """The outcome of `minimize`.

    x: (n,) the lowest point seen (of mini-batches: the last), in x0's dtype.
    fun: f(x).
    jac: gradient at x, None where it was never computed (an interrupted value-only search).
    nit: iterations.
    nfev, njev: how often the functions of f and of the gradient or Jacobian were called.
    status, message: why it stopped.
    memory_bytes: what the method itself was predicted to need.
    error: with status RAISED what the objective raised, traceback included.
    """

    x: Vector
    fun: float
    jac: Vector | None
    nit: int
    nfev: int
    njev: int
    status: Status
    message: str
    history: History
    method: str
    seconds: float
    objective_seconds: float
    memory_bytes: int
    error: Exception | None = None

    @property
    def success(self) -> bool:
        """True where a tolerance or target was met."""
        return self.status.converged

    def __str__(self) -> str:
        return (
            f"{self.method}: f = {self.fun:.10g} after {self.nit} iterations, {self.nfev} evaluations, "
            f"{self.seconds:.3g} s; {self.message}"
        )

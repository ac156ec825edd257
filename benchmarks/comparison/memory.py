"""Peak memory of one gradient beside what it has to store: activations, deltas and parameters.

Measured in a process of its own as ``gradient.peak_memory`` does: the same gradient has run and was thrown away before.  With host
arrays the rise of the resident set over what stood before the network was made; placed, the rise over the same point, but
without the copies that were needed only to bring the samples to the device.

    python -m phiz.benchmarks.comparison.memory CASE BATCH THREADS [FOLDER ...]        (prints a JSON object)
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..cases.works import BY_NAME, Work
from ..gradient.peak_memory import CLEAR, limit_threads, readable, resident_bytes, settle

GOAL = 1.3


@dataclass(frozen=True)
class Peak:
    """Bytes.  ``stored``: activations and deltas of one micro-batch, and the parameters.  Peaks are None without /proc."""

    case: str
    batch: int
    micro_batch: int
    stored: int
    host: int | None
    placed: int | None

    def ratio(self, peak: int | None) -> float | None:
        """A peak over what is stored."""
        return None if peak is None else peak / self.stored

    @property
    def met(self) -> bool | None:
        """Whether the peak with placed samples stays within the goal."""
        found = self.ratio(self.placed)
        return None if found is None else found <= GOAL

    def record(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self) | {"ratio_host": self.ratio(self.host), "ratio_placed": self.ratio(self.placed), "met": self.met}


def measured(works: Sequence[Work]) -> list[Work]:
    """Each case and batch once."""
    return list({(w.case.name, w.batch): w for w in works if w.mode in ("gradient", "pass")}.values())


def peak(work: Work, threads: int, folders: Sequence[str]) -> Peak:
    """In a process of its own; RuntimeError with its last line where that fails."""
    command = [sys.executable, "-m", __name__, work.case.name, str(work.batch), str(threads), *folders]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(f"memory of {work.case.name} at batch {work.batch}: {lines[-1] if lines else 'no answer'}")
    return Peak(**json.loads(done.stdout))


def _measure(name: str, batch: int, folders: Sequence[str]) -> Peak:
    case = BY_NAME[name].at(batch)
    inputs, targets = case.samples(batch)

    def host() -> None:
        network = case.network(manifests=folders)
        for _ in range(2):
            network.value_and_gradient(network.parameters, inputs, targets)

    host()
    network = case.network(manifests=folders)
    program, itemsize = network.program, inputs.dtype.itemsize
    micro_batch = network.part_length(batch)
    stored = (program.units_per_sample * micro_batch + network.parameter_count) * itemsize
    del network, program
    settle()
    if not readable():
        return Peak(name, batch, micro_batch, stored, None, None)
    before = resident_bytes("VmRSS")
    CLEAR.write_text("5")
    host()
    peak_host = resident_bytes("VmHWM") - before
    settle()
    before = resident_bytes("VmRSS")
    network = case.network(manifests=folders)
    placed = network.place(inputs, targets)
    settle()
    CLEAR.write_text("5")
    for _ in range(2):
        network.value_and_gradient(network.parameters, placed)
    return Peak(name, batch, micro_batch, stored, peak_host, resident_bytes("VmHWM") - before)


if __name__ == "__main__":
    limit_threads(int(sys.argv[3]))
    print(json.dumps(asdict(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[4:]))))

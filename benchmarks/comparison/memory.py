"""Peak memory of one gradient beside what it has to store: activations, deltas and parameters.

Each network is measured in a process of its own.  The same gradient has run there before and was thrown away,
so that neither compilers nor libraries that load on first use are counted.

* With host arrays: the rise of the resident set over what stood before the network was made.
* Placed: the rise over the same point, without the copies that were needed only to bring the samples to the
  device.

    python -m phiz.benchmarks.comparison.memory CASE BATCH [FOLDER ...]        (prints a JSON object)
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..cases.cases import BY_NAME, Case
from ..cases.models import Array, Model
from .resident_memory import readable, reset_peak, resident_bytes, settle
from .worker_process import environment

GOAL = 1.3
Samples = tuple[Array, Array]


@dataclass(frozen=True)
class Peak:
    """Bytes that a gradient needs, beside those that it has to store.

    model, batch: what was measured.
    micro_batch: samples that a pass takes.
    stored: activations and deltas of one micro-batch, and the parameters.
    host: the peak with host arrays; None without /proc.
    placed: the peak with samples on the device; None without /proc.
    """

    model: str
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
        """What JSON can hold."""
        return asdict(self) | {
            "ratio_host": self.ratio(self.host),
            "ratio_placed": self.ratio(self.placed),
            "met": self.met,
        }


def measured(cases: Sequence[Case]) -> list[Case]:
    """Those whose memory is measured: each model and batch once."""
    return list({(w.model.name, w.batch): w for w in cases if w.mode in ("gradient", "pass")}.values())


def peak(case: Case, threads: int, folders: Sequence[str]) -> Peak:
    """In a process of its own; RuntimeError with its last line where that fails."""
    command = [sys.executable, "-m", __name__, case.model.name, str(case.batch), *folders]
    done = subprocess.run(command, env=environment(threads), capture_output=True, text=True, check=False)
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(
            f"memory of {case.model.name} at batch {case.batch}: {lines[-1] if lines else 'no answer'}"
        )
    return Peak(**json.loads(done.stdout))


def _measure(name: str, batch: int, folders: Sequence[str]) -> Peak:
    model = BY_NAME[name].at(batch)
    samples = model.samples(batch)
    _with_host_arrays(model, folders, samples)
    network = model.network(manifests=folders)
    micro_batch = network.part_length(batch)
    units = network.program.units_per_sample * micro_batch + network.parameter_count
    stored = units * samples[0].dtype.itemsize
    del network
    settle()
    if not readable():
        return Peak(name, batch, micro_batch, stored, None, None)
    before = resident_bytes("VmRSS")
    reset_peak()
    _with_host_arrays(model, folders, samples)
    host = resident_bytes("VmHWM") - before
    return Peak(name, batch, micro_batch, stored, host, _placed(model, folders, samples))


def _with_host_arrays(model: Model, folders: Sequence[str], samples: Samples) -> None:
    """Two gradients of a network that is made here and thrown away."""
    network = model.network(manifests=folders)
    for _ in range(2):
        network.value_and_gradient(network.parameters, *samples)


def _placed(model: Model, folders: Sequence[str], samples: Samples) -> int:
    """The peak of two gradients of samples on the device, over what stood before the network was made."""
    settle()
    before = resident_bytes("VmRSS")
    network = model.network(manifests=folders)
    placed = network.place(*samples)
    settle()
    reset_peak()
    for _ in range(2):
        network.value_and_gradient(network.parameters, placed)
    return resident_bytes("VmHWM") - before


if __name__ == "__main__":
    # The parent has set the threads, before any library was imported.
    print(json.dumps(asdict(_measure(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))))

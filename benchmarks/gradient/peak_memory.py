"""Peak memory of one gradient, measured in a process of its own.

It is the rise of the resident set over what stood before.

Before the measurement the same gradient has run once and was thrown away, so that neither compilers nor libraries that load
on first use are counted.  The data set is resident before as well: what counts is what the gradient itself needs.

    python -m phiz.benchmarks.gradient.peak_memory SIDE CASE SAMPLES THREADS     (prints {"bytes": n} or {"bytes": null})
"""

from __future__ import annotations

import ctypes
import gc
import json
import os
import subprocess
import sys
from pathlib import Path

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes(side: str, case: str, samples: int, threads: int) -> int | None:
    """Bytes that one gradient of ``case`` needs; None where the system does not tell (no /proc)."""
    command = [sys.executable, "-m", __name__, side, case, str(samples), str(threads)]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    if found.returncode:
        raise RuntimeError(f"memory of {side} {case} {samples}: {found.stderr.strip().splitlines()[-1]}")
    value = json.loads(found.stdout)["bytes"]
    return None if value is None else int(value)


def limit_threads(threads: int) -> None:
    """Environment for PoCL's, OpenMP's and BLAS's pools; before any of them is imported."""
    for name in ("POCL_MAX_PTHREAD_COUNT", "POCL_CPU_MAX_CU_COUNT", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def resident_bytes(field: str) -> int:
    """``VmRSS``, or ``VmHWM`` for its peak, of this process."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def readable() -> bool:
    """Whether the system tells the peak of a process and lets it be reset (Linux)."""
    return STATUS.exists() and os.access(CLEAR, os.W_OK)


def settle() -> None:
    """Give free memory back to the system, so that the rise is not hidden in it."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError):
        return  # not glibc: the rise may then be measured too small


def _measure(side: str, name: str, samples: int, threads: int) -> int | None:
    from ..cases.cases import CASES
    from .eager import TorchTwin

    case = CASES[name]
    inputs, targets = case.samples(samples)

    def gradient() -> None:
        network = case.network("numpy" if side == "torch" else side)
        if side == "torch":
            twin = TorchTwin(network, network.parameters, inputs, targets, threads)
            for _ in range(2):
                twin.value_and_gradient()
            return
        for _ in range(2):
            network.value_and_gradient(network.parameters, inputs, targets)

    gradient()
    settle()
    if not readable():
        return None
    before = resident_bytes("VmRSS")
    CLEAR.write_text("5")
    gradient()
    return max(0, resident_bytes("VmHWM") - before)


if __name__ == "__main__":
    limit_threads(int(sys.argv[4]))
    print(json.dumps({"bytes": _measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))}))

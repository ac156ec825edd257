"""How long one waits for kernels and for the first gradient of a new process.

Every time is that of a whole process, the interpreter's start included.  Caches lie in a temporary folder:
PoCL's (``POCL_CACHE_DIR``), that of NVIDIA's driver (``CUDA_CACHE_PATH``), PyOpenCL's and phiz's own
(``XDG_CACHE_HOME``).
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .worker_process import environment

EVERYTHING = """
from phiz.codegen.generate import generate
from phiz.codegen.user_file import BUILT_IN
generate(BUILT_IN.families, BUILT_IN.activations, BUILT_IN.losses)
"""
ONE_LAYER = """
import sys
from phiz.codegen.generate import generate
from phiz.codegen.user_file import combined, load_definitions
needed = combined(load_definitions(sys.argv[1:]))[0]
generate(needed.families, needed.activations, needed.losses)
"""
GATED = '''
from phiz.derive import Sum, layer, sigmoid, tanh

@layer()
def gated(L):
    """A gated layer: tanh of one affine map times a sigmoid of another."""
    Y = L.input()
    i, j = L.maps("i"), Y.j
    w, v = L.parameter("w", i, j), L.parameter("v", i, j)
    b, c = L.parameter("b", i), L.parameter("c", i)
    A = L.stage("A", i)(Sum(w[i, j] * Y[j], j) + b[i])
    B = L.stage("B", i)(Sum(v[i, j] * Y[j], j) + c[i])
    return L.output(i)(tanh(A[i]) * sigmoid(B[i]))
'''
GRADIENT = """
from phiz.benchmarks.cases.models import MODELS
network = MODELS["lenet"].network()
network.value_and_gradient(network.parameters, *MODELS["lenet"].samples(128))
"""


@dataclass(frozen=True)
class Wait:
    """A wait in seconds: the median of some processes, and what it is to stay below."""

    what: str
    seconds: float
    goal: float

    @property
    def met(self) -> bool:
        """Whether it stays below."""
        return self.seconds <= self.goal

    def record(self) -> dict[str, Any]:
        """What JSON can hold."""
        return asdict(self) | {"met": self.met}


def waits(threads: int, repeats: int = 3, device: str | None = None, gpu: bool = False) -> list[Wait]:
    """All of them; RuntimeError with the last line of a process that fails.

    threads: what the processes keep to, unless the device is a GPU.
    repeats: processes whose median counts; one fewer where they are slow.
    device: phiz's OpenCL device (see ``device.choose``).
    gpu: whether it is a GPU.
    """
    with tempfile.TemporaryDirectory(prefix="phiz_bench_") as folder:
        room = Path(folder)
        definition = room / "gated.py"
        definition.write_text(GATED, encoding="utf-8")
        own = environment(threads, gpu) | ({"PHIZ_DEVICE": device} if device else {})
        everything = statistics.median(_process(EVERYTHING, own) for _ in range(max(1, repeats - 1)))
        one_layer = statistics.median(_process(ONE_LAYER, own, str(definition)) for _ in range(repeats))
        cold = statistics.median(
            _process(GRADIENT, empty_caches(own, room / f"cold{n}")) for n in range(max(1, repeats - 1))
        )
        warm = statistics.median(
            _process(GRADIENT, empty_caches(own, room / "cold0")) for _ in range(repeats)
        )
    return [
        Wait("derive and emit everything, cold", everything, 5.0),
        Wait("derive and emit one layer", one_layer, 1.0),
        Wait("first gradient of LeNet, new process, warm caches", warm, 1.5),
        Wait("first gradient of LeNet, new process, cold caches", cold, 6.0),
    ]


def empty_caches(own: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The environment ``own`` with every cache in ``folder``, which is empty at first."""
    names = ("POCL_CACHE_DIR", "CUDA_CACHE_PATH", "XDG_CACHE_HOME", "PHIZ_CACHE")
    places = {name: str(folder / name.lower()) for name in names}
    for place in places.values():
        Path(place).mkdir(parents=True, exist_ok=True)
    return {**own, **places}


def _process(program: str, own: Mapping[str, str], *arguments: str) -> float:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=dict(own),
        capture_output=True,
        text=True,
        check=False,
    )
    taken = time.perf_counter() - started
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise RuntimeError(f"a new process failed: {lines[-1] if lines else os.strerror(done.returncode)}")
    return taken

"""Memory of gradients and waiting times: measured in processes of their own, held against what they
should be.
"""

from __future__ import annotations

import numpy as np
import pytest
from phiz.benchmarks.cases.cases import CASES, Case
from phiz.benchmarks.cases.models import MODELS
from phiz.benchmarks.comparison import memory, startup


def test_stored_bytes_are_activations_deltas_and_parameters() -> None:
    found = memory.peak(Case(MODELS["dense"], 64, "gradient", "t"), 1, ())
    # Input, two tanh layers, a softmax of five stages of which three are scalars; the deltas of all but the
    # input.
    network = MODELS["dense"].network("numpy")
    buffers = [b for b in network.program.buffers.values() if b.samples]
    assert {"input", "output:0", "output:1", "delta:0", "delta:1"} <= {b.key for b in buffers}
    parameters = 784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10
    assert (found.stored - 4 * parameters) % (4 * 64) == 0
    per_sample = (found.stored - 4 * parameters) // (4 * 64)
    assert 784 + 3 * (300 + 100) < per_sample < 784 + 3 * (300 + 100) + 100  # z, y and delta of either
    assert found.host is None or (
        found.stored / 4 < found.host < 100 * found.stored and found.placed is not None
    )


def test_ratios_and_the_goal() -> None:
    found = memory.Peak("c", 8, 16, 1000, 2000, 1300)
    assert found.ratio(found.host) == 2 and found.met is True
    assert memory.Peak("c", 8, 16, 1000, None, 1310).met is False
    unknown = memory.Peak("c", 8, 16, 1000, None, None)
    assert unknown.met is None and unknown.record()["ratio_host"] is None


def test_each_network_and_batch_is_measured_once() -> None:
    found = [(case.model.name, case.batch) for case in memory.measured(CASES)]
    assert len(set(found)) == len(found) and ("lenet", 16) in found and ("convolution", 32) in found


def test_waits_name_a_process_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "EVERYTHING", "raise SystemExit('it broke')")
    with pytest.raises(RuntimeError, match="a new process failed: it broke"):
        startup.waits(1, 1)


def test_waits_are_seconds_of_whole_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gradient's process sees empty caches first and the same ones, filled, later."""
    monkeypatch.setattr(startup, "EVERYTHING", "import time; time.sleep(0.2)")
    monkeypatch.setattr(startup, "ONE_LAYER", "import sys; assert 'def gated' in open(sys.argv[1]).read()")
    look = "import os, pathlib, time\nf = pathlib.Path(os.environ['POCL_CACHE_DIR']) / 'k'\n"
    monkeypatch.setattr(startup, "GRADIENT", look + "time.sleep(0 if f.exists() else 0.5)\nf.touch()")
    everything, layer, warm, cold = startup.waits(1, 1)
    assert everything.seconds > 0.2 and layer.seconds > 0
    assert warm.seconds < cold.seconds and cold.seconds > 0.5
    assert np.array_equal([w.goal for w in (everything, layer, warm, cold)], [5, 1, 1.5, 6])
    assert startup.Wait("w", 2.0, 1.0).met is False

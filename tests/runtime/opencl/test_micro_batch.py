"""How many samples a pass takes where nobody says."""

from pathlib import Path

import numpy as np
import pytest
from phiz.runtime.backend import Request, calls, nearest_power
from phiz.runtime.network.network import Network
from phiz.runtime.opencl import backend as backend_opencl
from phiz.runtime.opencl.backend import MOST, OpenCLBackend
from phiz.runtime.opencl.device import caches
from phiz.runtime.program.layer import layer


def cache(folder: Path, index: int, level: str, size: str) -> None:
    (folder / f"index{index}").mkdir(parents=True)
    (folder / f"index{index}" / "level").write_text(f"{level}\n")
    (folder / f"index{index}" / "size").write_text(f"{size}\n")


def test_the_second_level_cache_is_read(tmp_path: Path) -> None:
    assert caches.core_cache(tmp_path / "nowhere") == caches.USUAL
    for number, (level, size) in enumerate([("1", "48K"), ("1", "32K"), ("2", "1280K"), ("3", "32M")]):
        cache(tmp_path / "a", number, level, size)
    assert caches.core_cache(tmp_path / "a") == 1280 * 1024
    cache(tmp_path / "b", 2, "2", "2M")
    assert caches.core_cache(tmp_path / "b") == 2 * 2**20
    cache(tmp_path / "c", 2, "2", "plenty")
    assert caches.core_cache(tmp_path / "c") == caches.USUAL


def test_nearest_power() -> None:
    assert [nearest_power(n, 1, 64) for n in (0, 1, 2.8, 2.9, 5.6, 5.7, 1000)] == [1, 1, 2, 4, 4, 8, 64]
    assert nearest_power(3, 32, 64) == 32


def test_a_pass_fits_the_cores_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tensors of a pass, as planned, take about the cores' own caches, whatever the network; never
    fewer than some vectors.
    """
    monkeypatch.setattr(backend_opencl, "core_cache", lambda: 2**22)
    backend = OpenCLBackend()
    room = max(backend_opencl.CACHE_BYTES, backend.device.max_compute_units * 2**22)
    for units in (20, 300, 3000):
        network = Network(
            [layer("dense", maps=units, activation="tanh"), layer("softmax", maps=10)],
            784,
            "ce",
            backend=backend,
        )
        per_sample = network.program.planned_units * 4
        assert 0.7 < network.micro_batch * per_sample / room < 1.42
        steps = calls(network.program, Request(losses=True, gradients="sum"))
        written = {key for step in steps for key in step.use.writes if network.program.buffers[key].samples}
        assert per_sample // 4 < sum(network.program.buffers[key].units for key in written) + 784 + 10 + 1
    small = Network([layer("dense", maps=1)], 1, "mse", backend=backend)
    large = Network([layer("dense", maps=1)], 2**22, "mse", backend=backend)
    least = backend.width("float32") * backend.device.max_compute_units  # a vector for every core
    assert (small.micro_batch, large.micro_batch) == (MOST, least)
    double = Network(
        [layer("dense", maps=300), layer("softmax", maps=10)], 784, "ce", backend=backend, dtype="float64"
    )
    assert double.micro_batch * double.program.planned_units * np.dtype("float64").itemsize < 1.42 * room

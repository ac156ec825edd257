"""The gradient benchmark: it runs, its table and JSON hold numbers, its operation counts and its comparison are right."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.benchmarks.gradient import gradient
from phiz.benchmarks.gradient.peak_memory import peak_bytes
from phiz.benchmarks.kernels.kernel_times import operations, profile
from phiz.runtime.network.network import Network
from phiz.runtime.program.layer import LayerSpec, layer


def table(text: str, first: str) -> list[list[str]]:
    """The cells of the Markdown table whose header begins with ``first``."""
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"| {first} |"))
    rows = itertools.takewhile(lambda line: line.startswith("|"), lines[start:])
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def test_the_command_prints_a_table_and_writes_json(tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    command = [sys.executable, "-m", "phiz.benchmarks.gradient.gradient",
               "--cases", "digits", "--batches", "5", "13", "--rounds", "2",
               "--block", "0.001", "--no-torch", "--no-memory", "--kernels", "--json", str(file)]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    header, rule, *rows = table(found.stdout, "network")
    assert header[:4] == ["network", "batch", "phiz ms", "placed ms"] and set(rule) == {"---", "---:"}
    assert [row[:2] for row in rows] == [["digits", "5"], ["digits", "13"]]
    assert all(float(cell) > 0 for row in rows for cell in row[2:4])
    kernels = table(found.stdout, "layer")[2:]
    report = json.loads(file.read_text())
    assert report["torch"] is None and [row["batch"] for row in report["rows"]] == [5, 13]
    assert len(kernels) - 1 == len(report["kernels"][0]["kernels"]) > 15  # the last line sums up
    assert kernels[-1][0] == "all" and float(kernels[-1][2]) > 0
    assert {"forward_Z", "delta_Y", "gradient_w", "head_ce_delta"} <= {row[1] for row in kernels}


def test_an_unknown_case_is_bad_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert gradient.main(["--cases", "resnet"]) == 2
    assert "unknown case 'resnet', known are lenet, digits, dense" in capsys.readouterr().err


def test_the_comparison_sees_one_wrong_entry() -> None:
    """A gradient whose smallest parameter is off by a thousandth of its own largest entry is refused."""
    network = Network([layer("dense", maps=3, activation="tanh"), layer("softmax", maps=2)], 4, "ce", backend="numpy")
    value, right = network.value_and_gradient(network.parameters, np.ones((3, 4)), np.eye(2)[[0, 1, 1]])
    assert gradient.difference((value, right), (value, right), network.slices) == 0
    piece = network.slices[0]
    wrong = right.copy()
    wrong[piece.offset] += 1e-3 * np.abs(right[piece.offset : piece.stop]).max()
    assert gradient.difference((value, wrong), (value, right), network.slices) > gradient.TOLERANCE
    assert gradient.difference((value * 1.001, right), (value, right), network.slices) > gradient.TOLERANCE


# ------------------------------------------------------------------------------------------------- operation counts
def counted(specs: list[LayerSpec], shape: Any, unit: int, kernel: str, samples: int = 1) -> int:
    network = Network(specs, shape, "mse", backend="numpy")
    steps = (*network.program.forward, *network.program.backward("loss", "sum", True))
    step = next(s for s in steps if (s.unit, s.kernel.name) == (unit, kernel))
    return operations(step, network.program.units[unit], network, samples)


def test_operations_of_a_dense_layer() -> None:
    specs = [layer("dense", maps=5, activation="tanh"), layer("dense", maps=3)]
    assert counted(specs, 7, 0, "forward_Z", 11) == 11 * 5 * (2 * 7 + 1 + 1)  # bias, phi
    assert counted(specs, 7, 1, "delta_Y", 11) == 11 * 5 * (2 * 3 + 2)  # phi' and its product
    assert counted(specs, 7, 0, "gradient_w", 11) == 11 * 5 * 7 * 2
    assert counted(specs, 7, 0, "gradient_b", 11) == 11 * 5


@pytest.mark.parametrize("stride,padding,dilation", [(1, 0, 1), (2, 1, 1), (3, 2, 2), (2, 3, 3)])
def test_operations_of_a_convolution_by_enumeration(stride: int, padding: int, dilation: int) -> None:
    """Taps inside the map, counted one by one; the delta reads the same taps as the forward pass."""
    height, kernel, maps, below = 9, 3, 4, 2
    specs = [layer("convolution", maps=maps, kernel=kernel, stride=stride, padding=padding, dilation=dilation)]
    size = (height + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1
    taps = sum(
        all(0 <= stride * x[r] + dilation * u[r] - padding < height for r in (0, 1))
        for x in itertools.product(range(size), repeat=2)
        for u in itertools.product(range(kernel), repeat=2)
    )
    assert counted(specs, (below, height, height), 0, "forward_Z") == maps * below * taps * 2 + maps * size**2 * 2
    assert counted(specs, (below, height, height), 0, "delta_Y") == maps * below * taps * 2 + below * height**2 * 2
    assert counted(specs, (below, height, height), 0, "gradient_w") == maps * below * taps * 2


def test_operations_of_listed_connections() -> None:
    specs = [layer("irregular", connections=[[0, 3], [1, 2, 2], []], activation="tanh")]
    assert counted(specs, 4, 0, "forward_Z") == 5 * 2 + 3


def test_profile_names_every_kernel_of_the_gradient() -> None:
    network = Network([layer("dense", maps=3, activation="tanh"), layer("softmax", maps=2)], 4, "ce")
    found = profile(network, np.ones((5, 4), np.float32), np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 1]], repeats=2)
    steps = (*network.program.forward, network.program.value, *network.program.backward("loss", "sum", False))
    assert [kernel.kernel for kernel in found] == [step.kernel.name for step in steps]
    assert all(kernel.seconds > 0 and kernel.gflops >= 0 for kernel in found)


# ------------------------------------------------------------------------------------------------------------ memory
def test_the_memory_of_a_gradient_is_measured() -> None:
    found = peak_bytes("numpy", "digits", 64, 2)
    assert found is None or 10**5 < found < 10**9


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_host_memory_does_not_grow_with_the_data_set(backend: str) -> None:
    """Ten times the samples, the same peak: everything is done micro-batch by micro-batch, checks included."""
    network = Network([layer("dense", maps=8, activation="tanh"), layer("softmax", maps=4)], 300, "ce", backend, micro_batch=256)

    def peak(count: int) -> int:
        inputs = np.random.default_rng(0).random((count, 300), dtype=np.float32)
        targets = np.eye(4, dtype=np.float32)[np.arange(count) % 4]
        network.value_and_gradient(network.parameters, inputs, targets)
        tracemalloc.start()
        network.value_and_gradient(network.parameters, inputs, targets)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(10_240) < 1.1 * peak(1_024) + 50_000

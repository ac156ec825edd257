"""What depends on the width of vectors and on the number of threads, on devices that this machine can pretend
to have.

The suite runs on the device as it is.  Here the same tests run in processes of their own, as PoCL reads its
environment once: at every narrower width (see ``vector_registers``), and with one and with four threads.

Slow because up to ten test files run again on every device that is pretended, and their kernels are built
anew for each.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from phiz.runtime.errors import DeviceError, PhizError
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.opencl.device import vector_registers
from phiz.runtime.opencl.device.vector_registers import LANES, REGISTERS, Registers
from phiz.runtime.opencl.tuned.identity import device_class, place
from phiz.runtime.tuner.space.traits import traits

ROOT = Path(__file__).parents[1]
#: What depends on the number of threads: how samples, blocks and shares of a pass are dealt out.
DEALT_OUT = (
    "tests/runtime/network/test_builtin.py::test_the_capacity_changes_no_bit",
    "tests/runtime/network/test_backends.py",
    "tests/runtime/opencl/test_executor.py",
    "tests/runtime/opencl/launch/test_packing.py",
    "tests/runtime/opencl/launch/test_fused.py",
    "tests/runtime/opencl/plan/test_partial_sums.py",
    "tests/runtime/opencl/test_sample_outer.py",
)
#: What depends on the width too: the kernels' configurations and their own sums.
DEPENDENT = (
    *DEALT_OUT,
    "tests/runtime/opencl/plan/test_reduction_groups.py",
    "tests/runtime/tuner/trials/test_trial.py",
    "tests/runtime/tuner/trials/test_choices.py",
    "tests/runtime/opencl/tuned/test_lookup.py",
    "tests/runtime/tuner/trials/test_kernel_configs.py::test_random_legal_configs_of_built_in_layers",
)
THREADS = (1, 4)

NATIVE = devices.registers(devices.Device(devices.choose().handle)).lanes
OWN = devices.registers(devices.choose()).lanes
UNITS = int(devices.choose().max_compute_units)
OTHERS = [
    *({"PHIZ_LANES": str(n)} for n in LANES if n <= NATIVE and n != OWN),
    *({"POCL_MAX_PTHREAD_COUNT": str(n)} for n in THREADS if n != UNITS),
]


@pytest.mark.parametrize("setting", OTHERS, ids=lambda setting: "=".join(*setting.items()))
def test_on_another_device(setting: dict[str, str]) -> None:
    environment = {
        name: value
        for name, value in os.environ.items()
        if name != "POCL_AFFINITY" and not name.startswith("PYTEST_")
    }
    tests = DEPENDENT if "PHIZ_LANES" in setting else DEALT_OUT
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    done = subprocess.run(
        command, cwd=ROOT, env=environment | setting, capture_output=True, text=True, check=False
    )
    summary = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert done.returncode == 0, "\n".join(
        [*summary, *done.stdout.splitlines()[-30:], *done.stderr.splitlines()[-10:]]
    )


# -------------------------------------------------------------------------------------- devices made narrower
@pytest.mark.parametrize("lanes", [n for n in LANES if n <= NATIVE])
def test_a_narrower_device_is_narrower_in_everything_that_asks(lanes: int) -> None:
    backend = OpenCLBackend(lanes=lanes)
    assert backend.width("float32") == lanes == backend.lanes
    assert backend.width("float64") == {4: 2, 8: 4, 16: 4}[lanes]
    for dtype in ("float32", "float64"):
        assert traits(backend, dtype).widest == backend.width(dtype)
        assert traits(backend, dtype).machine.registers == REGISTERS[lanes]
    assert device_class(backend.device).floats == place(backend.device).lanes == lanes, (
        "the keys of configurations"
    )
    assert ("made narrower" in backend.describe()) is (lanes < NATIVE)


def test_a_wider_device_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Registers(8, 16, "a test")
    with pytest.raises(
        PhizError, match=r"^PHIZ_LANES=16: a device has vectors of 8 floats, expected 4 or 8$"
    ):
        vector_registers.narrowed(own, 16, "a device", "PHIZ_LANES")
    for lanes in (0, 3, -4, 32, 4.0, True, "4"):
        with pytest.raises(
            PhizError, match=rf"^lanes={lanes!r}: .* has vectors of {NATIVE} floats, expected 4"
        ):
            OpenCLBackend(lanes=lanes)  # type: ignore[arg-type]
    for text in ("3", "x", "-4", "4.0", "0"):
        monkeypatch.setenv("PHIZ_LANES", text)
        with pytest.raises(PhizError, match=rf"^PHIZ_LANES={text}: expected 4, 8 or 16$"):
            devices.choose()
    monkeypatch.setenv("PHIZ_LANES", " ")
    assert devices.choose() == devices.Device(devices.choose().handle)


def test_the_full_width_is_no_other_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its kernels would be built twice."""
    monkeypatch.setenv("PHIZ_LANES", str(NATIVE))
    assert devices.choose() == devices.Device(devices.choose().handle)
    monkeypatch.setenv("PHIZ_LANES", str(LANES[0]))
    assert devices.choose(lanes=NATIVE).lanes == 0, "the argument counts before the environment"


def test_registers_shrink_with_the_lanes() -> None:
    assert vector_registers.narrowed(Registers(16, 32, ""), 8, "", "").count == 16
    assert vector_registers.narrowed(Registers(16, 32, ""), 16, "", "").count == 32
    assert [Registers(n, 16, "").doubles for n in (1, *LANES)] == [1, 2, 4, 4]


def test_a_gpu_has_no_vector_registers_to_narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "kind", lambda device: "gpu")
    monkeypatch.setenv("PHIZ_LANES", "4")
    assert devices.choose().lanes == 0
    with pytest.raises(
        DeviceError, match=r"lanes=4, but only the vector registers of a CPU can be made narrower"
    ):
        devices.choose(lanes=4)

"""OpenCL against NumPy in both precisions, on batch sizes around the vector width, and the device's own
subjects.
"""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.errors import DeviceError, ManifestError
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.manifest.records import KernelInfo, TileInfo
from phiz.runtime.network.backends import make_backend
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend, work_group
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.opencl.device.machine import Machine
from phiz.runtime.opencl.plan.config import Fixed, KernelConfig
from phiz.runtime.opencl.plan.plan import Plan
from phiz.runtime.program.layer import layer

TOLERANCE = {"float64": 1e-11, "float32": 1e-4}
SPECS = [
    layer("dense", units=9, activation="square"),
    layer("dense", units=5, activation="tanh"),
    layer("dense", units=3, activation="square"),
]


def pair(folder: Path, dtype: str, **options: Any) -> tuple[Network, Network]:
    manifest = load_folder(folder, trust=True)
    first, second = (
        Network(SPECS, 4, "mse", backend=b, dtype=dtype, manifests=manifest, **options)
        for b in ("numpy", "opencl")
    )
    return first, second


def batch(samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(samples)
    return random.normal(size=(samples, 4)), random.normal(size=(samples, 3)), random.uniform(0.1, 2, samples)


def close(found: Any, expected: Any, dtype: str) -> None:
    """Relative to the largest entry: single entries of a sum may cancel."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_opencl_equals_numpy(folder: Path, dtype: str) -> None:
    numpy, opencl = pair(folder, dtype, micro_batch=16)
    p = numpy.parameters
    for samples in (37, 1, 7, 8, 9, 16):
        x, t, w = batch(samples)
        for name in ("value_and_gradient", "losses", "value", "per_sample_gradients", "input_gradient"):
            found, expected = (getattr(n, name)(p, x, t, w) for n in (opencl, numpy))
            for a, b in (
                zip(found, expected, strict=True) if name == "value_and_gradient" else [(found, expected)]
            ):
                close(a, b, dtype)
        close(opencl.forward(p, x), numpy.forward(p, x), dtype)
        chunks = [list(n.jacobian_chunks(p, x, t, chunk=5)) for n in (opencl, numpy)]
        for (r, rows), (expected_r, expected_rows) in zip(*chunks, strict=True):
            close(r, expected_r, dtype)
            close(rows, expected_rows, dtype)
        rows = opencl.per_sample_gradients(p, x, t, w)
        close(rows.sum(axis=0), opencl.value_and_gradient(p, x, t, w)[1], dtype)


def test_results_repeat_bit_for_bit(folder: Path) -> None:
    _, network = pair(folder, "float32", micro_batch=16)
    x, t, w = batch(41)
    placed = network.place(x, t, w)
    error, gradient = network.value_and_gradient(network.parameters, x, t, w)
    for samples in (3, 41, 17):  # other sizes in between leave no trace
        network.value_and_gradient(network.parameters, *batch(samples))
        again, same = network.value_and_gradient(network.parameters, x, t, w)
        kept, kept_gradient = network.value_and_gradient(network.parameters, placed)
        assert again == error == kept
        assert np.array_equal(same, gradient) and np.array_equal(kept_gradient, gradient)


def test_one_sample_per_work_item(folder: Path) -> None:
    """The layout of GPUs: vectors of one sample, whatever device runs them here."""
    backend = OpenCLBackend()
    backend.kind = "gpu"
    network = Network(
        SPECS, 4, "mse", backend=backend, manifests=load_folder(folder, trust=True), micro_batch=16
    )
    numpy, _ = pair(folder, "float32")
    x, t, w = batch(21)
    assert network.executor(5).capacity == 5 and backend.width("float32") == 1
    for found, expected in zip(
        *(n.value_and_gradient(numpy.parameters, x, t, w) for n in (network, numpy)), strict=True
    ):
        close(found, expected, "float32")
    close(
        network.per_sample_gradients(numpy.parameters, x, t, w),
        numpy.per_sample_gradients(numpy.parameters, x, t, w),
        "float32",
    )


def test_forward_between_gradients_and_without_targets(folder: Path) -> None:
    numpy, opencl = pair(folder, "float64", micro_batch=8)
    x, t, w = batch(20)
    p = numpy.parameters
    for network in (numpy, opencl):
        before = network.value_and_gradient(p, x, t, w)
        outputs = network.forward(p, x[:5])
        after = network.value_and_gradient(p, x, t, w)
        assert before[0] == after[0] and np.array_equal(before[1], after[1])
        close(outputs, numpy.forward(p, x)[:5], "float64")


def test_an_abandoned_pass_does_no_harm(folder: Path) -> None:
    _, network = pair(folder, "float64", micro_batch=4)
    x, t, w = batch(20)
    expected = network.value_and_gradient(network.parameters, x, t, w)
    chunks = network.jacobian_chunks(network.parameters, x, t, chunk=4)
    next(chunks)
    chunks.close()
    found = network.value_and_gradient(network.parameters, x, t, w)
    assert found[0] == expected[0] and np.array_equal(found[1], expected[1])


def test_first_nonfinite_on_the_device(folder: Path) -> None:
    _, network = pair(folder, "float32")
    x, t, _ = batch(11)
    assert network.first_nonfinite(network.parameters, x, t) is None
    p = network.parameters.copy()
    p[: 9 * 4] = 1e30
    x[:10] = 0
    found = network.first_nonfinite(p, x, t)
    assert found is not None and (found.layer, found.role, found.sample) == (0, "forward", 10)


def test_programs_are_built_once(folder: Path) -> None:
    from phiz.runtime.opencl.device.programs import _build

    _, first = pair(folder, "float32")
    x, t, w = batch(8)
    first.value_and_gradient(first.parameters, x, t, w)
    before = _build.cache_info()
    _, second = pair(folder, "float32")
    second.value_and_gradient(second.parameters, x, t, w)
    after = _build.cache_info()
    assert after.misses == before.misses and after.hits > before.hits


def test_a_kernel_that_does_not_build_is_named(folder: Path) -> None:
    text = (folder / "opencl" / "dense.cl").read_text().replace("vec sum", "vector sum")
    (folder / "opencl" / "dense.cl").write_text(text)
    data = json.loads((folder / "manifest.json").read_text())
    data["files"]["opencl/dense.cl"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(data))
    _, network = pair(folder, "float32")
    with pytest.raises(DeviceError, match=r"opencl/dense\.cl: does not build on .*vector") as caught:
        network.forward(network.parameters, np.ones((2, 4)))
    assert "\n" not in str(caught.value)


def test_an_activation_that_the_kernels_lack_is_named(folder: Path) -> None:
    """A layer generated before a user added an activation."""
    data = json.loads((folder / "manifest.json").read_text())
    data["activations"]["mine"] = {**data["activations"]["tanh"]}
    (folder / "manifest.json").write_text(json.dumps(data))
    network = Network(
        [layer("dense", units=2, activation="mine"), SPECS[2]],
        4,
        "mse",
        backend="opencl",
        manifests=load_folder(folder, trust=True),
    )
    with pytest.raises(ManifestError, match=r"dense\.cl: knows no phi_mine; generate this layer in one run"):
        network.forward(network.parameters, np.ones((2, 4)))


def test_sample_tiles_divide_the_capacity(folder: Path) -> None:
    manifest = load_folder(folder, trust=True)
    network = Network(SPECS, 4, "mse", backend="opencl", manifests=manifest)
    backend = OpenCLBackend()
    width = backend.width("float32")
    for samples in (1, width, width + 1, 5 * width, 100):
        capacity = backend.capacity(network.program, "float32", samples)
        blocks = backend.fusion(network.program.units, "float32", samples).blocks
        assert samples <= capacity < samples + blocks.samples and capacity % blocks.samples == 0
        assert width % blocks.width == 0, (
            "few samples may have vectors shorter than the device's, so that every core has one"
        )
    unit = network.program.units[0]

    def tiled(name: str, macro: str) -> KernelInfo:
        kernel = unit.kernels[0]
        launch = replace(kernel.launch, tiles={macro: TileInfo(None)}, operands=((macro,),))
        return replace(kernel, name=name, launches={kernel.layout: launch})

    kernel, other = tiled(unit.kernels[0].name, "TILE"), tiled("other", "OTHER")
    units = (replace(unit, kernels=(kernel, other)),)
    wanted = {
        (unit.file, kernel.name): KernelConfig({"TILE": 3}),
        (unit.file, "other"): KernelConfig({"OTHER": 2}),
    }
    plans = [
        Plan(units, Fixed(wanted), "float32", 4, 4 * vectors, Machine(16, 2))
        for vectors in (1, 2, 3, 4, 6, 7)
    ]
    assert [plan.capacity // 4 for plan in plans] == [1, 2, 6, 6, 6, 12]
    assert [plan.padded(9) for plan in plans] == [12] * 6


def test_kernels_of_one_pass_may_differ_in_vector_width(folder: Path) -> None:
    numpy, _ = pair(folder, "float32")
    unit = numpy.program.units[0]
    widths = zip(unit.kernels, (1, 4, 2, 8, 16), strict=False)
    wanted = {(unit.file, kernel.name): KernelConfig(width=width) for kernel, width in widths}
    backend = OpenCLBackend(configs=Fixed(wanted))
    network = Network(
        SPECS, 4, "mse", backend=backend, manifests=load_folder(folder, trust=True), micro_batch=16
    )
    x, t, w = batch(21)
    for found, expected in zip(
        *(n.value_and_gradient(numpy.parameters, x, t, w) for n in (network, numpy)), strict=True
    ):
        close(found, expected, "float32")


@settings(max_examples=200)
@given(st.tuples(st.integers(1, 200), st.integers(1, 3000), st.integers(1, 70)))
def test_work_groups_divide_and_are_few(size: tuple[int, ...]) -> None:
    group = work_group(size)
    assert all(n % k == 0 for n, k in zip(size, group, strict=True))
    assert np.prod(group) <= 64 and group[0] in (1, 4, 16)
    assert np.prod(size) // np.prod(group) >= 16 or group[1] == 1
    assert work_group(size[:1]) == (group[0],) and work_group((0, 4)) == (0, 4)


# ---------------------------------------------------------------------------------------------------- devices
def test_the_device_is_found_and_works() -> None:
    found = devices.discover()
    assert found and all(info.compute_units >= 1 and info.global_memory > 0 for info in found)
    device = devices.choose()
    devices.self_test(device)
    assert devices.choose(found[0].selector).name.strip() == found[0].name
    assert "OpenCL" in OpenCLBackend().describe()


def test_vectors_are_as_wide_as_the_compilers_registers_whatever_the_processor_has() -> None:
    """PoCL's compiler may know a processor with AVX-512 as one without; vectors of 16 then crash it."""
    device = devices.choose()
    context = devices.context(device)
    text = "__kernel void k(__global int *x) { x[0] = 8; }\n"
    wide, narrow = text.replace("8", "16"), text.replace("8", "4")
    text = f"#if defined(__AVX512F__)\n{wide}\n#elif defined(__AVX__)\n{text}\n#else\n{narrow}\n#endif"
    found, queue = np.zeros(1, np.int32), cl.CommandQueue(context)
    buffer = cl.Buffer(context, cl.mem_flags.WRITE_ONLY, 4)
    cl.Program(context, text).build().k(queue, (1,), None, buffer)
    cl.enqueue_copy(queue, found, buffer)
    own = devices.Device(device.handle)
    assert devices.vector_width(own, "cpu", "float32") == found[0]
    assert devices.machine(own, "cpu").registers == {4: 16, 8: 16, 16: 32}[int(found[0])]
    if device.lanes:
        assert devices.vector_width(device, "cpu", "float32") == device.lanes < found[0]


def test_choosing_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DeviceError, match=r"no OpenCL device matches 'nosuch', there are 0:0"):
        devices.choose("nosuch")
    monkeypatch.setenv("PHIZ_DEVICE", "0:99")
    with pytest.raises(DeviceError, match="0:99"):
        devices.choose()
    monkeypatch.setenv("PHIZ_DEVICE", "")
    monkeypatch.setenv("PYOPENCL_CTX", "0")
    assert devices.choose().handle == devices.all_devices()[0]


@pytest.mark.parametrize(
    ("cores", "given", "expected"),
    [
        (4, {}, {"POCL_AFFINITY": "1"}),
        (4, {"POCL_AFFINITY": "0"}, {"POCL_AFFINITY": "0"}),  # the user's own choice
        (8, {}, {}),  # four of eight are allowed: PoCL would take the first four
        (4, {"POCL_MAX_PTHREAD_COUNT": "4"}, {"POCL_MAX_PTHREAD_COUNT": "4", "POCL_AFFINITY": "1"}),
        (
            4,
            {"POCL_MAX_PTHREAD_COUNT": "5"},
            {"POCL_MAX_PTHREAD_COUNT": "5"},
        ),  # a fifth core is asked for, and PoCL aborts
        (
            4,
            {"POCL_CPU_MAX_CU_COUNT": "1"},
            {"POCL_CPU_MAX_CU_COUNT": "1"},
        ),  # the first core, like every other such process
    ],
)
def test_threads_keep_to_their_cores(
    cores: int, given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda process: set(range(4)), raising=False)
    monkeypatch.setattr(devices.os, "cpu_count", lambda: cores)
    devices.pinned(given)
    assert given == expected


def test_a_device_has_a_thread_on_every_core() -> None:
    """In a process of its own: PoCL reads its environment once."""
    code = (
        "import os; from phiz.runtime.opencl.device import device; found = device.choose(); "
        "device.context(found);"
        "linux = os.path.isdir('/proc/self/task');"
        "bound = [os.sched_getaffinity(int(t)) for t in os.listdir('/proc/self/task')] if linux else [];"
        "everywhere = linux and os.sched_getaffinity(0) == set(range(os.cpu_count()));"
        "alone = sorted(next(iter(b)) for b in bound if len(b) == 1);"
        "pocl = 'portable' in found.platform.name.lower() and os.cpu_count() > 1;"
        "assert not (everywhere and pocl) or alone == list(range(found.max_compute_units)), bound"
    )
    chosen = ("POCL_AFFINITY", *devices.THREADS)
    environment = {name: value for name, value in os.environ.items() if name not in chosen}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


def test_no_platform_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    import pyopencl

    def nothing() -> list[Any]:
        raise pyopencl.LogicError("clGetPlatformIDs failed: PLATFORM_NOT_FOUND_KHR")

    monkeypatch.setattr(pyopencl, "get_platforms", nothing)
    with pytest.raises(DeviceError, match=r'no OpenCL platform found .*pip install "pyopencl\[pocl\]"'):
        make_backend("opencl")
    assert devices.discover() == []
    assert make_backend("auto").name == "numpy"


def test_no_fp64_is_said_before_anything_is_built(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "has_fp64", lambda device: False)
    with pytest.raises(DeviceError, match=r"has no double precision \(fp64\)"):
        pair(folder, "float64")
    _, single = pair(folder, "float32")
    assert single.forward(single.parameters, np.ones((2, 4))).shape == (2, 3)

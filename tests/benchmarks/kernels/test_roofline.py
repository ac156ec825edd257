"""Roofline: bytes and operations against hand counts, the roof that a kernel is held against, and the
device's measured peaks.
"""

from __future__ import annotations

import pytest
from phiz.benchmarks.cases.cases import CASES
from phiz.benchmarks.kernels import device_peaks, roofline
from phiz.benchmarks.kernels.device_peaks import Level, Peaks
from phiz.benchmarks.kernels.kernel_times import KernelTime, _shared, moved_bytes, operations, profile
from phiz.derive.ir import Call, Load, Name
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.program.layer import LayerSpec, layer

PEAKS = Peaks(
    "device",
    "float32",
    400e9,
    16,
    16,
    (Level("L2", 1000, 100e9, "copy"), Level("memory", 10**9, 20e9, "triad")),
    1e-6,
)


def counted(
    specs: list[LayerSpec], shape: object, unit: int, kernel: str, samples: int, loss: str = "mse"
) -> tuple[int, int]:
    """Bytes and operations of one kernel of a network."""
    network = Network(specs, shape, loss, backend="numpy", dtype="float32")
    steps = (*network.program.forward, network.program.value, *network.program.backward("loss", "sum", True))
    step = next(s for s in steps if (s.unit, s.kernel.name) == (unit, kernel))
    one = network.program.units[unit]
    return moved_bytes(step, one, network, samples), operations(step, one, network, samples)


def test_bytes_of_a_dense_layer() -> None:
    specs = [layer("dense", maps=5, activation="tanh"), layer("dense", maps=3)]
    assert counted(specs, 7, 0, "forward_Z", 11) == (
        4 * (11 * 7 + 5 * 7 + 5 + 2 * 11 * 5),  # y and z, which phi' is computed from
        11 * 5 * (2 * 7 + 2),
    )
    assert counted(specs, 7, 1, "delta_Y", 11)[0] == 4 * (
        3 * 5 + 11 * 3 + 11 * 5 + 11 * 5
    )  # w, delta, output, phi'(y)
    assert counted(specs, 7, 0, "gradient_w", 11)[0] == 4 * (11 * 7 + 11 * 5 + 5 * 7)
    assert counted(specs, 7, 0, "gradient_b", 11)[0] == 4 * (11 * 5 + 5)


def test_positions_stored_z_and_tables_are_moved_as_well() -> None:
    pooled = [layer("max_pooling", window=2)]
    assert counted(pooled, (1, 4, 4), 0, "forward_Z", 3)[0] == 4 * 3 * (16 + 4 + 4)
    below = [
        layer("convolution", maps=2, kernel=2, activation="tanh"),
        layer("max_pooling", window=2),
        layer("dense", maps=3),
    ]
    assert counted(below, (1, 5, 5), 1, "delta_Y", 3)[0] == 4 * 3 * (
        8 + 8 + 32
    )  # tanh is the pooling layer's, below it phi' is 1
    gelu = [layer("dense", maps=5, activation="gelu"), layer("dense", maps=2)]  # its derivative needs Z
    assert counted(gelu, 7, 0, "forward_Z", 1)[0] == 4 * (7 + 5 * 7 + 5 + 5 + 5)
    irregular = [layer("irregular", connections=[[0, 3], [1, 2, 2], []])]
    assert counted(irregular, 4, 0, "forward_Z", 1)[0] > 4 * (4 + 5 + 3 + 3)


def test_kernels_are_held_against_the_roof_that_bounds_them() -> None:
    kernels = [
        KernelTime("a", "much", 1e-3, 100_000_000, 10_000_000),  # exactly ten operations a byte
        KernelTime("a", "little", 1e-3, 99_000_000, 10_000_000),
        KernelTime("a", "near", 1e-6, 10, 500),
    ]
    much, little, near = roofline.points("case", kernels, PEAKS)
    assert (much.bound, much.share, much.met) == ("compute", pytest.approx(0.25), False)
    assert (little.bound, little.level, little.share) == ("memory", "memory", pytest.approx(0.5))
    assert (near.bound, near.level, near.share) == ("memory", "L2", pytest.approx(0.005))
    assert much.of_case + little.of_case + near.of_case == pytest.approx(1)
    assert (much.intensity, much.flops, much.bandwidth) == (
        pytest.approx(10),
        pytest.approx(1e11),
        pytest.approx(1e10),
    )
    assert (
        PEAKS.roof(1.0, 500) == 100e9 and PEAKS.roof(1.0, 5000) == 20e9 and PEAKS.roof(1000.0, 5000) == 400e9
    )


def test_each_case_is_profiled_once() -> None:
    found = [case.name for case in roofline.profiled(CASES)]
    assert (
        found[:3] == ["lenet-gradient-128", "dense-gradient-128", "convolution-pass-32"] and len(found) == 7
    )


def test_products_that_leave_out_an_index_are_counted_once() -> None:
    def product(*factors: tuple[str, ...]) -> Call:
        return Call("mul", tuple(Load("x", tuple(map(Name, names))) for names in factors))

    assert _shared(product(("i", "j", "k"), ("j",), ("k",))) == 1  # Y[j] Y[k] without i
    assert _shared(product(("i", "x"), ("j", "x"), ("k", "x"))) == 1
    assert _shared(product(("i", "j"), ("j",))) == 0
    assert _shared(product(("i",), ("i",), ("i",))) == 0  # nothing to share: all depend on all
    assert _shared(Call("add", product(("i", "j"), ("j",), ("i",)).args)) == 0


def test_profile_from_a_given_delta_runs_forward_and_backward_kernels() -> None:
    import numpy as np

    network = Network([layer("convolution", maps=3, kernel=3)], (2, 6, 6), "mse", micro_batch=5)
    inputs, delta = np.ones((5, 2, 6, 6), np.float32), np.ones((5, 48), np.float32)
    found = profile(network, inputs, delta, 2, delta)
    assert [k.kernel for k in found] == ["forward_Z", "delta_Y", "gradient_w", "gradient_b"]
    assert all(k.seconds > 0 and k.bytes > 0 and k.operations > 0 for k in found)
    taps = 5 * 3 * 2 * 16 * 9
    assert found[0].operations == 2 * taps + 2 * 5 * 48 and found[2].operations == 2 * taps


def test_peaks_are_measured_and_levels_fall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_peaks, "ACCUMULATORS", (2, 8))
    monkeypatch.setattr(device_peaks, "WIDTHS", {"float32": (4,)})
    monkeypatch.setattr(device_peaks, "LAUNCH_SECONDS", 1e-4)
    monkeypatch.setattr(device_peaks, "MOST_BYTES", 2**23)
    (found,) = device_peaks.measure(["float32"])
    assert (
        found.flops == max(found.tried.values()) > 1e8 and found.width == 4 and found.accumulators in (2, 8)
    )
    assert found.levels[-1].name == "memory" and found.launch > 0
    bandwidths = [level.bandwidth for level in found.levels]
    assert bandwidths == sorted(bandwidths, reverse=True) and bandwidths[-1] > 1e7
    assert all(size > 0 for _, size in device_peaks.caches(devices.choose(None)))


# ------------------------------------------------------------------------------------------------------- GPUs
def test_the_cache_of_a_gpu_ends_where_the_bandwidth_falls() -> None:
    spans = {
        4: (5.5e12, "copy"),
        8: (6e12, "triad"),
        16: (5.8e12, "copy"),
        32: (5.1e12, "copy"),
        64: (4.2e12, "copy"),
    }
    cache, memory = device_peaks.fallen(spans, (4e12, "triad"), 1000)
    assert cache == Level("cache", 32, 6e12, "triad") and memory == Level("memory", 1000, 4e12, "triad")
    assert device_peaks.fallen({4: (4.4e12, "copy")}, (4e12, "triad"), 1000) == (
        memory,
    )  # no faster than memory
    assert device_peaks.fallen({}, (4e12, "triad"), 1000) == (memory,)


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> device_peaks.Meter:
    """What measures a GPU, on the device that there is, with small arrays."""
    monkeypatch.setattr(devices, "kind", lambda device: "gpu")
    monkeypatch.setattr(device_peaks, "UNIT_ITEMS", 512)
    monkeypatch.setattr(device_peaks, "LAUNCH_SECONDS", 1e-4)
    monkeypatch.setattr(device_peaks, "REPEATS", 2)
    return device_peaks.Meter(devices.choose(None))


def test_a_gpu_has_enough_work_items_and_few_data_fewer(meter: device_peaks.Meter) -> None:
    group = meter.group[0]
    assert group == device_peaks.GROUP and meter.items % group == 0
    for elements in (1, group, 3 * group + 5, meter.items, 7 * meter.items + 3):
        items, part = meter._pieces(elements)
        assert items % group == 0 and items <= meter.items and part >= 1
        assert elements < group or elements // 2 < items * part <= elements


@pytest.mark.parametrize("name", ["copy", "triad"])
@pytest.mark.parametrize("part", [1, 7])
def test_items_side_by_side_cover_the_arrays(name: str, part: int, meter: device_peaks.Meter) -> None:
    """From every start: the first repeat begins at the front, the second HOP further on."""
    import numpy as np
    import pyopencl as cl

    items = 2 * meter.group[0]
    options = ["-DVECTOR=float", "-DREAL=float", f"-DHOP={device_peaks.HOP}"]
    kernel = cl.Kernel(cl.Program(meter.context, device_peaks.GPU_STREAM).build(options), name)
    flags, a = cl.mem_flags, np.random.default_rng(1).random(items * part, dtype=np.float32)
    x = cl.Buffer(meter.context, flags.READ_ONLY | flags.COPY_HOST_PTR, hostbuf=a)
    for repeats in (1, 2):
        z = cl.Buffer(meter.context, flags.READ_WRITE | flags.COPY_HOST_PTR, hostbuf=np.full_like(a, -1))
        kernel.set_args(x, x, z, np.int32(part), np.int32(repeats))
        cl.enqueue_nd_range_kernel(meter.queue, kernel, (items,), meter.group)
        found = np.empty_like(a)
        cl.enqueue_copy(meter.queue, found, z)
        last = a + np.float32(repeats - 1) * (a if name == "triad" else 1)
        # Items do not wait for one another between repeats, so any of them may have been the last to write.
        assert np.all((found == last) | (found == a)) and (repeats > 1 or np.array_equal(found, last))


def test_the_peaks_of_a_gpu(meter: device_peaks.Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_peaks, "ACCUMULATORS", (4,))
    monkeypatch.setattr(device_peaks, "GPU_WIDTHS", {"float32": (1,)})
    monkeypatch.setattr(device_peaks, "GPU_SPANS", (2**20,))
    monkeypatch.setattr(device_peaks, "GPU_MOST_BYTES", 2**24)
    found = meter.peaks("float32")
    assert found.flops > 1e7 and found.levels[-1].name == "memory" and found.levels[-1].bandwidth > 1e7
    assert all(level.name == "cache" and level.size == 2**20 for level in found.levels[:-1])

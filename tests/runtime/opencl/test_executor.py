"""The OpenCL executor's memory: shared or copied, planned, and handed from pass to pass without leaving
a trace.
"""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.backend import Request, calls
from phiz.runtime.errors import NotFiniteError
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.network.architectures import NAMED
from phiz.runtime.network.network import VALUE_AND_GRADIENT, Network
from phiz.runtime.opencl.backend import OpenCLBackend, OpenCLExecutor
from phiz.runtime.opencl.launch import memory as opencl_memory
from phiz.runtime.opencl.launch.fused import FusedPass
from phiz.runtime.program.layer import layer
from phiz.runtime.program.program import Program

SPECS = [
    layer("dense", units=9, activation="square"),
    layer("dense", units=5, activation="tanh"),
    layer("dense", units=3, activation="square"),
]
EVERYTHING = (
    "value_and_gradient",
    "outputs_and_losses",
    "losses",
    "value",
    "per_sample_gradients",
    "input_gradient",
)


def network(folder: Path, **options: Any) -> Network:
    options = {"dtype": "float32", "micro_batch": 16, **options}
    return Network(SPECS, 4, "mse", backend="opencl", manifests=load_folder(folder, trust=True), **options)


def batch(samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(samples)
    return random.normal(size=(samples, 4)), random.normal(size=(samples, 3)), random.uniform(0.1, 2, samples)


def everything(net: Network, samples: int = 37) -> list[bytes]:
    """The bits of all that a network computes."""
    x, t, w = batch(samples)
    p = net.parameters
    found = [getattr(net, name)(p, x, t, w) for name in EVERYTHING]
    found += [
        net.forward(p, x),
        net.value_and_gradient(p, net.place(x, t, w)),
        *net.jacobian_chunks(p, x, t, chunk=5),
    ]
    arrays = [part for one in found for part in (one if isinstance(one, tuple) else (one,))]
    return [np.asarray(array).tobytes() for array in arrays]


def executor_of(net: Network, samples: int = 16) -> OpenCLExecutor:
    executor = net.executor(samples)
    assert isinstance(executor, OpenCLExecutor)
    return executor


def scratch(executor: OpenCLExecutor) -> np.ndarray:
    block, size = executor._scratch
    assert size > 0
    return np.asarray(block)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_copies_give_the_same_bits(folder: Path, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What devices with memory of their own do, beside shared memory, pass after pass."""
    shared = network(folder, dtype=dtype)
    expected = everything(shared)
    assert executor_of(shared).memory.shared
    monkeypatch.setattr(opencl_memory, "shares_memory", lambda device: False)
    copied = network(folder, dtype=dtype)
    assert everything(copied) == expected == everything(copied) == everything(shared)
    assert not executor_of(copied).memory.shared


def test_tensors_too_large_for_one_block_get_their_own(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = everything(network(folder))
    monkeypatch.setattr(opencl_memory.Memory, "fits", lambda memory, count: False)
    assert everything(network(folder)) == expected


@pytest.mark.quickly_built
@pytest.mark.parametrize("samples", [7, 160])
def test_planned_memory_of_fused_passes_gives_the_same_bits(
    samples: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of samples go through all layers at their own pace: tensors that share memory must still
    not meet.
    """
    random = np.random.default_rng(samples)
    x, t = random.random((samples, 1, 8, 8)), np.eye(10)[random.integers(0, 10, samples)]

    def results() -> list[bytes]:
        net = Network(NAMED["lenet-digits"].build(10, True), (1, 8, 8), "ce", backend="opencl")
        p, placed = net.parameters, net.place(x, t)
        found = [net.value_and_gradient(p, placed)[1] for _ in range(5)]
        executor = executor_of(net, samples)
        kind = executor._pass("loss", VALUE_AND_GRADIENT)
        assert isinstance(kind.launches, FusedPass)
        layouts = [region.layout for key, region in kind.where.items() if key in net.program.buffers]
        rows = {
            layout.offsets[key]
            for layout in layouts
            for key in layout.offsets
            if key in net.program.buffers and net.program.buffers[key].samples  # no packed parameters
        }
        assert rows and all(
            start % executor.capacity == 0 for start in rows
        )  # lane n of one is lane n of any other
        found.append(net.input_gradient(p, x, t))
        return [np.asarray(array).tobytes() for array in found]

    planned = results()
    assert len(set(planned[:5])) == 1
    monkeypatch.setattr(opencl_memory.Memory, "fits", lambda memory, count: False)
    assert results() == planned
    monkeypatch.setattr(opencl_memory, "shares_memory", lambda device: False)
    assert results() == planned


def test_scratch_memory_is_smaller_than_its_tensors_and_carries_nothing_over(folder: Path) -> None:
    net = network(folder)
    x, t, w = batch(16)
    error, gradient = net.value_and_gradient(net.parameters, x, t, w)
    executor = executor_of(net)
    written = {
        key for step in calls(net.program, Request(losses=True, gradients="sum")) for key in step.use.writes
    }
    buffers = [net.program.buffers[key] for key in written - {"loss"}]
    plain = sum(buffer.units for buffer in buffers if buffer.samples) * executor.capacity
    block = scratch(executor)
    assert block.size < plain
    for _ in range(2):
        block[:] = np.nan
        again, same = net.value_and_gradient(net.parameters, x, t, w)
        assert again == error and np.array_equal(same, gradient)


def test_a_larger_kind_of_pass_replaces_the_scratch_memory(folder: Path) -> None:
    net = network(folder)
    x, t, w = batch(16)
    outputs = net.forward(net.parameters, x)
    small = scratch(executor_of(net)).size
    net.value_and_gradient(net.parameters, x, t, w)
    assert scratch(executor_of(net)).size > small
    assert np.array_equal(net.forward(net.parameters, x), outputs)


def test_two_passes_on_their_way_have_results_of_their_own(folder: Path) -> None:
    net = network(folder)
    executor, request = executor_of(net), Request(outputs=True, losses=True, gradients="sum")
    x, t, w = (part.astype(np.float32) for part in batch(24))
    executor.set_parameters(net.parameters)
    residents = [executor.upload(x[s], t[s], w[s]) for s in (slice(0, 16), slice(16, 24))]
    alone = [executor.start(resident, request).result() for resident in residents]
    for _ in range(3):
        pending = [executor.start(resident, request) for resident in residents]
        for one, expected in zip(pending, alone, strict=True):
            found = one.result()
            for name in ("outputs", "losses", "gradient"):
                assert np.array_equal(getattr(found, name), getattr(expected, name))
    assert not np.array_equal(alone[0].gradient, alone[1].gradient)
    assert len(executor._pass("loss", request).frames) == 2 and not executor.flying


def fused_network() -> Network:
    """One whose passes are fused: the kernels of the hand-written folder cannot be."""
    specs = [
        layer("dense", maps=9, activation="tanh"),
        layer("dense", maps=5, activation="tanh"),
        layer("dense", maps=3),
    ]
    return Network(specs, 4, "mse", backend="opencl", micro_batch=16)


def test_a_gradient_stays_as_long_as_anything_looks_at_it() -> None:
    """It lies in the memory that the kernels wrote to, which the next pass must not take while it is in
    use.
    """
    net = fused_network()
    x, t, w = batch(16)
    first = net.value_and_gradient(net.parameters, x, t, w)[1]
    assert first.dtype == np.float32 and first.shape == (net.parameter_count,)
    expected, seen = first.copy(), first[3:9][1:]
    others = [net.value_and_gradient(net.parameters * scale, x, t, w)[1] for scale in (2, 3)]
    assert np.array_equal(first, expected) and not np.array_equal(others[0], others[1])
    first *= 2  # it is the caller's
    assert np.array_equal(net.value_and_gradient(net.parameters, x, t, w)[1], expected)
    del first, others
    gc.collect()
    for scale in (2, 3, 4):
        net.value_and_gradient(net.parameters * scale, x, t, w)
    assert np.array_equal(seen, 2 * expected[4:9])
    executor = executor_of(net)
    assert (
        len(executor._pass("loss", VALUE_AND_GRADIENT).frames) == 3
    )  # four passes' results were in use at the same time
    del seen
    assert len(executor._pass("loss", VALUE_AND_GRADIENT).frames) == 4
    last = net.value_and_gradient(net.parameters, x, t, w)[1]
    del net, executor
    gc.collect()
    assert np.array_equal(last, expected)


def test_parameters_are_read_where_they_lie() -> None:
    """A network's own vector is shared with the kernels: changed in place, it is seen; any other one is
    copied.
    """
    net = fused_network()
    x, t, w = batch(16)
    placed = net.place(x, t, w)
    executor = executor_of(net)
    assert executor.memory.reads(net.parameters) and not executor.memory.reads(net.parameters.copy())
    assert not executor.memory.reads(net.parameters[::2]) and not executor.memory.reads(
        net.parameters.astype("float64")
    )
    for _ in range(3):
        own = net.value_and_gradient(net.parameters, placed)
        assert executor._parameters.host("parameters").base is net.parameters.base
        for other in (net.parameters.copy(), net.parameters.astype("float64")):
            copied = net.value_and_gradient(other, placed)
            assert executor._parameters.host("parameters").base is not net.parameters.base
            assert own[0] == copied[0] and np.array_equal(own[1], copied[1])
        net.parameters -= np.float32(0.1) * own[1]
    chunks = net.jacobian_chunks(net.parameters, x, t, chunk=5)
    expected = list(net.jacobian_chunks(net.parameters, x, t, chunk=5))
    for found, wanted in zip(chunks, expected, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(found, wanted, strict=True))
        net.parameters *= 2  # between two chunks: they are about the parameters at the start


def test_parameters_that_overflow_a_sum_are_finite() -> None:
    net = fused_network()
    x, t, w = batch(16)
    net.parameters[:2] = 3e38
    with np.errstate(all="ignore"):
        assert not np.isfinite(net.parameters.sum(dtype=np.float32))
    net.value_and_gradient(net.parameters, x, t, w)  # no error: what they give may overflow
    for wrong in (np.nan, np.inf, -np.inf):
        net.parameters[5] = wrong
        with pytest.raises(
            NotFiniteError, match=r"layer 0 \(dense\): parameter w is (nan|inf|-inf) at entry 5"
        ):
            net.value_and_gradient(net.parameters, x, t, w)


def test_totals_are_added_up(folder: Path) -> None:
    net = network(folder)
    executor, request = executor_of(net), Request(gradients="sum")
    executor.set_parameters(net.parameters)
    x, t, w = batch(16)
    resident = executor.upload(x, t, w)
    alone = executor.start(resident, request).result().gradient
    assert alone is not None and alone.dtype == np.float32
    total = np.ones(net.parameter_count)
    assert executor.start(resident, request).result(total=total, add=True).gradient is None
    assert np.array_equal(total, 1 + alone.astype(np.float64))
    assert executor.start(resident, request).result(total=total).gradient is None
    assert np.array_equal(total, alone.astype(np.float64))


def test_results_that_nobody_takes_do_no_harm(folder: Path) -> None:
    """New parameters wait for passes that still read the old ones, and memory stays until these have
    ended.
    """
    net = network(folder)
    x, t, w = batch(16)
    expected = net.value_and_gradient(net.parameters, x, t, w)
    executor, request = executor_of(net), Request(losses=True, gradients="sum")
    for _ in range(5):
        executor.start(executor.upload(x, t, w), request)
    gc.collect()
    assert len(executor.flying) == 5
    other = net.parameters * 2
    assert net.value_and_gradient(other, x, t, w)[0] != expected[0]
    assert not executor.flying
    again = net.value_and_gradient(net.parameters, x, t, w)
    assert again[0] == expected[0] and np.array_equal(again[1], expected[1])
    executor.start(executor.upload(x, t, w), request)
    del net, executor
    gc.collect()


def test_a_kept_pass_survives_other_passes(folder: Path) -> None:
    """The Jacobian's backward passes start from a forward pass whose tensors no other pass may overwrite."""
    net = network(folder, dtype="float64")
    x, t, w = batch(7)
    executor = executor_of(net, 7)
    executor.set_parameters(net.parameters)
    resident = executor.upload(x, t, w)
    outputs = executor.start(resident, Request(outputs=True, keep=True)).result().outputs
    source = executor.derivative_source(resident)
    delta = np.random.default_rng(0).normal(size=source.shape)
    rows = executor.seeded(resident, delta, Request(gradients="sample", input_gradient=True)).result()
    assert np.allclose(source.T**2, outputs)
    executor.start(
        executor.upload(x[::-1] + 1, t, w, slot=0), Request(losses=True, gradients="sum", input_gradient=True)
    ).result()
    again = executor.seeded(resident, delta, Request(gradients="sample", input_gradient=True)).result()
    summed = executor.seeded(resident, delta, Request(gradients="sum")).result().gradient
    assert np.array_equal(again.sample_gradients, rows.sample_gradients)
    assert np.array_equal(again.input_gradient, rows.input_gradient)
    assert np.allclose(summed, rows.sample_gradients.sum(axis=0), rtol=1e-12)
    assert np.array_equal(executor.derivative_source(resident), source)


class OneForm(OpenCLBackend):
    """Every pass sample-outer, or none."""

    sample_outer = False

    def prefers_sample_outer(self, program: Program, dtype: str, samples: int, request: Request) -> bool:
        return self.sample_outer


@pytest.mark.parametrize("sample_outer", [False, True])
def test_an_executor_is_found_again(sample_outer: bool) -> None:
    """By the same need and by smaller ones, whichever form the device's width would make the faster one."""
    backend = OneForm()
    backend.sample_outer = sample_outer
    net = Network(
        [layer("dense", maps=9, activation="tanh"), layer("dense", maps=3)], 4, "mse", backend=backend
    )
    need = 5 if sample_outer else backend.capacity(net.program, "float32", 5)
    assert net.executor(need) is net.executor(need) is net.executor(need - 1)
    assert backend.capacity(net.program, net.dtype, need, sample_outer) == need <= net.executor(need).capacity

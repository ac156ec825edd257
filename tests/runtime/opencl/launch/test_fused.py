"""Fused passes against one launch per kernel and against NumPy, on batches that leave vectors and blocks
ragged.

Slow because a fused pass is one large program for each size of a batch, built as users build it: with
optimization.
"""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.backend import VALUE_AND_GRADIENT
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.backend import OpenCLBackend
from phiz.runtime.opencl.launch.compose import names
from phiz.runtime.opencl.launch.fused import LEAST_WIDTH, Blocking, InBlocks, blocking
from phiz.runtime.opencl.plan.config import Fixed, KernelConfig
from phiz.runtime.opencl.plan.cpu_cost_model import VECTOR_COST
from phiz.runtime.program.layer import layer

LAYERS = (
    layer("convolution", maps=3, kernel=3, padding=1, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=4, kernel=3, stride=2, padding=(1, 0), activation="relu"),
    layer("dense", maps=7, activation="gelu"),
    layer("softmax", maps=5),
)


def networks(dtype: str) -> tuple[Network, Network, Network]:
    def build(backend: Any) -> Network:
        return Network(LAYERS, (2, 9, 7), "ce", backend=backend, dtype=dtype, micro_batch=64)

    return build(OpenCLBackend()), build(OpenCLBackend(fuse=False)), build("numpy")


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.quickly_built)])
def test_fused_passes_give_what_single_launches_give(dtype: str) -> None:
    fused, single, numpy = networks(dtype)
    random = np.random.default_rng(3)
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    sizes = (150, 64, 17, 9, 8, 7, 1) if dtype == "float32" else (150, 9, 1)
    for samples in sizes:  # the largest first: its single launches serve the others
        x = random.normal(size=(samples, 2, 9, 7))
        t = np.eye(5)[random.integers(0, 5, samples)]
        p = numpy.parameters
        results = [n.value_and_gradient(p, x, t) for n in (fused, single, numpy)]
        scale = np.abs(results[2][1]).max()
        for value, gradient in results[:2]:
            assert abs(value - results[2][0]) <= tolerance * abs(results[2][0])
            assert np.abs(gradient - results[2][1]).max() <= tolerance * scale
        again = fused.value_and_gradient(p, x, t)
        assert again[0] == results[0][0] and np.array_equal(again[1], results[0][1])
        assert np.allclose(fused.forward(p, x), numpy.forward(p, x), atol=tolerance)
        assert np.allclose(fused.input_gradient(p, x, t), numpy.input_gradient(p, x, t), atol=tolerance)
        assert np.allclose(
            fused.per_sample_gradients(p, x, t), numpy.per_sample_gradients(p, x, t), atol=50 * tolerance
        )


def test_executors_that_add_in_another_order_do_not_stand_in_for_one_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two units, 16 floats a vector: 16 samples halve the vectors, 32 and 64 have smaller blocks than
    128; 96 fit threes.
    """
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "kind", "cpu")
    monkeypatch.setattr(backend, "width", lambda dtype: 16)
    monkeypatch.setattr(backend, "device", SimpleNamespace(max_compute_units=2))
    capacities = (16, 32, 64, 96, 128, 256)
    program = networks("float32")[2].program

    def alike(backend: OpenCLBackend, one: int, other: int) -> bool:
        return backend.same_sums(program, "float32", one, other, VALUE_AND_GRADIENT)

    same = {
        (one, other)
        for one in capacities
        for other in capacities
        if one < other and alike(backend, one, other)
    }
    assert same == {(128, 256)}
    assert alike(OpenCLBackend(fuse=False), 16, 256)


@given(
    vectors=st.integers(1, 200),
    width=st.sampled_from([4, 8, 16]),
    units=st.integers(1, 8),
    dtype=st.sampled_from(["float32"]),
)
def test_no_other_blocks_are_sooner_through_all_samples(
    vectors: int, width: int, units: int, dtype: str
) -> None:
    """Every unit takes whole blocks in turn, and the one with the most of them decides."""
    capacity = vectors * width - 3
    found = blocking(capacity, width, units, dtype)
    assert min(width, LEAST_WIDTH[dtype]) <= found.width <= width
    assert (
        found.whole(capacity) % found.samples == 0
        and capacity <= found.whole(capacity) < capacity + found.samples
    )
    assert blocking(found.whole(capacity), width, units, dtype) == found

    def needed(size: int) -> float:
        taken = [0] * units
        for number in range(-(-capacity // (found.width * size))):
            taken[number % units] += size
        return max(taken) * VECTOR_COST[size]

    assert needed(found.vectors) == min(map(needed, VECTOR_COST))


def test_a_ragged_number_of_samples_has_blocks_of_its_own() -> None:
    """1,347 samples are 169 vectors of 8: two cores take 85 each in blocks of five, 87 in threes, 88 in
    fours, 90 in sixes.
    """
    sizes = {n: blocking(n, 8, 2, "float32").vectors for n in (8, 16, 40, 96, 128, 256, 1344, 1347)}
    assert sizes == {8: 1, 16: 1, 40: 3, 96: 6, 128: 4, 256: 4, 1344: 6, 1347: 5}


def test_tiles_that_were_found_for_other_blocks_are_left_to_the_default() -> None:
    network = Network([layer("convolution", maps=3, kernel=3)], (2, 6, 6), "mse", backend=OpenCLBackend())
    unit, kernel = (
        network.program.units[0],
        next(k for k in network.program.units[0].kernels if k.name == "forward_Z"),
    )
    tiles = {"TILE_forward_Z_i": 2, "TILE_forward_Z_t": 4}
    kept = {}
    for vectors in (1, 2, 3, 4, 5, 6):
        configs = InBlocks(
            Fixed({(unit.file, "forward_Z"): KernelConfig(tiles, unroll=3)}), Blocking(8, vectors)
        )
        kept[vectors] = configs.find(unit, kernel, "float32", 64)
    assert {n: dict(config.tiles) for n, config in kept.items()} == {
        **{n: {"TILE_forward_Z_i": 2, "TILE_forward_Z_t": n} for n in (1, 2, 4)},
        **{n: {} for n in (3, 5, 6)},
    }
    assert {config.unroll for config in kept.values()} == {3}


def test_names_at_file_scope_are_found() -> None:
    """Kernels are not among them: composed text has none but its own."""
    text = """typedef CAT(REAL, V) realv;
static REAL lane_sum(realv v) { return v.x; }
enum { I = SIZE_I, J = SIZE_J };
static void fold_group(__local REAL *team, const int places, const int steps)
{
}
static void forward_Z_item(const int g0,
    int n)
{
}
WIDE __kernel void forward_Z(int n)
"""
    assert names(text) == ["lane_sum", "fold_group", "forward_Z_item", "realv", "I", "J"]

"""Fused passes against one launch per kernel and against NumPy, on batches that leave vectors and blocks ragged."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.backend_opencl import OpenCLBackend
from phiz.runtime.layer import layer
from phiz.runtime.network import Network
from phiz.runtime.opencl_fused import LEAST_WIDTH, MOST_VECTORS, blocking, names

LAYERS = (
    layer("convolution", maps=3, kernel=3, padding=1, activation="tanh"),
    layer("max_pooling", window=2),
    layer("convolution", maps=4, kernel=3, stride=2, padding=(1, 0), activation="relu"),
    layer("dense", maps=7, activation="gelu"),
    layer("softmax", maps=5),
)


def networks(dtype: str) -> tuple[Network, Network, Network]:
    build: Any = lambda backend: Network(LAYERS, (2, 9, 7), "ce", backend=backend, dtype=dtype, micro_batch=64)  # noqa: E731
    return build(OpenCLBackend()), build(OpenCLBackend(fuse=False)), build("numpy")


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.quickly_built)])
def test_fused_passes_give_what_single_launches_give(dtype: str) -> None:
    fused, single, numpy = networks(dtype)
    random = np.random.default_rng(3)
    tolerance = 2e-5 if dtype == "float32" else 1e-12
    for samples in (150, 64, 17, 9, 8, 7, 1):  # the largest first: its single launches serve the others
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
        assert np.allclose(fused.per_sample_gradients(p, x, t), numpy.per_sample_gradients(p, x, t), atol=50 * tolerance)


def test_executors_that_add_in_another_order_do_not_stand_in_for_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two units, 16 floats a vector: 16 samples halve the vectors, 32 and 64 have smaller blocks than 128 and more."""
    backend = OpenCLBackend()
    monkeypatch.setattr(backend, "kind", "cpu")
    monkeypatch.setattr(backend, "width", lambda dtype: 16)
    monkeypatch.setattr(backend, "device", SimpleNamespace(max_compute_units=2))
    capacities = (16, 32, 64, 128, 256)
    same = {(one, other) for one in capacities for other in capacities if one < other and backend.same_sums("float32", one, other)}
    assert same == {(128, 256)}
    assert OpenCLBackend(fuse=False).same_sums("float32", 16, 256)


@given(
    vectors=st.integers(1, 200), width=st.sampled_from([8, 16]), units=st.integers(1, 8), dtype=st.sampled_from(["float32"])
)
def test_blocks_are_whole_and_leave_no_unit_idle_where_there_are_enough(vectors: int, width: int, units: int, dtype: str) -> None:
    capacity = vectors * width
    found = blocking(capacity, width, units, dtype)
    assert capacity % found.samples == 0 and found.vectors <= MOST_VECTORS
    assert LEAST_WIDTH[dtype] <= found.width <= width
    assert capacity // found.samples >= units or (found.vectors == 1 and found.width == LEAST_WIDTH[dtype])


def test_names_at_file_scope_are_found() -> None:
    text = """typedef CAT(REAL, V) realv;
static REAL lane_sum(realv v) { return v.x; }
enum { I = SIZE_I, J = SIZE_J };
static void forward_Z_item(const int g0,
    int n)
{
}
WIDE __kernel void forward_Z(int n)
"""
    assert names(text) == ["lane_sum", "forward_Z_item", "forward_Z", "realv", "I", "J"]

"""Global memory accesses: the formulas against a simulation that makes each access; the printed forms
fail.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.errors import ShapeError
from phiz.runtime.tuner.space.access_count import (
    naive_reads,
    output_size,
    output_writes,
    tile_width,
    tiled_reads,
)

CASES = {
    case["id"]: case
    for case in json.loads((Path(__file__).parents[3] / "data" / "cases.json").read_text())["cases"]
}


def touched(local: int, taps: int, stride: int, dilation: int) -> set[int]:
    """Inputs that neighbouring outputs of one group touch along one axis."""
    return {stride * output + dilation * tap for output in range(local) for tap in range(taps)}


def simulated(
    size: tuple[int, int],
    local: tuple[int, int],
    taps: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
) -> tuple[int, int, int]:
    """(naive reads, tiled reads, writes) of one map: every access is made on an array that counts it."""
    image, naive = np.zeros(size, int), np.zeros(size, int)
    outputs = tuple(
        len(range(0, s - d * (f - 1), k)) for s, f, k, d in zip(size, taps, stride, dilation, strict=True)
    )
    writes = 0
    for gx, gy in itertools.product(range(0, outputs[0], local[0]), range(0, outputs[1], local[1])):
        seen = []
        for x, y in itertools.product(range(gx, gx + local[0]), range(gy, gy + local[1])):
            writes += 1
            for a, b in itertools.product(range(taps[0]), range(taps[1])):
                place = x * stride[0] + a * dilation[0], y * stride[1] + b * dilation[1]
                naive[place] += 1
                seen.append(place)
        low, high = np.min(seen, axis=0), np.max(seen, axis=0)
        image[low[0] : high[0] + 1, low[1] : high[1] + 1] += 1
    return int(naive.sum()), int(image.sum()), writes


def test_the_worked_access_counts() -> None:
    case = CASES["access_count_simulation"]
    (sx, sy, sz), taps, local = (
        case["inputs"]["S"],
        tuple(case["inputs"]["F"]),
        tuple(case["inputs"]["S_l"][:2]),
    )
    outputs = output_size(sx, taps[0]), output_size(sy, taps[1])
    assert naive_reads(outputs, taps, sz) == case["expected"]["naive_reads"]
    assert tiled_reads(outputs, local, taps, maps=sz) == case["expected"]["tiled_reads"]
    assert output_writes(outputs, sz) == case["expected"]["output_writes"]
    assert tuple(sz * n for n in simulated((sx, sy), local, taps, (1, 1), (1, 1))) == tuple(
        case["expected"].values()
    )


def test_the_printed_border_counts_other_accesses_than_are_made() -> None:
    """X51: R = F + 1 gives 8400 and 2333.3 reads and 560 writes where 11520, 2048 and 768 are made."""
    sx, sy, sz, fx, fy, lx, ly = 20, 14, 4, 5, 3, 4, 6
    rx, ry = fx + 1, fy + 1
    printed = sz * (sx - rx) * (sy - ry)
    tiles = printed * (rx / lx + ry / ly + rx * ry / (lx * ly) + 1)
    assert (printed * fx * fy, printed) == (8400, 560)
    assert tiles == pytest.approx(2333.333, abs=1e-3)
    assert (naive_reads((16, 12), (5, 3), 4), output_writes((16, 12), 4)) == (11520, 768)
    assert naive_reads((16, 12), (1, 1), 4) == output_writes(
        (16, 12), 4
    )  # X54: one tap, yet the naive count has no writes


def test_slices_in_a_group_help_only_where_they_share_the_image() -> None:
    """X52: the printed factor S_lz makes the reads grow, 512, 1024, 2048."""
    outputs, local, taps = (16, 12), (4, 6), (5, 3)
    own = [tiled_reads(outputs, local, taps, maps=4, local_z=z) for z in (1, 2, 4)]
    shared = [tiled_reads(outputs, local, taps, maps=4, local_z=z, shared_image=True) for z in (1, 2, 4)]
    assert own == [2048, 2048, 2048]
    assert shared == [2048, 1024, 512]


@given(st.data())
@settings(max_examples=80, deadline=None, derandomize=True)
def test_counts_are_the_accesses_that_a_simulation_makes(data: st.DataObject) -> None:
    pair = lambda low, high: st.tuples(st.integers(low, high), st.integers(low, high))  # noqa: E731
    local, groups, taps, stride, dilation = (data.draw(pair(1, n)) for n in (4, 3, 4, 3, 3))
    slack = data.draw(st.integers(0, 2))
    axes = list(zip(local, groups, taps, stride, dilation, strict=True))
    sizes = [k * (l * g - 1) + d * (f - 1) + 1 + min(slack, k - 1) for l, g, f, k, d in axes]
    outputs = tuple(output_size(s, f, k, d) for s, (_, _, f, k, d) in zip(sizes, axes, strict=True))
    assert outputs == (local[0] * groups[0], local[1] * groups[1])
    expected = simulated((sizes[0], sizes[1]), local, taps, stride, dilation)
    counted = (
        naive_reads(outputs, taps),
        tiled_reads(outputs, local, taps, stride=stride, dilation=dilation),
        output_writes(outputs),
    )
    assert counted == expected


@pytest.mark.parametrize("stride", [1, 2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 4])
def test_a_tile_spans_what_its_outputs_touch(stride: int, dilation: int) -> None:
    for local, taps in itertools.product((1, 2, 7), (1, 2, 5)):
        inputs = touched(local, taps, stride, dilation)
        assert tile_width(local, taps, stride, dilation) == max(inputs) - min(inputs) + 1


def test_groups_that_do_not_divide_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"\(4, 6, 1\) does not divide the outputs \(16, 13, 1\)"):
        tiled_reads((16, 13), (4, 6), (5, 3))

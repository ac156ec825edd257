"""Strips: which axis has them follows from the access maps, and the text walks them inside the
outermost loop.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from phiz.codegen.opencl.blocks.kernel import KernelWriter
from phiz.codegen.tiling.tiling import Tiling, choose
from phiz.codegen.user_file import BUILT_IN
from phiz.derive.ir import Kernel, Tensor
from phiz.derive.pipeline import derive_definition


def derived(family: str, kernel: str, **options: Any) -> tuple[Kernel, dict[str, Tensor]]:
    found = next(f for f in BUILT_IN.families if f.name == family)
    derivation = derive_definition(found, options)
    return next(k for k in derivation.kernels if k.name == kernel), dict(derivation.tensors)


def cache_tile(tiling: Tiling) -> str:
    return "" if tiling.cache_tile is None else tiling.cache_tile.axis


@pytest.mark.parametrize(("rank", "axis"), [(1, ""), (2, "u0"), (3, "u0")])
def test_the_outermost_axis_of_a_window_is_a_cache_tile_where_a_loop_is_left_inside(
    rank: int, axis: str
) -> None:
    tiling = choose(*derived("convolution", "gradient_w", rank=rank, connections="full"))
    assert cache_tile(tiling) == axis


@pytest.mark.parametrize(
    ("family", "kernel", "options"),
    [
        ("dense", "gradient_w", {"bias": True}),  # nothing but the samples is summed
        ("convolution", "forward_Z", {"rank": 2, "connections": "full"}),  # no sum over samples
        ("convolution", "gradient_b", {"rank": 2, "connections": "full"}),  # no axis that could share a load
    ],
)
def test_others_have_none(family: str, kernel: str, options: dict[str, Any]) -> None:
    assert cache_tile(choose(*derived(family, kernel, **options))) == ""


def test_a_point_of_a_cache_tile_takes_its_accumulators_and_puts_them_back() -> None:
    kernel, tensors = derived("convolution", "gradient_w", rank=2, connections="full")
    text = KernelWriter(kernel, tensors, choose(kernel, tensors)).text()
    lines = [line.text for line in text.nests[0].lines]
    outer = next(n for n, line in enumerate(lines) if line.startswith("for (integer x0"))
    walk = next(n for n, line in enumerate(lines) if line.startswith("for (integer n_u0"))
    taken = next(n for n, line in enumerate(lines) if re.match(r"acc0\S+ = cached0\[n_u0\]", line))
    given = next(n for n, line in enumerate(lines) if re.match(r"cached0\[n_u0\]\S+ = acc0", line))
    sums = [n for n, line in enumerate(lines) if line.startswith("acc0") and "+=" in line]
    assert outer < walk < taken < min(sums) <= max(sums) < given
    assert text.nests[0].accumulators == "cached0" and any(
        "lane_sum(cached0[n_u0]" in line.text for line in text.store
    )

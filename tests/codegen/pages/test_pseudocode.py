"""Kernels as text for people: the whole of a few, and every kernel of every layer gets a text."""

from __future__ import annotations

import pytest
from phiz.codegen.display import pick
from phiz.codegen.pages.pseudocode import pseudocode
from phiz.codegen.user_file import BUILT_IN
from phiz.derive.ir import Kernel


def kernel(layer: str, name: str) -> Kernel:
    return next(k for k in pick(BUILT_IN.families, layer)[1].kernels if k.name == name)


@pytest.mark.parametrize(
    "layer,name,expected",
    [
        (
            "dense",
            "delta_Y",
            """\
for j in 0 .. J:
    for t in samples:
        acc0 = 0
        for i in 0 .. I:
            acc0 += delta_Z[i] * w[i, j]
        delta_Y[j] = phi'(below) * acc0
""",
        ),
        (
            "dense",
            "gradient_w",
            """\
for i in 0 .. I:
    for j in 0 .. J:
        acc0 = 0
        for t in samples:
            acc0 += Y[j] * delta_Z[i]
        gradient_w[i, j] = acc0
""",
        ),
        (
            "max_pooling_1d",
            "forward_Z",
            """\
for i in 0 .. J:
    for x0 in 0 .. X0:
        for t in samples:
            acc0 = -inf
            for u0 in 0 .. K0:
                acc0 = max(acc0, Y[i, u0 + K0*x0])   (first maximiser: u0)
            Z[i, x0] = acc0   (and phi of it)
""",
        ),
        (
            "max_pooling_1d",
            "delta_Y",
            """\
for j in 0 .. J:
    for y0 in 0 .. H0:
        for t in samples:
            acc0 = 0
            let x0 = y0//K0
            if x0 < X0:
                acc0 += delta_Z[j, x0] if position_Z[j, x0] == real(y0 - K0*x0) else 0.0
            delta_Y[j, y0] = phi'(below) * acc0
""",
        ),
    ],
)
def test_whole_kernels(layer: str, name: str, expected: str) -> None:
    assert pseudocode(kernel(layer, name)) == expected


def test_connections_and_scalars_read_well() -> None:
    assert "for d_row in rows of D with j == j:" in pseudocode(kernel("linear_combination_table", "delta_Y"))
    assert "E[i] = exp(A[i] - m)\n" in pseudocode(kernel("softmax", "forward_E"))


def test_every_kernel_has_a_text() -> None:
    for family in BUILT_IN.families:
        for one in pick(BUILT_IN.families, family.name)[1].kernels:
            text = pseudocode(one)
            assert one.output.name in text.splitlines()[-1]

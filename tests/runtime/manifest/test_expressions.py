"""The evaluator computes what Python computes, and nothing outside its whitelist."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phiz.runtime.errors import ManifestError
from phiz.runtime.manifest.expressions import expression


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 5), st.integers(1, 5), st.integers(1, 4))
def test_size_counts_the_legal_positions(
    height: int, kernel: int, pad: int, stride: int, dilation: int
) -> None:
    """The derived size of a convolution equals the number of positions whose window fits, counted."""
    sizes = {"H0": height, "M0": kernel, "p0": pad, "k0": stride, "d0": dilation}
    value = expression("(H0 + 2*p0 - d0*(M0 - 1) - 1)//k0 + 1")(sizes)
    last = height + 2 * pad - dilation * (kernel - 1) - 1
    counted = sum(1 for start in range(0, last + 1, stride)) if last >= 0 else None
    assert counted is None or value == counted


@given(st.integers(-50, 50), st.integers(1, 12))
def test_floor_division_and_remainder_are_pythons(value: int, divisor: int) -> None:
    sizes = {"a": value, "b": divisor}
    assert expression("-(-a//b)")(sizes) == math.ceil(value / divisor)
    assert expression("a % b")(sizes) == value % divisor
    assert expression("gcd(a, b)")(sizes) == math.gcd(value, divisor)


@pytest.mark.parametrize("value,modulus", [(3, 7), (5, 12), (1, 1), (4, 1), (-3, 10)])
def test_inverse(value: int, modulus: int) -> None:
    result = expression("inverse(a, m)")({"a": value, "m": modulus})
    assert (result * value - 1) % modulus == 0 and 0 <= result < modulus


def test_tables_are_indexed_and_reduced() -> None:
    sizes = {"H": np.array([7, 3, 5]), "D_j": np.array([2, 0]), "c": 1}
    assert expression("H[D_j[c]] + H[1]")(sizes) == 10
    assert expression("max(H)")(sizes) == 7
    assert expression("min(H[0], H[2], 6)")(sizes) == 5


def test_comparisons_and_booleans() -> None:
    sizes = {"k": 2, "M": 5}
    assert expression("1 <= k <= M")(sizes) == 1
    assert expression("k > M or not k == 2")(sizes) == 0
    assert expression("k >= 1 and M != 4")(sizes) == 1


def test_names_excludes_functions() -> None:
    assert expression("min(H0, D_j[c])").names == {"H0", "D_j", "c"}


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "open(x)",
        "a.b",
        "(lambda: 1)()",
        "[1, 2]",
        "a ** b",
        "a / b",
        "a if b else c",
        "'text'",
        "1.5",
        "True",
        "H[1:2]",
        "H[1, 2]",
        "min()",
        "min(*a)",
        "min(a, key=b)",
        "a :=",
        "",
        "a in b",
        "a @ b",
    ],
)
def test_everything_else_is_refused(text: str) -> None:
    with pytest.raises(ManifestError):
        expression(text)


@pytest.mark.parametrize(
    "text,words",
    [
        ("x + 1", "unknown name 'x'"),
        ("a // z", "zero"),
        ("H[2]", "out of"),
        ("H[z - 1]", "out of range"),
        ("inverse(a, 4)", "invert"),
    ],
)
def test_failed_evaluation_names_the_expression(text: str, words: str) -> None:
    with pytest.raises(ManifestError, match=words) as caught:
        expression(text)({"a": 2, "z": 0, "H": [1, 2]})
    assert repr(text) in str(caught.value)

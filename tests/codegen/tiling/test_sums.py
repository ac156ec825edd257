"""Which sums may be taken in parts: decided by the result's expression alone."""

from __future__ import annotations

import pytest
from phiz.codegen.tiling.sums import sums_in_parts
from phiz.derive.ir import (
    Accumulator,
    Axis,
    Call,
    Compare,
    Expr,
    Kernel,
    Load,
    Name,
    Nest,
    Number,
    Select,
    Size,
    Temporary,
    Tensor,
)

A, B, C, W = Accumulator(0), Accumulator(1), Number("3.0"), Load("w", (Name("i"),))


def kernel(result: Expr, combine: str = "sum", samples: bool = False) -> Kernel:
    nests = tuple(Nest((), (), (), (), Load("Y", (Name("i"),)), combine) for _ in range(2))  # type: ignore[arg-type]
    output = Tensor("g", "gradient", (Size("I"),), samples)
    axes = (Axis("i", "map", Size("I")),)
    temporaries = (("s", Call("mul", (C, A))), ("k", Call("exp", (W,))))
    return Kernel("g", "gradient", "w", output, axes, nests, result, temporaries=temporaries)


@pytest.mark.parametrize(
    "result",
    [
        A,
        Call("neg", (A,)),
        Call("add", (A, Call("mul", (W, B)))),
        Call("div", (A, W)),
        Call("mul", (Call("exp", (W,)), A)),
        Call("add", (Temporary("s"), Call("mul", (Temporary("k"), B)))),
        Select(Compare(W, ">", C), A, Call("neg", (B,))),
    ],
)
def test_linear_in_the_sums(result: Expr) -> None:
    assert sums_in_parts(kernel(result))
    assert not sums_in_parts(kernel(result, samples=True))
    assert not sums_in_parts(kernel(result, "max"))


@pytest.mark.parametrize(
    "result",
    [
        C,
        W,
        Call("add", (A, C)),
        Call("add", (A, W)),
        Call("mul", (A, B)),
        Call("div", (A, B)),
        Call("div", (C, A)),
        Call("exp", (A,)),
        Call("pow", (A, Number("2.0"))),
        Call("fmax", (A, B)),
        Call("mul", (A, Temporary("s"))),
        Select(Compare(A, ">", C), A, B),
        Select(Compare(W, ">", C), A, C),
    ],
)
def test_not_linear_in_the_sums(result: Expr) -> None:
    assert not sums_in_parts(kernel(result))

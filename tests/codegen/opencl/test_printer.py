"""Every function and operator of the IR, printed for OpenCL and run on the device, against Python's
mathematics.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

import numpy as np
import pyopencl as cl
import pytest
from phiz.codegen.opencl.source import opencl_source
from phiz.codegen.tiling.tiling import tiled_by_vector
from phiz.derive.ir import (
    FUNCTIONS,
    Axis,
    Call,
    Compare,
    Expr,
    IRError,
    Kernel,
    Load,
    Name,
    Number,
    Select,
    Size,
    Tensor,
)

POINTS = np.array([-30.0, -2.5, -1.0, -0.3, 0.0, 0.2, 0.75, 1.0, 3.0, 40.0, 0.5, 2.0])
X = Load("x", (Name("i"),))
TENSORS = {"x": Tensor("x", "input", (Size("I"),), True), "out": Tensor("out", "stage", (Size("I"),), True)}

REFERENCE = {
    "exp": math.exp,
    "log": math.log,
    "expm1": lambda v: math.expm1(v) if v < 700 else math.inf,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "rsqrt": lambda v: 1 / math.sqrt(v),
    "sin": math.sin,
    "cos": math.cos,
    "tan": math.tan,
    "asin": math.asin,
    "acos": math.acos,
    "atan": math.atan,
    "sinh": math.sinh,
    "cosh": math.cosh,
    "tanh": math.tanh,
    "erf": math.erf,
    "erfc": math.erfc,
    "fabs": abs,
    "sigmoid": lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0,
    "sigmoid_slope": lambda v: math.exp(-abs(v)) / (1 + math.exp(-abs(v))) ** 2,
    "softplus": lambda v: max(v, 0.0) + math.log1p(math.exp(-abs(v))),
}
DOMAIN = {
    "log": POINTS > 0,
    "log1p": POINTS > -1,
    "sqrt": POINTS >= 0,
    "rsqrt": POINTS > 0,
    "asin": abs(POINTS) <= 1,
    "acos": abs(POINTS) <= 1,
}


def evaluate(expression: Expr, dtype: str, width: int, points: np.ndarray = POINTS) -> np.ndarray:
    """``expression`` of x at ``points``, through one generated kernel."""
    kernel = Kernel("probe", "forward", "out", TENSORS["out"], (Axis("i", "map", Size("I")),), (), expression)
    module = opencl_source([tiled_by_vector(kernel, TENSORS)], TENSORS, ["probe"], [])
    text = re.sub(r'^#include "prelude.cl".*$', module.includes[0].text, module.text, flags=re.MULTILINE)
    context = cl.create_some_context(interactive=False)
    queue = cl.CommandQueue(context)
    vectors = -(-len(points) // width)
    host = np.zeros(vectors * width, dtype)
    host[: len(points)] = points
    values = {"REAL": "float" if dtype == "float32" else "double", "V": width, "SIZE_I": 1, "TILE_probe_t": 1}
    options = [f"-D{m}={values[m]}" for m in module.macros] + (
        ["-cl-single-precision-constant"] if dtype == "float32" else []
    )
    program = cl.Program(context, text).build(options=options)
    source = cl.Buffer(context, cl.mem_flags.READ_ONLY | cl.mem_flags.COPY_HOST_PTR, hostbuf=host)
    target = cl.Buffer(context, cl.mem_flags.WRITE_ONLY, host.nbytes)
    program.probe(queue, (vectors, 1, 1), None, source, target, np.int32(vectors), np.int32(vectors))
    cl.enqueue_copy(queue, host, target)
    return host[: len(points)]


@pytest.mark.parametrize("function", sorted(REFERENCE))
def test_functions(function: str) -> None:
    inside = DOMAIN.get(function, np.full(len(POINTS), True))
    expected = np.array([REFERENCE[function](v) for v in POINTS[inside]])
    got = evaluate(Call(function, (X,)), "float64", 4)[inside]
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)
    single = evaluate(Call(function, (X,)), "float32", 8)[inside]
    exact = np.array([REFERENCE[function](float(v)) for v in POINTS[inside].astype(np.float32)])
    np.testing.assert_allclose(single, exact, rtol=4e-6, atol=2e-7)


@pytest.mark.parametrize("width", [1, 8])
def test_tanh_of_single_precision_is_exact_to_three_units_in_the_last_place(width: int) -> None:
    """OpenCL admits 5.

    Every magnitude, where it is worst, where it saturates, signed zero, infinities and NaN.
    """
    worst, last = np.linspace(0.06, 0.065, 10_000), np.linspace(8.9, 9.2, 10_000)
    magnitudes = np.concatenate([np.geomspace(1e-37, 20.0, 60_000), worst, last])
    points = np.concatenate([magnitudes, -magnitudes]).astype(np.float32)
    got = evaluate(Call("tanh", (X,)), "float32", width, points)
    exact = np.tanh(points.astype(np.float64))
    units = np.abs(got - exact) / np.spacing(np.abs(exact).astype(np.float32))
    assert units.max() <= 2.6, points[units.argmax()]
    assert np.abs(got).max() == 1.0
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan], np.float32)
    special.view(np.int32)[5] |= 1  # a NaN with a payload
    ends = evaluate(Call("tanh", (X,)), "float32", width, special)
    assert ends[:4].tolist() == [0.0, 0.0, 1.0, -1.0] and np.signbit(ends[:2]).tolist() == [False, True]
    assert np.isnan(ends[4:]).all()


def test_every_function_of_the_ir_is_covered() -> None:
    others = {"xlogy", "xlog1py", "fmax", "fmin", "square_rest", "product_rest"}
    assert set(REFERENCE) | others == set(FUNCTIONS)


@pytest.mark.parametrize(("dtype", "width"), [("float64", 1), ("float64", 4), ("float32", 1), ("float32", 8)])
def test_rests_of_products(dtype: str, width: int) -> None:
    """z^2 and z / 3 less their rounded values, in rational numbers; x log(1 + y) is 0 where x is.

    Halves that are cut off, not rounded, leave a few bits of the rest out.
    """
    kind, third = np.dtype(dtype).type, Fraction(1, 3)
    lost = [float(third - Fraction(float(near(1 / 3)))) for near in (np.float32, np.float64)]
    numbers = tuple(Number(repr(n)) for n in (1 / 3, *lost))
    points = POINTS * 1.1
    squares = evaluate(Call("square_rest", (X,)), dtype, width, points)
    products = evaluate(Call("product_rest", (X, *numbers)), dtype, width, points)
    for v, square, product in zip(points.astype(dtype), squares, products, strict=True):
        exact, digits = Fraction(float(v)), 1e-6
        left = exact**2 - Fraction(float(v * v))
        assert abs(float(square) - float(left)) <= digits * abs(float(left))
        left = exact * third - Fraction(float(v * kind(1 / 3)))
        assert abs(float(product) - float(left)) <= digits * abs(float(left)) + np.finfo(
            dtype
        ).eps ** 2 * abs(v)
    zero = Select(Compare(X, "==", Number("-1.0")), Call("add", (X, Number("1.0"))), Number("1.5"))
    found = evaluate(Call("xlog1py", (zero, X)), dtype, width, np.array([-1.0, 1.0]))
    np.testing.assert_allclose(found, [0.0, 1.5 * math.log(2)], rtol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "width"), [("float64", w) for w in (1, 2, 4)] + [("float32", w) for w in (1, 2, 4, 8)]
)
def test_operators_and_selection_at_every_vector_width(dtype: str, width: int) -> None:
    """The widths that the runtime uses; PoCL 3.0 itself miscompiles double8 and double16."""
    two = Number("2.0")
    expression = Call(
        "add",
        (
            Call("div", (Call("neg", (X,)), Call("add", (Call("pow", (X, two)), Number("1.0"))))),
            Select(Compare(X, ">", Number("0.0")), Call("mul", (X, two, X)), Number("-3.0")),
            Call("xlogy", (Select(Compare(X, "==", Number("0.0")), X, Number("1.5")), Call("fabs", (X,)))),
            Call("fmax", (X, Number("0.25"))),
            Call("fmin", (X, Number("0.25"))),
            Call("pow", (Call("fabs", (X,)), Number("1.5"))),
        ),
    )
    expected = []
    for v in POINTS:
        logs = 0.0 if v == 0 else 1.5 * math.log(abs(v))
        expected.append(
            -v / (v * v + 1)
            + (2 * v * v if v > 0 else -3.0)
            + logs
            + max(v, 0.25)
            + min(v, 0.25)
            + abs(v) ** 1.5
        )
    tolerance = {"float64": {"rtol": 1e-13}, "float32": {"rtol": 1e-5, "atol": 1e-5}}[dtype]
    np.testing.assert_allclose(evaluate(expression, dtype, width), expected, **tolerance)


def test_subtraction_and_division_keep_their_grouping() -> None:
    a, b = Call("add", (X, Number("1.0"))), Call("add", (X, Call("neg", (Call("add", (X, Number("3.0"))),))))
    expression = Call("div", (a, Call("mul", (b, Call("div", (Number("2.0"), Number("4.0")))))))
    expected = (POINTS + 1) / ((POINTS - (POINTS + 3)) * (2 / 4))
    np.testing.assert_allclose(evaluate(expression, "float64", 4), expected, rtol=1e-14)


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(IRError):
        evaluate(Call("besselj", (X,)), "float64", 4)

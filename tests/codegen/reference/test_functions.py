"""Every operator and function of the IR, printed as NumPy and evaluated against Python's math; the rest
is refused.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from phiz.codegen.reference.axes import Domain, PrintError
from phiz.codegen.reference.printer import numpy_activations_source
from phiz.codegen.reference.scalars import Scalars
from phiz.codegen.reference.scope import Scope
from phiz.derive.ir import (
    FUNCTIONS,
    OPERATORS,
    Call,
    Compare,
    Condition,
    Expr,
    FromInteger,
    Integer,
    IntOp,
    Number,
    Select,
    Size,
    Temporary,
)
from phiz.derive.symbols.names import of_function

Z = Temporary("z")
POINTS = (-3.0, -0.7, -0.01, 0.0, 0.3, 0.99, 2.5)
DOMAIN: dict[str, Callable[[float], bool]] = {
    "log": lambda z: z > 0,
    "sqrt": lambda z: z >= 0,
    "rsqrt": lambda z: z > 0,
    "asin": lambda z: abs(z) <= 1,
    "acos": lambda z: abs(z) <= 1,
    "xlogy": lambda z: z > 0,
    "log1p": lambda z: z > -1,
    "xlog1py": lambda z: z > -1,
}
ORACLE: dict[str, Callable[..., float]] = {
    "exp": math.exp,
    "log": math.log,
    "expm1": math.expm1,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "rsqrt": lambda z: 1 / math.sqrt(z),
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
    "sigmoid": lambda z: 1 / (1 + math.exp(-z)),
    "softplus": lambda z: math.log1p(math.exp(z)),
    "sigmoid_slope": lambda z: math.exp(z) / (1 + math.exp(z)) ** 2,
    "xlogy": lambda x, y: x * math.log(y),
    "xlog1py": lambda x, y: x * math.log1p(y),
    "fmax": max,
    "fmin": min,
}


@dataclass(frozen=True)
class Curve:
    name: str
    phi: Expr
    dphi: Expr = Z
    derivative_in: str = "z"
    latex: str = ""


def evaluate(phi: Expr, points: tuple[float, ...] = POINTS, dtype: type = np.float64) -> np.ndarray:
    module = types.ModuleType("activations")
    exec(numpy_activations_source([Curve("f", phi)]), module.__dict__)  # type: ignore[list-item]
    result = module.phi_f(np.array(points, dtype))
    assert result.dtype == dtype and result.shape == (len(points),)
    return result


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", sorted(ORACLE))
def test_functions(name: str, dtype: type) -> None:
    points = tuple(z for z in POINTS if DOMAIN.get(name, lambda z: True)(z))
    assert len(points) >= 3 and set(FUNCTIONS) == {*ORACLE, "square_rest", "product_rest"}
    second = [Number("0.25")] * (FUNCTIONS[name] - 1)
    swapped = name.startswith("xlog")
    got = evaluate(Call(name, (*second, Z) if swapped else (Z, *second)), points, dtype)
    want = [
        ORACLE[name](*((0.25, z) if swapped else (z, 0.25)[: FUNCTIONS[name]]))
        for z in np.array(points, dtype).tolist()
    ]
    np.testing.assert_allclose(
        got, want, rtol=1e-14 if dtype is np.float64 else 3e-6, atol=1e-15 if dtype is np.float64 else 1e-6
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_rests_of_products_are_exact(dtype: type) -> None:
    """z^2 and z / 3 less their rounded values, in rational numbers."""
    points = (0.1, -3.7, 1e-3, 123.456, -0.0, 7.0)
    z = np.array(points, dtype)
    third, digits = Fraction(1, 3), np.finfo(dtype).eps
    lost = [float(third - Fraction(float(near(1 / 3)))) for near in (np.float32, np.float64)]
    numbers = tuple(Number(repr(n)) for n in (1 / 3, *lost))
    squares = evaluate(Call("square_rest", (Z,)), points, dtype)
    products = evaluate(Call("product_rest", (Z, *numbers)), points, dtype)
    for v, square, product in zip(z, squares, products, strict=True):
        exact = Fraction(float(v))
        assert float(square) == float(exact**2 - Fraction(float(v * v)))
        left = exact * third - Fraction(float(v * dtype(1 / 3)))
        assert abs(float(product) - float(left)) <= 2 * digits * abs(float(left)) + digits**2 * abs(float(v))
    assert not evaluate(Call("square_rest", (Z,)), (1e19, 1e30), dtype).any()


def test_functions_at_the_ends() -> None:
    ends = (-1000.0, 1000.0)
    assert evaluate(Call("sigmoid", (Z,)), ends).tolist() == [0.0, 1.0]
    assert evaluate(Call("softplus", (Z,)), ends).tolist() == [0.0, 1000.0]
    assert evaluate(Call("xlogy", (Z, Z)), (0.0,)).tolist() == [0.0]


def test_operators_keep_their_precedence() -> None:
    assert set(OPERATORS) == {"add", "mul", "neg", "div", "pow"}
    z, two, three = Z, Number("2.0"), Number("-3.0")
    add, mul, neg = (lambda *a: Call("add", a)), (lambda *a: Call("mul", a)), (lambda a: Call("neg", (a,)))
    div, power = (lambda a, b: Call("div", (a, b))), (lambda a, b: Call("pow", (a, b)))
    cases: list[tuple[Expr, Callable[[float], float]]] = [
        (add(neg(z), two), lambda v: 2 - v),
        (add(z, neg(add(z, two)), three), lambda v: v - (v + 2) - 3),
        (add(neg(mul(z, two)), neg(z), z), lambda v: -(v * 2) - v + v),
        (mul(add(z, two), neg(z), three), lambda v: (v + 2) * -v * -3),
        (neg(power(z, two)), lambda v: -(v**2)),
        (power(neg(z), two), lambda v: (-v) ** 2),
        (power(power(two, z), two), lambda v: (2**v) ** 2),
        (power(two, neg(z)), lambda v: 2**-v),
        (power(three, two), lambda v: 9.0),
        (div(z, mul(two, three)), lambda v: v / -6),
        (div(z, div(two, three)), lambda v: v / (2 / -3)),
        (div(div(z, two), three), lambda v: v / 2 / -3),
        (mul(z, div(two, three)), lambda v: v * (2 / -3)),
        (neg(neg(z)), lambda v: v),
        (neg(div(neg(z), two)), lambda v: v / 2),
        (mul(z, neg(Number("0.5")), neg(three)), lambda v: v * -0.5 * 3),
    ]
    for phi, oracle in cases:
        want = [oracle(v) for v in POINTS]
        np.testing.assert_allclose(evaluate(phi), want, rtol=1e-15, err_msg=str(phi))


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_select(op: str) -> None:
    holds = {
        "==": (0, 1, 0),
        "!=": (1, 0, 1),
        "<": (1, 0, 0),
        "<=": (1, 1, 0),
        ">": (0, 0, 1),
        ">=": (0, 1, 1),
    }[op]
    phi = Select(Compare(Z, op, Number("0.5")), Number("1.0"), Number("0.0"))  # type: ignore[arg-type]
    assert evaluate(phi, (0.25, 0.5, 1.0), np.float32).tolist() == list(holds)


def test_the_branch_not_taken_is_quiet() -> None:
    phi = Select(Compare(Z, ">", Number("0.0")), Z, Call("add", (Call("exp", (Z,)), Number("-1.0"))))
    with np.errstate(all="raise"):
        assert evaluate(phi, (1000.0, 0.0)).tolist() == [1000.0, 0.0]


INTEGERS: list[tuple[str, Callable[[int, int], int]]] = [
    ("add", lambda a, b: a + b),
    ("mul", lambda a, b: a * b),
    ("min", min),
    ("max", max),
    ("floordiv", lambda a, b: math.floor(a / b)),
    ("ceildiv", lambda a, b: math.ceil(a / b)),
    ("mod", lambda a, b: a - b * math.floor(a / b)),
    ("gcd", math.gcd),
]


@pytest.mark.parametrize(("op", "oracle"), INTEGERS)
def test_integers(op: str, oracle: Callable[[int, int], int]) -> None:
    """Alone, below and above other operators, with negative numerators."""
    scope = Scope("test", {}, [])
    for a in (-7, -6, -1, 0, 1, 5, 12):
        for b in (1, 2, 3, 6):
            e = IntOp(op, (Size("a"), Size("b")))  # type: ignore[arg-type]
            names = {"a": a, "b": b, "math": math}
            assert eval(scope.integer(e), names) == oracle(a, b)
            twice = IntOp("mul", (Integer(-2), e, e))
            assert eval(scope.integer(twice), names) == -2 * oracle(a, b) ** 2
            nested = IntOp(
                "add",
                (
                    IntOp("floordiv", (IntOp("mul", (Size("b"), e)), Integer(4))),
                    IntOp("mul", (Integer(-1), e)),
                ),
            )
            assert eval(scope.integer(nested), names) == b * oracle(a, b) // 4 - oracle(a, b)
            outer = IntOp(
                "ceildiv",
                (
                    IntOp("add", (Size("a"), IntOp("mul", (Integer(-1), e)))),
                    IntOp("mul", (Size("b"), Integer(2))),
                ),
            )
            assert eval(scope.integer(outer), names) == math.ceil((a - oracle(a, b)) / (2 * b))


def test_inverse() -> None:
    text = Scope("test", {}, []).integer(IntOp("inverse", (Size("a"), Size("m"))))
    for m in range(1, 12):
        for a in range(1, 12):
            if math.gcd(a, m) == 1:
                assert eval(text, {"a": a, "m": m}) == (
                    0 if m == 1 else next(x for x in range(m) if a * x % m == 1)
                )


def test_many_arguments() -> None:
    scope = Scope("test", {}, [])
    for op, oracle in (
        ("min", min),
        ("max", max),
        ("add", lambda *a: sum(a)),
        ("mul", lambda *a: math.prod(a)),
    ):
        e = IntOp(op, (Size("a"), Integer(-3), Size("b"), Integer(4)))  # type: ignore[arg-type]
        assert eval(scope.integer(e), {"a": 2, "b": -5}) == oracle(2, -3, -5, 4)  # type: ignore[operator]


@pytest.mark.parametrize("op", ["==", "!=", "<", "<=", ">", ">="])
def test_conditions(op: str) -> None:
    text = Scope("test", {}, []).condition(Condition(IntOp("add", (Size("a"), Integer(-1))), op, Size("b")))  # type: ignore[arg-type]
    for a in range(4):
        assert eval(text, {"a": a, "b": 1}) == eval(f"{a - 1} {op} 1")


def test_sizes_as_numbers_are_python_numbers() -> None:
    """A table entry is a NumPy integer, which would turn float32 into float64."""
    scope = Scope("test", {}, [Domain("array")])
    printer = Scalars(scope, "z.dtype", temporaries={})
    assert printer(FromInteger(Size("H", Integer(0)))).text == "float(H[0])"
    assert printer(Call("sqrt", (FromInteger(Size("A")),))).text == "math.sqrt(A)"


@pytest.mark.parametrize(
    ("phi", "message"),
    [
        (Call("besselj", (Z,)), "besselj"),
        (Call("exp", (Z, Z)), "exp of 2"),
        (Call("xlogy", (Z,)), "xlogy of 1"),
        (Temporary("x"), "x"),
        (Number("two"), "'two'"),
        ("z", "'z'"),
    ],
)
def test_refused(phi: Expr, message: str) -> None:
    with pytest.raises(PrintError, match=message):
        numpy_activations_source([Curve("f", phi)])  # type: ignore[list-item]


def test_any_name_has_a_function() -> None:
    """A keyword, or a name that the module uses, is spelled; the docstring has it as it is."""
    for name in ("lambda", "np", "tanh"):
        source = numpy_activations_source([Curve(name, Z)])  # type: ignore[list-item]
        assert f"def phi_{of_function(name)}(" in source and f"phi(z) of {name}" in source
        compile(source, "activations.py", "exec")

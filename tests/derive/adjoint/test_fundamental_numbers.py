"""Numbers that a sum has in common stand in front of it, and are multiplied once."""

from __future__ import annotations

import pytest
import sympy as sp
from phiz.codegen.user_file import BUILT_IN
from phiz.derive.adjoint.fundamental import numbers_first
from phiz.derive.ir import Accumulator, Call, Number
from phiz.derive.pipeline import derive_definition

d, c, y = sp.symbols("d c y", real=True)
i = sp.Symbol("i", integer=True)


@pytest.mark.parametrize(
    ("body", "number", "rest"),
    [
        (d * (2 * c - 2 * y), 2, d * (c - y)),
        (d * (c / 3 + y / 6), sp.Rational(1, 6), d * (2 * c + y)),
        (-d * (4 * c - 6 * y) * (3 * c + 3), -6, d * (2 * c - 3 * y) * (c + 1)),
        (d * (2 * c - 3 * y), 1, d * (2 * c - 3 * y)),
        (d * y, 1, d * y),
        (d * (2 * i + 4), 1, d * (2 * i + 4)),  # a number of places stays a number of places
    ],
)
def test_common_numbers_are_found(body: sp.Expr, number: sp.Expr, rest: sp.Expr) -> None:
    found = numbers_first(body)
    assert sp.expand(found - body) == 0
    coefficient, factors = found.as_coeff_Mul(rational=True)
    assert coefficient == number and sp.expand(factors - rest) == 0


def test_the_gradient_of_a_squared_distance_doubles_its_sum() -> None:
    family = next(f for f in BUILT_IN.families if f.name == "radial_basis")
    derivation = derive_definition(family, next(iter(family.variants())))
    kernel = next(k for k in derivation.kernels if k.name == "gradient_c")
    assert kernel.result == Call("mul", (Number("2.0"), Accumulator(0)))
    assert Number("2.0") not in list(numbers_of(kernel.nests[0].body))


def numbers_of(e: object) -> list[object]:
    return [e, *(n for a in getattr(e, "args", ()) for n in numbers_of(a))]

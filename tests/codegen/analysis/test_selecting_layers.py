"""Which layers only select: read from derived kernels, for layers of the package and of users."""

from __future__ import annotations

from pathlib import Path

import pytest
from phiz.codegen.analysis.selecting_layers import selects
from phiz.codegen.user_file import load_definitions
from phiz.derive.language.layer import Family
from phiz.derive.layers import LAYERS
from phiz.derive.pipeline import derive_definition

USERS = Path(__file__).parents[2] / "layers"
OWN = '''
from phiz.derive.language.layer import Definition, Layer, Max, Sum, layer


@layer()
def every_other(L: Layer) -> Definition:
    """Every other value, read backwards."""
    Y = L.input(1)
    i, (H,), (x,) = L.own(Y), Y.H, L.coordinates("x", ((Y.H[0] + 1) // 2,))
    return L.output(i, x)(Y[i, H - 1 - 2 * x])


@layer()
def across_maps(L: Layer) -> Definition:
    """The largest of all maps at each point."""
    Y = L.input(2)
    i, x = L.maps("i"), L.coordinates("x", Y.H)
    return L.output(i, x)(Max(Y[Y.j, x], Y.j))


@layer()
def twice_the_largest(L: Layer) -> Definition:
    """Twice the largest of two."""
    Y = L.input(1)
    i, x, u = L.own(Y), L.coordinates("x", Y.H // 2), L.axis("u", 2, "window")
    return L.output(i, x)(2 * Max(Y[i, 2 * x[0] + u], u))


@layer()
def largest_square(L: Layer) -> Definition:
    """The largest square of two: phi does not commute with it."""
    Y = L.input(1)
    i, x, u = L.own(Y), L.coordinates("x", Y.H // 2), L.axis("u", 2, "window")
    return L.output(i, x)(Max(Y[i, 2 * x[0] + u] ** 2, u))
'''


def found(family: Family) -> set[str]:
    """Of all variants."""
    derived = [derive_definition(family, options) for options in family.variants()]
    return {selects(d.kernels, d.definition.input.name, "Z") for d in derived}


@pytest.mark.parametrize("family", LAYERS, ids=lambda family: family.name)
def test_layers_of_the_package(family: Family) -> None:
    assert found(family) == {{"max_pooling": "largest", "vanilla_subsampling": "one"}.get(family.name, "")}


@pytest.mark.parametrize(("name", "expected"), [
    ("every_other", "one"), ("across_maps", "largest"), ("twice_the_largest", ""), ("largest_square", ""),
])  # fmt: skip
def test_layers_of_a_user(name: str, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    (family,) = (f for f in load_definitions([file]).families if f.name == name)
    assert found(family) == {expected}


def test_what_is_padded_or_computed_is_not_selected() -> None:
    files = [USERS / f"{name}.py" for name in ("maximum_pooling", "maxout", "norm_pooling")]
    assert {s for family in load_definitions(files).families for s in found(family)} == {""}

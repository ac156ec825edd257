"""Printed equations are LaTeX that a renderer accepts: balanced, and without a second sub- or superscript."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from phiz.codegen.user_file import load_definitions
from phiz.derive.language.layer import Family
from phiz.derive.layers import LAYERS
from phiz.derive.pipeline import derive_definition
from phiz.derive.print.legend import legend

FILES = sorted(p for p in (Path(__file__).parents[2] / "layers").glob("*.py") if p.name != "__init__.py")
OWN = load_definitions(FILES).families


def scripts_are_single(latex: str) -> bool:
    """No base carries two subscripts or two superscripts."""
    depth_removed = latex
    while (shorter := re.sub(r"\{[^{}]*\}", "G", depth_removed)) != depth_removed:
        if re.search(r"(_\w?G?_)|(\^\w?G?\^)", re.sub(r"\\[A-Za-z]+", "", shorter)):
            return False
        depth_removed = shorter
    return True


def test_the_check_sees_a_double_subscript() -> None:
    assert not scripts_are_single(r"\left[Z_{sum2}_{i}\right]_{x}")
    assert scripts_are_single(r"\left[{Z_{sum2}}_{i}\right]_{x}^{2}")


@pytest.mark.parametrize("family", [*LAYERS, *OWN], ids=lambda f: f.name)
def test_equations_are_well_formed(family: Family) -> None:
    derivation = derive_definition(family, family.variants()[0])
    for kernel in derivation.kernels:
        assert kernel.latex.count("{") == kernel.latex.count("}"), kernel.latex
        assert kernel.latex.count(r"\left") == kernel.latex.count(r"\right"), kernel.latex
        assert scripts_are_single(kernel.latex), kernel.latex


@pytest.mark.parametrize("family", [*LAYERS, *OWN], ids=lambda f: f.name)
def test_plain_equations_compare_and_divide_as_people_write_it(family: Family) -> None:
    for options in family.variants():
        derivation = derive_definition(family, options)
        for kernel in derivation.kernels:
            assert not re.search(
                r">= 0|floor|FloorDiv|CeilDiv|Modulo|Piecewise|Eq\(|_row|\[\]", kernel.text
            ), kernel.text
            if kernel.role == "gradient":
                assert r"\sum_{t}" in kernel.latex and " t of " in kernel.text, (
                    "the error is a sum over samples"
                )


@pytest.mark.parametrize("family", LAYERS, ids=lambda f: f.name)
def test_the_legend_names_every_size_and_table(family: Family) -> None:
    for options in family.variants():
        definition = derive_definition(family, options).definition
        named = {name for symbols, _ in legend(definition) for name in symbols.split(", ")}
        assert named == set(definition.sizes) | set(definition.relations)

"""Printed equations are LaTeX that a renderer accepts: balanced, and without a second sub- or superscript."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from phiz.codegen.user_file import load_definitions
from phiz.derive.language.layer import Family
from phiz.derive.layers import LAYERS
from phiz.derive.pipeline import derive_definition

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

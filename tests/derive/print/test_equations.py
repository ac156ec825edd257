"""Printed equations are LaTeX that a renderer accepts: balanced, and without a second sub- or superscript."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import sympy as sp
from phiz.codegen.pages.equations import loss_page, symbols
from phiz.codegen.user_file import load_definitions
from phiz.derive.adjoint.loss_kernels import derive_loss
from phiz.derive.language.activations import ACTIVATIONS
from phiz.derive.language.layer import Family
from phiz.derive.language.losses import LOSSES
from phiz.derive.layers import LAYERS
from phiz.derive.pipeline import derive_definition
from phiz.derive.print.legend import legend
from phiz.derive.symbols.functions import expm1, log1p, tanh
from phiz.derive.symbols.names import latex, summand_latex

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


def test_a_fused_loss_sums_over_an_index_of_its_own_and_its_page_explains_every_mark() -> None:
    softmax = next(family for family in LAYERS if family.name == "softmax")
    derivation = derive_definition(softmax, softmax.variants()[0])
    deltas = [k for k in derivation.kernels if k.role == "loss" and k.name.endswith("_delta")]
    assert len(deltas) == 2
    for kernel in deltas:
        assert r"\sum_{i'}" in kernel.latex and r"\sum_{i}" not in kernel.latex
        inside = kernel.text.split("sum over i' of ")[1].split("))")[0]
        assert "[i']" in inside and "[i]" not in inside, kernel.text
    mse = next(k for k in deltas if "mse" in k.name)
    assert r"\sum_{i'} \left(T_{i'} Z_{i'} - Z_{i'}^{2}\right)" in mse.latex
    assert {"T", "r", "i'"} <= {symbol for symbol, _ in symbols(derivation)}


def test_names_of_functions_keep_their_digits() -> None:
    a = sp.Symbol("a")
    assert latex(expm1(a) * log1p(a) ** 2).count(r"\operatorname{expm1}") == 1
    assert r"\operatorname{log1p}" in latex(log1p(a)) and latex(tanh(a)).startswith(r"\tanh")
    assert summand_latex(a - 1) == r"\left(a - 1\right)" and summand_latex(a) == "a"


def test_the_page_of_a_loss_explains_its_symbols() -> None:
    pages = {loss.name: loss_page(derive_loss(loss, ACTIVATIONS)) for loss in LOSSES}
    for page in pages.values():
        listed = {line.split("`")[1] for line in page.splitlines() if line.startswith("- `")}
        assert {"n", "t", "y", "z", "r", "delta_n"} <= listed
        for function in ("softplus", "expm1", "erfc", "log1p"):
            assert (f"{{{function}}}" in page) == (f"{function}(a)" in listed), function
    assert r"\operatorname{expm1}" in pages["mse"]

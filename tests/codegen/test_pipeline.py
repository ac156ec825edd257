"""The page of passes: what is on it, in order, is all that happens to a kernel, and ``phiz show
--passes`` prints it.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from phiz.codegen import passes as package
from phiz.codegen import pipeline
from phiz.codegen.display import passes, pick
from phiz.codegen.opencl.source import LAYOUTS, SAMPLE_INNER, Layout, opencl_source
from phiz.codegen.user_file import BUILT_IN
from phiz.derive.layers import LAYERS
from phiz.derive.pipeline import Derivation, derive_definition

FAMILIES = [(family, options) for family in LAYERS for options in family.variants()]


def derived(rank: int = 2) -> Derivation:
    """Some layer whose kernels every pass changes."""
    found = (
        derive_definition(family, options) for family, options in FAMILIES if options.get("rank") == rank
    )
    return next(
        d for d in found if any(i for i in pipeline.lowered(d.kernels, d.tensors, SAMPLE_INNER).sizes)
    )


def test_every_pass_is_on_the_page() -> None:
    modules = {p.stem for p in Path(package.__path__[0]).glob("*.py")} - {"__init__", "rewrite"}
    named = {found.name for found in pipeline.PASSES} - {"tile"}
    assert modules == named


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_the_last_pass_leaves_what_is_printed(layout: Layout) -> None:
    derivation = derived()
    *_, (last, program) = pipeline.steps(derivation.kernels, derivation.tensors, layout)
    assert last is pipeline.PASSES[-1]
    assert [tiled.kernel for tiled in program.tiled] == list(program.kernels)
    module = opencl_source(program.tiled, derivation.tensors, ["a"], [], layout)
    assert list(module.kernels) == [kernel.name for kernel in program.kernels]
    if not layout.by_sample:
        assert [len(k.nests) for k in module.kernels.values()] == [len(k.nests) for k in program.kernels]


def test_no_writer_changes_a_kernel() -> None:
    root = Path(pipeline.__file__).parent
    for folder in ("opencl", "tiling", "reference", "pages"):
        for path in (root / folder).rglob("*.py"):
            found = re.search(
                r"(?<!def )(?<![.\w])(rewritten|distributed|hoisted|inlined)\(", path.read_text()
            )
            assert found is None, f"{path} changes kernels: {found and found[0]}"


def test_each_pass_changes_something_somewhere() -> None:
    changed = set()
    for family, options in FAMILIES:
        derivation = derive_definition(family, options)
        for layout in LAYOUTS:
            before = pipeline.Lowering(derivation.kernels, derivation.tensors)
            for found, program in pipeline.steps(derivation.kernels, derivation.tensors, layout):
                changed |= {found.name} if program != before else set()
                before = program
    assert changed == {found.name for found in pipeline.PASSES}


@pytest.mark.parametrize("backend", ["opencl", "opencl-rows", "numpy"])
def test_show_prints_every_pass_in_order(backend: str) -> None:
    derivation = pick(BUILT_IN.families, derived().name)[1]
    text = passes(derivation, backend)
    headings = [line.split(":")[0][2:] for line in text.splitlines() if line.startswith("# ")]
    layout = next((found for found in LAYOUTS if found.folder == backend.replace("-", "_")), None)
    assert headings[1:] == [found.name for found in pipeline.PASSES if layout in found.layouts]
    assert all(f"## {kernel.name}" in text for kernel in derivation.kernels)
    assert ("# tile: " in text) == ("(tiles cut the loops of the nests above; shown are the macros" in text)

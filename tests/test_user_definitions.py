"""Definitions that the project does not name, all the way: derived, generated, built, and checked on both
backends.

Slow because each definition goes all the way: the derivation, the text, the compiler, and gradients by
differences.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.codegen.user_file import combined, load_definitions
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.verify.verify import verify

FILES = sorted(p for p in (Path(__file__).parent / "layers").glob("*.py") if p.name != "__init__.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One generated folder with every definition."""
    definitions, _ = combined(load_definitions(FILES))
    path = tmp_path_factory.mktemp("definitions")
    write(path, generate(definitions.families, definitions.activations, definitions.losses).files)
    return path


BUILT = (
    "average_pooling",
    "depthwise",
    "locally_connected",
    "transposed",
    "local_response",
    "norm_pooling",
    "bilinear",
    "gated",
    "centred",
    "layer_normalisation",
    "strided_rows",
    "triangular",
)
"""The definitions that are built for OpenCL here; building all of them takes a minute."""


NOT_AT_ZERO = {"power_mean_pooling", "squared_share"}
"""Definitions without a derivative, or a value, where their input is 0: a power of it, a share of no sum."""


@pytest.mark.parametrize("backend", ["numpy", "opencl"])
def test_every_definition_passes_the_gradient_check(folder: Path, backend: str) -> None:
    known = load_folder(folder).layers
    names = sorted(n for n in known if not n.endswith(("_1d", "_3d")))
    assert len(names) > 40
    if backend == "opencl":
        assert all(any(n.startswith(b) for n in names) for b in BUILT)
        names = [n for n in names if n.startswith(BUILT)]
    report = verify(names, folder, backend, cases=1, seed=5)
    failed = [
        f"{row.layer}: {row.kernel} {row.tensor} {row.check} {row.error} {row.note}"
        for row in report.rows
        if not row.passed and not (row.check == "borders" and row.layer in NOT_AT_ZERO)
    ]
    assert not failed, "\n".join(failed)
    at_zero = {row.layer for row in report.rows if row.check == "borders" and not row.passed}
    assert at_zero == NOT_AT_ZERO & set(names)
    assert {row.layer for row in report.rows} >= set(names)

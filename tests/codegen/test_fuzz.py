"""Random definitions over printers, backends and borders against the definition itself; and those that once
failed.

200 with NumPy and 20 built for OpenCL, small ones, of which a derivation takes a twentieth of a second; any
number of larger ones is ``phiz verify --fuzz N``.  Slow because each is derived, and 20 are compiled.
A failure that hypothesis has shrunk goes to ``corpus/`` as a definition file.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from phiz.codegen.folder import write
from phiz.codegen.fuzzed import drawn, families_of, files_of, tried
from phiz.codegen.oracle import DefinitionOracle
from phiz.derive.fuzz.draw import drawn_definition
from phiz.runtime.manifest.loading import load_folder
from phiz.runtime.verify.definition import RUNS, definition_rows

pytestmark = pytest.mark.quickly_built
CORPUS = sorted((Path(__file__).parent / "corpus").glob("*.py"))


@settings(
    max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)
@given(st.randoms(use_true_random=False))
def test_a_random_definition_is_what_its_numpy_kernels_compute(random: Random) -> None:
    text = drawn_definition(random, small=True)
    found = tried(text, Random(text), shapes=1)
    assert not found.problems, "\n".join((*found.problems, text))


def test_random_definitions_differ_and_most_can_be_derived() -> None:
    texts = {drawn(1, number)[0] for number in range(40)}
    assert len(texts) == 40 and drawn(1, 7)[0] in texts
    refused = [tried(text, Random(0), 0).refused for text in sorted(texts)[:12]]
    assert sum(map(bool, refused)) < 6


def test_random_definitions_on_opencl(tmp_path: Path) -> None:
    """All of them in one folder; each in one form and precision, which its number picks."""
    texts = [drawn(3, number, f"drawn{number}", small=True)[0] for number in range(30)]
    texts = [text for text in texts if not tried(text, Random(0), 0).refused][:20]
    assert len(texts) == 20
    file = tmp_path / "drawn.py"
    file.write_text("\n\n".join(texts))
    write(tmp_path / "generated", files_of(texts))
    manifest, oracle = load_folder(tmp_path / "generated"), DefinitionOracle((file,))
    opencl = [run for run in RUNS if run[0] != "numpy"]
    rows = []
    for number, info in enumerate(manifest.layers.values()):
        generator = np.random.default_rng(number)
        rows += definition_rows(manifest, info, oracle, generator, [opencl[number % len(opencl)]])
    assert len(rows) > 200
    wrong = [
        f"{row.layer}: {row.kernel} {row.backend} {row.value} {row.reference}"
        for row in rows
        if not row.passed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("file", CORPUS, ids=lambda path: path.stem)
def test_what_once_failed(file: Path) -> None:
    found = tried(file.read_text(), Random(file.stem), shapes=9)
    assert not found.problems and not found.refused, (found.refused, *found.problems)


@pytest.mark.parametrize("name", ["scalar_function", "ragged_stage"])
def test_what_once_failed_on_opencl(name: str, tmp_path: Path) -> None:
    file = Path(__file__).parent / "corpus" / f"{name}.py"
    write(tmp_path, files_of([file.read_text()]))
    manifest = load_folder(tmp_path)
    for info in manifest.layers.values():
        generator = np.random.default_rng(1)
        found = definition_rows(manifest, info, DefinitionOracle((file,)), generator, RUNS[2:5])
        assert all(row.passed for row in found)


def test_a_wrong_kernel_is_found() -> None:
    """The comparison can fail: a definition and the text of another one."""
    from phiz.codegen.reference.comparison import differences
    from phiz.codegen.reference.printer import numpy_source
    from phiz.derive import derive_definition

    text = (Path(__file__).parent / "corpus" / "standing_still.py").read_text()
    (family,) = families_of(text)
    derivation = derive_definition(family, {})
    printed = numpy_source(derivation.kernels, derivation.tensors, {})
    assert not list(differences(derivation, printed, Random(2)))
    wrong = printed.replace(" += ", " -= ")
    assert wrong != printed
    assert {d.kernel for d in differences(derivation, wrong, Random(2))} >= {"forward_Z", "delta_Y"}

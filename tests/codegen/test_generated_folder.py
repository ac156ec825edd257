"""The committed folder is what the generator emits now, whatever the hash seed; nothing foreign is
touched when it writes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from phiz.codegen.folder import difference, existing, write
from phiz.codegen.generate import Generated, Generator, generate
from phiz.codegen.user_file import BUILT_IN
from phiz.derive.language.activations import Activation, z
from phiz.derive.pipeline import derive_definition

FOLDERS = ("numpy", "opencl", "opencl_rows")
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture(scope="module")
def generated() -> Generated:
    return generate(BUILT_IN.families, BUILT_IN.activations, BUILT_IN.losses)


def test_the_committed_folder_is_up_to_date(generated: Generated) -> None:
    assert difference(ROOT / "generated", generated.files) == []


def test_a_stale_kernel_shows_as_a_diff(generated: Generated, tmp_path: Path) -> None:
    write(tmp_path, generated.files)
    path = tmp_path / "opencl" / "dense.cl"
    path.write_text(path.read_text().replace("+=", "-=", 1))
    lines = difference(tmp_path, generated.files)
    assert any(line.startswith("-") and "-=" in line for line in lines)
    assert write(tmp_path, generated.files) == ["opencl/dense.cl"]
    assert difference(tmp_path, generated.files) == []


def test_output_does_not_depend_on_the_hash_seed(generated: Generated) -> None:
    program = (
        "import hashlib, json; from phiz.codegen.generate import generate; from phiz.codegen.user_file "
        "import BUILT_IN as b;"
        "f = generate(b.families, b.activations, b.losses).files;"
        "print(hashlib.sha256(json.dumps(f, sort_keys=True).encode()).hexdigest())"
    )
    expected = hashlib.sha256(json.dumps(generated.files, sort_keys=True).encode()).hexdigest()
    for seed in ("1", "20261"):
        done = subprocess.run(
            [sys.executable, "-c", program],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        )
        assert done.stdout.strip() == expected


def test_orphans_go_and_foreign_files_stay(generated: Generated, tmp_path: Path) -> None:
    write(tmp_path, generated.files)
    foreign = tmp_path / "numpy" / "mine.py"
    foreign.write_text("x = 1\n")
    fewer = {p: t for p, t in generated.files.items() if "dense_no_bias" not in p}
    changed = write(tmp_path, fewer)
    assert "numpy/dense_no_bias.py" in changed
    assert not (tmp_path / "numpy" / "dense_no_bias.py").exists()
    assert foreign.read_text() == "x = 1\n"


def test_a_manifest_cannot_make_the_writer_delete_elsewhere(generated: Generated, tmp_path: Path) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text("keep")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"files": {"../outside.py": "", str(outside): ""}}))
    assert set(existing(folder)) == {"manifest.json"}
    write(folder, {"manifest.json": generated.files["manifest.json"]})
    assert outside.read_text() == "keep"


def test_the_manifest_lists_every_file_with_its_digest(generated: Generated) -> None:
    listed = json.loads(generated.files["manifest.json"])["files"]
    assert set(listed) == set(generated.files) - {"manifest.json"}
    for path, digest in listed.items():
        assert hashlib.sha256(generated.files[path].encode()).hexdigest() == digest


def test_no_clock_and_no_path_in_generated_text(generated: Generated) -> None:
    for path, text in generated.files.items():
        assert str(ROOT) not in text and "20" + "26" not in text, path


def test_kernel_files_name_what_they_include_by_digest_and_hold_no_activation(generated: Generated) -> None:
    for path, text in generated.files.items():
        folder, _, name = path.partition("/")
        if folder not in ("opencl", "opencl_rows") or name in ("prelude.cl", "activations.cl"):
            continue
        found = re.findall(r'^#include "([\w.]+)"(?:  // sha256 (\w+))?$', text, re.MULTILINE)
        applies = re.search(r"\bD?PHI\(", text) is not None
        assert [n for n, _ in found] == ["prelude.cl", *(["activations.cl"] if applies else [])], path
        for included, digest in found:
            if included == "activations.cl":
                assert digest == "", "it may come from another folder"
                continue
            assert hashlib.sha256(generated.files[f"{folder}/{included}"].encode()).hexdigest() == digest
        assert not re.search(r"\bd?phi_\w+\(", text), path


def test_an_added_activation_changes_no_file_of_a_layer(generated: Generated) -> None:
    added = Activation("squared", z + z**2 / 8)
    files = generate((), (*BUILT_IN.activations, added), BUILT_IN.losses).files
    files |= {
        p: t for p, t in generated.files.items() if p not in files
    }  # derived layers, which it may not touch
    again = Generator((*BUILT_IN.activations, added))
    again.layer(derive_definition(BUILT_IN.families[0], {"bias": True}))
    changed = {p for p in generated.files if ({**files, **again.files})[p] != generated.files[p]}
    own = {f"{folder}/activations.{'py' if folder == 'numpy' else 'cl'}" for folder in FOLDERS}
    losses = {f"{folder}/loss_{loss.name}" for folder in (*FOLDERS, "equations") for loss in BUILT_IN.losses}
    assert {p for p in changed if p.rpartition(".")[0] not in losses} == own | {"manifest.json"}


def test_the_first_kernel_of_a_file_comes_soon(generated: Generated) -> None:
    for folder in ("opencl", "opencl_rows"):
        lines = generated.files[f"{folder}/dense.cl"].splitlines()
        assert next(n for n, line in enumerate(lines, 1) if "void forward_Z" in line) < 60


def test_a_missing_macro_stops_the_build(generated: Generated) -> None:
    for folder in ("opencl", "opencl_rows"):
        text = generated.files[f"{folder}/dense.cl"]
        check = text[text.index("#if !(") : text.index("#error")]
        used = set(re.findall(r"\b(?:TILE|PARTS|TEAM|UNROLL|LOCAL|SPACE|SLICED|SIZE)_\w+", text)) - {
            "PARTIAL_SUMS_"
        }
        assert used <= set(re.findall(r"defined\((\w+)\)", check))


def test_conditions_are_short_and_the_folder_is_small(generated: Generated) -> None:
    for path, text in generated.files.items():
        if path.endswith(".cl"):
            long = [
                line
                for line in text.splitlines()
                if line.lstrip().startswith(("if (", "} else if (")) and len(line) > 140
            ]
            assert not long, path
    assert len(generated.files["manifest.json"].splitlines()) <= 8_000
    assert sum(len(text.splitlines()) for text in generated.files.values()) <= 50_000

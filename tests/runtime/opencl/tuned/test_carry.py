"""Shipped configurations carried over to kernels of other text and names: found again, and nothing lost
or invented.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from phiz.runtime.files import write_atomically
from phiz.runtime.manifest.loading import load_manifest
from phiz.runtime.network.network import Network
from phiz.runtime.opencl.device import device as devices
from phiz.runtime.opencl.plan.config import KernelConfig
from phiz.runtime.opencl.tuned import carry, identity
from phiz.runtime.opencl.tuned.cache import decoded, encoded
from phiz.runtime.opencl.tuned.identity import device_class, kernel_record, key
from phiz.runtime.opencl.tuned.lookup import Tuned
from phiz.runtime.opencl.tuned.record import Entry
from phiz.runtime.program.layer import layer

from tests.runtime.tuner.planted import planted


def entry(folder: Path, kernel: str = "forward_Z", tile: str = "TILE_forward_Z_i") -> Entry:
    network = Network(
        [layer("dense", units=8, activation="tanh")],
        (5,),
        "mse",
        "numpy",
        manifests=load_manifest([folder], trust=True),
    )
    unit = network.program.units[0]
    info = next(found for found in unit.kernels if found.name == kernel)
    where = device_class(devices.choose()).record()
    return Entry(
        kernel_record(unit, info, "float32", 64),
        where,
        KernelConfig({tile: 4}, partial_sums=3),
        1e-3,
        5e-4,
        (),
        True,
    )


def renamed(folder: Path, path: Path) -> Path:
    """The same kernels under another name, with a macro of another name, and a comment."""
    shutil.copytree(folder, path)
    text = (
        (path / "opencl/dense.cl")
        .read_text()
        .replace("forward_Z", "ahead")
        .replace("TILE_ahead_i", "TILE_ahead_o")
    )
    (path / "opencl/dense.cl").write_text(text + "// a comment\n")
    manifest = (
        (path / "manifest.json")
        .read_text()
        .replace("TILE_forward_Z_i", "TILE_ahead_o")
        .replace("forward_Z", "ahead")
    )
    data = json.loads(manifest)
    data["files"]["opencl/dense.cl"] = hashlib.sha256((path / "opencl/dense.cl").read_bytes()).hexdigest()
    for name in data["files"]:
        if name.startswith("numpy/"):
            file = path / name
            file.write_text(file.read_text().replace("forward_Z", "ahead"))
            data["files"][name] = hashlib.sha256(file.read_bytes()).hexdigest()
    (path / "manifest.json").write_text(json.dumps(data))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    old = planted(tmp_path / "old")
    return old, renamed(old, tmp_path / "new")


def shipped(path: Path, *entries: Entry) -> Path:
    write_atomically(path, encoded({key(e.kernel, e.place): e for e in entries}))
    return path


def test_an_entry_is_found_under_the_new_names(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    old, new = folders
    stale = replace(entry(old), kernel={**entry(old).kernel, "source": "of yesterday", "samples": 16})
    file = shipped(tmp_path / "class.json", entry(old), stale)
    names = ["--rename", "kernel:dense/forward_Z=ahead", "--rename", "macro:TILE_forward_Z_i=TILE_ahead_o"]
    assert carry.main([str(old), str(new), str(file), *names]) == 0
    entries, _ = decoded(file.read_bytes())
    wanted = entry(new, "ahead", "TILE_ahead_o")
    assert entries == {key(e.kernel, e.place): e for e in (wanted, stale)}, (
        "what was not current stays as it was"
    )
    network = Network(
        [layer("dense", units=8, activation="tanh")],
        (5,),
        "mse",
        "numpy",
        manifests=load_manifest([new], trust=True),
    )
    unit = network.program.units[0]
    info = next(found for found in unit.kernels if found.name == "ahead")
    found = Tuned(devices.choose(), None, entries).find(unit, info, "float32", 64)
    assert found.tiles == {"TILE_ahead_o": 4} and found.partial_sums == 3


def test_what_the_new_folder_lacks_is_refused_and_the_file_stays(
    tmp_path: Path, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = folders
    file = shipped(tmp_path / "class.json", entry(old))
    before = file.read_bytes()
    assert carry.main([str(old), str(new), str(file)]) == 2
    assert carry.main([str(old), str(new), str(file), "--rename", "kernel:forward_Z=ahead"]) == 2, (
        "the macro has another axis"
    )
    assert "dense/forward_Z" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_entries_of_another_version_of_the_defaults_need_it_said(
    tmp_path: Path, folders: tuple[Path, Path]
) -> None:
    old, _ = folders
    mine = entry(old)
    file = shipped(tmp_path / "class.json", replace(mine, kernel={**mine.kernel, "defaults": "a digest"}))
    before = file.read_bytes()
    assert carry.main([str(old), str(old), str(file)]) == 0
    assert file.read_bytes() == before
    assert carry.main([str(old), str(old), str(file), "--defaults", "a digest"]) == 0
    entries, _ = decoded(file.read_bytes())
    assert entries == {key(mine.kernel, mine.place): mine}
    assert mine.kernel["defaults"] == identity.DEFAULTS_VERSION

"""A generated folder is used as it was generated, or refused with the file's name and what to do."""

import json
import sys
from pathlib import Path

import pytest
from phiz.runtime.errors import ManifestError, PhizError, ShapeError
from phiz.runtime.manifest.loading import load_folder, load_manifest


def test_a_sound_folder_is_read(folder: Path) -> None:
    manifest = load_folder(folder, trust=True)
    dense = manifest.layers["dense"]
    assert dense.parameters == ("w", "b") and dense.flat
    assert [k.name for k in dense.kernels if k.role == "gradient"] == ["gradient_w", "gradient_b"]
    assert dense.kernel("forward_Z").global_size == ("vectors", "I")
    assert manifest.activations["square"].derivative_in == "z"
    assert manifest.losses["mse"].pairs["tanh"] == ("value_y", "delta_tanh")
    assert manifest.losses["positive"].outputs == (0.0, 1.0)
    assert "tanh(" in dense.folder.text("opencl/dense.cl")
    assert dense.folder.module("numpy/activations.py").phi_square(3.0) == 9.0


@pytest.mark.parametrize("name", ["numpy/dense.py", "opencl/loss_mse.cl"])
def test_an_edited_file_is_refused(folder: Path, name: str) -> None:
    with open(folder / name, "a") as file:
        file.write("\n")
    with pytest.raises(ManifestError, match=f"{name}: was edited after it was generated; run: phiz generate"):
        load_folder(folder, trust=True)


def test_a_file_edited_after_loading_does_not_run(folder: Path) -> None:
    manifest = load_folder(folder, trust=True)
    (folder / "numpy" / "dense.py").write_text("raise SystemExit('ran')")
    with pytest.raises(ManifestError, match=r"dense\.py: was edited"):
        manifest.layers["dense"].folder.module("numpy/dense.py")


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "opencl" / "dense.cl").unlink()
    with pytest.raises(ManifestError, match=r"dense\.cl: cannot be read \(No such file"):
        load_folder(folder, trust=True)


def test_another_version_is_refused(folder: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**data, "version": 99}))
    with pytest.raises(ManifestError, match="version 99, this phiz reads version 3; run: phiz generate"):
        load_folder(folder, trust=True)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"version": 1}', '{"version": 3, "files": {}, "layers": {"a": {}}}']
)
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        load_folder(folder, trust=True)


def test_files_outside_the_folder_are_refused(folder: Path) -> None:
    data = json.loads((folder / "manifest.json").read_text())
    data["files"]["../secret"] = "0" * 64
    (folder / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(ManifestError, match="outside the folder"):
        load_folder(folder, trust=True)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        load_folder(tmp_path / "nothing")


def test_a_users_folder_lies_on_top(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for file in folder.rglob("*"):
        if file.is_file():
            (other / file.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            (other / file.relative_to(folder)).write_bytes(file.read_bytes())
    data = json.loads((other / "manifest.json").read_text())
    data["layers"]["dense"]["digest"] = "changed"
    data["layers"]["mine"] = {**data["layers"]["dense"], "family": "mine"}
    del data["losses"], data["activations"]
    (other / "manifest.json").write_text(json.dumps(data))
    manifest = load_manifest([folder, other], builtin_too=False, trust=True)
    assert manifest.layers["dense"].digest == "changed" and manifest.layers["dense"].folder.path == other
    assert manifest.families == ("dense", "mine") and "mse" in manifest.losses


def test_unknown_names_come_with_the_known_ones(folder: Path) -> None:
    manifest = load_folder(folder, trust=True)
    with pytest.raises(ShapeError, match="unknown layer 'densee', known are dense"):
        manifest.variants("densee")
    with pytest.raises(ShapeError, match="unknown activation 'relu', known are linear, square, tanh"):
        manifest.activation("relu")
    with pytest.raises(PhizError, match="unknown loss 'ce', known are mse, positive"):
        manifest.loss("ce")


def test_the_runtime_leaves_the_symbolic_rooms_alone(folder: Path) -> None:
    """Loading and using a folder in a fresh interpreter imports neither SymPy nor Mako nor the
    generating rooms.
    """
    import subprocess

    code = (
        "import sys, numpy as np\n"
        "from phiz.runtime.manifest.loading import load_manifest\n"
        "from phiz.runtime.program.layer import layer\n"
        "from phiz.runtime.network.network import Network\n"
        f"m = load_manifest([{str(folder)!r}], builtin_too=False, trust=True)\n"
        "n = Network([layer('dense', units=2)], 3, 'mse', backend='numpy', manifests=m)\n"
        "n.value_and_gradient(n.parameters, np.ones((2, 3)), np.ones((2, 2)))\n"
        "bad = [k for k in sys.modules if k.split('.')[0] in ('sympy', 'mako') or "
        "k.startswith(('phiz.derive', 'phiz.codegen'))]\n"
        "sys.exit(str(bad) if bad else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

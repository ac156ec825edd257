"""Verification: it passes on the committed kernels, and sees one flipped sign in any of them and names the
kernel.

Slow because a sign is flipped in every kernel in turn, and each time a folder is written, loaded and
verified.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phiz.runtime.errors import ManifestError, PhizError
from phiz.runtime.manifest.loading import builtin, builtin_path
from phiz.runtime.verify.random_configuration import random_configuration
from phiz.runtime.verify.verdict import Report
from phiz.runtime.verify.verify import Known, plan, verify

TRUSTED = Known(trust=True)

SAMPLE = (
    "dense",
    "softmax",
    "radial_basis",
    "convolution_1d",
    "convolution_1d_table",
    "max_pooling_1d",
    "subsampling_2d_table",
)

#: A sum may be written several times, for whole tiles and for places in turn: its sign is one, and changes in
#: all of them.
SUM = r"\] \+= "
SIGNS = {
    SUM: "] -= ",
    "realv result = ": "realv result = -",
    r"\.append\(": ".append(-",
    "return ": "return -",
    "= lane": "= -lane",
}


def manifest() -> dict[str, Any]:
    return json.loads((builtin_path() / "manifest.json").read_text())


def copied(folder: Path, variant: str, file: str = "", text: str = "", digest: bool = True) -> Path:
    """A generated folder of one layer and the losses, with ``file`` replaced by ``text`` (and its
    digest, if asked).
    """
    data = manifest()
    keep = [
        name
        for name in data["files"]
        if Path(name).stem in (variant, "activations", "prelude") or "loss_" in name
    ]
    data["layers"] = {variant: data["layers"][variant]}
    data["files"] = {name: data["files"][name] for name in keep if not name.startswith("equations")}
    for name in data["files"]:
        content = text if name == file else (builtin_path() / name).read_text()
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
        if digest:
            data["files"][name] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(data))
    return folder


def flipped(file: str, kernel: str) -> str:
    """The text of a generated file with one sign of one kernel changed, in all copies of the loop that
    it is in.
    """
    text = (builtin_path() / file).read_text()
    opening, ending = (
        (r"def {}\(", r"\n(?=def )")
        if file.endswith(".py")
        else (r"static void {}_item\(", r"\n(?=WIDE __kernel )")
    )
    start = re.search(opening.format(kernel), text)
    assert start is not None, kernel
    stop = re.search(ending, text[start.start() :])
    end = start.start() + stop.start() if stop else len(text)
    body = text[start.start() : end]
    for pattern, sign in SIGNS.items():
        changed, count = re.subn(pattern, sign, body, count=0 if pattern == SUM else 1)
        if count:
            return text[: start.start()] + changed + text[end:]
    raise AssertionError(f"no sign to flip in {file}: {kernel}")


def named(report: Report, kernel: str) -> bool:
    return any(row.kernel == kernel for row in report.failures)


@pytest.mark.parametrize("family", builtin().families)
def test_every_family_passes_with_numpy(family: str) -> None:
    report = verify([family], backend="numpy", cases=3, seed=11)
    assert report.passed, report.failures[:3]
    checks = {row.check for row in report.rows}
    assert {"differences", "adjoint", "taylor"} <= checks
    reached = {row.kernel for row in report.rows if row.check == "differences"}
    for info in builtin().variants(family):
        for kernel in info.kernels:
            ends = kernel.role in ("gradient", "sample_gradient") or kernel.output == f"delta_{info.input}"
            assert not ends or kernel.name in reached, kernel.name


@pytest.mark.parametrize("name", ["dense", "max_pooling_1d", "mse"])
def test_both_backends_agree(name: str) -> None:
    report = verify([name], backend="all", cases=2, seed=5)
    assert report.passed, report.failures[:3]
    assert {(row.backend, row.dtype) for row in report.rows if row.check in ("backends", "taylor")} >= {
        ("opencl", "float32"),
        ("opencl", "float64"),
    }


FORWARD_ONLY_SHIFTS = {
    ("softmax", "forward_m")
}  # the shift of softmax cancels: only OpenCL against NumPy can see its sign
KERNELS = [
    (variant, kernel["name"])
    for variant in SAMPLE
    for kernel in manifest()["layers"][variant]["kernels"]
    if (variant, kernel["name"]) not in FORWARD_ONLY_SHIFTS
]


@pytest.mark.parametrize(("variant", "kernel"), KERNELS)
def test_one_flipped_sign_in_a_numpy_kernel_is_seen(variant: str, kernel: str, tmp_path: Path) -> None:
    file = f"numpy/{variant}.py"
    report = verify(
        [variant], copied(tmp_path, variant, file, flipped(file, kernel)), "numpy", cases=3, known=TRUSTED
    )
    assert not report.passed
    assert all(row.layer == variant for row in report.failures)
    is_inner = re.match(r"forward_|delta_[^Y]", kernel) or kernel.endswith("_value")
    assert is_inner or named(report, kernel), report.failures[:3]


@pytest.mark.parametrize(
    ("variant", "kernel", "cases"),
    [
        ("softmax", "forward_m", 1),
        ("convolution_1d", "gradient_w", 3),
        ("convolution_1d", "delta_Y", 3),
        ("subsampling_2d_table", "samplegradient_alpha", 3),
    ],
)
def test_one_flipped_sign_in_an_opencl_kernel_is_seen_and_named(
    variant: str, kernel: str, cases: int, tmp_path: Path
) -> None:
    file = f"opencl/{variant}.cl"
    report = verify(
        [variant],
        copied(tmp_path, variant, file, flipped(file, kernel)),
        "opencl",
        cases=cases,
        known=TRUSTED,
    )
    wrong = {row.kernel for row in report.failures if row.check == "backends"}
    assert wrong == {kernel}, wrong


@pytest.mark.parametrize("loss", ["mse", "ce"])
def test_one_flipped_sign_in_a_loss_is_seen(loss: str, tmp_path: Path) -> None:
    for kernel in ("delta_sigmoid", "value_sigmoid"):
        file = f"numpy/loss_{loss}.py"
        report = verify(
            [loss], copied(tmp_path / kernel, "dense", file, flipped(file, kernel)), "numpy", known=TRUSTED
        )
        assert named(report, kernel), report.failures[:3]


def test_a_wrong_derivative_of_an_activation_is_seen(tmp_path: Path) -> None:
    file = "numpy/activations.py"
    report = verify(
        ["tanh"], copied(tmp_path, "dense", file, flipped(file, "dphi_tanh")), "numpy", cases=1, known=TRUSTED
    )
    assert named(report, "dphi_tanh")


def test_an_edited_file_is_checked_as_it_is_and_fails(tmp_path: Path) -> None:
    file = "numpy/dense.py"
    folder = copied(tmp_path, "dense", file, flipped(file, "gradient_w"), digest=False)
    report = verify(["dense"], folder, "numpy", cases=1, known=TRUSTED)
    assert report.failures[0].layer == file
    assert "edited" in report.failures[0].note
    assert named(report, "gradient_w")


def test_a_kernel_that_raises_is_a_failure(tmp_path: Path) -> None:
    file = "numpy/dense.py"
    text = (builtin_path() / file).read_text().replace("def delta_Y(", "def delta_W(")
    report = verify(["dense"], copied(tmp_path, "dense", file, text), "numpy", cases=1, known=TRUSTED)
    assert any(row.check == "error" and "delta_Y" in row.note for row in report.failures)


def test_the_same_seed_draws_the_same(tmp_path: Path) -> None:
    first, again, other = (verify(["irregular"], backend="numpy", cases=2, seed=seed) for seed in (1, 1, 2))
    assert first.rows == again.rows
    assert first.rows != other.rows


def test_processes_give_the_same_rows() -> None:
    alone = verify(["dense"], backend="numpy", cases=2)
    assert verify(["dense"], backend="numpy", cases=2, workers=2).rows == alone.rows


def test_cases_are_shared_out_among_variants_and_all_activations_occur() -> None:
    tasks = [task for task in plan(builtin(), ["convolution"], 20) if task.kind == "layer"]
    variants = {task.name for task in tasks}
    assert variants == {info.name for info in builtin().variants("convolution")}
    assert len(tasks) >= 20
    assert {task.activation for task in tasks} == {task.lower for task in tasks} == set(builtin().activations)
    assert len([task for task in plan(builtin(), ["convolution_3d"], 20) if task.kind == "layer"]) == 20


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(PhizError, match="unknown layer 'convulsion'"):
        verify(["convulsion"], backend="numpy")
    with pytest.raises(PhizError, match="cases = 0"):
        verify(cases=0)
    with pytest.raises(ManifestError, match="cannot be read"):
        verify(folder=tmp_path, backend="numpy")


@pytest.mark.parametrize("variant", sorted(builtin().layers))
def test_random_configurations_are_legal_and_differ(variant: str) -> None:
    info = builtin().layers[variant]
    generator = np.random.default_rng(3)
    found = [random_configuration(builtin(), info, "tanh", "relu", generator) for _ in range(15)]
    assert len({str(configuration) for configuration in found}) >= 8
    assert all(configuration.layer.info.name == variant for configuration in found)
    if info.tensors[info.input].ragged:
        assert any(not configuration.shape.uniform for configuration in found)
    for relation in info.relations:
        rows = [configuration.layer.connection_tables[relation] for configuration in found]
        assert any(np.any(np.diff(r.columns["i"]) < 0) for r in rows)  # rows in no order
        assert any(
            len(set(r.columns["j"].tolist())) < r.sizes["j"] for r in rows
        )  # maps below without a connection
        assert any(len(set(r.columns["q"].tolist())) < r.count for r in rows)  # shared parameters

"""The notebooks run from top to bottom and show equations and pictures, and their .ipynb hold the same cells.

Slow because whole notebooks run, derivations, compilers, trainings and pictures included, each in a kernel of
its own.
"""

from __future__ import annotations

import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
sys.path.insert(0, str(FOLDER))

import build  # noqa: E402

DERIVING = ["01_from_equation_to_kernel", "02_your_own_layer"]
NAMES = [*DERIVING, "03_optimizers", "04_tuning"]


def test_every_notebook_is_tested() -> None:
    assert [source.stem for source in build.SOURCES] == NAMES


@pytest.mark.quickly_built
@pytest.mark.parametrize("name", DERIVING)
def test_the_notebook_runs(name: str) -> None:
    """A failing cell raises, with its traceback; its own assertions are part of it."""
    notebook = build.execute(build.read(FOLDER / f"{name}.py"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if output.output_type == "display_data"]
    equations = [data["text/markdown"] for data in shown if "$$" in data.get("text/markdown", "")]
    assert sum(text.count("$$") // 2 for text in equations) >= 4
    assert any(r"\delta" in text and r"\sum" in text for text in equations)
    assert any("image/png" in data for data in shown)
    kernels = [text for data in shown if "_item(" in (text := data.get("text/markdown", ""))]
    assert kernels and all("realv result = " in text for text in kernels), (
        "what computes is shown, not what calls it"
    )
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_the_optimizers_run_side_by_side() -> None:
    """Its assertions say who must be ahead of whom; here: a picture per section, a line per method,
    nothing on stderr.
    """
    notebook = build.execute(build.read(FOLDER / "03_optimizers.py"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    for method in ("gd", "momentum", "cg", "lbfgs", "bfgs", "lm"):
        assert printed.count(f"\n{method} ") + printed.startswith(f"{method} ") >= 3, method
    assert not [output for output in outputs if output.get("name") == "stderr"]


def test_the_tuner_is_shown_at_work() -> None:
    """Its assertions hold Algorithm 4 and the tuning session; here: its pictures, Algorithm 4's answer,
    a row per kernel.
    """
    notebook = build.execute(build.read(FOLDER / "04_tuning.py"))
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 5
    printed = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    assert "(16, 16) with padding (0, 0): 62976 accesses; what binds: units" in printed
    assert printed.count("fastest at width") == 4
    rows = [line for line in printed.splitlines() if line.startswith("layer 2 (convolution): ")]
    kernels = [line.split()[3] for line in rows]  # those that the budget reached
    assert kernels and kernels == [
        name for name in ("forward_Z", "delta_Y", "gradient_w", "gradient_b") if name in kernels
    ]
    assert not [output for output in outputs if output.get("name") == "stderr"]


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_notebook_holds_the_same_cells(name: str) -> None:
    assert not build.stale(FOLDER / f"{name}.py"), "run: python notebooks/build.py"


def test_another_cell_is_noticed(tmp_path: Path) -> None:
    source = tmp_path / "01_x.py"
    source.write_text("# %% [markdown]\n# # Title\n\n# %%\nvalue = 1\n")
    assert build.stale(source)
    nbformat.write(build.read(source), source.with_suffix(".ipynb"))
    assert not build.stale(source)
    source.write_text(source.read_text().replace("value = 1", "value = 2"))
    assert build.stale(source)


def test_a_failing_cell_is_reported(tmp_path: Path) -> None:
    source = tmp_path / "01_x.py"
    source.write_text("# %%\nassert 1 == 2\n")
    with pytest.raises(build.CellExecutionError, match="AssertionError"):
        build.execute(build.read(source))

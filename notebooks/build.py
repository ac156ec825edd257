"""Executes the notebooks and writes them as .ipynb beside their sources.

    python notebooks/build.py [NAME ...] [--check]

The sources are the .py files (jupytext's percent format); the .ipynb files are made from them and carry the
outputs.  Nothing in them depends on the time or on the path: cells are numbered, and the time stamps of the
execution are left out.  ``--check`` executes and writes nothing; exit 1 where a cell fails or an .ipynb holds
other cells than its source.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

FOLDER = Path(__file__).resolve().parent
SOURCES = tuple(sorted(FOLDER.glob("[0-9][0-9]_*.py")))
TIMEOUT = 300
"""Seconds that one cell may take."""


def read(source: Path) -> Any:
    """The notebook in a source, its cells numbered."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:02}"
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
                         "language_info": {"name": "python"}}  # fmt: skip
    return notebook


def execute(notebook: Any) -> Any:
    """The notebook with its outputs; CellExecutionError with the traceback of the cell that fails."""
    os.environ.setdefault(
        "PYDEVD_DISABLE_FILE_VALIDATION", "1"
    )  # no debugger, so no warning about it on stderr
    NotebookClient(
        notebook,
        timeout=TIMEOUT,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(FOLDER)}},
    ).execute()
    for cell in notebook.cells:
        cell.metadata = {}
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def sources(notebook: Any) -> list[tuple[str, str]]:
    """Kind and text of every cell."""
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def stale(source: Path) -> bool:
    """Whether the .ipynb is missing, or holds other cells than its source."""
    built = source.with_suffix(".ipynb")
    return not built.is_file() or sources(nbformat.read(built, as_version=4)) != sources(read(source))


def main(given: Sequence[str] | None = None) -> int:
    """Exit status."""
    parser = argparse.ArgumentParser(description="Execute the notebooks.")
    parser.add_argument("names", nargs="*", help="beginnings of names, such as 01 (default: all)")
    parser.add_argument("--check", action="store_true", help="execute, compare the cells, write nothing")
    options = parser.parse_args(given)
    chosen = [
        s for s in SOURCES if not options.names or any(s.name.startswith(name) for name in options.names)
    ]
    failed = not chosen
    for source in chosen:
        try:
            notebook = execute(read(source))
        except CellExecutionError as error:
            print(f"{source.name}: {error}", file=sys.stderr)
            failed = True
            continue
        if not options.check:
            temporary = source.with_suffix(".ipynb.tmp")
            nbformat.write(notebook, temporary)
            temporary.replace(source.with_suffix(".ipynb"))
        elif stale(source):
            print(
                f"{source.name}: the .ipynb holds other cells; run: python notebooks/build.py",
                file=sys.stderr,
            )
            failed = True
        print(f"{source.name}: executed")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

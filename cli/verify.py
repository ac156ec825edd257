"""``phiz verify``: the gradient check of every generated kernel."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .options import add_trust, at_least

if TYPE_CHECKING:
    from rich.table import Table

    from ..runtime.verify.definition import Oracle
    from ..runtime.verify.verdict import CheckRow, Report

SUMMARY = "check derived kernels: the definition, finite differences, Taylor slope, NumPy against OpenCL"
MOST_FAILURES = 40
#: Configurations per layer of ``--full``.
FULL = 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz verify``."""
    parser.add_argument(
        "names", nargs="*", metavar="LAYER", help="layers, losses or activations; without one all of them"
    )
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--definition", type=Path, metavar="FILE.py", help="derive this file and check what it defines"
    )
    source.add_argument("--kernels", type=Path, metavar="DIR", help="check a folder that phiz generate wrote")
    add_trust(parser)
    parser.add_argument(
        "--backend", choices=("numpy", "opencl", "all"), default="all", help="what runs the kernels"
    )
    parser.add_argument(
        "--cases", type=int, metavar="N", help="random configurations per layer (default 1 of every variant)"
    )
    parser.add_argument(
        "--full", action="store_true", help="20 configurations of every layer, all of them with OpenCL too"
    )
    parser.add_argument(
        "--fuzz", type=int, metavar="N", help="try N random definitions; goes on where such a run was stopped"
    )
    parser.add_argument(
        "--journal", type=Path, metavar="FILE", help="what --fuzz has tried (default: in the cache)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="another seed draws other configurations"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: all cores)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every comparison to FILE")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 where a comparison fails, or where the kernels are older than their definitions."""
    from ..runtime.errors import PhizError
    from ..runtime.files import write_atomically
    from ..runtime.manifest.loading import builtin_path
    from ..runtime.verify.verify import Known, verify, verify_quickly
    from .stale import say_stale

    at_least(arguments, seed=0, jobs=1, cases=1)
    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        raise PhizError(f"--json {arguments.json}: its folder does not exist")
    if arguments.fuzz is not None:
        return _fuzz(arguments)
    stale = say_stale([arguments.kernels or builtin_path()], False) if arguments.definition is None else False
    with _checked(arguments) as (folder, names, oracle), _progress() as progress:
        known = Known(oracle, arguments.trust)
        if arguments.full or arguments.cases is not None or names or arguments.backend != "all":
            cases = arguments.cases if arguments.cases is not None else FULL if arguments.full else 1
            report = verify(
                names, folder, arguments.backend, cases, arguments.seed, arguments.jobs, progress, known
            )
        else:  # a text computes the same without the compiler's optimizations, and is built faster
            os.environ.setdefault("PYOPENCL_BUILD_OPTIONS", "-cl-opt-disable")
            report = verify_quickly(folder, arguments.seed, arguments.jobs, progress, known)
    _print(report)
    if arguments.json is not None:
        write_atomically(arguments.json, (json.dumps(report.to_dict(), indent=1) + "\n").encode())
    return 0 if report.passed and not stale else 1


def _fuzz(arguments: argparse.Namespace) -> int:
    from ..runtime.errors import PhizError
    from .fuzz import fuzz

    given = arguments.names or [
        name for name in ("definition", "kernels", "cases", "full", "json") if getattr(arguments, name)
    ]
    if given:
        raise PhizError(f"--fuzz draws its own definitions: nothing goes with it but --seed, --backend and "
                        f"--journal, got {given[0]}")  # fmt: skip
    if arguments.fuzz < 1:
        raise PhizError(f"--fuzz {arguments.fuzz}, expected at least 1")
    return fuzz(arguments.fuzz, arguments.seed, arguments.backend, arguments.journal)


@contextlib.contextmanager
def _checked(arguments: argparse.Namespace) -> Iterator[tuple[Path | None, list[str], Oracle | None]]:
    """The folder to check, the names in it, and its definitions.

    A definition file is derived into a temporary folder; of a folder of one's own no definitions are known.
    """
    from ..codegen.oracle import DefinitionOracle

    if arguments.definition is None:
        yield arguments.kernels, arguments.names, None if arguments.kernels else DefinitionOracle()
        return
    from ..codegen.folder import write
    from ..codegen.generate import generate
    from ..codegen.user_file import combined, load_definitions

    own = load_definitions([arguments.definition])
    needed = combined(own)[0]
    files = generate(needed.families, needed.activations, needed.losses).files
    defined = [item.name for group in (own.families, own.activations, own.losses) for item in group]
    with tempfile.TemporaryDirectory(prefix="phiz_verify_") as folder:
        write(Path(folder), files)
        yield Path(folder), arguments.names or defined, DefinitionOracle((arguments.definition,))


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, gone when it ends; nothing where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task("verifying", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield progress


# ------------------------------------------------------------------------------------------------- the output
def _print(report: Report) -> None:
    """The worst row of every layer, backend and check, then every failure."""
    from rich.console import Console

    console = Console() if sys.stdout.isatty() else Console(width=200)
    worst = [(row, count) for row, count in report.worst() if row.passed]
    if worst:
        console.print(_table("worst of each check", worst))
    failures = report.failures
    if failures:
        console.print(_table("failures", [(row, 1) for row in failures[:MOST_FAILURES]]))
    if len(failures) > MOST_FAILURES:
        print(f"… and {len(failures) - MOST_FAILURES} more failures; --json FILE has all of them")
    for place in sorted({_place(row) for row in failures}):
        print(f"FAIL {place}")
    layers = len({(row.layer, row.configuration) for row in report.rows})
    print(
        f"{len(report.rows)} comparisons of {layers} configurations, {len(failures)} failed, "
        f"seed {report.seed}, {report.seconds:.0f} s"
    )


def _place(row: CheckRow) -> str:
    kernel = f" kernel {row.kernel}" if row.kernel else ""
    backend = f" ({row.backend}, {row.dtype})" if row.backend else ""
    return (
        f"{row.layer}:{kernel} "
        f"{row.check}{backend}{': ' + row.note if row.note and row.check in ('error', 'borders') else ''}"
    )


def _table(title: str, rows: list[tuple[CheckRow, int]]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("layer", "backend", "check", "tensor", "index"):
        table.add_column(name, no_wrap=True)
    for name in ("value", "reference", "step", "error", "tolerance", "rows"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    table.add_column("configuration", overflow="fold", style="dim", min_width=24)
    for row, count in rows:
        style = None if row.passed else "red"
        table.add_row(*_cells(row, count), style=style)
    return table


def _cells(row: CheckRow, count: int) -> list[str]:
    backend = f"{row.backend} {'f64' if row.dtype == 'float64' else 'f32'}" if row.backend else ""
    configuration = f"{row.configuration}{'; ' + row.note if row.note else ''}"
    index = ",".join(map(str, row.index))
    step = f"{row.step:.0e}" if row.step else ""
    numbers = [
        f"{row.value:.6g}",
        f"{row.reference:.6g}",
        step,
        f"{row.error:.1e}",
        f"{row.tolerance:.0e}",
        str(count),
    ]
    if row.check == "taylor":
        numbers[3:5] = [f"{row.error:.2f}", f"≥ {row.tolerance}"]
    return [row.layer, backend, row.check, row.tensor, index, *numbers, row.verdict, configuration]

"""One word, one meaning: class names that occur once, names that were given up, and C text that stands
in templates.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.house import todo
from tests.house.source import ROOMS, ROOT, defined, files, tree, words
from tests.house.todo import settled

MIRRORED = {
    "Bar": "training and tuner: what a terminal shows of a long run",
    "Layer": "derive: a layer while its definition runs; runtime: that layer on a shape, in a network",
    "Lines": "training and tuner: what is written of a long run where there is no terminal",
    "Observer": "training and tuner: who watches a long run",
    "Silent": "training and tuner: an observer that says nothing",
    "SizeInfo": "runtime reads from the manifest what derive declared",
    "TensorInfo": "runtime reads from the manifest what derive declared",
}
"""Class names that stand twice, for the same thing on both sides of ``generated/``, or at both kinds of
long runs.
"""


@dataclass(frozen=True)
class Retired:
    """Names that were given up in some folders, and what is said instead."""

    folders: tuple[str, ...]
    names: frozenset[str]
    instead: str
    within: bool = False  # longer names, of which one of these is a word, were given up too

    def found(self) -> Iterator[str]:
        """Where a file of the folders, or a test of theirs, defines one of the names."""
        mirrors = (f"tests/{folder}" for folder in self.folders)
        for path in files(*self.folders, *(folder for folder in mirrors if (ROOT / folder).is_dir())):
            for name in sorted(defined(path)):
                if name.removeprefix("test_") in self.names or (self.within and words(name) & self.names):
                    yield f"{path.as_posix()}: {name}"


def retired(folders: str, names: str, instead: str, within: bool = False) -> Retired:
    """The same, from words."""
    return Retired(tuple(folders.split()), frozenset(names.split()), instead, within)


KERNELS = "codegen runtime/opencl runtime/tuner runtime/manifest"
RETIRED = (
    retired("codegen", "Schedule", "Tiling"),
    retired("runtime", "Schedule", "KernelConfig; of the optimizers a rate's schedule has a name of its own"),
    retired(KERNELS, "split parts", "loop split, partial sums (split-k)"),
    retired(KERNELS, "team teams", "reduction group", within=True),
    retired(KERNELS, "strip strips", "cache tile", within=True),
    retired("codegen", "place places round rounds", "point of a tile, iteration"),
    retired("derive codegen runtime", "RowLoop", "TableLoop"),
    retired(
        "codegen", "distribute constants constant selection moved_activations", "what the pass does to what"
    ),
    retired("runtime", "register_tiles warp_tiles", "cpu_cost_model, gpu_cost_model"),
    retired(
        "runtime/network runtime/program",
        "chain admit phases Part",
        "connect, check_loss_range, pass_stages, EvaluationSet",
    ),
    retired("runtime/training runtime/data", "Part", "EvaluationSet"),
    retired("runtime", "Bench Joint Loan", "KernelFixture, LaunchGroup, BorrowedFrame"),
    retired("runtime/training", "recipe carry_out", "TrainingJob, run"),
    retired(
        "benchmarks",
        "subject works contest side Subject Work Contest Side",
        "problem, cases, comparison, worker",
    ),
)
RETIRED_IN_C = {"TV": "VECTORS_PER_BLOCK", "odd": "padded_units", "lesser": "imin", "greater": "imax"}
MOST_LINES_OF_C = 3


def test_a_class_name_stands_for_one_class() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for path in files(*ROOMS):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(path.as_posix())
    settled({name for name, paths in where.items() if len(paths) > 1}, set(MIRRORED) | todo.CLASS_NAMES)


def test_names_that_were_given_up_are_gone() -> None:
    for entry in RETIRED:
        assert all((ROOT / folder).is_dir() for folder in entry.folders) and entry.instead
    settled({place for entry in RETIRED for place in entry.found()}, todo.RETIRED)


def test_names_that_were_given_up_are_gone_from_opencl() -> None:
    texts = [(p, p.read_text(encoding="utf-8")) for p in sorted((ROOT / "generated/opencl").glob("*.cl"))]
    assert len(texts) > 20
    settled(
        {n for n in RETIRED_IN_C if any(re.search(rf"\b{n}\b", _code(text)) for _, text in texts)},
        todo.RETIRED_IN_C,
    )


def _code(text: str) -> str:
    """C text without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def c_texts(path: Path) -> Iterator[int]:
    """The lines of a file at which strings of more than three lines hold what looks like C."""
    nodes = list(ast.walk(tree(path)))
    first = [
        n.body[0] for n in nodes if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef) and n.body
    ]
    apart = {id(n.value) for n in first if isinstance(n, ast.Expr)}  # docstrings
    apart |= {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
    for node in nodes:
        parts = node.values if isinstance(node, ast.JoinedStr) else [node]
        strings = [p.value for p in parts if isinstance(p, ast.Constant) and isinstance(p.value, str)]
        text = "".join(strings).strip()
        if id(node) not in apart and text.count("\n") >= MOST_LINES_OF_C and re.search("[;{]", text):
            assert isinstance(node, ast.expr)
            yield node.lineno


def test_c_text_of_more_than_three_lines_stands_in_templates() -> None:
    settled({path.as_posix() for path in files("codegen") if any(True for _ in c_texts(path))}, todo.C_TEXTS)

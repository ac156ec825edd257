"""One word, one meaning: class names that occur once, names that were given up, and C text that stands
in templates.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.house import todo
from tests.house.source import ROOMS, ROOT, Function, defined, files, tree, words
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
_LAUNCH = (
    "a launch is composed for one network where it runs, without Mako: its lines follow the list of steps"
)
_PROBE = "a program that asks the device, once, for what no query of OpenCL answers; no kernel of a layer"
C_IN_PYTHON = {
    "runtime/opencl/launch/fused_text.py": _LAUNCH,
    "runtime/opencl/launch/grouped_text.py": _LAUNCH,
    "runtime/opencl/device/device.py": _PROBE,
    "runtime/opencl/device/vector_registers.py": _PROBE,
    "benchmarks/kernels/device_peaks.py": _PROBE,
}
"""Files with C text beside ``templates/``, with the reason."""


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
    texts = [(p, p.read_text(encoding="utf-8")) for p in sorted((ROOT / "generated").glob("opencl*/*.cl"))]
    assert len(texts) > 40 and {p.parent.name for p, _ in texts} == {"opencl", "opencl_rows"}
    settled(
        {n for n in RETIRED_IN_C if any(re.search(rf"\b{n}\b", _code(text)) for _, text in texts)},
        todo.RETIRED_IN_C,
    )


def _code(text: str) -> str:
    """C text without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def literal(node: ast.expr) -> str:
    """The text that an expression of literals makes, put together by ``+`` or ``join`` or line by line; a 0
    stands where a value is inserted.
    """
    match node:
        case ast.Constant(value=str(value)):
            return value
        case ast.JoinedStr(values=parts):
            return "".join(literal(part) if isinstance(part, ast.Constant) else "0" for part in parts)
        case ast.BinOp(op=ast.Add(), left=left, right=right):
            return literal(left) + literal(right)
        case ast.Call(
            func=ast.Attribute(value=between, attr="join"), args=[ast.List() | ast.Tuple() as pieces]
        ):
            return literal(between).join(map(literal, pieces.elts))
        case ast.List(elts=pieces) | ast.Tuple(elts=pieces):
            return "\n".join(map(literal, pieces))
    return ""


def is_c(text: str) -> bool:
    """Whether a text has more than three lines, of which two end or begin as lines of C do."""
    found = text.strip().splitlines()
    looks = [line for line in found if re.search(r"[;{]\s*$|^\s*}\s*$|^#(if|el|en|def|pragma)", line)]
    return len(found) > MOST_LINES_OF_C and len(looks) > 1


def c_texts(parsed: ast.Module, printer: bool = False) -> Iterator[int]:
    """The lines at which literals hold what looks like C.

    ``printer``: lines of a list, or yielded one by one, count only where nothing is inserted in them.
    """
    nodes = list(ast.walk(parsed))
    docstrings = {id(n.value) for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)}
    for node in nodes:
        lines: list[ast.expr] = []
        if isinstance(node, ast.List | ast.Tuple):
            lines = node.elts
        elif isinstance(node, Function):
            lines = [n.value for n in ast.walk(node) if isinstance(n, ast.Yield) and n.value is not None]
        elif isinstance(node, ast.expr) and id(node) not in docstrings and is_c(literal(node)):
            yield node.lineno
        fixed = [line for line in lines if isinstance(line, ast.Constant) or not printer]
        if isinstance(node, ast.expr | ast.stmt) and is_c("\n".join(map(literal, fixed))):
            yield node.lineno


def test_c_text_is_found_however_it_is_put_together() -> None:
    lines = ["__kernel void f(__global float *x)", "{", "    x[0] = 1;", "}"]
    whole = "\n".join(lines)
    for text in (
        f"f = {whole!r}",
        f"'\\n'.join({lines})",
        " + ".join(repr(f"{line}\n") for line in lines),
        f"opening = {lines}\nf = '\\n'.join(opening)",
        "def f():\n" + "\n".join(f"    yield {line!r}" for line in lines),
    ):
        assert list(c_texts(ast.parse(text), True)), text
    inserted = "[f'{a} = 1;', f'{b} = 2;', f'{c} = 3;', f'{d} = 4;']"
    assert list(c_texts(ast.parse(inserted))) and not list(c_texts(ast.parse(inserted), True))
    assert not list(c_texts(ast.parse("'''One.\n\nTwo;\n\nthree {\n'''\nx = 'a;\\nb;\\nc;'")))


def test_c_text_of_more_than_three_lines_stands_in_templates() -> None:
    found = {
        p.as_posix() for p in files(*ROOMS) if any(True for _ in c_texts(tree(p), p.parts[0] == "codegen"))
    }
    settled(found, set(C_IN_PYTHON) | todo.C_TEXTS)

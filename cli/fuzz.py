"""``phiz verify --fuzz N``: random definitions on every printer, at ordinary points and at borders."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..runtime.verify.journal import FuzzOutcome

MOST_PROBLEMS = 6


def fuzz(count: int, seed: int, backend: str, journal: Path | None) -> int:
    """Try ``count`` random definitions; exit status 1 where one differs from what it says."""
    from ..runtime.opencl.tuned.cache import cache_folder
    from ..runtime.verify.journal import AGREES, DIFFERS, REFUSED, FuzzOutcome, Journal

    if (
        backend != "numpy"
    ):  # a text computes the same without the compiler's optimizations, and is built faster
        os.environ.setdefault("PYOPENCL_BUILD_OPTIONS", "-cl-opt-disable")
    kept = Journal(journal or cache_folder() / "fuzz" / f"{seed}-{backend}.jsonl")
    pending = kept.pending(count)
    print(f"{count - len(pending)} of {count} definitions were tried before ({kept.path})", file=sys.stderr)
    for number in pending:
        if kept.ended_twice(number):
            kept.add(FuzzOutcome(number, DIFFERS, ("the process ended twice while it was tried",)))
        else:
            kept.begin(number)
            kept.add(_tried(seed, number, backend))
        for problem in kept.found[number].problems[:MOST_PROBLEMS]:
            print(f"FAIL {number}: {problem}", flush=True)
    counts = kept.counts(count)
    print(
        f"{counts[AGREES]} definitions agree, {counts[REFUSED]} are refused, "
        f"{counts[DIFFERS]} differ, seed {seed}"
    )
    return 1 if counts[DIFFERS] else 0


def _tried(seed: int, number: int, backend: str) -> FuzzOutcome:
    from ..codegen.fuzzed import drawn, tried
    from ..runtime.verify.journal import AGREES, DIFFERS, REFUSED, FuzzOutcome

    text, random = drawn(seed, number, f"drawn{number}")
    found = tried(text, random)
    problems = list(found.problems)
    if backend != "numpy" and not found.refused and not problems:
        problems += on_devices([text], [f"drawn{number}"], seed, number)
    if problems:
        problems.append(f"the definition:\n{text}")
    return FuzzOutcome(number, REFUSED if found.refused else DIFFERS if problems else AGREES, tuple(problems))


def on_devices(texts: Sequence[str], names: Sequence[str], seed: int, number: int) -> Iterator[str]:
    """What is wrong with the layers of definition files on all backends, in both forms and precisions."""
    import numpy as np

    from ..codegen.folder import write
    from ..codegen.fuzzed import files_of
    from ..codegen.oracle import DefinitionOracle
    from ..runtime.manifest.loading import load_folder
    from ..runtime.verify.definition import RUNS, definition_rows

    with tempfile.TemporaryDirectory(prefix="phiz_fuzz_") as folder:
        file = Path(folder) / "drawn.py"
        file.write_text("\n\n".join(texts), encoding="utf-8")
        try:
            write(Path(folder) / "generated", files_of(texts))
            manifest = load_folder(Path(folder) / "generated")
            for name in names:
                generator = np.random.default_rng([seed, number])
                oracle = DefinitionOracle((file,))
                for row in definition_rows(manifest, manifest.layers[name], oracle, generator, RUNS):
                    if not row.passed:
                        yield (
                            f"{row.kernel} ({row.backend}, {row.dtype}): {row.tensor}{list(row.index)} is "
                            f"{row.value}, the definition says {row.reference}; {row.configuration} "
                            f"{row.note}"
                        )
        except Exception as error:  # whatever it is, it is what was looked for
            yield f"{type(error).__name__}: {error}"

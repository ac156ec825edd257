"""Time and peak memory of one gradient (value and all parameter gradients, float32) beside PyTorch's eager mode.

    python -m phiz.benchmarks.gradient.gradient [--cases NAME ...] [--batches N ...] [--rounds N] [--threads N]
                                           [--kernels] [--json FILE]

Both sides run in one process on the same network, data and parameters, in alternation, warm, with the same number of threads;
before anything is timed their losses and gradients are compared.  "phiz" takes host arrays at every call (checked and brought
into the kernels' layout each time), "placed" has them on the device, as PyTorch does; the ratio is placed / PyTorch, the median
over the rounds.  Memory is measured in processes of its own.  Without PyTorch phiz is measured alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .peak_memory import limit_threads, peak_bytes

TOLERANCE = 1e-4
MEMORY_SAMPLES = (1_000, 10_000)
Row = dict[str, Any]


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="One gradient of phiz beside PyTorch's.")
    parser.add_argument("--cases", nargs="+", default=["lenet", "digits", "dense"], help="lenet, digits, dense (default: all)")
    parser.add_argument("--batches", nargs="+", type=int, help="batch sizes (default: those of each case)")
    parser.add_argument("--rounds", type=int, default=15, help="alternations between the sides (default 15)")
    parser.add_argument("--block", type=float, default=0.1, metavar="SECONDS", help="time per side and round (default 0.1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each side (default 2)")
    parser.add_argument("--backend", default="opencl", choices=("opencl", "numpy"))
    parser.add_argument("--no-torch", action="store_true", help="measure phiz alone")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory of the batches and of the data sets")
    parser.add_argument("--kernels", action="store_true", help="time and GFLOP/s of every kernel as well (OpenCL)")
    parser.add_argument("--json", metavar="FILE", help="write everything to FILE as well")
    return parser.parse_args(given)


# --------------------------------------------------------------------------------------------------------- checking
def difference(ours: tuple[float, Any], theirs: tuple[float, Any], slices: Sequence[Any]) -> float:
    """The largest relative difference: of the value, and of each parameter's gradient over its largest entry."""
    import numpy as np

    worst = abs(ours[0] - theirs[0]) / abs(theirs[0])
    for piece in slices:
        a, b = ours[1][piece.offset : piece.stop], theirs[1][piece.offset : piece.stop]
        worst = max(worst, float(np.abs(a - b).max() / np.abs(b).max()))
    return worst


# ----------------------------------------------------------------------------------------------------------- timing
def block(call: Callable[[], object], count: int) -> float:
    """Median seconds of ``count`` calls after one that only warms up."""
    call()
    times = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def alternate(sides: Mapping[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Median times of each side, one per round, the sides taking turns and the order turning round."""
    counts = {name: max(3, min(200, int(seconds / max(1e-6, block(call, 3))))) for name, call in sides.items()}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            found[name].append(block(sides[name], counts[name]))
    return found


def measure(name: str, batch: int, options: argparse.Namespace, with_torch: bool) -> Row:
    """One row: a case at a batch size."""
    from ..cases.cases import CASES
    from .eager import TorchTwin

    network = CASES[name].network(options.backend)
    inputs, targets = CASES[name].samples(batch)
    parameters = network.parameters
    placed = network.place(inputs, targets)
    sides: dict[str, Callable[[], object]] = {
        "phiz": lambda: network.value_and_gradient(parameters, inputs, targets),
        "placed": lambda: network.value_and_gradient(parameters, placed),
    }
    row: Row = {"case": name, "batch": batch, "parameters": network.parameter_count, "micro_batch": network.micro_batch}
    if with_torch:
        twin = TorchTwin(network, parameters, inputs, targets, options.threads)
        theirs = twin.value_and_gradient()
        ours = network.value_and_gradient(parameters, inputs, targets)
        row["difference"] = difference(ours, (theirs, twin.gradient()), network.slices)
        sides["torch"] = twin.value_and_gradient
    times = alternate(sides, options.rounds, options.block)
    row["ms"] = {side: 1e3 * statistics.median(found) for side, found in times.items()}
    row["fastest_ms"] = {side: 1e3 * min(found) for side, found in times.items()}
    if with_torch:
        row["ratio"] = statistics.median(a / b for a, b in zip(times["placed"], times["torch"], strict=True))
    if not options.no_memory:
        row["bytes"] = {s: peak_bytes(s, name, batch, options.threads) for s in memory_sides(options, with_torch)}
    return row


def memory_sides(options: argparse.Namespace, with_torch: bool) -> list[str]:
    """The sides whose memory is measured."""
    return [options.backend, *(["torch"] if with_torch else [])]


# ---------------------------------------------------------------------------------------------------------- printing
def markdown(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, the first column left-aligned."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def megabytes(count: int | None) -> str:
    """MB with one digit; a dash where it was not measured."""
    return "–" if count is None else f"{count / 1e6:.1f}"


def times_table(rows: Sequence[Row], backend: str, with_torch: bool) -> str:
    """One line per case and batch."""
    header = ["network", "batch", "phiz ms", "placed ms"]
    header += ["torch ms", "ratio", "difference"] if with_torch else []
    header += [f"{side} MB" for side in (["phiz", "torch"] if with_torch else ["phiz"])]
    lines = []
    for row in rows:
        line = [row["case"], row["batch"], *(f"{row['ms'][side]:.2f}" for side in ("phiz", "placed"))]
        line += [f"{row['ms']['torch']:.2f}", f"{row['ratio']:.2f}", f"{row['difference']:.0e}"] if with_torch else []
        bytes_ = row.get("bytes", {})
        lines.append([*line, *(megabytes(bytes_.get(side)) for side in ([backend, "torch"] if with_torch else [backend]))])
    return markdown(header, lines)


def kernels_table(name: str, batch: int, backend: str) -> tuple[str, list[Row]]:
    """Time and rate of every kernel of one micro-batch."""
    from ..cases.cases import CASES
    from ..kernels.kernel_times import profile

    network = CASES[name].network(backend)
    found = profile(network, *CASES[name].samples(batch))
    total = sum(k.seconds for k in found)
    rows: list[Row] = [
        {"layer": k.layer, "kernel": k.kernel, "ms": 1e3 * k.seconds, "flops": k.operations, "gflops": k.gflops} for k in found
    ]
    lines = [_kernel_line(row, total) for row in sorted(rows, key=lambda row: -row["ms"])]
    operations = sum(k.operations for k in found)
    lines.append(["all", "", f"{1e3 * total:.3f}", "100 %", f"{operations / 1e6:.2f}", f"{operations / total / 1e9:.1f}"])
    return markdown(["layer", "kernel", "ms", "share", "MFLOP", "GFLOP/s"], lines), rows


def _kernel_line(row: Row, total: float) -> list[str]:
    share, flops = f"{row['ms'] / total / 10:.0f} %", f"{row['flops'] / 1e6:.2f}"
    return [row["layer"], row["kernel"], f"{row['ms']:.3f}", share, flops, f"{row['gflops']:.1f}"]


def data_sets(name: str, options: argparse.Namespace, with_torch: bool) -> tuple[str, list[Row]]:
    """Peak memory over a thousand and ten thousand samples."""
    sides = memory_sides(options, with_torch)
    rows: list[Row] = [
        {"case": name, "samples": count, "bytes": {side: peak_bytes(side, name, count, options.threads) for side in sides}}
        for count in MEMORY_SAMPLES
    ]
    lines = [[row["case"], row["samples"], *(megabytes(row["bytes"][side]) for side in sides)] for row in rows]
    return markdown(["network", "samples", *(f"{'torch' if s == 'torch' else 'phiz'} MB" for s in sides)], lines), rows


def warn_when_busy(threads: int) -> None:
    """Say on stderr that others compete for the cores; spinning thread pools then wait for one another."""
    load, cores = os.getloadavg()[0], os.cpu_count() or 1
    if load + threads > cores + 0.5:
        print(f"load average {load:.1f} on {cores} cores: the times below compare little", file=sys.stderr)


def main(given: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 1 where the sides disagree."""
    options = arguments(given)
    limit_threads(options.threads)
    from ..cases.cases import CASES
    from .eager import torch_version

    for name in options.cases:
        if name not in CASES:
            print(f"unknown case {name!r}, known are {', '.join(CASES)}", file=sys.stderr)
            return 2
    version = None if options.no_torch else torch_version()
    with_torch = version is not None
    beside = f"PyTorch {version}, eager" if with_torch else "phiz alone (PyTorch is not installed or not wanted)"
    warn_when_busy(options.threads)
    print(f"One gradient, float32, {options.backend}, {options.threads} threads; {beside}\n")
    batches = [(name, batch) for name in options.cases for batch in options.batches or CASES[name].batches]
    rows = [measure(name, batch, options, with_torch) for name, batch in batches]
    report: Row = {"backend": options.backend, "threads": options.threads, "torch": version, "rows": rows}
    print(times_table(rows, options.backend, with_torch))
    if not options.no_memory:
        text, report["memory"] = data_sets(options.cases[0], options, with_torch)
        print(f"\nPeak memory of one gradient over a whole data set\n\n{text}")
    for name, batch in dict(batches).items() if options.kernels else ():  # the last batch of each case
        text, kernels = kernels_table(name, batch, options.backend)
        report.setdefault("kernels", []).append({"case": name, "batch": batch, "kernels": kernels})
        print(f"\nKernels of {name}, one micro-batch of batch {batch}\n\n{text}")
    if options.json:
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    wrong = [row for row in rows if row.get("difference", 0.0) > TOLERANCE]
    for row in wrong:
        print(f"{row['case']} at batch {row['batch']}: phiz and PyTorch differ by {row['difference']:.1e}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

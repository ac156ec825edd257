"""``phiz bench``: phiz beside its peers, and kernels beside the device's roof."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ..benchmarks.paper import paper
from ..benchmarks.sweep import command as sweep

SUMMARY = "measure kernels and networks"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz bench``."""
    parser.add_argument(
        "--cases", nargs="+", default=[], metavar="CASE", help="lenet, dense, convolution, ... (default: all)"
    )
    parser.add_argument(
        "--batches",
        nargs="+",
        type=int,
        metavar="N",
        help="other batch sizes than the cases' own (no goals then)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help="turns of every peer (default 9; in a sweep 7; of the paper's kernels 31)",
    )
    parser.add_argument(
        "--block",
        type=float,
        metavar="SECONDS",
        help="time per peer and round (default 0.12; in a sweep 0.04)",
    )
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads of every peer on a CPU (default 2)"
    )
    parser.add_argument(
        "--peers",
        metavar="A,B",
        help="torch, torch-compile, jax, tinygrad, sklearn, numpy (default: all that are installed; "
        "in a sweep torch)",
    )
    parser.add_argument(
        "--kernels", action="store_true", help="the roofline as well: every kernel's rate (implied by --out)"
    )
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory of gradients")
    parser.add_argument(
        "--no-startup", action="store_true", help="leave out deriving and the first gradient of new processes"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=420,
        metavar="SECONDS",
        help="begin no work after this time (default 420)",
    )
    parser.add_argument(
        "--device",
        metavar="PLATFORM:DEVICE",
        help="phiz's OpenCL device (see phiz doctor); a GPU: the peers' too",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything to FILE")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="write bench.md, bench.json, peers.png and roofline.png to DIR (a sweep: sweep.jsonl, sweep.md, "
        "sweep.png, and it goes on where it stopped)",
    )
    paper.configure_sections(parser)
    sweep.configure(parser)


def run(options: argparse.Namespace) -> int:
    """Exit status 1 where phiz's numbers are shared by no peer, or wrong, or phiz could not run."""
    if options.paper is not None:
        return paper.run(options)
    if options.sweep:
        return sweep.run(options)
    from ..benchmarks import bench
    from ..benchmarks.peers import registry
    from ..benchmarks.report import files, report
    from .stale import say_stale

    chosen = bench.Options(
        options.cases,
        options.batches,
        9 if options.rounds is None else options.rounds,
        options.threads,
        [name for name in options.peers.split(",") if name]
        if options.peers is not None
        else tuple(registry.PEERS),
        options.kernels or options.out is not None,
        not options.no_memory,
        not options.no_startup,
        0.12 if options.block is None else options.block,
        options.budget,
        options.device,
    )
    files.check(options.out, options.json)
    say_stale()
    record = bench.bench(chosen, lambda line: print(line, file=sys.stderr))
    print(report.markdown(record), end="")
    files.write(record, options.out, options.json)
    wrong = bench.failures(record)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0

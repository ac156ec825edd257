"""The options of ``phiz bench --sweep``, and what it prints; loads nothing before it is run."""

from __future__ import annotations

import argparse
import sys


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds ``--sweep`` and what belongs to it."""
    parser.add_argument(
        "--sweep",
        action="store_true",
        help="random networks and batches beside PyTorch instead: the worst, quantiles, first calls, "
        "predictions",
    )
    parser.add_argument(
        "--draws", type=int, default=200, metavar="N", help="networks of a sweep (default 200)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="what they follow from (default 0)")
    parser.add_argument(
        "--only", nargs="+", type=int, default=[], metavar="NUMBER", help="these draws of the seed alone"
    )


def run(options: argparse.Namespace) -> int:
    """Exit status 1 where numbers are wrong, or phiz has no time for a draw."""
    from ...runtime.errors import PhizError
    from ..report import files
    from . import sweep
    from .report import markdown

    if options.cases or options.batches or options.kernels:
        raise PhizError("--cases, --batches and --kernels do not go with --sweep, which draws its own")
    files.check(options.out, options.json)
    defaults = sweep.SweepOptions()
    chosen = sweep.SweepOptions(
        options.draws,
        options.seed,
        options.only,
        defaults.peers if options.peers is None else [name for name in options.peers.split(",") if name],
        options.threads,
        defaults.rounds if options.rounds is None else options.rounds,
        defaults.block if options.block is None else options.block,
        options.device,
        not options.no_startup,
        options.out,
    )
    record = sweep.sweep(chosen, lambda line: print(line, file=sys.stderr, flush=True))
    print(markdown(record), end="")
    if options.json is not None:
        files.write_json(record, options.json)
    if options.out is not None:
        sweep.write(record, options.out)
    wrong = sweep.failures(record)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0

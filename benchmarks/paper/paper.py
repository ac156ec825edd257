"""The paper's claims of section 9, each measured on the device at hand: ``phiz bench --paper``.

    python -m phiz.benchmarks.paper.paper [--paper SECTION ...] [--rounds N] [--device PLATFORM:DEVICE] [--out
    DIR] [--json FILE]

Prints a Markdown report: per claim the paper's words, the figures and a verdict that is computed from them.
``--out`` writes it as paper.md with its pictures.  The kernels that phiz does not generate are texts in
``rig/kernels/``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .report.report import Claim
    from .rig.device import Rig

#: Sections and their modules, in the paper's order.
SECTIONS = {
    "local-size": "claims.local_size",
    "local-memory": "claims.local_memory",
    "vectors": "claims.vectors",
    "work-per-item": "claims.work",
    "launches": "claims.launches",
    "transfers": "claims.transfers",
    "constant": "claims.constant",
}
ROUNDS = 31
REPORT = "paper.md"


def configure_sections(parser: argparse.ArgumentParser) -> None:
    """``--paper`` alone, for a command that has the other options already."""
    parser.add_argument(
        "--paper", nargs="*", choices=tuple(SECTIONS), metavar="SECTION",
        help=f"the paper's claims of section 9 instead: {', '.join(SECTIONS)} (without one: all)",
    )  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """All options of the report."""
    configure_sections(parser)
    parser.add_argument(
        "--rounds",
        type=int,
        default=ROUNDS,
        metavar="N",
        help=f"alternations of the variants (default {ROUNDS})",
    )
    parser.add_argument("--device", metavar="PLATFORM:DEVICE", help="the OpenCL device (see phiz doctor)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure to FILE")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"write {REPORT} and the pictures into DIR")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; exit status 1 where a kernel's numbers are wrong.  Raises PhizError for bad input."""
    from ...runtime.errors import PhizError
    from ...runtime.files import write_atomically
    from ...runtime.training.pictures import prepare_folder
    from ...runtime.tuner.trials.candidate import RefusedError
    from .report import plots
    from .report.report import markdown
    from .rig.convolution import WrongError
    from .rig.device import Rig

    rounds = ROUNDS if arguments.rounds is None else arguments.rounds
    if rounds < 1:
        raise PhizError(f"expected --rounds of at least 1, got {rounds}")
    if arguments.json is not None and not Path(arguments.json).absolute().parent.is_dir():
        raise PhizError(f"--json {arguments.json}: its folder does not exist")
    folder = None if arguments.out is None else prepare_folder(arguments.out)
    rig = Rig(arguments.device)
    before = os.getloadavg()[0]
    try:
        claims = measure(rig, arguments.paper or list(SECTIONS), rounds)
    except (WrongError, RefusedError) as error:
        print(f"phiz: {error}", file=sys.stderr)
        return 1
    device = f"{rig.describe()}; {load(before, os.getloadavg()[0], os.cpu_count() or 1)}"
    text = markdown(device, claims)
    print(text, end="")
    if folder is not None:
        write_atomically(folder / REPORT, text.encode())
        for claim in claims:
            if claim.plot is not None:
                plots.save(claim.plot, folder)
    if arguments.json is not None:
        report = {"device": device, "rounds": rounds, "claims": [asdict(claim) for claim in claims]}
        write_atomically(arguments.json, (json.dumps(report, indent=1) + "\n").encode())
    return 0


def load(before: float, after: float, cores: int) -> str:
    """How busy the machine was, by its load averages.

    At the end our own work keeps up to ``cores`` processors busy.
    """
    text = f"load average {before:.1f} before, {after:.1f} after, on {cores} cores"
    busy = before > 0.75 * cores or after > 1.5 * cores
    return (
        f"{text}: others computed at the same time, so that the figures below compare little"
        if busy
        else text
    )


def measure(rig: Rig, sections: Sequence[str], rounds: int) -> list[Claim]:
    """The claims of ``sections``, progress on stderr."""
    found: list[Claim] = []
    for section in dict.fromkeys(sections):
        print(f"{section} ...", end="", file=sys.stderr, flush=True)
        started = time.perf_counter()
        found += import_module(f"{__package__}.{SECTIONS[section]}").measure(rig, rounds)
        print(f" {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return found


def main(given: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 where numbers are wrong; 2 on bad input."""
    from ...runtime.errors import PhizError

    parser = argparse.ArgumentParser(description="The paper's claims of section 9 on the device at hand.")
    configure(parser)
    try:
        return run(parser.parse_args(given))
    except PhizError as error:
        print(f"phiz: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())

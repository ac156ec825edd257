"""``phiz tune``: measure configurations of a network's kernels on this device, and keep what is faster."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .options import add_trust, at_least

if TYPE_CHECKING:
    from rich.table import Table

    from ..runtime.network.network import Network
    from ..runtime.opencl.backend import OpenCLBackend
    from ..runtime.opencl.tuned.record import Entry
    from ..runtime.tuner.tune import Tuning

SUMMARY = "find the fastest tiles for this device"
MOST_REFUSED = 40
INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz tune``."""
    what = parser.add_argument_group("what is tuned")
    chosen = what.add_mutually_exclusive_group()
    chosen.add_argument(
        "--network",
        metavar="NAME|FILE",
        help="a network's name, or a .json or .toml file (default: the network for digits)",
    )
    chosen.add_argument(
        "--layer", metavar="'NAME KEY=VALUE ...'", help="one layer alone, on inputs of --input"
    )
    what.add_argument("--data", metavar="NAME|PATH", help="samples that give the shapes, as in phiz train")
    what.add_argument(
        "--input", type=_shape, metavar="N,N,...", help="the shape of a sample: units, or maps,height,width"
    )
    what.add_argument(
        "--outputs", type=int, default=10, metavar="K", help="outputs of a named network (default: 10)"
    )
    what.add_argument("--batch", type=int, default=128, metavar="N", help="samples of a pass (default: 128)")
    what.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="precision (default: float32)"
    )
    what.add_argument(
        "--sample-gradients", action="store_true", help="the gradients of every sample instead of their sum"
    )
    what.add_argument(
        "--device", metavar="PLATFORM:DEVICE", help="the OpenCL device, by number or part of its name"
    )
    what.add_argument(
        "--kernels",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder that phiz generate wrote, on top of the built-in",
    )
    add_trust(what)
    how = parser.add_argument_group("run")
    how.add_argument(
        "--budget", type=float, default=60.0, metavar="SECONDS", help="how long to search (default: 60)"
    )
    how.add_argument("--again", action="store_true", help="measure again what the cache already has")
    how.add_argument("--show", action="store_true", help="print what the cache has, and tune nothing")
    how.add_argument("--quiet", action="store_true", help="no progress on stderr")
    how.add_argument("--json", type=Path, metavar="FILE", help="write everything that was found to FILE")
    how.add_argument(
        "--ship",
        type=Path,
        metavar="FILE",
        help="add what won to a file of configurations that come with phiz",
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 where a kernel's default gives wrong numbers, 130 where the run was interrupted."""
    from ..runtime.errors import PhizError
    from ..runtime.opencl.tuned.cache import Cache
    from .stale import say_stale

    if arguments.json is not None and not arguments.json.absolute().parent.is_dir():
        raise PhizError(f"--json {arguments.json}: its folder does not exist")
    if arguments.show:
        return _show(Cache(), arguments.json)
    at_least(arguments, batch=1, outputs=1)
    if not arguments.budget > 0:
        raise PhizError(f"--budget: expected seconds above 0, got {arguments.budget:g}")
    if arguments.layer is not None and (arguments.input is None or arguments.data is not None):
        raise PhizError(
            "--layer: expected the shape of its input in --input, such as --input 64,32,32, and no --data"
        )
    say_stale(arguments.kernels)
    return _tune(arguments, Cache())


def _tune(arguments: argparse.Namespace, cache: Any) -> int:
    """One network; for ``--ship`` without one all that shipped configurations are measured on."""
    from ..runtime.opencl.backend import OpenCLBackend
    from ..runtime.tuner.suite import suite

    backend = OpenCLBackend(arguments.device)
    if arguments.ship is None or arguments.network is not None or arguments.layer is not None:
        return _one(arguments, cache, backend, _network(arguments, backend), arguments.batch)
    status = 0
    for work in suite():
        for batch in work.batches:
            print(f"{work.name}, {batch} samples")
            status = max(
                status, _one(arguments, cache, backend, work.network(backend, arguments.dtype), batch)
            )
            if status == INTERRUPTED:
                return status
    return status


def _one(
    arguments: argparse.Namespace, cache: Any, backend: OpenCLBackend, network: Network, batch: int
) -> int:
    from ..runtime.opencl.tuned.ship import ship
    from ..runtime.tuner.problem import request
    from ..runtime.tuner.progress import observer
    from ..runtime.tuner.trials.jobs import jobs
    from ..runtime.tuner.tune import tune_on_device

    found = jobs(network, network.part_length(batch), request(network, arguments.sample_gradients))
    tuning = tune_on_device(
        found,
        backend,
        cache,
        arguments.budget,
        arguments.again,
        observer(arguments.quiet),
        arguments.device or "",
    )
    _print_tuning(tuning, cache.path)
    whole = None if tuning.interrupted or tuning.broken else _whole(network, batch, cache)
    if arguments.json is not None:
        _write(arguments.json, list(tuning.entries), seconds=tuning.seconds, left=tuning.left, gradient=whole)
    if arguments.ship is not None and whole is not None:
        wins = whole["ms"] < whole["default_ms"]
        count = ship(arguments.ship, [entry for _, entry in tuning.entries] if wins else [], backend.device)
        print(
            f"wrote {arguments.ship}: {count} "
            f"configurations{'' if wins else '; none of this network, whose gradient is not faster'}"
        )
    if tuning.interrupted:
        return INTERRUPTED
    return 1 if tuning.broken else 0


def _network(arguments: argparse.Namespace, backend: OpenCLBackend) -> Network:
    from ..runtime.manifest.loading import load_manifest
    from ..runtime.tuner.problem import layer_network, named_network

    kernels = load_manifest(arguments.kernels, trust=arguments.trust)

    if arguments.layer is not None:
        return layer_network(arguments.layer, arguments.input, backend, arguments.dtype, kernels)
    return named_network(
        arguments.network,
        backend,
        arguments.dtype,
        arguments.input,
        arguments.outputs,
        arguments.data,
        kernels,
    )


def _whole(network: Network, samples: int, cache: Any) -> dict[str, float]:
    """The gradient with and without what was found."""
    from ..runtime.tuner.whole import gradient_seconds

    default, tuned = gradient_seconds(network, samples, cache)
    ratio = f"{tuned * 1e3:.3f} ms tuned ({tuned / default:.2f})"
    print(f"one gradient of {samples} samples: {default * 1e3:.3f} ms with the defaults, {ratio}")
    return {"samples": samples, "default_ms": default * 1e3, "ms": tuned * 1e3}


def _show(cache: Any, file: Path | None) -> int:
    from ..runtime.tuner.report import grouped

    entries = cache.entries()
    if not entries:
        print(f"{cache.path}: nothing was tuned yet; run: phiz tune")
    for where, found in grouped(entries.values()).items():
        _print_rows(where, [("", entry) for entry in found])
    if file is not None:
        _write(file, [("", entry) for entry in entries.values()])
    return 0


# ------------------------------------------------------------------------------------------------- the output
def _print_tuning(tuning: Tuning, path: Path) -> None:
    _print_rows("tuned", list(tuning.entries))
    for name, reason in tuning.broken:
        print(f"FAIL {name}: the default gives wrong numbers, nothing was tuned: {reason}")
    left = (
        f", {tuning.left} kernels have candidates left: run again, or with a larger --budget"
        if tuning.left
        else ""
    )
    ended = "interrupted: " if tuning.interrupted else ""
    print(f"{ended}{tuning.tried} candidates in {tuning.seconds:.0f} s{left}; kept in {path}")


def _print_rows(title: str, entries: list[tuple[str, Entry]]) -> None:
    from rich.console import Console

    from ..runtime.tuner.report import row

    console = Console() if sys.stdout.isatty() else Console(width=200)
    rows = [row(entry, name) for name, entry in entries]
    if rows:
        console.print(_table(title, rows))
    refused = [(found.kernel, *entry) for found in rows for entry in found.refused]
    for kernel, configuration, kind, reason in refused[:MOST_REFUSED]:
        print(f"refused {kernel} with {configuration}: {kind}: {reason}")
    if len(refused) > MOST_REFUSED:
        print(f"… and {len(refused) - MOST_REFUSED} more refused; --json FILE has all of them")


def _table(title: str, rows: list[Any]) -> Table:
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for name in ("kernel", "sizes"):
        table.add_column(name, overflow="fold")
    for name in ("samples", "default ms", "tuned ms", "ratio", "tried", "refused"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("configuration", overflow="fold")
    for found in rows:
        tried = f"{found.tried}{'' if found.complete else '+'}"
        table.add_row(
            found.kernel,
            found.sizes,
            f"{found.samples}{' f64' if found.dtype == 'float64' else ''}",
            f"{found.default_ms:.4f}",
            f"{found.ms:.4f}",
            f"{found.ratio:.2f}",
            tried,
            str(len(found.refused)),
            f"{found.configuration}{' (outdated: not used)' if found.outdated else ''}",
            style="green" if found.ratio < 1 else None,
        )
    return table


def _write(path: Path, entries: list[tuple[str, Entry]], **about: Any) -> None:
    from ..runtime.files import write_atomically
    from ..runtime.tuner.report import document

    write_atomically(path, (json.dumps({**about, "kernels": document(entries)}, indent=1) + "\n").encode())


def _shape(text: str) -> tuple[int, ...]:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if not shape or min(shape) < 1:
        raise argparse.ArgumentTypeError(f"expected sizes such as 784 or 1,28,28, got {text!r}")
    return shape

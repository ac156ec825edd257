"""``phiz evaluate``: loss and accuracy of trained weights."""

from __future__ import annotations

import argparse
import json

from .options import add_device, add_json
from .output import print_rows, score_row

SUMMARY = "loss and accuracy of trained weights"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz evaluate``."""
    parser.add_argument("weights", metavar="WEIGHTS", help="the weights.safetensors that phiz train wrote")
    parser.add_argument(
        "--data",
        metavar="NAME|PATH",
        help="what to evaluate on (default: the built-in data it was trained on)",
    )
    parser.add_argument(
        "--part",
        choices=("test", "train", "validation", "all"),
        help="which samples (default: test of the data it was trained on, all of other data)",
    )
    parser.add_argument("--target", metavar="COLUMN", help="the column or array that holds the targets")
    add_device(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Prints loss and accuracy; the exit status is 0."""
    from ..runtime.training.evaluate import evaluate
    from .stale import say_stale

    say_stale(arguments.kernels)
    found = evaluate(
        arguments.weights, arguments.data, arguments.part, backend=arguments.backend, device=arguments.device,
        target=arguments.target, manifests=arguments.kernels, trust=arguments.trust,
    )  # fmt: skip
    score, noted = found.score, {"note": found.note} if found.note else {}
    if arguments.json:
        print(json.dumps({"data": found.data, "part": found.part, **vars(score), **noted}, indent=1))
        return 0
    print_rows(noted.items())
    print_rows(
        [
            ("data", f"{found.data}, {found.part}, {score.samples} samples"),
            ("loss", f"{score.loss:.6g}"),
            score_row(score),
        ]
    )
    return 0

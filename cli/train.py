"""``phiz train``: train a network, and leave weights, history and pictures in a folder."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import TYPE_CHECKING, Any

from .options import add_device, add_json, assignment
from .output import print_rows, score_row

if TYPE_CHECKING:
    from ..runtime.training.job import Trained, TrainingJob

SUMMARY = "train a network"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz train``."""
    _what(parser)
    _how(parser)
    _where(parser)


def _what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("data and network")
    what.add_argument(
        "--data",
        default="digits",
        metavar="NAME|PATH",
        help="digits, diabetes, breast-cancer; or an IDX file or folder, .npz, .csv (default: digits)",
    )
    what.add_argument(
        "--network",
        metavar="NAME|FILE",
        help="lenet-digits, lenet-digits-small, lenet, mlp-digits, mlp, linear; or a .json or .toml file "
        "(default: what fits the data)",
    )
    what.add_argument("--target", metavar="COLUMN", help="the column or array that holds the targets")
    what.add_argument(
        "--task",
        choices=("classification", "regression"),
        help="what the targets are (default: by their look)",
    )
    what.add_argument(
        "--classes", type=int, metavar="K", help="number of classes, where not all of them occur"
    )
    what.add_argument(
        "--test",
        type=float,
        default=0.25,
        metavar="SHARE",
        help="share of the samples kept for the test (default: 0.25)",
    )
    what.add_argument(
        "--validation",
        type=float,
        default=0.1,
        metavar="SHARE",
        help="share of the samples that choose the best epoch (default: 0.1; 0: none)",
    )


def _how(parser: argparse.ArgumentParser) -> None:
    how = parser.add_argument_group("method")
    how.add_argument(
        "--optimizer",
        default="momentum",
        metavar="NAME",
        help="gd, sgd, momentum, cg, bfgs, lbfgs, lm (default: momentum)",
    )
    how.add_argument(
        "--line-search", metavar="NAME", help="strong-wolfe, wolfe, armijo, goldstein, golden, brent, dbrent"
    )
    how.add_argument(
        "--epochs",
        type=int,
        metavar="N",
        help="passes over the samples; iterations of methods that take all samples at once",
    )
    how.add_argument(
        "--batch", type=int, metavar="N", help="samples of a mini-batch (0: all; gd, sgd, momentum)"
    )
    how.add_argument("--rate", type=float, metavar="MU", help="learning rate (gd, sgd, momentum)")
    how.add_argument(
        "--schedule", metavar="NAME", help="of the learning rate: constant, cosine, step, inverse"
    )
    how.add_argument("--momentum", type=float, metavar="BETA", help="of the heavy ball, in [0, 1)")
    how.add_argument(
        "--alpha",
        type=float,
        default=1e-3,
        metavar="A",
        help="L2 penalty, alpha/2 times the sum of the squared weights (default: 0.001)",
    )
    how.add_argument("--patience", type=int, metavar="N", help="stop after N epochs without a new best")
    how.add_argument("--until", type=float, metavar="LOSS", help="stop at this training loss")
    how.add_argument("--time-limit", type=float, metavar="SECONDS", help="stop after this time")
    how.add_argument(
        "--option",
        type=assignment,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a field of the method, such as memory=20 or gtol=1e-6",
    )


def _where(parser: argparse.ArgumentParser) -> None:
    where = parser.add_argument_group("run")
    add_device(parser)
    where.add_argument(
        "--dtype", choices=("float32", "float64"), default="float32", help="precision (default: float32)"
    )
    where.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of the split, the initial weights and the mini-batches (default: 0)",
    )
    where.add_argument(
        "--out",
        default="runs/latest",
        metavar="DIR",
        help="folder for weights, history and pictures (default: runs/latest)",
    )
    where.add_argument(
        "--resume", action="store_true", help="go on with the run in DIR, as if it had never stopped"
    )
    where.add_argument("--overwrite", action="store_true", help="lose an interrupted run in DIR")
    where.add_argument("--quiet", action="store_true", help="no progress on stderr")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 where training ended in NaN or failed, 130 where it was interrupted."""
    from ..runtime.training.job import run
    from ..runtime.training.progress import observer
    from ..runtime.training.train import Ended
    from .stale import say_stale

    logging.getLogger("phiz.runtime.training.job").setLevel(
        logging.WARNING if arguments.quiet else logging.INFO
    )
    say_stale(arguments.kernels)
    trained = run(_job(arguments), arguments.resume, observer(arguments.quiet))
    outcome = trained.outcome
    if not outcome.ended.well:
        print(f"phiz: training stopped: {outcome.reason}; the best weights so far are kept", file=sys.stderr)
    if arguments.json:
        print(json.dumps(_document(trained), indent=1))
    else:
        _print(trained)
    if outcome.ended is Ended.INTERRUPTED:
        return 130
    return 0 if outcome.ended.well else 1


def _job(arguments: argparse.Namespace) -> TrainingJob:
    from ..runtime.training.job import TrainingJob
    from ..runtime.training.settings import Settings

    names = (
        "optimizer",
        "line_search",
        "epochs",
        "batch",
        "rate",
        "schedule",
        "momentum",
        "alpha",
        "patience",
        "until",
        "time_limit",
    )
    settings = Settings(**{name: getattr(arguments, name) for name in names}, options=dict(arguments.option))
    kinds = (
        "data",
        "network",
        "backend",
        "dtype",
        "device",
        "seed",
        "test",
        "validation",
        "target",
        "task",
        "classes",
        "out",
        "overwrite",
        "trust",
    )
    return TrainingJob(
        **{name: getattr(arguments, name) for name in kinds}, settings=settings, manifests=arguments.kernels
    )


def _document(trained: Trained) -> dict[str, Any]:
    outcome, network = trained.outcome, trained.network
    scores = {name: getattr(outcome, name) for name in ("train", "validation", "test")}
    return {
        **outcome.history.about,
        "parameters": network.parameter_count,
        "ended": outcome.ended.name.lower(),
        "reason": outcome.reason,
        "unit": outcome.history.unit,
        "epochs": outcome.history.epochs[-1].number,
        "best": outcome.best,
        "evaluations": outcome.evaluations,
        "seconds": outcome.seconds,
        **{name: None if score is None else vars(score) for name, score in scores.items()},
        "files": [str(path) for path in trained.files],
    }


def _print(trained: Trained) -> None:
    outcome = trained.outcome
    rows = [("ended", outcome.reason), ("best", f"{outcome.history.unit} {outcome.best}")]
    for name in ("train", "validation", "test"):
        score = getattr(outcome, name)
        if score is not None:
            rows += [(f"{name} loss", f"{score.loss:.6g}"), score_row(score, f"{name} ")]
    rows += [("seconds", f"{outcome.seconds:.1f}"), *(("wrote", str(path)) for path in trained.files)]
    print_rows(rows)

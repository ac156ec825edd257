"""The ``phiz`` command: finds the subcommand, runs it, and turns errors into one line and an exit status."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import logging
import os
import re
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import NoReturn

from ..runtime.errors import PhizError
from ..runtime.nearest import did_you_mean

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "doctor": "look for what phiz needs on this machine",
    "show": "print a layer's definition, its derived equations and its kernels",
    "generate": "derive every layer and emit NumPy and OpenCL kernels, equations and the manifest",
    "verify": "check derived kernels: finite differences, Taylor slope, NumPy against OpenCL",
    "train": "train a network",
    "evaluate": "loss and accuracy of trained weights",
    "tune": "find the fastest tiles for this device",
    "bench": "measure kernels and networks",
}
_REFUSALS = (
    ("phiz.derive.symbols.errors", "DefinitionError"),
    ("phiz.derive.ir", "IRError"),
    ("phiz.codegen.reference.axes", "PrintError"),
)
"""Errors that a user's definition file causes, in rooms that know nothing of the runtime."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the arguments."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2."""
        if wrong := re.search(r"invalid choice: '(.*)' \(choose from (.*)\)", message):
            message += did_you_mean(wrong[1], re.findall(r"[\w-]+", wrong[2]))
        self.exit(USAGE, f"{self.prog}: {message}; see: {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``phiz`` with ``arguments`` (default: the process's own); returns the exit status.

    0: fine.  1: a check failed.  2: wrong usage or bad input, one line on stderr.  130: interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    try:
        options, unknown = _parser(given).parse_known_args(given)
        if unknown:
            _refuse(unknown[0], options.parser)
        status: int = options.run(options)
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # the reader of stdout has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED)
    except MemoryError:
        return _say("out of memory", USAGE)
    except Exception as error:
        if not isinstance(error, _user_errors()):
            raise
        return _say(" ".join(str(error).split()), USAGE)


def _refuse(unknown: str, parser: Parser) -> NoReturn:
    """Exit with status 2: the command has no such option, or takes no more arguments."""
    known = [option for action in parser._actions for option in action.option_strings]
    name = unknown.partition("=")[0]
    begin = [option for option in known if name.startswith("--") and option.startswith(name)]
    near = f"; did you mean {' or '.join(begin)}?" if begin else did_you_mean(name, known)
    parser.error(f"unrecognized arguments: {unknown}{near}")


def _say(message: str, status: int) -> int:
    print(f"phiz: {message}", file=sys.stderr)
    return status


def _user_errors() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), name) for module, name in _REFUSALS)
    return (PhizError, *(getattr(module, name) for module, name in loaded if module is not None))


def _parser(given: Sequence[str]) -> Parser:
    parser = Parser(
        prog="phiz", allow_abbrev=False, description="From a layer's equation to a trained network."
    )
    parser.add_argument("--version", action="version", version=f"phiz {metadata.version('phiz')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for name, summary in COMMANDS.items():
        module = f"{__package__}.{name}"
        if importlib.util.find_spec(module) is None:
            continue
        command = commands.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        if name in given[:1]:  # only the command that runs is imported: training needs no SymPy
            chosen = importlib.import_module(module)
            chosen.configure(command)
            command.set_defaults(run=chosen.run, parser=command)
    return parser


if __name__ == "__main__":
    sys.exit(main())

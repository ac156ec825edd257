"""Options that several commands share."""

from __future__ import annotations

import argparse

#: No count that is typed is larger: samples, outputs, seeds.
MOST = 2**31 - 1


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds ``--backend``, ``--device`` and ``--kernels``."""
    parser.add_argument(
        "--backend",
        choices=("auto", "opencl", "numpy"),
        default="auto",
        help="what runs the kernels (auto: OpenCL where there is a device)",
    )
    parser.add_argument(
        "--device",
        metavar="PLATFORM:DEVICE",
        help="the OpenCL device, by number or part of its name (see phiz doctor)",
    )
    parser.add_argument(
        "--kernels",
        action="append",
        default=[],
        metavar="DIR",
        help="a folder that phiz generate wrote, on top of the built-in one",
    )
    add_trust(parser)


def add_trust(parser: argparse._ActionsContainer) -> None:
    """Adds ``--trust``."""
    parser.add_argument(
        "--trust", action="store_true", help="run the kernels of folders that others generated: they are code"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json``."""
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def at_least(arguments: argparse.Namespace, **least: int) -> None:
    """PhizError that names the option whose number is too small, or larger than ``MOST``."""
    from ..runtime.errors import PhizError

    for name, smallest in least.items():
        given = getattr(arguments, name)
        if given is None:
            continue
        if given < smallest:
            raise PhizError(f"--{name}: expected at least {smallest}, got {given}")
        if given > MOST:
            raise PhizError(f"--{name}: expected at most {MOST}, got {given}")


def assignment(text: str) -> tuple[str, int | float | bool | str]:
    """Reads ``NAME=VALUE``; a value becomes a number or a boolean if it is one, else it stays text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise argparse.ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    for convert in (int, float):
        try:
            return name, convert(value)
        except ValueError:
            continue
    return name, {"true": True, "false": False}.get(value.lower(), value)

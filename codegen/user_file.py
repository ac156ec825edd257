"""Loads definition files: Python that defines layers with ``@layer`` and activations with ``@activation``.

Such a file runs with its user's rights, like any Python program.  Whatever it raises becomes one line with
the file and the line.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..derive.language.activations import ACTIVATIONS, Activation
from ..derive.language.layer import Family
from ..derive.language.location import location
from ..derive.language.losses import LOSSES, Loss
from ..derive.layers import LAYERS
from ..derive.symbols.errors import DefinitionError


@dataclass(frozen=True)
class Definitions:
    """The layers, activations and losses that one or more files define."""

    families: tuple[Family, ...]
    activations: tuple[Activation, ...]
    losses: tuple[Loss, ...]


BUILT_IN = Definitions(LAYERS, ACTIVATIONS, LOSSES)


def load_definitions(paths: Iterable[str | Path]) -> Definitions:
    """Runs the files and collects their layers, activations and losses, in the order of definition.

    Raises DefinitionError that names the file if it cannot be run or defines nothing.
    """
    families: list[Family] = []
    activations: list[Activation] = []
    losses: list[Loss] = []
    for path in map(Path, paths):
        names = _run(path)
        found = [
            v for k, v in names.items() if isinstance(v, Family | Activation | Loss) and not k.startswith("_")
        ]
        own = [v for v in found if v not in (*LAYERS, *ACTIVATIONS, *LOSSES)]
        if not own:
            raise DefinitionError(
                f"{path}: defines no layer; a layer is a function under @layer() from phiz.derive"
            )
        families += [v for v in own if isinstance(v, Family)]
        activations += [v for v in own if isinstance(v, Activation)]
        losses += [v for v in own if isinstance(v, Loss)]
    return Definitions(tuple(families), tuple(activations), tuple(losses))


def combined(user: Definitions) -> tuple[Definitions, tuple[Family, ...]]:
    """The definitions that a generated folder for ``user`` needs, and the layers to put into it.

    The runtime lays the folder on top of the built-in one.  A layer takes its activation from whichever
    folder has it, but a loss has kernels for each activation.  So if the user defines an activation, the
    folder also gets the built-in losses; if the user defines a loss, it has kernels for the built-in
    activations.
    """
    names = {a.name for a in user.activations}
    activations = (*(a for a in ACTIVATIONS if a.name not in names), *user.activations)
    losses = {loss.name: loss for loss in (*(LOSSES if user.activations else ()), *user.losses)}
    return Definitions(user.families, activations, tuple(losses.values())), user.families


def _run(path: Path) -> dict[str, object]:
    try:
        there = path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        there = False
    if not there:
        raise DefinitionError(f"{path}: no such definition file")
    name = f"phiz_definitions_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DefinitionError(f"{path}: a definition file is a Python file (.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        kind = "" if isinstance(error, DefinitionError) else f"{type(error).__name__}: "
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise DefinitionError(f"{location(error, str(spec.origin))}: {kind}{reason}") from error
    finally:
        del sys.modules[name]
    return vars(module)

"""The sides that ``phiz bench`` knows: what each needs, and which code runs it."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runtime.errors import PhizError


@dataclass(frozen=True)
class Peer:
    """A side: ``module`` (with ``attribute``, where several share one) has ``versions()`` and ``prepare(work, folders, threads)``.

    ``package``: what must be installed.  ``programs``: one of these must be on the path.
    """

    name: str
    title: str
    module: str
    attribute: str = ""
    package: str = ""
    programs: tuple[str, ...] = ()

    def missing(self) -> str | None:
        """Why it cannot be measured here, in one line; None where it can."""
        if self.package and importlib.util.find_spec(self.package) is None:
            return f"{self.title} is not installed ({self.package})"
        if self.programs and not any(map(shutil.which, self.programs)):
            return f"{self.title} needs a compiler on the path: {' or '.join(self.programs)}"
        return None

    def load(self) -> Any:
        """The object that runs it."""
        module = importlib.import_module(self.module, __package__)
        return getattr(module, self.attribute) if self.attribute else module


PHIZ = Peer("phiz", "phiz", ".peer_phiz")
PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("torch", "PyTorch eager", ".peer_torch", package="torch"),
        Peer("torch-compile", "PyTorch compiled", ".peer_torch", "Compiled", "torch", ("g++", "clang++", "c++")),
        Peer("jax", "JAX jit", ".peer_jax", package="jax"),
        Peer("tinygrad", "tinygrad", ".peer_tinygrad", package="tinygrad", programs=("clang",)),
        Peer("sklearn", "scikit-learn", ".peer_sklearn", package="sklearn"),
        Peer("numpy", "NumPy", ".peer_phiz", "Reference"),
    )
}
PYTORCH = ("torch", "torch-compile")


def choose(names: Sequence[str]) -> list[Peer]:
    """The peers ``names``; PhizError for an unknown one."""
    for name in names:
        if name not in PEERS:
            raise PhizError(f"unknown peer {name!r}, known are {', '.join(PEERS)}")
    return [PEERS[name] for name in names]

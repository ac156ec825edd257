"""The peers that ``phiz bench`` knows: what each needs, and which code runs it."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...runtime.errors import PhizError


@dataclass(frozen=True)
class Peer:
    """A library that phiz is compared with, or phiz itself.

    name: what the command line calls it.
    title: what reports call it.
    module: has ``versions()`` and ``prepare(case, folders, threads)``; both also take ``device``, phiz's
    OpenCL device or
        what the library calls a GPU.
    attribute: the object of the module that has them, where several peers share a module.
    package: what must be installed.
    programs: one of these must be on the path; any will do where there is none.
    gpu: what the library calls a GPU; "" where it runs on CPUs only.
    gpu_programs: the same as ``programs``, where a GPU computes.
    """

    name: str
    title: str
    module: str
    attribute: str = ""
    package: str = ""
    programs: tuple[str, ...] = ()
    gpu: str = ""
    gpu_programs: tuple[str, ...] = ()

    def missing(self, gpu: bool = False) -> str | None:
        """Why it cannot be measured here (on a GPU), in one line; None where it can."""
        if gpu and not self.gpu:
            return f"{self.title} runs on CPUs only"
        if self.package and importlib.util.find_spec(self.package) is None:
            return f"{self.title} is not installed ({self.package})"
        programs = self.gpu_programs if gpu else self.programs
        if programs and not any(map(shutil.which, programs)):
            return f"{self.title} needs a compiler on the path: {' or '.join(programs)}"
        return None

    def load(self) -> Any:
        """The object that runs it."""
        module = importlib.import_module(self.module, __package__)
        return getattr(module, self.attribute) if self.attribute else module


CXX = ("g++", "clang++", "c++")
#: For what Triton builds beside a GPU's kernels.
CC = ("gcc", "clang", "cc")
PHIZ = Peer("phiz", "phiz", ".own", gpu="OpenCL")
PEERS: Mapping[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("torch", "PyTorch eager", ".pytorch", package="torch", gpu="cuda"),
        Peer(
            "torch-compile",
            "PyTorch compiled",
            ".pytorch",
            "Compiled",
            "torch",
            CXX,
            gpu="cuda",
            gpu_programs=CC,
        ),
        Peer("jax", "JAX jit", ".jax_jit", package="jax", gpu="gpu"),
        Peer("tinygrad", "tinygrad", ".tinygrad_jit", package="tinygrad", programs=("clang",), gpu="CUDA"),
        Peer("sklearn", "scikit-learn", ".scikit_learn", package="sklearn"),
        Peer("numpy", "NumPy", ".own", "Reference"),
    )
}
PYTORCH = ("torch", "torch-compile")


def choose(names: Sequence[str]) -> list[Peer]:
    """The peers ``names``; PhizError for an unknown one."""
    for name in names:
        if name not in PEERS:
            raise PhizError(f"unknown peer {name!r}, known are {', '.join(PEERS)}")
    return [PEERS[name] for name in names]

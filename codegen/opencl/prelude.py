"""The texts that the kernel files of one folder include: the prelude, and the activations."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ...derive.ir import Expr, Load
from ...derive.language.frozen_activation import FrozenActivation
from ...derive.symbols.names import of_function
from ..templates.render import render
from .blocks.printer import ScalarPrinter


@dataclass(frozen=True)
class Include:
    """A file that kernel files include by its plain name; ``digest``: its SHA-256.

    ``fixed``: whether the digest stands in the files that include it.  It does not where another folder's
    file may be included instead.
    """

    name: str
    text: str
    fixed: bool = True

    @property
    def digest(self) -> str:
        """Stands in every file that includes this one, so that their digests tell them apart too."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class _ActivationText:
    name: str
    phi: str
    dphi: str
    argument: str


def prelude(by_sample: bool) -> Include:
    """Types and functions that all kernels share; ``by_sample``: samples lie one after the other."""
    return Include("prelude.cl", render("opencl/prelude.cl.mako", by_sample=by_sample))


def activation_functions(activations: Sequence[FrozenActivation]) -> Include:
    """phi and phi' of every activation, among which macros choose."""
    found = [_activation(a) for a in activations]
    return Include("activations.cl", render("opencl/activations.cl.mako", activations=found), fixed=False)


def _activation(code: FrozenActivation) -> _ActivationText:
    def no_load(load: Load) -> str:
        raise TypeError(f"activation {code.name} reads {load.tensor}")

    printer = ScalarPrinter(lambda load: False, no_load, frozenset({"z", "y"}), str)

    def text(e: Expr) -> str:
        return printer(e) if printer.is_vector(e) else f"(realv)({printer(e)})"

    return _ActivationText(of_function(code.name), text(code.phi), text(code.dphi), code.derivative_in)

"""Turns definitions into generated files.

``pipeline.py`` describes the passes that a kernel goes through on the way.  Nothing here differentiates, and
nothing knows a layer by its name.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..derive.adjoint.loss_kernels import LossDerivation, derive_loss
from ..derive.interpreter.sizes import SizeValues
from ..derive.ir import IntExpr, Kernel, Tensor
from ..derive.language.activations import ACTIVATIONS, Activation
from ..derive.language.frozen_activation import freeze_activation
from ..derive.language.layer import Family
from ..derive.language.losses import LOSSES, Loss
from ..derive.pipeline import Derivation, derive_definition
from ..derive.print.legend import legend
from ..derive.symbols.errors import DefinitionError
from ..derive.symbols.names import of_file
from .opencl.prelude import activation_functions, prelude
from .opencl.source import LAYOUTS, OpenCLModule, opencl_source
from .pages.equations import layer_page, loss_page
from .pages.manifest import activation_record, ir_digest, layer_record, loss_record, manifest_text
from .pipeline import lowered
from .reference.printer import numpy_activations_source, numpy_source
from .reference.trial import tried_shapes, try_activations, try_kernels


@dataclass(frozen=True)
class Generated:
    """The text of every generated file by its relative path, ``manifest.json`` included."""

    files: dict[str, str]


def header(name: str, doc: str, digest: str) -> dict[str, str]:
    """The entries at the top of a generated file; none of them changes from run to run."""
    return {"layer": f"{name}: {doc}", "definition": f"sha256 {digest}"}


def builtin(yes: bool) -> dict[str, bool]:
    """What a manifest says of an activation or a loss that any folder may repeat."""
    return {"builtin": True} if yes else {}


class Generator:
    """Generates the files of a folder, one derivation at a time."""

    def __init__(self, activations: Sequence[Activation]) -> None:
        self.activations = [freeze_activation(a) for a in activations]
        self.builtin = {a.name for a in activations if a in ACTIVATIONS}
        self.files: dict[str, str] = {}
        self.layers: dict[str, object] = {}
        self.losses: dict[str, object] = {}

    def layer(self, derivation: Derivation) -> None:
        """Files and manifest entry of one layer variant."""
        digest, file = ir_digest(derivation.kernels), of_file(derivation.name)
        if derivation.name in self.layers:
            raise DefinitionError(
                f"layer {derivation.name}: two layers, or variants of layers, have this name"
            )
        top = header(derivation.name, derivation.family.doc, digest)
        shown = {
            **top,
            "symbols": "; ".join(f"{symbol}: {meaning}" for symbol, meaning in legend(derivation.definition)),
        }
        modules, sizes = self._opencl(file, derivation.kernels, derivation.tensors, shown)
        text = numpy_source(derivation.kernels, derivation.tensors, top)
        shapes, where = list(tried_shapes(derivation.definition)), f"layer {derivation.name}"
        try_kernels(text, derivation.kernels, derivation.tensors, shapes, where)
        self.files[f"numpy/{file}.py"] = text
        self.files[f"equations/{file}.md"] = layer_page(derivation)
        self.layers[derivation.name] = layer_record(derivation, modules, sizes)

    def loss(self, derived: LossDerivation) -> None:
        """Files and manifest entry of one loss with every activation."""
        name = f"loss_{of_file(derived.loss.name)}"
        top = header(name, "error function with every activation (equation 6)", ir_digest(derived.kernels))
        modules, _ = self._opencl(name, derived.kernels, derived.tensors, top)
        text = numpy_source(derived.kernels, derived.tensors, top)
        shapes = [SizeValues({"N": units}) for units in (1, 3)]
        try_kernels(text, derived.kernels, derived.tensors, shapes, f"loss {derived.loss.name}")
        self.files[f"numpy/{name}.py"] = text
        self.files[f"equations/{name}.md"] = loss_page(derived)
        self.losses[derived.loss.name] = loss_record(derived, modules) | builtin(derived.loss in LOSSES)

    def _opencl(
        self, name: str, kernels: Sequence[Kernel], tensors: Mapping[str, Tensor], top: Mapping[str, str]
    ) -> tuple[dict[str, OpenCLModule], Mapping[str, IntExpr]]:
        """Adds the OpenCL files; returns the modules by layout, and the sizes that passes introduced."""
        lines = [
            line for k, v in top.items() for line in textwrap.wrap(f"{k}: {v}", 106, subsequent_indent="  ")
        ]
        modules, sizes = {}, {}
        for layout in LAYOUTS:
            program = lowered(kernels, tensors, layout)
            module = opencl_source(program.tiled, tensors, lines, self.activations, layout)
            self.files[f"{layout.folder}/{name}.cl"] = module.text
            modules[layout.name], sizes = module, dict(program.sizes)
        return modules, sizes

    def finish(self, definitions: Mapping[str, str]) -> Generated:
        """Adds the activations and the manifest, and returns all files."""
        for layout in LAYOUTS:
            for include in (prelude(layout.by_sample), activation_functions(self.activations)):
                self.files[f"{layout.folder}/{include.name}"] = include.text
        self.files["numpy/__init__.py"] = '"""NumPy reference kernels."""\n'
        self.files["numpy/activations.py"] = numpy_activations_source(self.activations)
        try_activations(self.files["numpy/activations.py"], [a.name for a in self.activations])
        records = {a.name: activation_record(a) | builtin(a.name in self.builtin) for a in self.activations}
        self.files["manifest.json"] = manifest_text(
            records, self.losses, self.layers, self.files, definitions
        )
        return Generated(dict(sorted(self.files.items())))


def derive_all(families: Iterable[Family]) -> list[Derivation]:
    """Every variant of every family, in order."""
    return [derive_definition(family, options) for family in families for options in family.variants()]


def generate(
    families: Iterable[Family],
    activations: Sequence[Activation],
    losses: Iterable[Loss],
    definitions: Mapping[str, str] | None = None,
) -> Generated:
    """Derives all definitions and generates every file.

    ``definitions``: the digests of the definition files, by their paths from the folder.

    Raises DefinitionError, IRError or ValueError that names the layer if a definition cannot be expressed.
    """
    generator = Generator(activations)
    for derivation in derive_all(families):
        generator.layer(derivation)
    for loss in losses:
        generator.loss(derive_loss(loss, activations))
    return generator.finish(definitions or {})

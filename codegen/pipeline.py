"""The whole pipeline on one page: definitions in, generated files out.

    Family -> [derive] Derivation (IR) -> [constant pass] -> [schedule, printers, Mako] text -> [manifest] -> files

Nothing here differentiates, and nothing knows a layer by its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..derive.adjoint.loss_kernels import LossDerivation, derive_loss
from ..derive.language.activations import Activation
from ..derive.language.frozen_activation import FrozenActivation, freeze_activation
from ..derive.language.layer import Family
from ..derive.language.losses import Loss
from ..derive.pipeline import Derivation, derive_definition
from .opencl.source import BLOCKS, ROWS, opencl_source
from .pages.equations import layer_page, loss_page
from .pages.manifest import activation_record, ir_digest, layer_record, loss_record, manifest_text
from .passes.hoist_index_arithmetic import ConstantPass
from .reference.printer import numpy_activations_source, numpy_source

#: The folders of OpenCL kernels, and how their tensors lie.
FORMS = {"opencl": BLOCKS, "opencl_rows": ROWS}


@dataclass(frozen=True)
class Generated:
    """Relative path -> text of every generated file, ``manifest.json`` included."""

    files: dict[str, str]


def header(name: str, doc: str, digest: str) -> dict[str, str]:
    """What stands at the top of a generated file; nothing that changes from run to run."""
    return {"layer": f"{name}: {doc}", "definition": f"sha256 {digest}"}


class Generator:
    """Generates a folder; derivations are kept so that a caller can show them."""

    def __init__(self, activations: Sequence[Activation]) -> None:
        self.activations = [freeze_activation(a) for a in activations]
        self.files: dict[str, str] = {}
        self.layers: dict[str, object] = {}
        self.losses: dict[str, object] = {}

    def layer(self, derivation: Derivation) -> None:
        """Files and manifest entry of one layer variant."""
        constants = ConstantPass()
        lean = constants.run(derivation.kernels)
        digest = ir_digest(derivation.kernels)
        top = header(derivation.name, derivation.family.doc, digest)
        lines = [f"{k}: {v}" for k, v in top.items()]
        modules = {f: opencl_source(lean, derivation.tensors, lines, self.activations, form) for f, form in FORMS.items()}
        self.files |= {f"{folder}/{derivation.name}.cl": module.text for folder, module in modules.items()}
        self.files[f"numpy/{derivation.name}.py"] = numpy_source(derivation.kernels, derivation.tensors, top)
        self.files[f"equations/{derivation.name}.md"] = layer_page(derivation)
        self.layers[derivation.name] = layer_record(derivation, modules, constants)

    def loss(self, derived: LossDerivation) -> None:
        """Files and manifest entry of one loss with every activation."""
        name = f"loss_{derived.loss.name}"
        top = header(name, "error function with every activation (equation 6)", ir_digest(derived.kernels))
        lines = [f"{k}: {v}" for k, v in top.items()]
        modules = {f: opencl_source(derived.kernels, derived.tensors, lines, [], form) for f, form in FORMS.items()}
        self.files |= {f"{folder}/{name}.cl": module.text for folder, module in modules.items()}
        self.files[f"numpy/{name}.py"] = numpy_source(derived.kernels, derived.tensors, top)
        self.files[f"equations/{name}.md"] = loss_page(derived)
        self.losses[derived.loss.name] = loss_record(derived, modules)

    def finish(self) -> Generated:
        """Adds the activations and the manifest."""
        self.files["numpy/__init__.py"] = '"""NumPy reference kernels."""\n'
        self.files["numpy/activations.py"] = numpy_activations_source(self.activations)
        records = {a.name: activation_record(a) for a in self.activations}
        self.files["manifest.json"] = manifest_text(records, self.losses, self.layers, self.files)
        return Generated(dict(sorted(self.files.items())))


def derive_all(families: Iterable[Family]) -> list[Derivation]:
    """Every variant of every family, in order."""
    return [derive_definition(family, options) for family in families for options in family.variants()]


def generate(families: Iterable[Family], activations: Sequence[Activation], losses: Iterable[Loss]) -> Generated:
    """Derive and emit everything.

    Raises DefinitionError, IRError or ValueError, naming the layer, where a definition cannot be expressed.
    """
    generator = Generator(activations)
    for derivation in derive_all(families):
        generator.layer(derivation)
    for loss in losses:
        generator.loss(derive_loss(loss, activations))
    return generator.finish()


__all__ = ["FrozenActivation", "Generated", "Generator", "derive_all", "generate"]

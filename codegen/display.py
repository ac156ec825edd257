"""What ``phiz show`` and the notebooks print of a derivation."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

from ..derive.language.activations import Activation
from ..derive.language.layer import Family
from ..derive.pipeline import Derivation, derive_definition
from ..derive.symbols.errors import DefinitionError
from .generate import Generator
from .pages.equations import symbols

_ROLES = {"forward": "forward (equation 1)", "loss": "fused with the error function (equation 6)",
          "delta": "delta (equation 7)", "gradient": "gradient (equation 8)"}  # fmt: skip


def pick(families: Sequence[Family], name: str) -> tuple[Family, Derivation]:
    """The family or variant called ``name``; a family stands for its two-dimensional, otherwise default, variant.

    Raises DefinitionError with the known names.
    """
    for family in families:
        variants = {family.variant_name(o): o for o in family.variants()}
        if name in variants:
            return family, derive_definition(family, variants[name])
        if name == family.name:
            options = {k: (2 if k == "rank" and 2 in v else v[0]) for k, v in family.options.items()}
            return family, derive_definition(family, options)
    known = ", ".join(f.name for f in families)
    variants_of = ", ".join(f.variant_name(o) for f in families[-1:] for o in f.variants()[-1:])
    raise DefinitionError(f"no layer {name}; known are {known}, and their variants such as {variants_of}")


def source(family: Family) -> str:
    """The text of the definition."""
    return inspect.getsource(family.function)


def equations(derivation: Derivation, latex: bool = False) -> str:
    """Every derived equation, forward first."""
    lines: list[str] = [f"# {derivation.name}", "", "## symbols"]
    lines += [f"{symbol}: {meaning}" for symbol, meaning in symbols(derivation)]
    for role, heading in _ROLES.items():
        found = [k for k in derivation.kernels if k.role == role]
        if found:
            lines += ["", f"## {heading}"]
            lines += [k.latex if latex else k.text for k in found]
    return "\n".join(lines) + "\n"


def kernels(derivation: Derivation, activations: Sequence[Activation], backend: str) -> str:
    """The generated text of ``backend`` ("numpy", "opencl", or "opencl-rows" for samples that lie one after the other)."""
    generator = Generator(activations)
    generator.layer(derivation)
    suffix = "py" if backend == "numpy" else "cl"
    return generator.files[f"{backend.replace('-', '_')}/{derivation.name}.{suffix}"]

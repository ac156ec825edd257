"""What ``phiz show`` and the notebooks print of a derivation."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from difflib import get_close_matches

from ..derive.ir import Kernel
from ..derive.language.activations import Activation
from ..derive.language.layer import Family
from ..derive.pipeline import Derivation, derive_definition
from ..derive.symbols.errors import DefinitionError
from ..derive.symbols.names import of_file, shown
from .analysis.expression_text import text
from .generate import Generator
from .opencl.source import LAYOUTS
from .pages.equations import symbols
from .pages.pseudocode import pseudocode
from .pipeline import steps
from .tiling.tiling import TiledKernel

_ROLES = {"forward": "forward (equation 1)", "loss": "fused with the error function (equation 6)",
          "delta": "delta (equation 7)", "gradient": "gradient (equation 8)"}  # fmt: skip

_OF_TILES = (
    "(tiles cut the loops of the nests above; shown are the macros that give each kernel's tiles, outermost\n"
    "first, and its other choices, and the axis of its lanes; the statements stay as they are)"
)


def pick(families: Sequence[Family], name: str) -> tuple[Family, Derivation]:
    """The family or variant called ``name``; a family stands for its two-dimensional, otherwise default,
    variant.

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
    variants_of = ", ".join(f.variant_name(o) for f in families[:1] for o in f.variants()[-1:])
    near = get_close_matches(name, [f.variant_name(o) for f in families for o in f.variants()], 1)
    near += get_close_matches(name, [f.name for f in families], 1)
    hint = f"; did you mean {near[-1]}?" if near else ""
    raise DefinitionError(
        f"no layer {name}; known are {known}, and their variants such as {variants_of}{hint}"
    )


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
    """The generated text of ``backend`` ("numpy", "opencl", or "opencl-rows" for samples that lie one
    after the other).
    """
    generator = Generator(activations)
    generator.layer(derivation)
    suffix = "py" if backend == "numpy" else "cl"
    return generator.files[f"{backend.replace('-', '_')}/{of_file(derivation.name)}.{suffix}"]


def passes(derivation: Derivation, backend: str) -> str:
    """The kernels as derived, then after each pass for ``backend``: those that it changed, and the
    names of the others.
    """
    now = list(derivation.kernels)
    lines = [f"# {derivation.name}, as derived: what the NumPy kernels are printed from", *map(_titled, now)]
    layout = next((found for found in LAYOUTS if found.folder == backend.replace("-", "_")), None)
    for found, lowering in steps(derivation.kernels, derivation.tensors, layout) if layout else ():
        lines += ["", f"# {found.name}: {found.takes} -> {found.gives}"]
        lines += (
            [f"{name} = {text(value)}" for name, value in lowering.sizes.items()]
            if found.name.startswith("hoist")
            else []
        )
        same = [kernel.name for before, kernel in zip(now, lowering.kernels, strict=True) if kernel == before]
        lines += [
            _titled(kernel) for before, kernel in zip(now, lowering.kernels, strict=True) if kernel != before
        ]
        if found.name == "tile":
            lines += [_OF_TILES, *(_tiles(tiled) for tiled in lowering.tiled)]
        elif same:
            lines.append(f"unchanged: {', '.join(same)}")
        now = list(lowering.kernels)
    return shown("\n".join(lines)) + "\n"


def _titled(kernel: Kernel) -> str:
    return f"\n## {kernel.name}\n{pseudocode(kernel)}".rstrip()


def _tiles(tiled: TiledKernel) -> str:
    """The macros that a kernel's tiles and choices are called by, and its axis of lanes."""
    lanes = f"; lanes along {tiled.lanes.axis}" if tiled.lanes else ""
    return f"{tiled.kernel.name}: {', '.join(tiled.tiling.macros) or 'no tiles'}{lanes}"

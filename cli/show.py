"""``phiz show LAYER``: the definition, the derived equations, the kernels."""

from __future__ import annotations

import argparse

SUMMARY = "print a layer's definition, its derived equations and its kernels"


def configure(parser: argparse.ArgumentParser) -> None:
    """Adds the options of ``phiz show``."""
    parser.add_argument(
        "layer", metavar="LAYER", help="a layer family (convolution) or variant (convolution_2d)"
    )
    parser.add_argument("--latex", action="store_true", help="equations as LaTeX")
    parser.add_argument(
        "--kernel", choices=("numpy", "opencl", "opencl-rows"), help="print the generated kernels instead"
    )
    parser.add_argument(
        "--passes",
        action="store_true",
        help="print the kernels after every pass instead (of --kernel opencl)",
    )
    parser.add_argument("--definition", metavar="FILE.py", help="a definition file that holds the layer")


def run(arguments: argparse.Namespace) -> int:
    """Print the layer; an unknown name is a usage error."""
    from ..codegen.display import equations, kernels, passes, pick, source
    from ..codegen.user_file import BUILT_IN, combined, load_definitions
    from ..runtime.errors import PhizError
    from .stale import say_stale

    if arguments.latex and (arguments.kernel or arguments.passes):
        other = "--kernel" if arguments.kernel else "--passes"
        raise PhizError(f"--latex: has no effect with {other}, which prints no equations")
    if not arguments.definition:
        say_stale()
    definitions = combined(load_definitions([arguments.definition]))[0] if arguments.definition else BUILT_IN
    family, derivation = pick(definitions.families, arguments.layer)
    if arguments.passes:
        print(passes(derivation, arguments.kernel or "opencl"), end="")
        return 0
    if arguments.kernel is not None:
        print(kernels(derivation, definitions.activations, arguments.kernel), end="")
        return 0
    print(source(family))
    print(equations(derivation, latex=arguments.latex), end="")
    return 0

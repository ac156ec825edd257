"""From a layer's equation to the kernels of its forward pass, deltas and gradients.
May import SymPy.
Never a backend, a template or a device.

    from phiz.derive import layer, Sum, Max, exp

A definition file holds functions under ``@layer(...)`` and ``@activation``; it is Python and runs with its
user's rights.
"""

from sympy import Rational

from .language.activations import Activation, activation
from .language.connections import Connections
from .language.layer import Family, Layer, layer
from .language.losses import Loss
from .language.stages import Definition
from .language.tensors import Eq, Max, Sum
from .pipeline import Derivation, derive_definition, derive_family
from .symbols.errors import DefinitionError
from .symbols.functions import (
    cos,
    erf,
    erfc,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    piecewise,
    root,
    sigmoid,
    sin,
    softplus,
    sqrt,
    tanh,
)
from .symbols.indices import Vector

__all__ = [
    "Activation",
    "Connections",
    "Definition",
    "DefinitionError",
    "Derivation",
    "Eq",
    "Family",
    "Layer",
    "Loss",
    "Max",
    "Rational",
    "Sum",
    "Vector",
    "activation",
    "cos",
    "derive_definition",
    "derive_family",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "layer",
    "log",
    "log1p",
    "maximum",
    "minimum",
    "piecewise",
    "root",
    "sigmoid",
    "sin",
    "softplus",
    "sqrt",
    "tanh",
]

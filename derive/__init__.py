"""From a layer's equation to its derivatives.

    from phiz.derive import layer, Sum, Max, exp

A definition file holds functions under ``@layer(...)`` and ``@activation``; it is Python and runs with its user's rights.
"""

from sympy import Eq, Rational

from .activations import Activation, activation
from .connections import Connections
from .engine import Derivation, derive_definition, derive_family
from .errors import DefinitionError
from .functions import cos, erf, exp, log, maximum, minimum, piecewise, root, sigmoid, sin, softplus, sqrt, tanh
from .indices import Vector
from .language import Family, Layer, layer
from .losses import Loss
from .stages import Definition
from .tensors import Max, Sum

__all__ = [
    "Activation", "Connections", "Definition", "DefinitionError", "Derivation", "Eq", "Family", "Layer", "Loss", "Max",
    "Rational", "Sum", "Vector", "activation", "cos", "derive_definition", "derive_family", "erf", "exp", "layer", "log",
    "maximum", "minimum", "piecewise", "root", "sigmoid", "sin", "softplus", "sqrt", "tanh",
]  # fmt: skip

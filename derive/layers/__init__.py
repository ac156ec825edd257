"""Definitions of the built-in layers: data for the derivation.
May import the language and the symbols.
Never a delta, a gradient or anything else that is derived by hand.
"""

from .convolution import convolution
from .dense import dense
from .irregular import irregular
from .pooling import max_pooling, subsampling, vanilla_subsampling
from .radial_basis import linear_combination, radial_basis
from .softmax import softmax

LAYERS = (
    dense, softmax, radial_basis, linear_combination, convolution, subsampling, max_pooling, vanilla_subsampling, irregular,
)  # fmt: skip

__all__ = ["LAYERS"]

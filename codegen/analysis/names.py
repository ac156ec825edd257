"""Names in OpenCL C: what the kernels' own text takes, and how a user's name gets out of its way."""

from __future__ import annotations

_OWN = """
    VECTORS_PER_BLOCK
    REAL V PHI DPHI STORE_Z BLOCKED CAT CAT_ WIDE realv index vectors below z_out g0 g1 g2 t t0 block blocks count id tile
    FIRST LOAD STORE LANE loosev lanes put only_first chunk lane tanh_lanes TO_BITS FROM_BITS REAL_IS_float
    begin first step group span run edge others point rest at differ
    integer lane_sum part add_parts fold_group result floordiv ceildiv modulo imin imax padded_units
"""
_KEYWORDS = """
    auto break case char const constant continue default do double else enum extern float for global goto half if inline int kernel
    local long private register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while
    bool uchar uint ulong ushort size_t
"""
_FUNCTIONS = """
    abs acos asin atan ceil clamp cos cosh cross degrees distance dot erf exp fabs floor fma fmax fmin fract hypot isnan ldexp
    length log log1p mad max min mix modf normalize pow pown powr radians remainder rint round rsqrt select sign sin sinh
    smoothstep sqrt step tan tanh tgamma trunc gamma sigmoid softplus xlogy
"""
RESERVED = frozenset(f"{_OWN} {_KEYWORDS} {_FUNCTIONS}".split())


def c_name(name: str) -> str:
    """``name``, with an underscore where the kernels' own text uses it."""
    return f"{name}_" if name in RESERVED else name


def check_size_name(name: str) -> None:
    """Sizes are macros and keep their names; raises ValueError for one that the kernels' text takes."""
    if name in RESERVED:
        raise ValueError(f"a size cannot be called {name}: the OpenCL kernels use that name; choose another symbol")

"""Functions that the kernels' text brings along: integer division, compositions that stay accurate, and a faster tanh."""

from __future__ import annotations

INTEGER = {
    "floordiv": "static integer floordiv(integer a, integer b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }",
    "ceildiv": "static integer ceildiv(integer a, integer b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }",
    "mod": "static integer modulo(integer a, integer b) { const integer r = a % b; return r < 0 ? r + b : r; }",
}

#: Units from one block of samples to the next.
ODD = "static integer odd(integer units) { return units | 1; }"

#: tanh(a + r) = (A + tanh r) / (1 + A tanh r) with a = k ln 2 / 2, where A = tanh a = (2^k - 1) / (2^k + 1).  Near 0, where k = 0,
#: nothing cancels, and what is subtracted is +0, which leaves -0 as it is.  tanh r is an odd polynomial, a minimax fit of the
#: relative error on |r| <= ln 2 / 4.  The number added to round to k is 1.5 * 2^23 + 127, whose last bits are then the exponent of
#: 2^k.  From 9.1 on tanh is 1 in float32.  At most 2.6 units in the last place, where OpenCL admits 5; PoCL's own is a call that is
#: not inlined, and takes four times as long.
_TANH = """\
#define REAL_IS_float 1
#if CAT(REAL_IS_, REAL)
#if V == 1
#define TO_BITS(v) as_int(v)
#define FROM_BITS(n) as_float(n)
#else
#define TO_BITS(v) CAT(as_int, V)(v)
#define FROM_BITS(n) CAT(as_float, V)(n)
#endif
// 2.6 units in the last place; without branches and calls.
static realv tanh_lanes(realv x)
{
    const realv most = (x > (realv)(9.1)) ? (realv)(9.1) : x;
    const realv bounded = (most < (realv)(-9.1)) ? (realv)(-9.1) : most;
    const realv shifted = bounded * 2.8853900817779268 + 12583039.0;
    const realv r = bounded - (shifted - 12583039.0) * 0.34657359027997264;
    const realv square = r * r;
    const realv tanh_r = r * ((0.13110386 * square - 0.33331268) * square + 1.0);
    const realv power = FROM_BITS(TO_BITS(shifted) << 23);
    const realv below = 1.0 - power;
    const realv above = 1.0 + power;
    return (above * tanh_r - below) / (above - below * tanh_r);
}
#else
static realv tanh_lanes(realv x) { return tanh(x); }
#endif"""

SCALAR = {
    "sigmoid": "static realv sigmoid(realv z) { return (realv)(1.0) / ((realv)(1.0) + exp(-z)); }",
    "softplus": "static realv softplus(realv z) { return fmax(z, (realv)(0.0)) + log1p(exp(-fabs(z))); }",
    "tanh": _TANH,
    "xlogy": "static realv xlogy(realv x, realv y) { return (x == (realv)(0.0)) ? (realv)(0.0) : x * log(y); }",
}

#: What a function of vectors is called, where not by its own name.
OF_VECTORS = {"tanh": "tanh_lanes"}

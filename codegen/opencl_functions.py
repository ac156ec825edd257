"""Functions that the kernels' text brings along: integer division, compositions that stay accurate, and a faster tanh."""

from __future__ import annotations

INTEGER = {
    "floordiv": "static integer floordiv(integer a, integer b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }",
    "ceildiv": "static integer ceildiv(integer a, integer b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }",
    "mod": "static integer modulo(integer a, integer b) { const integer r = a % b; return r < 0 ? r + b : r; }",
}

#: tanh |x| = m / (m + 2) with m = exp(2|x|) - 1, and m = 2^k (exp(r) - 1) + 2^k - 1 where 2|x| = k ln 2 + r: near 0, where k = 0,
#: nothing cancels.  exp(r) - 1 = r + r² S(r) on half a binade; S is a minimax fit of the relative error.  At most 2.6 units in the
#: last place, where OpenCL admits 5; PoCL's own is a call that is not inlined, and takes four times as long.
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
    const realv twice = 2.0 * FROM_BITS(TO_BITS(x) & 0x7fffffff);
    const realv a = (twice > (realv)(18.2)) ? (realv)(18.2) : twice;
    const realv shifted = a * 1.4426950408889634 + 12582912.0;
    const realv k = shifted - 12582912.0;
    const realv r = a - k * 0.6931471805599453;
    const realv s = (((0.0013882487533050814 * r + 0.0083666916404830996) * r + 0.041667205383292306) * r + 0.166665423506382) * r
        + 0.49999998125345435;
    const realv power = FROM_BITS((TO_BITS(shifted) << 23) + 0x3f800000);
    const realv m = power * (r * r * s + r) + (power - 1.0);
    return FROM_BITS(TO_BITS(m / (m + 2.0)) | (TO_BITS(x) & (int)0x80000000));
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

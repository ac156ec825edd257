"""Functions that the kernels' text brings along: integer division, compositions that stay accurate, and a faster tanh."""

from __future__ import annotations

INTEGER = {
    "floordiv": "static integer floordiv(integer a, integer b) { return a >= 0 ? a / b : -((b - 1 - a) / b); }",
    "ceildiv": "static integer ceildiv(integer a, integer b) { return a > 0 ? (a + b - 1) / b : -(-a / b); }",
    "mod": "static integer modulo(integer a, integer b) { const integer r = a % b; return r < 0 ? r + b : r; }",
}

#: tanh x = x + x³ R(x²) for small |x|, else 1 - 2 / (exp(2|x|) + 1) with exp(r) = 1 + r + r² S(r) on half a binade.  R and S are
#: minimax fits of the relative error.  At most 1.8 units in the last place, where OpenCL admits 5; PoCL's own is a call that is
#: not inlined, and takes 2.4 times as long.
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
// 1.8 units in the last place; without branches and calls.
static realv tanh_lanes(realv x)
{
    const realv size = (x < (realv)(0.0)) ? -x : x;
    const realv a = (size > (realv)(9.1)) ? (realv)(9.1) : size;
    const realv shifted = a * 2.8853900817779268 + 12582912.0;
    const realv k = shifted - 12582912.0;
    const realv r = 2.0 * a - k * 0.693359375 + k * 2.1219444005469057e-4;
    const realv s = ((0.008312520839803293 * r + 0.041890146388860655) * r + 0.166671146109005) * r + 0.49999231566423336;
    const realv e = FROM_BITS(TO_BITS(r * r * s + r + 1.0) + (TO_BITS(shifted) << 23));
    const realv large = 1.0 - 2.0 / (e + 1.0);
    const realv q = x * x;
    const realv p = (((-0.0057042279609495206 * q + 0.020638435248928548) * q - 0.053739524300130376) * q
        + 0.1333144003074681) * q - 0.33333281866963577;
    const realv small = x * (q * p + 1.0);
    const realv y = (a < (realv)(0.625)) ? small : ((x < (realv)(0.0)) ? -large : large);
    return (x != x) ? x : y;
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

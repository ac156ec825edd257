"""Names in generated text: what a user calls things, and what kernels call them.

A user's name that is a plain word, letters and digits with no special meaning in OpenCL C, Python or the
kernels' own text, is kept.  Any other is *spelled*: ``read_only`` becomes ``name9_read_only`` and ``é``
``name5_0_xe9_``, with the length of what follows.  So kept names have no underscore, and a spelled one says
where it ends: whatever the derivation and the printers make of a name by a prefix or a suffix with an
underscore (``delta_w``, ``i_first``, ``TILE_forward_Z_i``) is never another name, and no name of a user's is
ever one of these.  Names that are made without an underscore are words or patterns of words below; ``i0``,
where a tile of axis i begins, is why a name is spelled beside a name that it continues by a 0.

``shown`` turns text back into what the user wrote.
"""

from __future__ import annotations

import builtins
import hashlib
import keyword
import re
import unicodedata
from collections.abc import Mapping
from typing import Any

import sympy as sp

from .function_latex import FunctionLatex

_KERNELS = """
    REAL V PHI DPHI BLOCKED CAT WIDE realv integer loosev FIRST LOAD STORE LANE lanes lane put index
    vectors below result block blocks count id tile chunk begin first step group span run edge others
    place point points rest at differ part unit units total sum n t floordiv ceildiv modulo
    imin imax sigmoid softplus xlogy above bounded most power shifted square from to size steps
    sigmoid_slope xlog1py square_rest product_rest product number single doubled high low first last
    exp_r whole
    NUMBERS samples used item plain packed outer inner extent
"""
_C = """
    auto break case char const constant continue default do double else enum extern float for global goto
    half if inline int kernel local long private register restrict return short signed sizeof static struct
    switch typedef union unsigned void volatile while bool uchar uint ulong ushort quad complex imaginary
    generic pipe uniform asm typeof true false vector pixel catch class constexpr delete explicit export
    friend mutable namespace new noexcept nullptr operator protected public template this throw try typename
    using virtual decltype alignas alignof and or not xor bitand bitor compl NULL NAN INFINITY MAXFLOAT EOF
    unix linux i386 PPC defined define include pragma ifdef ifndef elif endif undef error line main errno
"""
_FUNCTIONS = """
    abs acos acosh acospi all any asin asinh asinpi atan atan2 atan2pi atanh atanpi barrier bitselect cbrt
    ceil clamp clz copysign cos cosh cospi cross ctz degrees distance dot erf erfc exp exp2 exp10 expm1 fabs
    fdim floor fma fmax fmin fmod fract frexp gamma hadd hypot ilogb isequal isfinite isgreater
    isgreaterequal isinf isless islessequal islessgreater isnan isnormal isnotequal isordered isunordered
    ldexp length lgamma log log2 log10 log1p logb mad mad24 max maxmag min minmag mix modf mul24 nan
    nextafter normalize popcount pow pown powr prefetch printf radians remainder remquo rhadd rint rootn
    rotate round rsqrt select shuffle shuffle2 sign signbit sin sincos sinh sinpi smoothstep sqrt step tan
    tanh tanpi tgamma trunc upsample vload vstore workDimension
"""
_NUMPY = (
    "np math span erf expit xlogy dtype samples dphi array total largest position keep value better "
    "where axis initial erfc scipy_erfc halves"
)
#: Names of the derivation: what a fused loss reads, the sample.
_DERIVED = "T weight r t"
#: The tensor of every layer's output, which has this name everywhere.
OUTPUT = "Z"
RESERVED = (
    frozenset(f"{_KERNELS} {_C} {_FUNCTIONS} {_NUMPY} {_DERIVED}".split())
    | set(dir(builtins))
    | set(keyword.kwlist)
)
#: Words with a number: accumulators, temporaries, numbers of a work item, hoisted numbers, vector types.
_NUMBERED = re.compile(
    r"(NUMBERS|acc|value|position|sum|cached|total|largest|s|g|t|gcd|inverse|index|launch|name)\d+"
    r"|(char|uchar|short|ushort|int|uint|long|ulong|float|double|half|bool|quad|vload|vstore)\d+"
)
#: Sizes stand at file scope, where their names must be no component of a vector either.
_COMPONENT = re.compile(r"[xyzw]|lo|hi|even|s[0-9a-fA-F]|aligned")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_WORD = re.compile(r"[A-Za-z0-9_]+")
_SPELLED = re.compile(r"(?<![A-Za-z0-9])name(\d+)_")
#: What kernels' functions append to a kernel's name, in which an activation's name stands last.
_ENDINGS = re.compile(r".*_(item|point|store|(begin|end)\d*)")
#: Files of a folder that belong to no layer.
_FILES = re.compile(r"activations|prelude|__init__|manifest|loss_.*|name\d+_.*", re.IGNORECASE)
_LONGEST = 120


def fault(name: object) -> str:
    """Why ``name`` can be no name at all; "" where it can."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        return "a name is a Python identifier"
    normal = unicodedata.normalize("NFKC", name)
    return "" if normal == name else f"Python reads this name as {normal!r}; write it so"


def spelled(name: str) -> str:
    """``name`` in letters, digits and underscores, under a prefix that no other name in a kernel has;
    one to one.
    """
    if _WORD.fullmatch(name):
        return f"name{len(name)}_{name}"
    text = "".join(c if c.isascii() and c.isalnum() else "__" if c == "_" else f"_x{ord(c):x}_" for c in name)
    return f"name{len(text)}_0{text}"  # no identifier begins with a digit


def shown(text: str) -> str:
    """``text`` with every spelled name as the user wrote it."""
    parts, at = [], 0
    while (found := _SPELLED.search(text, at)) is not None:
        start, length = found.end(), int(found[1])
        coded = text.startswith("0", start)
        start += coded
        body = text[start : start + length]
        if len(body) < length:
            break
        parts += [text[at : found.start()], _decoded(body) if coded else body]
        at = start + length
    return "".join([*parts, text[at:]])


def is_spelled(name: str) -> bool:
    """Whether all of ``name`` is one spelled name."""
    return spelled(shown(name)) == name


def column(function: str) -> str:
    """The column that the ``function`` of a relation and its column gives; of another function its
    whole name.
    """
    found = _SPELLED.match(function)
    end = found.end() + function.startswith("0", found.end()) + int(found[1]) if found else function.find("_")
    return function[end + 1 :] or function if end >= 0 else function


def _decoded(body: str) -> str:
    return re.sub(r"_(?:_|x([0-9a-f]+)_)", lambda found: chr(int(found[1], 16)) if found[1] else "_", body)


def kept(name: str, size: bool = False) -> bool:
    """Whether ``name`` may stand in kernels as it is; ``size``: at file scope."""
    if not _PLAIN.fullmatch(name) or name in RESERVED or _NUMBERED.fullmatch(name):
        return False
    return not (size and _COMPONENT.fullmatch(name))


def of_function(name: str) -> str:
    """The name of an activation as part of a function's name, such as ``phi_tanh``."""
    plain = _WORD.fullmatch(name) and not _ENDINGS.fullmatch(name) and not _SPELLED.match(name)
    return name if plain else spelled(name)


def of_file(name: str) -> str:
    """The name of a layer's variant, or of a loss, as that of a file."""
    if _WORD.fullmatch(name) and not _FILES.fullmatch(name) and len(name) <= _LONGEST:
        return name
    found = spelled(name)
    return (
        found
        if len(found) <= _LONGEST
        else f"{found[:_LONGEST]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
    )


class Names:
    """The names of one definition: each gets one for kernels when it is declared."""

    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self.indices: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.given

    def add(self, name: str, kind: str = "") -> str:
        """The name in kernels for ``name``, the same as before where it has one.

        ``kind``: an index, or a size, has more to avoid.
        """
        if name not in self.given:
            free = kept(name, kind == "size") and not (name.endswith("0") and name[:-1] in self.indices)
            if kind == "index":
                free = free and kept(f"{name}0") and f"{name}0" not in self.given.values()
            self.given[name] = name if free or name == OUTPUT else spelled(name)
            if kind == "index":
                self.indices.add(self.given[name])
        return self.given[name]

    def of(self, name: str) -> str:
        """The name in kernels for ``name``; itself where it was not declared."""
        return self.given.get(name, name)


def latex(e: sp.Expr, names: Mapping[sp.Symbol, str] | None = None, **settings: Any) -> str:
    """LaTeX of ``e``, its names as the user wrote them; ``names``: the text of some symbols."""
    written = {s: shown_latex(s.name) for s in e.free_symbols if _SPELLED.match(s.name)}
    return str(FunctionLatex({"symbol_names": {**written, **(names or {})}, **settings}).doprint(e))


def summand_latex(e: sp.Expr, names: Mapping[sp.Symbol, str] | None = None) -> str:
    """LaTeX of ``e`` where it stands behind the sign of a sum: what is a sum itself is in parentheses."""
    return rf"\left({latex(e, names)}\right)" if e.is_Add else latex(e, names)


def summand_text(e: sp.Expr) -> str:
    """The same as plain text."""
    return f"({e})" if e.is_Add else str(e)


def shown_latex(name: str) -> str:
    """LaTeX of a name, as the user wrote it."""
    found = shown(name)
    if found == name:
        return str(sp.latex(sp.Symbol(name)))
    return rf"\mathit{{{found.replace('_', chr(92) + '_')}}}"

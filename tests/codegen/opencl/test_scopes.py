"""The net under the names: a name that would hide another one in generated OpenCL text is found, and
nothing else is.
"""

from __future__ import annotations

from pathlib import Path

import phiz.generated
import pytest
from phiz.codegen.opencl import source
from phiz.codegen.opencl.scopes import check_scopes
from phiz.codegen.opencl.source import SAMPLE_INNER, opencl_source
from phiz.codegen.pipeline import lowered
from phiz.derive.ir import IRError
from phiz.derive.language.activations import ACTIVATIONS
from phiz.derive.language.frozen_activation import freeze_activation
from phiz.derive.layers import LAYERS
from phiz.derive.pipeline import derive_definition

TEXT = """
#define K(n) index[K_AT + (n)]
enum {{ J = SIZE_J }};
static integer f_begin(integer i, integer x) {{ return i + x; }}
static void f_item(const integer g0,
    __global const realv *restrict Y
#if A
    , __local REAL *copy
#endif
    )
{{
#if A
    const integer x = 1;
#else
    const integer x = 2, y = x;
#endif
    for (integer i = 0; i < 3; ++i)
        if (i > 1) Y += 1;
    for (integer i = 0; i < 3; ++i) {{
        if (i) {{ realv z = 1; }} else {{ realv z = 2; }}
        realv w[3][4], v = f(x, y);
        {planted}
    }}
}}
WIDE __kernel void Z(__global REAL *restrict Z, const int g0) {{ }}
"""


@pytest.mark.parametrize(
    "planted",
    ["", "realv k;", "realv z;", "integer q = i, r = w;", "v = x;", "for (integer n = 0; n < 1; ++n) v = n;"],
)
def test_what_hides_nothing_passes(planted: str) -> None:
    check_scopes("here", TEXT.format(planted=planted))


@pytest.mark.parametrize(
    ("planted", "name"),
    [("realv x;", "x"), ("const integer y = 0;", "y"), ("for (integer g0 = 0; g0 < 1; "
                                                        "++g0) v = 1;", "g0"), ("REAL i;", "i"),
     ("const REAL J = 1;", "J"), ("const realv v = "
                                  "w[0][0];", "v"), ("realv copy[3];", "copy"), ("realv f_item;", "f_item"),
     ("integer q = i, w = 3;", "w"), ("integer K = 1;", "K"), ("for (integer n = 0; n < 2; ++n) { const "
                                                               "integer Y = n; }", "Y")],
)  # fmt: skip
def test_what_hides_a_name_is_refused(planted: str, name: str) -> None:
    with pytest.raises(IRError, match=rf"^here: f_item declares {name} twice"):
        check_scopes("here", TEXT.format(planted=planted))


def test_committed_kernels_hide_nothing() -> None:
    files = sorted(Path(phiz.generated.__file__).parent.glob("opencl*/*.cl"))
    assert len(files) > 50
    for path in files:
        check_scopes(path.name, path.read_text(encoding="utf-8"))


def test_generation_stops_at_a_planted_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dense layer whose accumulators are called like its weights."""
    derivation = derive_definition(next(f for f in LAYERS if f.name == "dense"), {"bias": True})
    program = lowered(derivation.kernels, derivation.tensors, SAMPLE_INNER)
    activations = [freeze_activation(a) for a in ACTIVATIONS]
    given = (program.tiled, derivation.tensors, ["layer: dense"], activations)
    opencl_source(*given)
    whole = source.render
    monkeypatch.setattr(source, "render", lambda *args, **kwargs: whole(*args, **kwargs).replace("acc0", "w"))
    with pytest.raises(IRError, match=r"opencl, layer: dense: forward_Z_item declares w twice"):
        opencl_source(*given)

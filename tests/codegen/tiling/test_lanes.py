"""Which axis fills the lanes where samples do not: what the access maps allow, stated by hand for
layers known and unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from phiz.codegen.tiling.lanes import Lanes, choose
from phiz.codegen.tiling.tiling import choose as tile_tiling
from phiz.codegen.user_file import BUILT_IN, combined, load_definitions
from phiz.derive.ir import Axis, Call, FromInteger, Integer, Kernel, Load, Loop, Name, Nest, Size, Tensor
from phiz.derive.pipeline import derive_definition

LAYERS = Path(__file__).resolve().parents[2] / "layers"


def chosen(family: str, **options: object) -> Mapping[str, tuple[str, str] | None]:
    files = [p for p in [LAYERS / f"{family}.py"] if p.is_file()]
    known = combined(load_definitions(files))[0] if files else BUILT_IN
    found = next(f for f in known.families if f.name == family)
    variant = next(v for v in found.variants() if all(v.get(k) == value for k, value in options.items()))
    derivation = derive_definition(found, variant)
    lanes = {k.name: choose(k, derivation.tensors) for k in derivation.kernels}
    return {name: None if one is None else (one.axis, one.over) for name, one in lanes.items()}


EXPECTED = {
    "dense": {
        "forward_Z": ("j", "reduction"),  # w[i, j] and Y[j] lie side by side along j, along i nothing does
        "delta_Y": ("j", "output"),
        "gradient_w": ("j", "output"),
        "gradient_b": ("i", "output"),
    },
    "convolution": {
        "forward_Z": ("i", "output"),  # w is packed: along x1 lanes may differ in their bounds
        "gradient_w": ("x1", "reduction"),  # the outputs are windows, which are short
        "delta_Y": ("j", "output"),  # y enters conditions and solved indices
    },
    "max_pooling": {
        "forward_Z": ("x1", "output"),
        "delta_Y": None,
    },  # the delta compares a position that depends on y
    "softmax": {
        "forward_A": ("j", "reduction"),
        "forward_m": None,  # the largest of all
        "forward_S": ("k", "reduction"),
        "head_ce_delta": ("i", "output"),
    },
    "radial_basis": {
        "forward_R": ("j", "reduction"),
        "gradient_c": ("j", "output"),
        "gradient_beta": ("i", "output"),
    },
    "irregular": {"forward_Z": None, "gradient_w": None},  # tables
    # w[i, j, y - u, u] and delta[i, y - u] move along with y, where lanes may differ; packed along j
    "locally_connected": {"delta_Y": ("j", "output")},
    "depthwise": {"forward_Z": ("x0", "output"), "gradient_w": ("x0", "reduction")},
}
OPTIONS = {"convolution": {"rank": 2, "connections": "full"}, "max_pooling": {"rank": 2}}


@pytest.mark.parametrize("family", sorted(EXPECTED))
def test_lanes_go_where_numbers_lie_side_by_side(family: str) -> None:
    found = chosen(family, **OPTIONS.get(family, {}))
    assert {name: found[name] for name in EXPECTED[family]} == EXPECTED[family]


def kernel(body: Load | Call, extent: Size = Size("J")) -> Kernel:
    """Z[i] = sum over j of ``body``."""
    loop = Loop("j", "unit", extent, Integer(0), extent, Integer(1))
    axis = Axis("i", "unit", Size("I"))
    output = Tensor("Z", "output", (Size("I"),), True)
    return Kernel(
        "forward_Z",
        "forward",
        "Z",
        output,
        (axis,),
        (Nest((loop,), (), (), (), body),),
        Load("Z", (Name("i"),)),
    )


TENSORS = {
    "Y": Tensor("Y", "input", (Size("J"),), True),
    "w": Tensor("w", "parameter", (Size("I"), Size("J")), False),
    "v": Tensor("v", "parameter", (Size("J"), Size("I")), False),
    "Z": Tensor("Z", "output", (Size("I"),), True),
}


def test_an_axis_that_is_a_number_cannot_be_one_of_lanes() -> None:
    i, j = Name("i"), Name("j")
    product = Call("mul", (Load("w", (i, j)), Load("Y", (j,))))
    assert choose(kernel(product), TENSORS) == Lanes("j", "reduction", Size("J"))
    transposed = Call("mul", (Load("v", (j, i)), Load("Y", (j,))))
    assert choose(kernel(transposed), TENSORS) == Lanes("i", "output", Size("I"))
    counted = Call("mul", (Load("v", (j, i)), FromInteger(i)))
    assert choose(kernel(counted), TENSORS) == Lanes("j", "reduction", Size("J"))
    both = Call("mul", (Load("v", (j, i)), FromInteger(i), FromInteger(j)))
    assert choose(kernel(both), TENSORS) is None


def test_an_operand_slides_along_a_window_where_the_next_round_reads_the_next_place() -> None:
    family = next(f for f in BUILT_IN.families if f.name == "convolution")
    derivation = derive_definition(family, {"rank": 2, "connections": "full"})
    kernel = next(k for k in derivation.kernels if k.name == "gradient_w")
    operands = tile_tiling(kernel, dict(derivation.tensors)).operands
    assert {(o.axes, o.sliding) for o in operands} == {(("j", "u1", "u0"), ("u1", "u0")), (("i",), ())}

"""What leaves a sum: the same numbers in exact arithmetic, and shared where the text can share it."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st
from phiz.codegen.opencl.blocks.kernel import KernelWriter
from phiz.codegen.passes.factor_out_invariants import distributed, together
from phiz.codegen.tiling.tiling import choose
from phiz.derive.ir import (
    Accumulator,
    Axis,
    Call,
    Condition,
    Expr,
    Integer,
    Kernel,
    Load,
    Loop,
    Name,
    Nest,
    Number,
    Size,
    Temporary,
    Tensor,
)  # fmt: skip
from phiz.derive.layers.radial_basis import radial_basis
from phiz.derive.pipeline import derive_definition

from tests.interpreter import EXACT, Interpreter

SIZES = {"I": 2, "J": 3, "K": 4}
AXES = {"A": "i", "B": "j", "C": "k", "D": "ik", "E": "jk", "F": "ij"}


def load(name: str) -> Load:
    return Load(name, tuple(Name(n) for n in AXES[name]))


def tensor(name: str, samples: bool) -> Tensor:
    return Tensor(
        name, "input" if samples else "parameter", tuple(Size(n.upper()) for n in AXES[name]), samples
    )


LEAVES = st.sampled_from(sorted(AXES)).map(load)
TERMS = st.one_of(LEAVES, LEAVES.map(lambda e: Call("neg", (e,))), st.just(Number("3.0")))
SUMS = st.lists(TERMS, min_size=2, max_size=3).map(lambda terms: Call("add", tuple(terms)))
FACTORS = st.one_of(LEAVES, SUMS, st.just(Number("2.0")), SUMS.map(lambda e: Call("neg", (e,))))
PRODUCTS = st.lists(FACTORS, min_size=1, max_size=4).map(
    lambda found: found[0] if len(found) == 1 else Call("mul", tuple(found))
)
BODIES = st.one_of(
    PRODUCTS,
    PRODUCTS.map(lambda e: Call("neg", (e,))),
    PRODUCTS.map(lambda e: Call("div", (e, Number("4.0")))),
)
LOOP = Loop("k", "map", Size("K"), Integer(0), Size("K"), Integer(1))


def made(body: Expr, result: Expr, writes_samples: bool, guarded: bool, **nest: object) -> Kernel:
    """result over i and j of the sum of ``body`` over k, and over the samples where those are not written."""
    guards = (Condition(Name("k"), "<=", Name("i")),) if guarded else ()
    nests = (Nest((LOOP,), (), guards, guards, body, **nest),)  # type: ignore[arg-type]
    output = Tensor("out", "stage", (Size("I"), Size("J")), writes_samples)
    axes = tuple(Axis(n, "map", Size(n.upper())) for n in "ij")
    return Kernel(
        "out",
        "forward",
        "out",
        output,
        axes,
        nests,
        result,
        temporaries=(("s", Call("neg", (Accumulator(0),))),),
    )


def computed(
    kernel: Kernel, tensors: dict[str, Tensor], values: dict[str, dict[tuple[int, ...], Fraction]]
) -> object:
    own = dict(values)
    Interpreter(tensors, EXACT).program(kernel)(dict(SIZES), own, 2)
    return own["out"]


@given(
    body=BODIES,
    sampled=st.frozensets(st.sampled_from(sorted(AXES))),
    writes=st.booleans(),
    guarded=st.booleans(),
    result=st.sampled_from([Accumulator(0), Temporary("s"), Call("mul", (Accumulator(0), Accumulator(0)))]),
    seed=st.randoms(),
)
def test_nothing_changes_in_exact_arithmetic(body, sampled, writes, guarded, result, seed) -> None:  # type: ignore[no-untyped-def]
    tensors = {name: tensor(name, name in sampled) for name in AXES}
    kernel = made(body, result, writes, guarded)
    values = {}
    for name, axes in AXES.items():
        shape = [SIZES[a.upper()] for a in axes] + ([2] if name in sampled else [])
        points = [()]
        for extent in shape:
            points = [(*p, n) for p in points for n in range(extent)]  # type: ignore[misc]
        values[name] = {p: Fraction(seed.randint(-9, 9), 7) for p in points}
    changed = distributed(kernel, tensors)
    assert computed(changed, tensors, values) == computed(kernel, tensors, values)
    assert together(changed) == [tuple(range(len(changed.nests)))]


def terms_of(
    body: Expr, writes: bool = True, sampled: str = "C", guarded: bool = False, **nest: object
) -> list[Expr]:
    """The bodies of the nests afterwards."""
    tensors = {name: tensor(name, name in sampled) for name in AXES}
    return [n.body for n in distributed(made(body, Accumulator(0), writes, guarded, **nest), tensors).nests]


def test_what_leaves_and_what_stays() -> None:
    A, B, C, D, E = map(load, "ABCDE")
    difference = Call("add", (B, Call("neg", (C,))))
    body = Call("mul", (D, difference))
    assert terms_of(body) == [
        Call("neg", (Call("mul", (D, C)),)),
        D,
    ]  # B does not move with k, and D knows nothing of j
    assert terms_of(Call("mul", (E, Call("add", (A, C))))) == [Call("mul", (E, C)), E]
    assert terms_of(body, writes=False, sampled="B") == [body]  # but B moves with the samples that are summed
    assert len(terms_of(body, writes=False, sampled="C")) == 2
    both = Call("mul", (D, E, difference))
    assert terms_of(both, sampled="CE") == [
        both
    ]  # the sum of D E would be another one for every point and sample
    assert len(terms_of(both, sampled="C")) == 2  # but here it is the same for all samples
    assert terms_of(difference) == [difference]  # there is no other factor
    assert terms_of(body, guarded=True) != [body]  # the guard depends on i alone, D on i as well
    assert terms_of(body, combine="max", position=Integer(0)) == [body]
    assert terms_of(body, temporaries=(("u", C),)) == [body]


def test_the_sum_of_deltas_of_a_radial_basis_layer_is_kept_once_for_all_inputs() -> None:
    """Along the inputs for dE/dc, along the samples for the delta below; in local memory as before."""
    derivation = derive_definition(radial_basis, {"radius": "squared"})
    kernels = {k.name: k for k in derivation.kernels}
    texts = {}
    for name in ("gradient_c", "delta_Y"):
        kernel = distributed(kernels[name], derivation.tensors)
        text = KernelWriter(kernel, derivation.tensors, choose(kernel, dict(derivation.tensors))).text()
        texts[name] = text
        assert [nest.accumulators for nest in text.nests] == ["acc1", "acc0"] and not text.nests[0].lines
    assert [n.dimensions for n in texts["gradient_c"].nests] == [
        "[TILE_gradient_c_i]", "[TILE_gradient_c_i][TILE_gradient_c_j]",
    ]  # fmt: skip
    assert [n.dimensions for n in texts["delta_Y"].nests] == [
        "[TILE_delta_Y_t]",
        "[TILE_delta_Y_j][TILE_delta_Y_t]",
    ]
    assert texts["gradient_c"].tiling.sums == (("i",),) and texts["delta_Y"].tiling.sums == (("t",),)
    assert texts["delta_Y"].tiling.local is not None
    loaded = {line.text for line in texts["gradient_c"].nests[1].lines if "c[" in line.text}
    assert not loaded, "parameters are read where the result is, not in the loops"

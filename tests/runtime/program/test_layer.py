"""Layers on their input: variants, sizes against enumeration, connections, initial values, and every
refusal.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from phiz.runtime.errors import ShapeError
from phiz.runtime.manifest.folder import Folder
from phiz.runtime.manifest.reading import parse
from phiz.runtime.manifest.records import Manifest
from phiz.runtime.program.layer import Layer, LayerSpec, instantiate, layer
from phiz.runtime.program.shape import Shape

OUTPUT = "(H{r} + p{r} + q{r} - d{r}*(M{r} - 1) - 1)//k{r} + 1"
RAGGED = "(H{r}[D_j[c]] + p{r} + q{r} - d{r}*(M{r}[D_q[c]] - 1) - 1)//k{r} + 1"
KEYWORDS = [
    ("M", "kernel", None, 1),
    ("k", "stride", 1, 1),
    ("d", "dilation", 1, 1),
    ("p", "padding_low", 0, 0),
    ("q", "padding_high", 0, 0),
]


def convolution(rank: int, table: bool) -> dict[str, Any]:
    """The size records of a convolution, written from the manifest's contract."""
    sizes: list[dict[str, Any]] = [{"name": "J", "source": "input", "axis": 0, "minimum": 1}]
    for r in range(rank):
        sizes.append({"name": f"H{r}", "source": "input", "axis": r + 1, "table": "J" if table else None})
    sizes.append(
        {"name": "I", "source": "keyword", "keyword": "maps", "entry": None, "default": None, "minimum": 1}
    )
    if table:
        sizes.append({"name": "Q", "source": "relation", "relation": "D", "column": "q", "minimum": 0})
    for (symbol, keyword, default, minimum), r in product(KEYWORDS, range(rank)):
        per = "Q" if table and symbol == "M" else None
        record = {
            "source": "keyword",
            "keyword": keyword,
            "entry": r,
            "default": default,
            "minimum": minimum,
            "table": per,
        }
        sizes.append({"name": f"{symbol}{r}", **record})
    for r in range(rank):
        record = {
            "name": f"X{r}",
            "source": "derived",
            "minimum": 1,
            "value": (RAGGED if table else OUTPUT).format(r=r),
        }
        if table:
            record |= {"table": "I", "index": "i", "smallest": {"relation": "D", "by": "i", "row": "c"}}
        sizes.append(record)

    def tensor(kind: str, first: str, symbol: str, samples: bool, layout: str) -> dict[str, Any]:
        rest = [f"{symbol}{r}[_]" if table else f"{symbol}{r}" for r in range(rank)]
        return {
            "kind": kind,
            "shape": [*first.split(), *rest],
            "samples": samples,
            "ragged": table,
            "layout": layout,
        }

    window = "*".join(f"M{r}[_]" if table else f"M{r}" for r in range(rank))
    bias = {"kind": "parameter", "shape": ["I"], "samples": False}
    return {
        "family": "convolution",
        "options": {"rank": rank, "connections": "table" if table else "full"},
        "choices": {"rank": [1, 2, 3], "connections": ["full", "table"]},
        "doc": "",
        "digest": "",
        "sizes": sizes,
        "relations": {"D": {"columns": {"i": "I", "j": "J", "q": "Q"}}} if table else {},
        "input": "Y",
        "output": "Z",
        "parameters": ["w", "b"],
        "tensors": {
            "Y": tensor("input", "J", "H", True, "Y"),
            "w": tensor("parameter", "Q" if table else "I J", "M", False, "w"),
            "b": bias,
            "Z": tensor("output", "I", "X", True, "Z"),
        },
        "initial": {"w": {"rule": "uniform", "fan_in": window}, "b": {"rule": "constant", "value": 0.5}},
        "checks": [{"condition": "J >= 1", "message": "no input maps"}],
        "kernels": [],
        "heads": {},
        "macros": {"sample_inner": []},
    }


def flat(family: str, output: str = "I") -> dict[str, Any]:
    """A layer of one axis."""
    return {
        **convolution(1, False),
        "family": family,
        "options": {"bias": True},
        "choices": {"bias": [True, False]},
        "sizes": [
            {"name": "J", "source": "input", "axis": 0},
            {
                "name": "I",
                "source": "keyword",
                "keyword": "maps",
                "entry": None,
                "default": None,
                "minimum": 1,
            },
            {"name": "P", "source": "derived", "value": "J//2 + J % 2", "minimum": 0},
        ],
        "parameters": ["w"],
        "tensors": {
            "Y": {"kind": "input", "shape": ["J"], "samples": True},
            "w": {"kind": "parameter", "shape": ["I", "J"], "samples": False},
            "Z": {"kind": "output", "shape": [output], "samples": True},
        },
        "initial": {"w": {"rule": "normal", "fan_in": "J"}},
        "checks": [{"condition": "I <= 100", "message": "at most 100 maps"}],
    }


LAYERS = {f"convolution_{r}d{'_table' * t}": convolution(r, t) for t in (False, True) for r in (1, 2, 3)}
LAYERS |= {
    "a_dense_no_bias": {**flat("dense"), "options": {"bias": False}},
    "dense": flat("dense"),
    "half": flat("half", "P - 1"),
}
ACTIVATIONS = {n: {"derivative_in": "y", "range": [None, None], "digest": ""} for n in ("linear", "tanh")}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return parse({"layers": LAYERS, "activations": ACTIVATIONS}, Folder(Path("."), {}))


def put(manifest: Manifest, shape: Any, family: str = "convolution", **keywords: Any) -> Layer:
    """Through JSON and back on the way, as saved architectures go."""
    spec = layer(family, **keywords)
    assert LayerSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
    return instantiate(manifest, spec, 1, Shape.of(shape))


# ------------------------------------------------------------------------------------------------------ sizes
def test_the_variant_follows_from_the_rank(manifest: Manifest) -> None:
    for rank, shape in enumerate([(2, 9), (2, 9, 8), (2, 9, 8, 7)], start=1):
        found = put(manifest, shape, maps=4, kernel=3)
        assert found.info.name == f"convolution_{rank}d"
        assert found.output == Shape.of((4, *(n - 2 for n in shape[1:])))
        assert found.tensors["w"].shape == (4, 2, *[3] * rank) and found.parameters == (
            ("w", 8 * 3**rank),
            ("b", 4),
        )


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(*[st.integers(1, 12)] * 2),
    st.tuples(*[st.integers(1, 4)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(1, 3)] * 2),
    st.tuples(*[st.integers(0, 2)] * 2),
)
def test_output_sizes_count_the_windows_that_fit(
    size: Any, kernel: Any, stride: Any, dilation: Any, pad: Any
) -> None:
    manifest = parse({"layers": LAYERS, "activations": ACTIVATIONS}, Folder(Path("."), {}))
    counts = [
        sum(1 for start in range(0, n + p + 1, s) if start + d * (m - 1) <= n + p - 1)  # one-sided padding p
        for n, m, s, d, p in zip(size, kernel, stride, dilation, pad, strict=True)
    ]
    keywords = {"maps": 2, "kernel": kernel, "stride": stride, "dilation": dilation, "padding_high": pad}
    if min(counts) < 1:
        with pytest.raises(ShapeError, match="expected at least 1"):
            put(manifest, (1, *size), **keywords)
    else:
        assert put(manifest, (1, *size), **keywords).output == Shape.of((2, *counts))


def test_padding_stands_for_both_sides(manifest: Manifest) -> None:
    found = put(manifest, (1, 5, 5), maps=1, kernel=3, padding=(1, 0), padding_low=2)
    assert [found.sizes[n] for n in ("p0", "p1", "q0", "q1")] == [2, 2, 1, 0]


def test_options_by_keyword_the_default_first(manifest: Manifest) -> None:
    assert put(manifest, 6, "dense", maps=2).info.name == "dense"
    assert put(manifest, 6, "dense", maps=2, bias=False).info.name == "a_dense_no_bias"
    assert put(manifest, 6, "a_dense_no_bias", maps=2).info.name == "a_dense_no_bias"
    with pytest.raises(ShapeError, match=r"bias = 'no', expected True or False"):
        put(manifest, 6, "dense", maps=2, bias="no")


def test_a_layer_of_one_axis_takes_any_shape_flattened(manifest: Manifest) -> None:
    for shape in (12, (3, 4), (1, 3, 4), ((1, 2), (5, 2))):
        found = put(manifest, shape, "dense", maps=5)
        assert found.sizes["J"] == 12 and found.output == Shape.of(5) and found.below == Shape.of(shape)


# ------------------------------------------------------------------------------------------------ connections
def test_listed_connections_take_the_table(manifest: Manifest) -> None:
    found = put(manifest, (3, 6, 6), kernel=3, connections=[[0, 2], [1]])
    assert found.info.name == "convolution_2d_table" and found.sizes["I"] == 2 and found.sizes["Q"] == 3
    assert found.connection_tables["D"].j.tolist() == [0, 2, 1] and found.sizes["D_rows"] == 3
    assert found.output == Shape.of((2, 4, 4)) and found.parameters == (("w", 27), ("b", 2))
    shared = put(manifest, (3, 6, 6), maps=2, kernel=3, sharing="map")
    assert (
        shared.info.name == "convolution_2d_table"
        and shared.sizes["Q"] == 2
        and len(shared.connection_tables["D"]) == 6
    )
    single = put(manifest, (3, 6, 6), kernel=3, connections="one-to-one")
    assert (
        single.sizes["I"] == 3
        and single.connection_tables["D"].i.tolist() == single.connection_tables["D"].j.tolist()
    )
    assert put(manifest, (3, 6, 6), maps=2, kernel=3, connections="full").info.name == "convolution_2d"


def test_maps_and_kernels_of_different_sizes(manifest: Manifest) -> None:
    """Remark 3: the output of map i is the intersection over its connections."""
    found = put(manifest, ((7, 9), (5, 4)), kernel=[[3, 2], [1, 4], [2, 2]], connections=[[0, 1], [1]])
    assert found.sizes["M0"].tolist() == [3, 1, 2] and found.sizes["M1"].tolist() == [2, 4, 2]
    assert found.output == Shape(((5, 1), (4, 3)))
    assert found.sizes["Y_at"].tolist() == [0, 63, 83] and found.sizes["w_at"].tolist() == [0, 6, 10, 14]
    assert found.sizes["Z_at"].tolist() == [0, 5, 17]
    assert found.tensors["w"].entries == ((3, 2), (1, 4), (2, 2)) and found.parameters == (
        ("w", 14),
        ("b", 2),
    )
    mixed = put(manifest, (2, 5), maps=1, kernel=[[2], [3]])  # full connections, two kernels
    assert mixed.info.name == "convolution_1d_table" and mixed.output == Shape(((3,),))


# --------------------------------------------------------------------------------------------- initial values
def test_initial_values(manifest: Manifest) -> None:
    found = put(manifest, (4, 9, 9), maps=8, kernel=5)
    values = found.initial(7)
    w, b = values[:800], values[800:]
    assert (b == 0.5).all() and np.abs(w).max() <= np.sqrt(3 / 25)
    assert w.var() == pytest.approx(1 / 25, rel=0.15)
    assert np.array_equal(values, found.initial(7)) and not np.array_equal(values, found.initial(8))
    ragged = put(manifest, ((40, 9), (5, 5)), kernel=[[20, 5], [1, 1]], connections=[[0], [1]]).initial(0)
    assert np.abs(ragged[:100]).max() <= np.sqrt(3 / 100) < np.sqrt(3) and len(ragged) == 103
    normal = put(manifest, 400, "dense", maps=50).initial(0)
    assert normal.std() == pytest.approx(1 / 20, rel=0.03)
    scaled = put(manifest, 400, "dense", maps=50, initial={"w": {"rule": "normal", "scale": 3.0}}).initial(0)
    np.testing.assert_allclose(scaled, 60 * normal)


# --------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    "shape,keywords,words",
    [
        (
            (1, 2, 9),
            {"maps": 1, "kernel": 3},
            r"size X0 would be 0, expected at least 1: .* H0 = 2, kernel M0 = 3",
        ),
        (
            (1, 9, 9),
            {"maps": 1, "kernel": 3, "stride": 0},
            r"layer 1 \(convolution\): stride = 0, expected at least 1",
        ),
        ((1, 9, 9), {"maps": 1, "kernel": 3, "stride": (1, 0)}, "stride = 0"),
        ((1, 9, 9), {"maps": 1, "kernel": 3, "padding": -1}, "padding_low = -1, expected at least 0"),
        (
            (1, 9, 9),
            {"maps": 1, "kernel": (3, 3, 3)},
            r"kernel = \[3, 3, 3\], expected an integer or a list of 2",
        ),
        ((1, 9, 9), {"maps": 1, "kernel": 3.5}, "kernel = 3.5, expected an integer"),
        ((1, 9, 9), {"maps": 1, "kernel": "3"}, "kernel = '3'"),
        ((1, 9, 9), {"maps": 1}, "keyword 'kernel' is missing"),
        ((1, 9, 9), {"kernel": 3}, "keyword 'maps' is missing"),
        (
            (1, 9, 9),
            {"maps": 1, "kernel": 3, "kernels": 3},
            "unknown keyword 'kernels', known are activation, connections, dilation",
        ),
        (
            9,
            {"maps": 1, "kernel": 3},
            r"takes maps with 1 or 2 or 3 coordinates, the input is 9 \(0 coordinates\)",
        ),
        ((1, 9, 9, 9, 9), {"maps": 1, "kernel": 3}, r"the input is 1×9×9×9×9 \(4 coordinates\)"),
        (
            (2, 9, 9),
            {"kernel": 3, "connections": [[0], [2]]},
            r"layer 1 \(convolution\): relation D: connection 1 has j = 2",
        ),
        (
            (2, 9, 9),
            {"kernel": 3, "connections": [[0], []]},
            "map 1 has no connections, so its size is not determined",
        ),
        (
            (2, 9, 9),
            {"kernel": 3, "maps": 3, "connections": [[0], [1]]},
            "2 lists of connections, expected 3",
        ),
        (
            (2, 9, 9),
            {"kernel": [[3, 3]] * 3, "maps": 1},
            r"kernel = .*, expected an integer or a list of 2 .* list of 2 \(one per",
        ),
        ((2, 9, 9), {"kernel": [[3, 3], [10, 3]], "maps": 1}, r"size X0 of entry 0 would be 0"),
        ((2, 9, 9), {"kernel": [[3, 3], [0, 3]], "maps": 1}, r"kernel of entry 1 = 0, expected at least 1"),
        (
            (1, 9, 9),
            {"maps": 1, "kernel": 3, "activation": "relu"},
            "unknown activation 'relu', known are linear, tanh",
        ),
        (
            (1, 9, 9),
            {"family": "pool"},
            r"layer 1 \(pool\): unknown layer 'pool', known are convolution, dense, half",
        ),
        (8, {"family": "dense", "maps": 101}, r"layer 1 \(dense\): at most 100 maps"),
        (
            8,
            {"family": "dense", "maps": 1, "name": "out", "connections": "full"},
            r"layer 1 \(out\): takes no connections",
        ),
        (2, {"family": "half", "maps": 1}, "the output is empty"),
    ],
)
def test_refusals(manifest: Manifest, shape: Any, keywords: dict[str, Any], words: str) -> None:
    with pytest.raises(ShapeError, match=words) as caught:
        put(manifest, shape, **keywords)
    assert "\n" not in str(caught.value) and str(caught.value).startswith("layer 1 (")


def test_maps_of_one_size_only(manifest: Manifest) -> None:
    only = Manifest({"convolution_2d": manifest.layers["convolution_2d"]}, manifest.activations, {})
    with pytest.raises(ShapeError, match=r"takes maps of one size, the input is \(3×3, 2×2\)"):
        put(only, ((3, 3), (2, 2)), maps=1, kernel=1)


def test_a_record_without_a_layer() -> None:
    with pytest.raises(ShapeError, match="no key 'layer'"):
        LayerSpec.from_dict({"activation": "tanh"})

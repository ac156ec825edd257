"""What the language cannot express is refused where the layer is defined, with the layer's name, the
access and the reason.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sympy as sp
from phiz.derive.language.layer import Definition, Eq, Layer, Max, Sum, layer, log, tanh
from phiz.derive.language.tensors import InputHandle
from phiz.derive.symbols.errors import DefinitionError
from phiz.derive.symbols.indices import Vector

Write = Callable[["Scene"], object]


class Scene:
    """A layer with an input of one coordinate, its maps i, coordinate x, window u, weight w and edges e."""

    def __init__(self, L: Layer) -> None:
        self.L = L
        self.Y: InputHandle = L.input(1)
        self.i = L.own(self.Y)
        (self.x,) = L.coordinates("x", self.Y.H)
        (self.y,) = self.Y.y
        self.u = L.axis("u", 3, "window")

    def edges(self):  # type: ignore[no-untyped-def]
        return self.L.relation("E", x="H0", y="H0")


REFUSED: dict[str, tuple[Write, str]] = {
    # accesses
    "product of indices": (
        lambda s: Sum(s.Y[s.i, s.x * s.u], s.u),
        r"access Y\[i, u\*x0\] in Z is not affine",
    ),
    "square of an index": (lambda s: s.Y[s.i, s.x**2], r"access Y\[i, x0\*\*2\] in Z is not affine"),
    "half an index": (lambda s: s.Y[s.i, s.x // 2], r"access Y\[i, floor\(x0/2\)\] in Z is not affine"),
    "fraction": (
        lambda s: s.Y[s.i, s.x / 2],
        r"access Y\[i, x0/2\] in Z is not affine .* with integer factors",
    ),
    "decimal": (
        lambda s: s.Y[s.i, s.x + 0.5],
        r"access Y\[i, x0 \+ 0.5\] in Z is not affine .* with integer factors",
    ),
    "modulo": (
        lambda s: s.Y[s.i, (s.x + 1) % s.Y.H[0]],
        r"access Y\[i, Mod\(x0 \+ 1, H0\)\] in Z is not affine",
    ),
    "the hint": (lambda s: s.Y[s.i, s.x // 2], r"where=Eq\(...\), or read it from a relation"),
    "undeclared tensor": (lambda s: s.L.tensor("V")[s.i, s.x], "undeclared tensor V; declared are Y"),
    "its own value": (lambda s: s.L.tensor("Z")[s.i, s.x - 1], "undeclared tensor Z"),
    "too few indices": (lambda s: s.Y[s.i], r"Y has 2 indices, the access Y\[i\] has 1"),
    "too many indices": (lambda s: s.Y[s.i, s.x, s.x], r"Y has 2 indices, the access Y\[i, x0, x0\] has 3"),
    "the tensor itself": (lambda s: s.Y, r"Y has 2 indices, the access"),
    "unbound index": (
        lambda s: s.Y[s.i, s.u],
        r"index u of the access Y\[i, u\] in Z is neither an index of Z nor reduced",
    ),
    "unbound factor": (
        lambda s: s.Y[s.i, s.x] * s.u,
        "index u in Z is neither an index of Z nor reduced over",
    ),
    "unknown index": (lambda s: s.Y[s.i, sp.Symbol("r")], r"unknown symbol r in the access Y\[i, r\]"),
    "index from data": (lambda s: s.Y[s.i, s.Y[s.i, s.x]], r"unknown symbol Y\[i, x0\] in the access"),
    "clipped without a window": (
        lambda s: s.Y.clipped[s.i, s.x + 1],
        r"clipped access Y\|\[i, x0 \+ 1\] in Z stands under no",
    ),
    "unknown column": (
        lambda s: Sum(s.Y[s.i, (e := s.edges()).z], e, where=Eq(e.x, s.x)),
        "relation E has no column z",
    ),
    # expressions
    "unknown symbol": (lambda s: s.Y[s.i, s.x] * sp.Symbol("lambda"), "unknown symbol lambda in Z"),
    "unknown function": (
        lambda s: sp.gamma(s.Y[s.i, s.x]),
        r"Z uses gamma\(Y\[i, x0\]\), .* no function gamma",
    ),
    "undefined function": (lambda s: sp.Function("f")(s.Y[s.i, s.x]), "no function f"),
    "not differentiable": (lambda s: sp.sign(s.Y[s.i, s.x]), "no function sign"),
    "steps": (lambda s: sp.floor(s.Y[s.i, s.x]), "no function floor"),
    "imaginary": (lambda s: s.Y[s.i, s.x] * sp.I, "Z uses I"),
    "not a number": (lambda s: s.Y[s.i, s.x] * sp.nan, "Z uses nan"),
    "text": (lambda s: s.Y[s.i, s.x] + sp.sympify("hello"), "unknown symbol hello in Z"),
    "SymPy's sum": (
        lambda s: sp.Sum(s.Y[s.i, s.u], (s.u, 0, 2)),
        r"SymPy's Sum in Z: write Sum\(body, index\)",
    ),
    "a product": (
        lambda s: sp.Product(s.Y[s.i, s.u], (s.u, 0, 2)),
        r"products are no reductions; .* exp\(Sum\(log",
    ),
    "inside a reduction": (lambda s: Sum(sp.gamma(s.Y.padded[s.i, s.x + s.u]), s.u), "no function gamma"),
    # reductions and conditions
    "no index": (lambda s: Sum(s.Y[s.i, s.x]), "a reduction needs an index variable to run over"),
    "over an expression": (lambda s: Sum(s.Y[s.i, s.x], s.u + 1), r"runs over index variables; got u \+ 1"),
    "over an unknown": (
        lambda s: Sum(s.Y[s.i, sp.Symbol("r")], sp.Symbol("r")),
        "r in a reduction of Z is no declared index",
    ),
    "over an output": (
        lambda s: Sum(s.Y[s.i, s.x], s.x) + s.Y[s.i, s.x],
        r"x0 is an index of Z and is reduced over in it; L.copy",
    ),
    "condition not affine": (
        lambda s: Sum(s.Y[s.i, s.y], s.y, where=Eq(s.y**2, s.x)),
        r"condition -x0 \+ y0\*\*2 = 0 in Z is not",
    ),
    "condition on values": (
        lambda s: Sum(s.Y[s.i, s.y], s.y, where=s.Y[s.i, s.y] > 0),
        r"unknown symbol Y\[i, y0\] in the condition",
    ),
    "unbound condition": (
        lambda s: Sum(s.Y[s.i, s.y], s.y, where=s.y <= s.u),
        "index u in the condition u - y0 >= 0 of Z is not bound",
    ),
    "unequal": (
        lambda s: Sum(s.Y[s.i, s.y], s.y, where=sp.Ne(s.y, s.x)),
        r"where= takes Eq, <=, <, >= and > .*; got Ne",
    ),
    "either or": (
        lambda s: Sum(s.Y[s.i, s.y], s.y, where=sp.Or(s.y < s.x, s.y > s.x)),
        "where= takes Eq, <=",
    ),
    "never": (lambda s: Sum(s.Y[s.i, s.y], s.y, where=s.y < 0), "never holds"),
    "per row": (
        lambda s: Sum(tanh(Sum(s.Y.padded[s.i, (e := s.edges()).y + s.u], s.u)), e, where=Eq(e.x, s.x)),
        "cannot be indexed by the rows of a relation",
    ),
    "unbound reduction": (
        lambda s: s.L.stage("S", s.i)(log(Sum(s.Y[s.i, s.x + s.u], s.u)))[s.i],
        r"index x0 .*in S.* is neither an index of S",
    ),
    "vectors": (
        lambda s: s.Y[s.i, Vector((1, 2)) * s.L.sizes("K", "window", 3)],
        "vectors of 2 and 3 coordinates",
    ),
    "half a vector": (lambda s: s.Y[s.i, Vector((s.x,)) / 2], "indices and sizes are integers"),
    # declarations
    "index twice": (lambda s: s.L.axis("u", 5), "index u is declared twice with different ranges"),
    "size twice": (lambda s: s.L.size("H0", "height"), "size H0 is declared twice"),
    "tensor twice": (
        lambda s: (s.L.parameter("w", s.i), s.L.parameter("w", s.i)),
        "tensor w is declared twice",
    ),
    "relation twice": (lambda s: (s.edges(), s.edges()), "relation E is declared twice"),
    "one name for two": (lambda s: s.L.parameter("x0", s.i), "tensor x0 has the name of a index"),
    "ligature": (lambda s: s.L.axis("ﬁ", 3), "index 'ﬁ': Python reads this name as 'fi'; write it so"),
    "no identifier": (lambda s: s.L.parameter("my weight", s.i), "a name is a Python identifier"),
    "keyword": (lambda s: s.L.parameter("lambda", s.i), "a name is a Python identifier"),
    "an index twice in a tensor": (
        lambda s: s.L.parameter("w", s.i, s.i),
        r"w has the index i twice; L.copy\(i, ...\)",
    ),
    "fractional size": (lambda s: s.L.derived_size("A", s.Y.J / 2), "the size A = J/2 is not an integer"),
    "fractional range": (lambda s: s.L.axis("r", s.Y.J / 2), "the range J/2 of index r is not an integer"),
    "second input": (lambda s: s.L.input(1, name="V"), "a second input V: a layer has exactly one input"),
    "parameter of an expression": (
        lambda s: s.L.parameter("w", s.x + 1),
        "a parameter's axis is an index variable or a column",
    ),
    "copy of rows": (lambda s: s.L.copy(s.edges().symbol, "r"), "runs over connections and cannot be copied"),
    "stage of an expression": (
        lambda s: s.L.stage("S", s.x + 1)(0),
        r"S is indexed by x0 \+ 1, which is no declared index",
    ),
    "parameter unused": (
        lambda s: (s.L.parameter("w", s.i), s.Y[s.i, s.x])[1],
        "w is declared but Z does not depend on it",
    ),
    "parameter times 0": (
        lambda s: s.Y[s.i, s.x] + 0 * s.L.parameter("w", s.i)[s.i],
        "w is declared but Z does not depend on it",
    ),
    "stage unused": (
        lambda s: (s.L.stage("S", s.i)(Sum(s.Y[s.i, s.y], s.y)), s.Y[s.i, s.x])[1],
        "S is declared but Z does not",
    ),
    "input unused": (
        lambda s: s.L.parameter("w", s.i, s.x)[s.i, s.x],
        "Y is declared but Z does not depend on it",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused_at_the_definition(what: str) -> None:
    write, reason = REFUSED[what]

    @layer()
    def tried(L: Layer) -> Definition:
        scene = Scene(L)
        return L.output(scene.i, scene.x)(write(scene))

    with pytest.raises(DefinitionError, match=rf"^layer tried: .*{reason}"):
        tried.define()


def test_the_scene_itself_is_accepted() -> None:
    """Nothing above is refused for another reason than the one under test."""

    @layer()
    def tried(L: Layer) -> Definition:
        s = Scene(L)
        return L.output(s.i, s.x)(s.Y[s.i, s.x] + Max(s.Y.padded[s.i, s.x + s.u], s.u))

    assert [stage.name for stage in tried.define().stages] == ["Z_max1", "Z"]


@pytest.mark.parametrize("returned", [None, "Z", 1])
def test_a_definition_returns_its_output(returned: object) -> None:
    @layer(rank=(1, 2))
    def tried(L: Layer, rank: int) -> Definition:
        L.input(rank)
        return returned  # type: ignore[return-value]

    with pytest.raises(
        DefinitionError, match=r"layer tried_2d: the definition must return L.output\(...\)\(Z\)"
    ):
        tried.define(rank=2)


def test_a_layer_without_input() -> None:
    @layer()
    def tried(L: Layer) -> Definition:
        i = L.maps("i")
        return L.output(i)(L.parameter("w", i)[i])

    with pytest.raises(DefinitionError, match="layer tried: a layer has exactly one input"):
        tried.define()


def test_two_outputs() -> None:
    @layer()
    def tried(L: Layer) -> Definition:
        s = Scene(L)
        L.output(s.i, s.x)(s.Y[s.i, s.x])
        return L.output(s.i, s.x)(s.Y[s.i, s.x])

    with pytest.raises(DefinitionError, match="layer tried: tensor Z is declared twice"):
        tried.define()

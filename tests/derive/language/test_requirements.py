"""What a layer requires of its sizes: networks that do not meet it are refused, with its reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from phiz.codegen.display import equations
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.derive import Eq, layer
from phiz.derive.language.activations import ACTIVATIONS
from phiz.derive.language.layer import Definition, Layer
from phiz.derive.language.losses import LOSSES
from phiz.derive.language.tensors import InputHandle
from phiz.derive.pipeline import derive_definition
from phiz.derive.symbols.errors import DefinitionError
from phiz.runtime import Network
from phiz.runtime import layer as placed
from phiz.runtime.errors import ShapeError

from tests.layers.normalisation import group_normalisation
from tests.layers.resampling import channel_shuffle, pixel_shuffle


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Layers that divide their maps."""
    path = tmp_path_factory.mktemp("divided")
    families = (group_normalisation, channel_shuffle, pixel_shuffle)
    write(path, generate(families, ACTIVATIONS[:1], [loss for loss in LOSSES if loss.name == "mse"]).files)
    return path


@pytest.mark.parametrize(
    ("family", "keywords", "maps", "message"),
    [
        ("group_normalisation", {"groups": 2}, 5, "expected J % G == 0, got groups G = 2, J = 5"),
        ("group_normalisation", {"groups": 7}, 5, "expected J % G == 0, got groups G = 7, J = 5"),
        ("channel_shuffle", {"groups": 3}, 4, "groups divide the maps"),
        ("pixel_shuffle", {}, 6, "expected J % (R*R) == 0, got J = 6, factor R = 2"),
    ],
)
def test_maps_that_no_group_would_take_are_refused(
    family: str, keywords: dict[str, int], maps: int, message: str, folder: Path
) -> None:
    with pytest.raises(ShapeError, match=rf"^layer 0 \({family}\): ") as caught:
        Network([placed(family, **keywords)], (maps, 2, 2), loss="mse", backend="numpy", manifests=[folder])
    assert message in str(caught.value)
    whole = Network([placed(family, **keywords)], (84, 2, 2), loss="mse", backend="numpy", manifests=[folder])
    assert whole.output_shape.units == 84 * 4


def test_requirements_are_printed_with_the_equations() -> None:
    derivation = derive_definition(group_normalisation, {"rank": 1})
    assert "J % G == 0: required: groups divide the maps" in equations(derivation)


def refused(require: Callable[[Layer, InputHandle], None]) -> str:
    @layer()
    def own(L: Layer) -> Definition:
        Y = L.input(1)
        require(L, Y)
        i, x = L.own(Y), L.coordinates("x", Y.H)
        return L.output(i, x)(Y[i, x])

    with pytest.raises(DefinitionError) as caught:
        own.define()
    return str(caught.value)


def test_conditions_that_cannot_be_required() -> None:
    assert "sizes are compared by Eq(a, b), not ==" in refused(lambda L, Y: L.require(Y.J % 2 == 0, "even"))
    assert "require takes Eq" in refused(lambda L, Y: L.require(Y.J % 2, "even"))
    assert "j is none" in refused(lambda L, Y: L.require(Y.j >= 1, "no first map"))


def test_a_vector_is_required_entry_by_entry_and_what_always_holds_is_not() -> None:
    @layer()
    def own(L: Layer) -> Definition:
        Y = L.input(2)
        K = L.sizes("K", "window", 2)
        L.require(K <= Y.H, "the window fits")
        L.require(Eq(Y.J, Y.J), "trivial")
        i, x = L.own(Y), L.coordinates("x", Y.H // K)
        return L.output(i, x)(Y[i, K * x])

    needs = own.define().requirements
    assert [(str(n.left), n.op, str(n.right)) for n in needs] == [("K0", "<=", "H0"), ("K1", "<=", "H1")]

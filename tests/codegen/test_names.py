"""Any Python identifier works for whatever a user names: kernels give the right numbers, pages and
messages the user's name.
"""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import phiz.generated
import pytest
from hypothesis import given
from hypothesis import settings as example_settings
from hypothesis import strategies as st
from phiz.codegen.display import equations
from phiz.codegen.folder import write
from phiz.codegen.generate import generate
from phiz.derive.language.activations import ACTIVATIONS, Activation, z
from phiz.derive.language.layer import Family, Layer, layer
from phiz.derive.language.losses import Loss, t, y
from phiz.derive.language.tensors import Sum
from phiz.derive.pipeline import derive_definition
from phiz.derive.symbols.errors import DefinitionError
from phiz.derive.symbols.functions import tanh
from phiz.derive.symbols.names import RESERVED, Names, fault, kept, of_file, of_function, shown, spelled
from phiz.runtime import Network
from phiz.runtime import layer as placed
from phiz.runtime.errors import ShapeError
from phiz.runtime.manifest.loading import load_folder

from tests.codegen import identifiers
from tests.codegen.identifiers import Chosen, check, definition

pytestmark = pytest.mark.quickly_built
BOTH = ("numpy", "opencl", "opencl_rows")
GENERATED = Path(phiz.generated.__file__).parent
#: So many examples with NumPy; 10000 take most of an hour.
EXAMPLES = int(os.environ.get("PHIZ_NAMES", "60"))

IDENTIFIERS = st.one_of(
    st.sampled_from(identifiers.words()),
    st.builds(
        "".join,
        st.lists(st.sampled_from((*identifiers.PREFIXES, *identifiers.SUFFIXES, *"ijwxuY")), min_size=1),
    ),
    st.text(st.characters(categories=("L", "M", "N", "Pc")), min_size=1, max_size=6),
).filter(identifiers.possible)


# --------------------------------------------------------------------------------------------------- spelling
@given(
    st.lists(IDENTIFIERS, unique=True, max_size=8),
    st.lists(st.sampled_from(("index", "size", "tensor")), min_size=8),
)
@example_settings(max_examples=400, deadline=None)
def test_names_in_kernels_are_apart_whatever_is_made_of_them(found: list[str], kinds: list[str]) -> None:
    names = Names()
    given_ = {name: names.add(name, kind) for name, kind in zip(found, kinds, strict=False)}
    assert {shown(own) for own in given_.values()} == set(found)
    made = [f"{prefix}{own}{suffix}" for own in given_.values() for prefix, suffix in DERIVED]
    made += [f"{own}0" for own, kind in zip(given_.values(), kinds, strict=False) if kind == "index"]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) for name in made)
    assert not set(made) & (RESERVED | identifiers.opencl_words())


DERIVED = [
    ("", ""), *(("", s) for s in identifiers.SUFFIXES if s[0] == "_" and len(s) > 2 and s != "_x303_"),
    ("n_", ""), ("delta_", ""), ("gradient_", ""), ("samplegradient_", ""), ("position_", ""), ("SIZE_", ""),
    ("TILE_forward_Z_", ""),
]  # fmt: skip


@given(st.lists(IDENTIFIERS, unique=True, max_size=6))
@example_settings(max_examples=300, deadline=None)
def test_names_of_functions_and_files_are_apart(found: list[str]) -> None:
    affixes = list(product(("value", "delta"), ("", "_item")))
    functions = [f"{prefix}_{of_function(name)}{suffix}" for name in found for prefix, suffix in affixes]
    assert len(set(functions)) == len(functions) and all(name.isascii() for name in functions)
    files = [of_file(name) for name in found]
    assert len(set(files)) == len(files)
    assert all(re.fullmatch(r"\w{1,150}", name, re.ASCII) for name in files)
    assert not {"activations", "prelude", "__init__"} & set(files)


@given(IDENTIFIERS)
@example_settings(max_examples=300, deadline=None)
def test_text_shows_what_the_user_wrote(name: str) -> None:
    assert (
        shown(f"delta_{spelled(name)}[i, {spelled('x_')}_] + surname3_max")
        == f"delta_{name}[i, x__] + surname3_max"
    )


def test_no_word_of_opencl_is_kept() -> None:
    words = identifiers.opencl_words() | set(identifiers.C.split())
    assert not {word for word in words if kept(word)}


def test_no_word_of_the_templates_is_kept() -> None:
    """What stands in committed kernels is reserved, made with an underscore, or named by the definition."""
    manifest = json.loads((GENERATED / "manifest.json").read_text())
    for path in sorted(GENERATED.glob("opencl*/*.cl")):
        text = re.sub(r'//.*|"[^"]*"|#pragma.*|\d[\d.]*e[-+]?\d+', "", path.read_text())
        record = manifest["layers"].get(path.stem) or manifest["losses"].get(
            path.stem.removeprefix("loss_"), {}
        )
        own = {size["name"] for size in record.get("sizes", ())} | set(record.get("tensors", ()))
        axes = set(re.findall(r"\bTILE_\w+_([a-z]\w*)", text)) | set(
            re.findall(r"for \(integer (\w+) =", text)
        )
        axes |= set(re.findall(r"const integer (\w+)", text)) | {"N", "T"}
        found = {w for w in re.findall(r"[A-Za-z]\w*", text) if "_" not in w and kept(w)}
        left = {w for w in found - own - axes if not (w.endswith("0") and w[:-1] in axes)}
        inside = {
            "a",
            "b",
            "p",
            "v",
            "x",
            "y",
            "z",
            "r",
            "e",
            "hi",
            "lo",
            "aligned",
        }  # of functions of the prelude, of vectors
        assert left <= (inside if path.stem in ("prelude", "activations") else set()), f"{path.name}: {left}"


# ----------------------------------------------------------------------------------- the rows that went wrong
def powers(parameter: str, axis: str, maps: str = "i", size: str = "I") -> Family:
    """``Z[i] = sum over p, j of w[i, p, j] * Y[j]**(1 + p)``."""

    def define(L: Layer) -> Any:
        Y = L.input()
        i, p, j = L.maps(maps, size), L.axis(axis, 2), Y.j
        w = L.parameter(parameter, i, p, j)
        return L.output(i)(Sum(w[i, p, j] * Y[j] ** (1 + p), p, j))

    return Family("powers", define, {}, "Powers.")


def run(folder: Path, family: Family, backend: str, dtype: str = "float64") -> None:
    """Value and gradient of 8 maps on 16 inputs, by loops."""
    write(folder, generate([family], ACTIVATIONS[:1], [Loss("square", (t - y) ** 2 / 2)]).files)
    rng = np.random.default_rng(3)
    samples = 1 if backend == "opencl_rows" else 40
    network = Network(
        [placed("powers", maps=8)], (16,), loss="square", dtype=dtype, manifests=[folder],
        backend="numpy" if backend == "numpy" else "opencl",
    )  # fmt: skip
    inputs, targets = rng.uniform(0.5, 1.5, (samples, 16)), rng.normal(size=(samples, 8))
    w = rng.normal(size=(8, 2, 16))
    value, gradient = network.value_and_gradient(w.reshape(-1), inputs, targets)
    Z = np.zeros((samples, 8))
    for i, p, j in product(range(8), range(2), range(16)):
        Z[:, i] += w[i, p, j] * inputs[:, j] ** (1 + p)
    places = product(range(8), range(2), range(16))
    right = np.array([((Z[:, i] - targets[:, i]) * inputs[:, j] ** (1 + p)).sum() for i, p, j in places])
    total = ((Z - targets) ** 2).sum() / 2
    scale = gradient @ right / (right @ right)  # sums or means over samples
    assert np.allclose(value, scale * total, rtol=1e-9)
    assert np.allclose(gradient, scale * right, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("backend", BOTH)
@pytest.mark.parametrize(
    "family",
    [
        powers("w", "i0"),
        powers("w", "n_i"),
        powers("w", "p", maps="g"),
        powers("w", "p", size="V"),
        powers("w", "p", size="half"),
    ],
    ids=["i0", "n_i", "g", "V", "half"],
)
def test_axes_and_sizes_that_were_taken_for_the_kernels_own(
    tmp_path: Path, family: Family, backend: str
) -> None:
    run(tmp_path, family, backend)


@pytest.mark.parametrize(
    "names",
    [
        Chosen(maps="x", coordinates="x"),
        Chosen(parameter="NULL", other="NAN"),
        Chosen(parameter="INFINITY", other="M_PI"),
        Chosen(parameter="true", other="pipe"),
        Chosen(parameter="w̃", other="read_only"),
        Chosen(parameter="SIZE_J", size="SIZE_J0"),
        Chosen(parameter="dphi", other="np", stage="span"),
        Chosen(maps="t", axis="s0", stage="T", other="weight", parameter="r"),
        Chosen(parameter="delta_Y", stage="gradient_w", other="position_Z"),
        Chosen(maps="i_", axis="_", coordinates="X"),
        Chosen(family="activations", activation="tanh_item", option="self"),
        Chosen(family="名", activation="é", option="class_"),
    ],
    ids=lambda names: ",".join(v for v in vars(names).values() if v not in vars(Chosen()).values()),
)
def test_names_that_failed(names: Chosen) -> None:
    check(names, BOTH)


def test_files_of_layers_and_losses_are_apart(tmp_path: Path) -> None:
    """A layer called like another file of the folder, a loss in another script, and a network of both."""

    def define(L: Layer) -> Any:
        Y = L.input()
        i = L.maps()
        return L.output(i)(Sum(L.parameter("w", i, Y.j)[i, Y.j] * Y[Y.j], Y.j))

    families = [
        Family(name, define, {}, "Dense.")
        for name in ("loss_é", "prelude", "activations", "__init__", "manifest")
    ]
    files = generate(
        families, [*ACTIVATIONS[:1], Activation("ñ_place", tanh(z))], [Loss("é", (t - y) ** 2 / 2)]
    ).files
    assert all(name.isascii() for name in files)
    write(tmp_path, files)
    for family in families:
        layers = [placed(family.name, maps=2, activation="ñ_place")]
        network = Network(layers, (3,), loss="é", manifests=[tmp_path], dtype="float64", backend="numpy")
        w, x = np.arange(6.0) / 10, np.array([[1.0, -2.0, 0.5]])
        value, gradient = network.value_and_gradient(w, x, np.array([[0.25, 0.5]]))
        y_ = np.tanh(x @ w.reshape(2, 3).T)
        assert np.isclose(value, ((y_ - [0.25, 0.5]) ** 2).sum() / 2)
        assert np.allclose(gradient.reshape(2, 3), ((y_ - [0.25, 0.5]) * (1 - y_**2)).T @ x)


# ----------------------------------------------------------------------------------------- what the user sees
def test_pages_messages_and_the_interface_keep_the_users_names(tmp_path: Path) -> None:
    family = powers("read_only", "n_i", maps="größe", size="half")
    derivation = derive_definition(family, {})
    text, latex = equations(derivation), equations(derivation, latex=True)
    assert "Z[größe] = " in text and "read_only[größe, n_i, j]" in text and "half: given as maps" in text
    assert r"\mathit{read\_only}" in latex and "name" not in text + latex
    files = generate([family], ACTIVATIONS[:1], [Loss("square", (t - y) ** 2 / 2)]).files
    assert (
        r"\mathit{read\_only}" in files["equations/powers.md"] and "name9" not in files["equations/powers.md"]
    )
    comments = [line for line in files["opencl/powers.cl"].splitlines() if line.startswith("// Z[")]
    assert len(comments) == 1 and "read_only[größe, n_i, j]" in comments[0]
    write(tmp_path, files)
    info = load_folder(tmp_path).layers["powers"]
    assert set(info.names.values()) == {"größe", "half", "n_i", "read_only"}
    network = Network(
        [placed("powers", maps=2, initial={"read_only": {"rule": "constant", "value": 2.0}})],
        (3,),
        loss="square",
        manifests=[tmp_path],
        backend="numpy",
    )
    assert [piece.name for piece in network.slices] == ["read_only"]
    assert (network.parameter(0, "read_only") == 2).all() and network.parameter(0, "read_only").shape == (
        2,
        2,
        3,
    )
    with pytest.raises(ShapeError, match="unknown parameter 'w', known are read_only"):
        Network(
            [placed("powers", maps=2, initial={"w": {"rule": "constant"}})],
            (3,),
            loss="square",
            manifests=[tmp_path],
        )


def refused(define: Callable[[Layer], Any]) -> str:
    with pytest.raises(DefinitionError) as error:
        derive_definition(Family("wrong", define, {}, ""), {})
    message = str(error.value)
    assert "\n" not in message and message.startswith("layer wrong: ")
    return message


def test_names_that_are_none_are_refused_in_one_line() -> None:
    assert "index 'ﬁ': Python reads this name as 'fi'; write it so" in refused(lambda L: L.axis("ﬁ", 2))
    assert "tensor 'a b': a name is a Python identifier" in refused(lambda L: L.parameter("a b"))
    assert "size 'for'" in refused(lambda L: L.size("for", "n"))
    assert "index 3" in refused(lambda L: L.axis(3, 2))  # type: ignore[arg-type]
    assert "index '1x0'" in refused(lambda L: L.coordinates("1x", L.sizes("K", "kernel", 1) + 1))
    assert fault("x") == fault("_") == fault("w̃") == ""
    message = refused(lambda L: (L.axis("n_i", 2), L.parameter("n_i")))
    assert message.startswith("layer wrong: tensor n_i has the name of a index (tests/codegen/test_names.py:")


def test_messages_of_the_derivation_name_what_the_user_wrote() -> None:
    def define(L: Layer) -> Any:
        Y = L.input()
        i, k = L.maps("g"), L.axis("n_i", 2)
        return L.output(i)(Sum(Y[Y.j], Y.j) + L.parameter("read_only", k)[k])

    assert "index n_i of the access read_only[n_i] in Z" in refused(define)


def test_keywords_of_every_layer_are_no_options() -> None:
    with pytest.raises(DefinitionError, match="option activation"):
        layer(activation=(1, 2))(lambda L, activation: None)


# ------------------------------------------------------------------------------------------------------- many
@given(st.integers(0, 2**40))
@example_settings(max_examples=EXAMPLES, deadline=None, derandomize=EXAMPLES <= 1000)
def test_any_names_with_numpy(seed: int) -> None:
    check(definition(random.Random(seed)))


@pytest.mark.parametrize("seed", range(12))
def test_any_names_on_both_forms_of_opencl(seed: int) -> None:
    check(definition(random.Random(f"opencl {seed}")), BOTH)
